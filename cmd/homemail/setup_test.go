package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// setup runs the command as the command line would.
func setup(t *testing.T, stdin string, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	in := &invocation{stdout: &b, stderr: &b, stdin: strings.NewReader(stdin)}
	c := setupCommands()[0]
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&in.global.data, "data", "", "")
	f.BoolVar(&in.global.json, "json", false, "")
	do := c.setup(in, f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	err = do(t.Context(), nil)
	return b.String(), err
}

// TestSetupFromFile sets a house up that stays inside the home, from a file.
func TestSetupFromFile(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "homemail.toml")
	text := "language = \"ja\"\n[you]\nname = \"太郎\"\npassword = \"tr0ub4dor and three\" # mine\n[address]\nkind = \"inside\"\nlocal = \"taro\"\n[line]\nmode = \"inside\"\n[people]\ndevices = [\"phone\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := setup(t, "", "-data", data, "-apply", file, "-wait")
	if err != nil {
		t.Fatal(err, out)
	}
	if !strings.Contains(out, "メールアドレス: 完了") || !strings.Contains(out, "phone") {
		t.Error(out)
	}
	left, err := os.ReadFile(file)
	if err != nil || bytes.Contains(left, []byte("tr0ub4dor")) || !bytes.Contains(left, []byte("# mine")) {
		t.Errorf("%v\n%s", err, left)
	}
	beside, err := os.ReadFile(filepath.Join(dir, "homemail-status.txt"))
	if err != nil || !bytes.Contains(beside, []byte("phone")) {
		t.Errorf("%v\n%s", err, beside)
	}
	if out := must(t, "account", "list", "-data", data); !strings.Contains(out, "taro@home.arpa") {
		t.Error(out)
	}
	if out, err := setup(t, "", "-data", data, "-apply", file); err != nil || strings.Contains(out, "phone  taro") {
		t.Errorf("to apply it again: %v\n%s", err, out)
	}
}

func TestSetupMistake(t *testing.T) {
	file := filepath.Join(t.TempDir(), "homemail.toml")
	if err := os.WriteFile(file, []byte("[you]\nname = \"Taro\"\npassword = \"short\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := setup(t, "", "-data", t.TempDir(), "-apply", file)
	if !errors.Is(err, exitCode(1)) || !strings.Contains(out, "12 characters") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, _ := os.ReadFile(file); !bytes.Contains(left, []byte("short")) {
		t.Error("the file was wiped though it was not taken")
	}
}

// TestSetupMenu answers the menu as somebody on a serial line would.
func TestSetupMenu(t *testing.T) {
	data := t.TempDir()
	typed := strings.Join([]string{
		"", "2", // language: Japanese
		"", "1", // a new box
		"", "太郎", "bicycle lantern umbrella 42",
		"", "4", "taro", // only inside the home
		"", "5", "", // the line
		"", "yes", "", "later", // keep it safe: codes, which are not typed back
		"", "", "phone", "", // people: none; one device
		"q",
	}, "\n") + "\n"
	out, err := setup(t, typed, "-data", data)
	if err != nil {
		t.Fatal(err, out)
	}
	if !strings.Contains(out, "設定が完了しました") || !strings.Contains(out, "機器用のパスワード") {
		t.Error(out)
	}
	if n := len(regexp.MustCompile(`(?m)^ +\d+  \S+-\S+$`).FindAllString(out, -1)); n != 10 {
		t.Errorf("%d recovery codes in %s", n, out)
	}
	if out := must(t, "device", "list", "taro@home.arpa", "-data", data); !strings.Contains(out, "phone") {
		t.Error(out)
	}
	if out, err := setup(t, "", "-data", data, "-status"); err != nil || !strings.Contains(out, "メールアドレス: 完了") {
		t.Error(err, out)
	}
}

// TestSetupOffline: what needs a server is left to the next one, and said.
func TestSetupOffline(t *testing.T) {
	file, data := filepath.Join(t.TempDir(), "homemail.toml"), t.TempDir()
	text := "language = \"en\"\n[you]\nname = \"Taro\"\npassword = \"tr0ub4dor and three\"\n[address]\nkind = \"own\"\ndomain = \"example.jp\"\nlocal = \"taro\"\n" +
		"[line]\nmode = \"smarthost\"\n[connection]\nskip = true\n[dns]\nkind = \"self\"\nprovider = \"desec\"\ncredential.token = \"good\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := setup(t, "", "-data", data, "-apply", file, "-wait")
	if err != nil || !strings.Contains(out, "No server runs at the moment") {
		t.Errorf("%v\n%s", err, out)
	}
}
