package firstboot

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[you]\nname = \"Taro\"\npasword = \"x\"\n", `f:3: unknown setting "pasword" in [you]`},
		{"\n[yuo]\nname = \"Taro\"\n", `f:2: unknown section "yuo"`},
		{"[you]\nname = 7\nname2 = 1", `f:3: unknown setting "name2" in [you]`},
		{"[line]\nmode = \"fast\"", `f:2: mode is "fast"; right is one of auto, direct`},
		{"[dns]\nkind = \"copy\"\nagree_ca = \"yes\"", "f:3: agree_ca is not right here; right is true or false"},
		{"[people]\npeople = \"hanako\"\n", "f:2: people is not right here"[:0]}, // lines in one text are fine, too
		{"[people]\npeople = [1]\n", "f:2: people is not right here; right is a list"},
		{"you = 1", "f:1: you is a section"},
		{"[you]\nname = \"Ta", "f:2: "},
		{"[you]\nskip = true", `f:2: unknown setting "skip"`},
		{"[Line]\nmode = \"auto\"", `unknown section "Line"`},
	} {
		_, err := Parse("f", []byte(tt.text))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// TestWipe cuts the secrets out, and leaves all else as it was.
func TestWipe(t *testing.T) {
	const secret = "tr0ub4dor & \\\"3"
	for name, text := range map[string]string{
		"lines":    "# mine\nclaim = \"K7QM-4T2X\"  # shown\n[you]\nname = \"Taro\" # me\n\tpassword=\"" + secret + "\" # pw\n[dns]\nkind = \"self\"\nprovider = \"desec\"\n[dns.credential]\ntoken = '" + "tok3n-tok3n" + "'\n",
		"dotted":   "[dns]\nkind = \"self\"\nprovider = \"desec\"\ncredential.token = \"tok3n-tok3n\"\n",
		"inline":   "dns = { kind = \"self\", provider = \"desec\", credential = { token = \"tok3n-tok3n\" } }\n",
		"long":     "[you]\nname = \"Taro\"\npassword = \"\"\"\ntr0ub4dor\"\"\"\n",
		"comment":  "[you]\n# it is tr0ub4dor-tr0ub4dor\nname = \"Taro\"\npassword = \"tr0ub4dor-tr0ub4dor\"\n",
		"crlf":     "[you]\r\nname = \"Taro\"\r\npassword = \"tr0ub4dor\"\r\n",
		"japanese": "[you]\nname = \"太郎\"\npassword = \"tr0ub4dor\"\n[people]\npeople = [\"hanako 花子\", \"jiro\"]\n",
	} {
		file := filepath.Join(t.TempDir(), "homemail.toml")
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		f, err := ReadFile(file)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := f.Used(Result{}); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(file); string(b) != text {
			t.Errorf("%s: a file that was not taken was changed", name)
		}
		if err := f.Used(Result{OK: true}); err != nil {
			t.Fatal(name, err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"tr0ub4dor", "tok3n", "K7QM"} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s: %q is left in\n%s", name, s, b)
			}
		}
		again, err := Parse(file, b)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, b)
		}
		for i := range f.Steps {
			for k := range f.Steps[i].Answers {
				if k == "password" || k == "credential.token" {
					delete(f.Steps[i].Answers, k)
				}
			}
		}
		if !reflect.DeepEqual(again.Steps, f.Steps) || again.Claim != "" {
			t.Errorf("%s: it says something else now:\n%v\n%v\n%s", name, again.Steps, f.Steps, b)
		}
		if name == "lines" && !bytes.Contains(b, []byte("# mine")) {
			t.Errorf("the comments are gone:\n%s", b)
		}
		if left, _ := filepath.Glob(file + ".*"); left != nil {
			t.Error(left)
		}
	}
}

// FuzzParse: whatever a file says, it is either refused, or what is left after
// wiping says the same without its secrets.
func FuzzParse(f *testing.F) {
	f.Add(wholeFile)
	f.Add("[you]\npassword = '''\nab'''\n")
	f.Add("dns = { kind = \"self\", credential = { \"a b\" = \"x y\" } }")
	f.Add("[you]\n\"pass\\u0077ord\" = \"secret\"\nname = \"\"")
	f.Add("[dns.credential]\n\"a.b\\n\" = \"secret secret\"\n[dns]\nzone=\"z\"")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		again, err := Parse("f", file.Wiped())
		if err != nil {
			t.Fatalf("%v\n%s", err, file.Wiped())
		}
		if len(again.secret) > 0 || again.Claim != "" {
			t.Fatalf("secrets are left:\n%s", file.Wiped())
		}
	})
}

// TestAgainWithoutSecrets: a file that was used and wiped can be applied again.
func TestAgainWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	f, err := Parse("f", []byte("[you]\nname = \"Taro\"\npassword = \"bicycle lantern umbrella 42\"\n[address]\nkind = \"inside\"\nlocal = \"taro\"\n[line]\nmode = \"inside\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*File{f, must(t)(Parse("f", f.Wiped()))} {
		r, err := ApplyFile(t.Context(), asker{e}, f)
		if err != nil || !r.OK {
			t.Fatalf("%v\n%s", err, r.Text("en"))
		}
		if err := r.Wait(t.Context(), asker{e}); err != nil {
			t.Fatal(err)
		}
	}
	if o, _ := e.Show(t.Context()); o.Current != Safe {
		t.Errorf("%+v", o)
	}
}

func must(t *testing.T) func(*File, error) *File {
	return func(f *File, err error) *File {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}
