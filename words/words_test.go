package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// areas are the directories of the catalogue, with the packages that it is for.
var areas = map[string]string{
	"check": "check", "dnsplan": "dnsplan", "router": "router", "reports": "reports", "certs": "certs", "dsn": "dsn", "events": "events", "words": "words",
	"admin": "admin", "bridge": "bridge", "caps": "caps", "queue": "queue", "cli": "cmd/homemail", "alert": "cmd/homemail", "update": "admin",
}

// A code is what the Go files of the house say of keys.
type code struct {
	texts map[string]bool // strings, and those of an area's own packages with the area before them
	named map[string]bool // keys that a call says
}

// readCode reads all Go files but tests.
func readCode(t *testing.T, root string) code {
	t.Helper()
	c := code{map[string]bool{}, map[string]bool{}}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && p != root && (name == "testdata" || name == "third_party" || name == "test" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(p))
		if err != nil {
			return err
		}
		c.read(filepath.ToSlash(rel), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c code) read(dir string, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
				c.texts[s] = true
				for area, packages := range areas {
					if slices.Contains(strings.Fields(packages), dir) {
						c.texts[area+"."+s] = true
					}
				}
			}
		case *ast.CallExpr:
			if key, ok := keyOf(n); ok {
				c.named[key] = true
			}
		}
		return true
	})
}

// keyOf is the key that a call of Say or Because names, if it is a plain string.
func keyOf(call *ast.CallExpr) (string, bool) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "words" {
		return "", false
	}
	at := map[string]int{"Say": 0, "Because": 1}
	i, ok := at[sel.Sel.Name]
	if !ok || i >= len(call.Args) {
		return "", false
	}
	lit, ok := call.Args[i].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	key, err := strconv.Unquote(lit.Value)
	return key, err == nil
}

// uses reports whether a key is named: as it is, or by its beginning up to a dot,
// if that is more than its area; what a key is to do is used with it.
func (c code) uses(key string) bool {
	if c.texts[key] {
		return true
	}
	_, rest, _ := strings.Cut(key, ".")
	area := len(key) - len(rest)
	for i := range key {
		if key[i] == '.' && i >= area && c.texts[key[:i+1]] {
			return true
		}
	}
	for _, part := range []string{".do", ".todo", ".later"} {
		if base, ok := strings.CutSuffix(key, part); ok && c.uses(base) {
			return true
		}
	}
	return false
}

// TestCatalogues: every language has the same keys with the same places, each key
// that is said is there, and none is there for nothing.
func TestCatalogues(t *testing.T) {
	c := readCode(t, "..")
	for _, place := range Source() {
		Check(t, place, c.uses)
	}
	for key := range c.named {
		if !House().Has(key) {
			t.Errorf("no catalogue has the key %q", key)
		}
	}
	if len(c.named) < 50 {
		t.Errorf("only %d keys are said", len(c.named))
	}
	dirs, err := fs.ReadDir(text, "text")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if areas[d.Name()] == "" {
			t.Errorf("nobody is said to use %s", d.Name())
		}
		place, _ := fs.Sub(text, "text/"+d.Name())
		some, err := Load(place)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range some.Keys(English) {
			if !strings.HasPrefix(key, d.Name()+".") || !regexp.MustCompile(`^[a-z0-9.-]+$`).MatchString(key) {
				t.Errorf("%s has the key %q", d.Name(), key)
			}
		}
	}
}

// forms are all texts of a language by key.
func forms(lang Lang) func(func(key, text string) bool) {
	return func(yield func(string, string) bool) {
		for _, key := range House().Keys(lang) {
			p := House().Phrase(lang, key)
			for _, s := range []string{p.One, p.Other} {
				if s != "" && !yield(key, s) {
					return
				}
			}
		}
	}
}

