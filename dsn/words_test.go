package dsn

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"homemail/mail"
)

var placeholder = regexp.MustCompile(`\{[a-z]*\}`)

// Every language has every word, with the same things to fill in.
func TestCatalogsAreComplete(t *testing.T) {
	all := slices.Sorted(slices.Values(append(slices.Clone(causes[:]), replies[:]...)))
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error("a reason is listed twice")
	}
	for lang, c := range catalogs {
		if got := slices.Sorted(maps.Keys(c.Reasons)); !slices.Equal(got, all) {
			t.Errorf("%s: reasons %v, want %v", lang, got, all)
		}
		for name, s := range texts(c) {
			want := texts(&english)[name]
			if s == "" && want != "" || s != "" && want == "" {
				t.Errorf("%s: %s is %q, in English %q", lang, name, s, want)
			}
			if a, b := places(s), places(want); name != "Time" && !slices.Equal(a, b) && !strings.HasPrefix(name, "reason") {
				t.Errorf("%s: %s has %v, in English %v", lang, name, a, b)
			}
			for _, p := range places(s) {
				if strings.HasPrefix(name, "reason") && p != "{domain}" && p != "{address}" {
					t.Errorf("%s: %s has %s", lang, name, p)
				}
			}
			if strings.ContainsAny(s, "\r\n\t%") || strings.TrimSpace(s) != s {
				t.Errorf("%s: %s: %q", lang, name, s)
			}
		}
	}
}

func places(s string) []string {
	return slices.Compact(slices.Sorted(slices.Values(placeholder.FindAllString(s, -1))))
}

// texts are all strings of a catalog by name.
func texts(c *catalog) map[string]string {
	m := map[string]string{}
	v := reflect.ValueOf(*c)
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		switch f.Kind() {
		case reflect.String:
			m[name] = f.String()
		case reflect.Array:
			for j := range f.Len() {
				m[name+string(rune('0'+j))] = f.Index(j).String()
			}
		}
	}
	for r, p := range c.Reasons {
		m["reason "+string(r)+" why"], m["reason "+string(r)+" todo"] = p.Why, p.Todo
		m["reason "+string(r)+" later"] = p.Later
	}
	return m
}

// Japanese is Japanese: kana or kanji in every sentence, です・ます at its end.
func TestJapanese(t *testing.T) {
	polite := regexp.MustCompile(`(です|ます|ません|ました|ください|でした)。`)
	for name, s := range texts(&japanese) {
		if s == "" || name == "Time" || strings.HasPrefix(name, "About") {
			continue
		}
		if !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Hiragana) }) {
			t.Errorf("%s: %q", name, s)
		}
		if strings.HasPrefix(name, "Subject") {
			continue
		}
		for sentence := range strings.SplitAfterSeq(s, "。") {
			if sentence = strings.ReplaceAll(sentence, "。)", "。"); sentence != "" && !polite.MatchString(sentence) {
				t.Errorf("%s: %q does not end politely", name, sentence)
			}
		}
	}
}

func TestWords(t *testing.T) {
	unknown := mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseReply, Reply: mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}}
	what, why, todo := Words("en", unknown, "hanako@example.test")
	if what != "Your message to hanako@example.test could not be delivered." || why != "This address does not exist there." || !strings.Contains(todo, "spelling") {
		t.Errorf("%q %q %q", what, why, todo)
	}
	for _, lang := range []string{"ja", "ja-JP", "JA", "ja_JP"} {
		if what, _, _ := Words(lang, unknown, "花子@例え.テスト"); what != "花子@例え.テスト へのメールを届けられませんでした。" {
			t.Errorf("%s: %q", lang, what)
		}
	}
	for _, lang := range []string{"", "fr", "en-GB", "jam", "-", "日本語"} {
		if what, _, _ := Words(lang, unknown, "a@b.test"); !strings.HasPrefix(what, "Your message") {
			t.Errorf("%s: %q", lang, what)
		}
	}
	for _, f := range []mail.Fate{mail.Delivered, mail.Relayed} {
		if what, why, todo := Words("ja", mail.Outcome{Fate: f}, "a@b.test"); what == "" || why != "" || todo != "" {
			t.Errorf("%s: %q %q %q", f, what, why, todo)
		}
	}
	if what, _, _ := Words("en", unknown, "a@b\r\nBcc: x\u202e"); strings.ContainsAny(what, "\r\n\u202e") {
		t.Errorf("%q", what)
	}
}

// Every reason has words in every language, for now and for good.
func TestWordsForEverything(t *testing.T) {
	for _, lang := range []string{"en", "ja"} {
		for _, fate := range []mail.Fate{mail.Temporary, mail.Permanent, ""} {
			for _, c := range append(slices.Clone(causes[:]), "", "reply", "new") {
				for _, tt := range repliesSeen {
					o := mail.Outcome{Fate: fate, Cause: mail.Cause(c), Reply: mail.Reply{Code: tt.code, Enhanced: tt.enhanced, Text: tt.text}}
					what, why, todo := Words(lang, o, "a@b.test")
					if what == "" || why == "" || todo == "" || strings.ContainsAny(what+why+todo, "{}") {
						t.Fatalf("%s %+v: %q %q %q", lang, o, what, why, todo)
					}
				}
			}
		}
	}
}
