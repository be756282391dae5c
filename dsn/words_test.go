package dsn

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"homemail/mail"
	"homemail/words"
)

// Every reason has words, with what to do, and there are none of another reason.
// That both languages have the same is tested where the catalogues are.
func TestReasonsHaveWords(t *testing.T) {
	all := slices.Concat(causes[:], replies[:])
	if sorted := slices.Sorted(slices.Values(all)); len(slices.Compact(sorted)) != len(all) {
		t.Error("a reason is listed twice")
	}
	c := words.House()
	for _, r := range all {
		if key := "dsn.reason." + string(r); !c.Has(key) || !c.Has(key+".todo") {
			t.Errorf("%s has no words", r)
		}
	}
	for _, lang := range words.Langs() {
		for _, key := range ours(lang) {
			p := c.Phrase(lang, key)
			name, ok := strings.CutPrefix(key, "dsn.reason.")
			name = strings.TrimSuffix(strings.TrimSuffix(name, ".todo"), ".later")
			if ok && !slices.Contains(all, Reason(name)) {
				t.Errorf("%s is no reason", key)
			}
			if ok && slices.ContainsFunc(p.Places(), func(place string) bool { return place != "domain" && place != "address" }) {
				t.Errorf("%s: %s has %v", lang, key, p.Places())
			}
			if strings.ContainsAny(p.One+p.Other, "\r\n\t%") || strings.TrimSpace(p.Other) != p.Other {
				t.Errorf("%s: %s: %q", lang, key, p)
			}
		}
	}
}

// ours are the keys of this package.
func ours(lang words.Lang) (list []string) {
	for _, key := range words.House().Keys(lang) {
		if strings.HasPrefix(key, "dsn.") {
			list = append(list, key)
		}
	}
	return list
}

// Japanese is Japanese: kana or kanji in every sentence, です・ます at its end.
func TestJapanese(t *testing.T) {
	polite := regexp.MustCompile(`(です|ます|ません|ました|ください|でした)。`)
	for _, key := range ours(words.Japanese) {
		s := words.House().Phrase(words.Japanese, key).Other
		if key == "dsn.layout" || strings.HasPrefix(key, "dsn.about") {
			continue
		}
		if !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Hiragana) }) {
			t.Errorf("%s: %q", key, s)
		}
		if strings.HasPrefix(key, "dsn.subject.") {
			continue
		}
		for sentence := range strings.SplitAfterSeq(s, "。") {
			if sentence = strings.ReplaceAll(sentence, "。)", "。"); sentence != "" && !polite.MatchString(sentence) {
				t.Errorf("%s: %q does not end politely", key, sentence)
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
