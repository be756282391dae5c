package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Lang is a language that pages are in.
type Lang string

// The languages. Each has a catalogue with the same keys.
const (
	English  Lang = "en"
	Japanese Lang = "ja"
)

// Langs are all languages; the first is for those who speak none of them.
func Langs() []Lang { return []Lang{English, Japanese} }

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

// A phrase is an entry of a catalogue. Where English says one thing of one and
// another of many, the place {n} decides.
type phrase struct{ one, other string }

func (p *phrase) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, &p.other)
	}
	var forms struct{ One, Other string }
	if err := json.Unmarshal(b, &forms); err != nil {
		return err
	}
	if p.one, p.other = forms.One, forms.Other; p.one == "" || p.other == "" {
		return errors.New(`a phrase with forms needs "one" and "other"`)
	}
	return nil
}

// Words are the catalogues of all languages, merged from several places. They
// do not change and may be used by anybody at once.
type Words struct {
	phrases map[Lang]map[string]phrase
	zone    func() *time.Location
}

// LoadWords reads en.json and ja.json of each place, and the package's own. A
// key that is there twice is an error: each package begins its keys with its
// own name. Zone is where people are; nil for the computer's own.
func LoadWords(zone func() *time.Location, places ...fs.FS) (*Words, error) {
	if zone == nil {
		zone = func() *time.Location { return time.Local }
	}
	w := &Words{phrases: map[Lang]map[string]phrase{}, zone: zone}
	for _, lang := range Langs() {
		all := map[string]phrase{}
		for _, place := range append([]fs.FS{ownUI()}, places...) {
			some, err := loadCatalogue(place, lang)
			if err != nil {
				return nil, err
			}
			for key, p := range some {
				if _, twice := all[key]; twice {
					return nil, fmt.Errorf("page: two catalogues have the key %q", key)
				}
				all[key] = p
			}
		}
		w.phrases[lang] = all
	}
	return w, nil
}

// loadCatalogue reads a catalogue: an object of keys, each with a text or with
// the forms {"one": text, "other": text}.
func loadCatalogue(place fs.FS, lang Lang) (map[string]phrase, error) {
	name := string(lang) + ".json"
	b, err := fs.ReadFile(place, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a place may have templates alone
	}
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	if key := repeated(b); key != "" {
		return nil, fmt.Errorf("page: %s has %q twice", name, key)
	}
	flat := map[string]phrase{}
	if err := json.Unmarshal(b, &flat); err != nil {
		return nil, fmt.Errorf("page: %s: %w", name, err)
	}
	return flat, nil
}

// repeated returns a key that a JSON object has twice: the decoder would take
// the last without a word.
func repeated(b []byte) string {
	d := json.NewDecoder(strings.NewReader(string(b)))
	seen, depth, isKey := map[string]bool{}, 0, true
	for {
		tok, err := d.Token()
		if err != nil {
			return ""
		}
		switch tok := tok.(type) {
		case json.Delim:
			if tok == '{' {
				depth++
			} else {
				depth--
			}
			isKey = true
		case string:
			if depth == 1 && isKey {
				if seen[tok] {
					return tok
				}
				seen[tok] = true
			}
			isKey = !isKey
		}
	}
}

// Has reports whether there is a phrase with a key.
func (w *Words) Has(key string) bool { _, ok := w.phrases[English][key]; return ok }

// Keys are the keys of a language, in order.
func (w *Words) Keys(lang Lang) []string { return slices.Sorted(maps.Keys(w.phrases[lang])) }

// Say returns a message in a language as plain text. A key that is in no
// catalogue is shown as it is, so that people can at least report it.
func (w *Words) Say(lang Lang, key string, args ...any) string {
	text, _ := w.say(lang, key, args, func(s string) string { return s })
	return text
}

// html returns a message for a template: with markup, if a value has any.
func (w *Words) html(lang Lang, key string, args []any) any {
	text, marked := w.say(lang, key, args, func(s string) string { return s })
	if !marked {
		return text
	}
	text, _ = w.say(lang, key, args, template.HTMLEscapeString)
	return template.HTML(text)
}

// say fills a phrase. Its own text and plain values go through escape; a value
// that is markup already does not, and is reported.
func (w *Words) say(lang Lang, key string, args []any, escape func(string) string) (text string, marked bool) {
	p, ok := w.phrases[lang][key]
	if !ok {
		p = w.phrases[English][key]
	}
	form := p.other
	if form == "" {
		form = key
	}
	values := make(map[string]string, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		name := fmt.Sprint(args[i])
		if m, ok := args[i+1].(template.HTML); ok {
			values[name], marked = string(m), true
			continue
		}
		if name == "n" && p.one != "" && isOne(args[i+1]) {
			form = p.one
		}
		values[name] = escape(w.Value(lang, args[i+1]))
	}
	var b strings.Builder
	for part, place := range places(form) {
		b.WriteString(escape(part))
		if v, ok := values[place]; ok {
			b.WriteString(v)
		} else if place != "" {
			b.WriteString(escape("{" + place + "}"))
		}
	}
	return b.String(), marked
}

// places splits a phrase at its places: the text before each, and its name. The
// last text has no place after it.
func places(phrase string) func(func(text, place string) bool) {
	return func(yield func(string, string) bool) {
		for {
			before, rest, found := strings.Cut(phrase, "{")
			name, after, closed := strings.Cut(rest, "}")
			if !found || !closed {
				yield(phrase, "")
				return
			}
			if !yield(before, name) {
				return
			}
			phrase = after
		}
	}
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
	if s, ok := twoTexts(lang, v); ok {
		return s
	}
	return fmt.Sprint(v)
}

// twoTexts returns a text of a struct with the fields EN and JA, as packages
// below have them that know nothing of pages.
func twoTexts(lang Lang, v any) (string, bool) {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Struct {
		return "", false
	}
	f := r.FieldByName(strings.ToUpper(string(lang)))
	if !f.IsValid() || f.Kind() != reflect.String {
		return "", false
	}
	return f.String(), true
}