// What no owner is told: that there is an "error", that they are to blame, that
// something is sure which is not ours to promise, and words that are none of ours.
var (
	neverEN = regexp.MustCompile(`(?i)\b(errors?|invalid|illegal|fatal|abort(ed)?|exception|oops|sorry|unfortunately|wrongly entered|your fault|you (forgot|should have|must not)|guarantees?d?|e-?mails?|user error|bad (request|input)|null|nil|unexpected|internal error)\b|!`)
	neverJA = regexp.MustCompile(`エラー|不正|異常|致命的|例外|残念|申し訳|あなたのせい|間違えました|保証|Ｅメール|Eメール|[Ａ-Ｚａ-ｚ０-９]|！`)
)

// TestWording holds every word of the house to the rules for words.
func TestWording(t *testing.T) {
	for key, s := range forms(English) {
		if m := neverEN.FindString(strings.ReplaceAll(s, "Yahoo!", "")); m != "" {
			t.Errorf("%s says %q: %s", key, m, s)
		}
	}
	for key, s := range forms(Japanese) {
		if m := neverJA.FindString(s); m != "" {
			t.Errorf("%s says %q: %s", key, m, s)
		}
	}
	for _, lang := range Langs() {
		for key, s := range forms(lang) {
			if strings.TrimSpace(s) != s && key != "events.others" && key != "events.joiner" || strings.ContainsAny(s, "\r\t") || regexp.MustCompile(`%[a-z\[]|  `).MatchString(s) {
				t.Errorf("%s %s: %q", lang, key, s)
			}
		}
	}
}

// headings are keys of what stands over something, where protocols have no place.
var headings = []string{"check.title.", "dsn.subject."}

var protocols = regexp.MustCompile(`\b(SMTP|IMAP|POP3|TCP|UDP|TLS|HTTPS?|EHLO|HELO|RFC)\b`)

func TestHeadings(t *testing.T) {
	for key, s := range forms(English) {
		if slices.ContainsFunc(headings, func(h string) bool { return strings.HasPrefix(key, h) }) && protocols.MatchString(s) {
			t.Errorf("%s: %s", key, s)
		}
	}
}

// polite is how a Japanese sentence ends.
var polite = regexp.MustCompile(`(です|ます|ません|ました|ください|でした|ましょう|でしょうか|ますか|ませんか)[)）」]*$`)

// TestJapanese: what English says in a sentence, Japanese does in です・ます, and
// nothing was left in English.
func TestJapanese(t *testing.T) {
	for key, s := range forms(Japanese) {
		en := House().Phrase(English, key).Other
		bare := regexp.MustCompile(`\{[a-z0-9]+\}`).ReplaceAllString(s, "")
		written := strings.ContainsFunc(bare, func(r rune) bool { return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han) })
		if !written && s != en && strings.ContainsFunc(bare, unicode.IsLetter) {
			t.Errorf("%s: %q is not Japanese", key, s)
		}
		if !written && len(strings.Fields(regexp.MustCompile(`\{[a-z0-9]+\}`).ReplaceAllString(en, ""))) > 1 {
			t.Errorf("%s: %q is said in English: %q", key, en, s)
		}
		all := strings.SplitAfter(s, "。")
		for i, sentence := range all {
			if i == len(all)-1 && !strings.HasSuffix(sentence, "。") { // a label, or something that ends in a value
				continue
			}
			sentence = strings.TrimRight(strings.TrimSuffix(sentence, "。"), ")） ")
			if sentence = regexp.MustCompile(`[ ]?[(（][^()（）]*$`).ReplaceAllString(sentence, ""); !polite.MatchString(sentence) {
				t.Errorf("%s: %q does not end politely", key, sentence)
			}
		}
	}
}

// recorder notes what a check finds.
type recorder struct{ found []string }

func (*recorder) Helper() {}
func (r *recorder) Errorf(f string, a ...any) {
	r.found = append(r.found, f+"|"+strings.TrimSpace(join(a)))
}
func join(a []any) (s string) {
	for _, one := range a {
		if text, ok := one.(interface{ Error() string }); ok {
			s += " " + text.Error()
		} else if text, ok := one.(string); ok {
			s += " " + text
		} else if lang, ok := one.(Lang); ok {
			s += " " + string(lang)
		}
	}
	return s
}

