package certs

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"homemail/words"
)

// A Text is said in English and in Japanese. What a CA or a DNS host has said
// stands in both as it came.
type Text = words.Text

// reason is what an error says: a Reason in its own words, another one as it is.
func reason(err error) Text {
	_, said := words.Of(err)
	return sentences(said)
}

const maxSentence = 400 // characters of what a stranger's words may make

// sentences makes a sentence of each language.
func sentences(t Text) Text {
	t = Text{EN: sentence(t.EN), JA: oneLine(t.JA)}
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
