// Package words is what the house says to people, in the languages that it
// speaks: what checks find, why mail did not go out, what an owner asked for and
// cannot have, and what the command line tells. It has one catalogue a language,
// with the same keys, and the mechanism that the pages use for their own. It
// knows nothing of what is told, and reads nothing but what is built in.
package words

import (
	"errors"
	"strings"
)

// A Lang is a language that we speak, as RFC 5646 calls it.
type Lang string

// The languages. Each has a catalogue with the same keys.
const (
	English  Lang = "en"
	Japanese Lang = "ja"
)

// Langs are all languages; the first is for those who speak none of them.
func Langs() []Lang { return []Lang{English, Japanese} }

// Speaks returns the language of a tag such as ja-JP or of a locale such as
// ja_JP.UTF-8, and whether it is one of ours; English if it is not.
func Speaks(tag string) (Lang, bool) {
	primary := tag
	if i := strings.IndexAny(tag, "-_.@"); i >= 0 {
		primary = tag[:i]
	}
	for _, l := range Langs() {
		if strings.EqualFold(primary, string(l)) {
			return l, true
		}
	}
	return English, false
}

// For is the language for who reads a tag: its own, or English.
func For(tag string) Lang {
	l, _ := Speaks(tag)
	return l
}

// A Text is said in every language. What strangers said stands in it as it came.
type Text struct {
	EN string `json:"en"`
	JA string `json:"ja"`
}

// In returns the words in a language, English if it is none of ours.
func (t Text) In(lang string) string {
	if For(lang) == Japanese {
		return t.JA
	}
	return t.EN
}

// Empty reports whether nothing is said.
func (t Text) Empty() bool { return t == Text{} }

// A Message is what to tell people: a key of the catalogues, and what to put
// into its places, as pairs of a place's name and a value.
type Message struct {
	Key  string
	Args []any
}

// Say makes a message: Say("queue.wait", "n", 3, "host", "example.net").
func Say(key string, args ...any) Message { return Message{key, args} }

// IsZero reports whether there is nothing to say.
func (m Message) IsZero() bool { return m.Key == "" }

// In is a message of the house in a language, English if it is none of ours.
func (m Message) In(lang string) string {
	if m.IsZero() {
		return ""
	}
	return House().Say(For(lang), m.Key, m.Args...)
}

// Text is a message of the house in every language.
func (m Message) Text() Text {
	return Text{EN: m.In(string(English)), JA: m.In(string(Japanese))}
}

// Recall is what was said in English once and kept so, in every language: as the
// first key says it that begins with prefix and has such words. What none says, as
// a person's own words, stays as it is.
func Recall(prefix, english string) Text {
	c := House()
	for _, key := range c.Keys(English) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if args, ok := c.Phrase(English, key).match(english); ok {
			return Text{EN: english, JA: Say(key, args...).In(string(Japanese))}
		}
	}
	return Text{EN: english, JA: english}
}

// A Reason is an error in words for people. As an error it speaks English, as
// programs and logs do.
type Reason struct {
	Code string // the key of its words: for programs, and never translated
	Text
	Err error // what is behind it; may be nil
}

// Because is a Reason in the words of the house, with what is behind it.
func Because(err error, key string, args ...any) error {
	return &Reason{Code: key, Text: Say(key, args...).Text(), Err: err}
}

func (r *Reason) Error() string { return r.EN }
func (r *Reason) Unwrap() error { return r.Err }

// Of is what an error says to people: a Reason's own words and code; of any
// other one what it says itself, as a stranger's words, without a code.
func Of(err error) (code string, said Text) {
	var r *Reason
	if errors.As(err, &r) {
		return r.Code, r.Text
	}
	return "", Text{EN: err.Error(), JA: Say("words.trouble", "said", err.Error()).In(string(Japanese))}
}