// TestCheck shows that the check fails where it should, and only there.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct{ en, ja, want string }{
		"all well":     {`{"x.a": "A {n}"}`, `{"x.a": "{n} あ"}`, ""},
		"missing":      {`{"x.a": "A"}`, `{}`, "ja x.a"},
		"left over":    {`{}`, `{"x.a": "あ"}`, "en x.a"},
		"other places": {`{"x.a": "{n}"}`, `{"x.a": "{m}"}`, "x.a en ja"},
		"empty":        {`{"x.a": ""}`, `{"x.a": "あ"}`, "en x.a"},
		"unused":       {`{"x.b": "B"}`, `{"x.b": "い"}`, "en x.b"},
		"twice":        {`{"x.a": "A", "x.a": "B"}`, `{"x.a": "あ"}`, `en.json has "x.a" twice`},
		"no forms":     {`{"x.a": {"one": "A"}}`, `{"x.a": "あ"}`, "needs"},
	} {
		var r recorder
		Check(&r, fstest.MapFS{"en.json": {Data: []byte(tt.en)}, "ja.json": {Data: []byte(tt.ja)}}, func(key string) bool { return key == "x.a" })
		if got := strings.Join(r.found, "\n"); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, err := Load(append(Source(), Source()[0])...); err == nil {
		t.Error("a key may be there twice")
	}
}

func TestSay(t *testing.T) {
	c, err := Load(fstest.MapFS{
		"en.json": {Data: []byte(`{"x.n": {"one": "{n} mail to {who}", "other": "{n} mails to {who}"}, "x.who": "{a} and {b}"}`)},
		"ja.json": {Data: []byte(`{"x.n": "{who} へ {n} 通", "x.who": "{a} と {b}"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	who := Say("x.who", "a", "{n}", "b", Text{EN: "her", JA: "彼女"})
	for _, tt := range []struct {
		lang Lang
		n    int
		want string
	}{
		{English, 1, "1 mail to {n} and her"}, {English, 2, "2 mails to {n} and her"}, {Japanese, 1, "{n} と 彼女 へ 1 通"},
	} {
		if got := c.Say(tt.lang, "x.n", "n", tt.n, "who", who); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	if got := c.Say(Japanese, "x.gone"); got != "x.gone" {
		t.Errorf("a key that is nowhere: %q", got)
	}
	if got := c.Say(English, "x.who", "a", 1); got != "1 and {b}" {
		t.Errorf("a place without a value: %q", got)
	}
}

func TestSpeaks(t *testing.T) {
	for tag, want := range map[string]Lang{"ja": Japanese, "ja-JP": Japanese, "JA_jp.UTF-8": Japanese, "ja.UTF-8": Japanese, "en": English, "en_GB.UTF-8": English} {
		if got, ok := Speaks(tag); got != want || !ok {
			t.Errorf("%s: %s %t", tag, got, ok)
		}
	}
	for _, tag := range []string{"", "C", "C.UTF-8", "POSIX", "fr_FR.UTF-8", "jam", "日本語", "-", "."} {
		if got, ok := Speaks(tag); got != English || ok {
			t.Errorf("%q: %s %t", tag, got, ok)
		}
	}
}

func TestRecall(t *testing.T) {
	for said, want := range map[string]string{
		"held by the owner": "管理者が保留しました",
		"sending is paused: 201 recipients within a day, and 200 are allowed":                             "送信を一時停止しています: 1 日の宛先が 201 件 (上限は 200 件)",
		"sending is paused: 51 recipients within a day that it never wrote to before, and 50 are allowed": "送信を一時停止しています: 初めての宛先が 1 日に 51 件 (上限は 50 件)",
		"sending is paused: on holiday": "送信を一時停止しています: on holiday",
		"ask Anna first":                "ask Anna first",
		"":                              "",
		"held by the owner, they say":   "held by the owner, they say",
	} {
		if got := Recall("queue.hold.", said); got.EN != said || got.JA != want {
			t.Errorf("%q: %+v", said, got)
		}
	}
}
