package certs

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Text is said in English and in Japanese. What a CA or a DNS host has said
// stands in both as it came.
type Text struct {
	EN string `json:"en"`
	JA string `json:"ja"`
}

// In returns the words in a language, English if there are none in it.
func (t Text) In(lang string) string {
	if strings.HasPrefix(strings.ToLower(lang), "ja") {
		return t.JA
	}
	return t.EN
}

// Empty reports whether nothing is said.
func (t Text) Empty() bool { return t == Text{} }

// both fills two formats with the same values.
func both(en, ja string, values ...any) Text {
	return Text{fmt.Sprintf(en, values...), fmt.Sprintf(ja, values...)}
}

// A Reason is an error in words for the owner. As an error it speaks English.
type Reason struct {
	Text
	Err error // what is behind it; may be nil
}

func (r *Reason) Error() string { return r.EN }
func (r *Reason) Unwrap() error { return r.Err }

// reason is what an error says: a Reason in its own words, another one as it is.
func reason(err error) Text {
	var r *Reason
	if errors.As(err, &r) {
		return sentences(r.Text)
	}
	return sentences(Text{err.Error(), "次のエラーが発生しました: " + err.Error()})
}

const maxSentence = 400 // characters of what a stranger's words may make

// sentences makes a sentence of each language.
func sentences(t Text) Text {
	t = Text{sentence(t.EN), oneLine(t.JA)}
	if t.JA != "" && !strings.ContainsRune("。.!?！？…", lastRune(t.JA)) {
		t.JA += "。"
	}
	return t
}

// sentence makes an English sentence of an error.
func sentence(s string) string {
	s = oneLine(s)
	if s == "" {
		return ""
	}
	if first, _, _ := strings.Cut(s, " "); !strings.Contains(strings.TrimRight(first, ".,:;"), ".") { // else it is a name
		r, n := utf8.DecodeRuneInString(s)
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if !strings.ContainsRune(".!?…", lastRune(s)) {
		s += "."
	}
	return s
}

// oneLine is text on one line, not too long, nothing in it that a terminal would
// obey.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if utf8.RuneCountInString(s) > maxSentence {
		s = strings.TrimRight(string([]rune(s)[:maxSentence]), " ") + "…"
	}
	return s
}

func lastRune(s string) rune {
	r, _ := utf8.DecodeLastRuneInString(s)
	return r
}
