package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"time"

	"homemail/words"
)

// A Lang is a language that pages are in.
type Lang = words.Lang

// The languages. Each has a catalogue with the same keys.
const (
	English  = words.English
	Japanese = words.Japanese
)

// Langs are all languages; the first is for those who speak none of them.
func Langs() []Lang { return words.Langs() }

// A Message is what to tell people: a key of the catalogues, and what to put
// into its places, as pairs of a place's name and a value.
type Message = words.Message

// Say makes a message: Say("queue.wait", "n", 3, "host", "example.net").
func Say(key string, args ...any) Message { return words.Say(key, args...) }

// Words are the catalogues of all languages, merged from several places. They
// do not change and may be used by anybody at once.
type Words struct {
	*words.Catalogue
	zone func() *time.Location
}

// LoadWords reads en.json and ja.json of each place, the package's own and those
// of the house. A key that is there twice is an error: each package begins its
// keys with its own name. Zone is where people are; nil for the computer's own.
func LoadWords(zone func() *time.Location, places ...fs.FS) (*Words, error) {
	if zone == nil {
		zone = func() *time.Location { return time.Local }
	}
	c, err := words.Load(append(append(words.Source(), ownUI()), places...)...)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &Words{c, zone}, nil
}

// Say returns a message in a language as plain text. A key that is in no
// catalogue is shown as it is, so that people can at least report it.
func (w *Words) Say(lang Lang, key string, args ...any) string {
	plain := func(s string) string { return s }
	text, _ := w.say(lang, key, args, plain)
	return text
}

// html returns a message for a template: with markup, if a value has any.
func (w *Words) html(lang Lang, key string, args []any) any {
	text := w.Say(lang, key, args...)
	if marked, has := w.say(lang, key, args, template.HTMLEscapeString); has {
		return template.HTML(marked)
	}
	return text
}

// say fills a phrase. Its own text and plain values go through escape; a value
// that is markup already does not, and is reported.
func (w *Words) say(lang Lang, key string, args []any, escape func(string) string) (text string, marked bool) {
	text = w.Fill(lang, key, args, escape, func(v any) string {
		if m, ok := v.(template.HTML); ok {
			marked = true
			return string(m)
		}
		return escape(w.Value(lang, v))
	})
	return text, marked
}

// Value writes a value as people of a language do.
func (w *Words) Value(lang Lang, v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Message:
		return w.Say(lang, v.Key, v.Args...)
	case time.Time:
		return w.Date(lang, v)
	case time.Duration:
		return w.Span(lang, v)
	case interface{ In(lang string) string }: // texts that other packages bring along
		return v.In(string(lang))
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return number(n)
		}
		return v.String()
	}
	if s, ok := numeral(v); ok {
		return s
	}
	return fmt.Sprint(v)
}
