package words

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// A Phrase is an entry of a catalogue. Where English says one thing of one and
// another of many, the place {n} decides.
type Phrase struct{ One, Other string }

// UnmarshalJSON reads a text, or the forms {"one": text, "other": text}.
func (p *Phrase) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, &p.Other)
	}
	type forms Phrase
	if err := json.Unmarshal(b, (*forms)(p)); err != nil {
		return err
	}
	if p.One == "" || p.Other == "" {
		return errors.New(`a phrase with forms needs "one" and "other"`)
	}
	return nil
}

// Places are the names of what is put into a phrase, in order.
func (p Phrase) Places() (list []string) {
	for _, form := range []string{p.One, p.Other} {
		for _, place := range places(form) {
			if place != "" && !slices.Contains(list, place) {
				list = append(list, place)
			}
		}
	}
	slices.Sort(list)
	return list
}

// match finds the values that make a phrase say this.
func (p Phrase) match(said string) (args []any, ok bool) {
	rest, open := said, ""
	for text, place := range places(p.Other) {
		before, after, found := strings.Cut(rest, text)
		switch {
		case open == "" && (!found || before != ""):
			return nil, false
		case open != "" && text == "" && place == "": // the last value goes to the end
			before, after = rest, ""
		case open != "" && (!found || before == ""):
			return nil, false
		}
		if open != "" {
			args = append(args, open, before)
		}
		rest, open = after, place
	}
	return args, rest == ""
}

// A Catalogue has phrases by key, of all languages. It does not change and may be
// used by anybody at once.
type Catalogue struct {
	phrases map[Lang]map[string]Phrase
}

// Load reads en.json and ja.json of each place. A key that is there twice is an
// error: each package begins its keys with its own name.
func Load(places ...fs.FS) (*Catalogue, error) {
	c := &Catalogue{map[Lang]map[string]Phrase{}}
	for _, lang := range Langs() {
		all := map[string]Phrase{}
		for _, place := range places {
			some, err := read(place, lang)
			if err != nil {
				return nil, err
			}
			for key, p := range some {
				if _, twice := all[key]; twice {
					return nil, fmt.Errorf("words: two catalogues have the key %q", key)
				}
				all[key] = p
			}
		}
		c.phrases[lang] = all
	}
	return c, nil
}

// read reads a catalogue: an object of keys, each with a Phrase.
func read(place fs.FS, lang Lang) (map[string]Phrase, error) {
	name := string(lang) + ".json"
	b, err := fs.ReadFile(place, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a place may have templates alone
	}
	if err != nil {
		return nil, fmt.Errorf("words: %w", err)
	}
	if key := repeated(b); key != "" {
		return nil, fmt.Errorf("words: %s has %q twice", name, key)
	}
	flat := map[string]Phrase{}
	if err := json.Unmarshal(b, &flat); err != nil {
		return nil, fmt.Errorf("words: %s: %w", name, err)
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
func (c *Catalogue) Has(key string) bool { _, ok := c.phrases[English][key]; return ok }

// Keys are the keys of a language, in order.
func (c *Catalogue) Keys(lang Lang) []string { return slices.Sorted(maps.Keys(c.phrases[lang])) }

// Phrase is an entry as it stands in a catalogue.
func (c *Catalogue) Phrase(lang Lang, key string) Phrase { return c.phrases[lang][key] }

// Say returns a phrase in a language, with values in its places. A key that is in
// no catalogue is shown as it is, so that people can at least report it.
func (c *Catalogue) Say(lang Lang, key string, args ...any) string {
	plain := func(s string) string { return s }
	return c.Fill(lang, key, args, plain, func(v any) string { return c.value(lang, v) })
}

// value writes a value as it stands in a phrase of the house.
func (c *Catalogue) value(lang Lang, v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Message:
		return c.Say(lang, v.Key, v.Args...)
	case interface{ In(lang string) string }:
		return v.In(string(lang))
	case error:
		if r := new(Reason); errors.As(v, &r) {
			return r.In(string(lang))
		}
	}
	return fmt.Sprint(v)
}

// Fill puts a phrase together of its own text and of values, each as the caller
// writes them. A place without a value stays as it is.
func (c *Catalogue) Fill(lang Lang, key string, args []any, text func(string) string, value func(any) string) string {
	form := c.form(lang, key, args)
	var b strings.Builder
	for part, place := range places(form) {
		b.WriteString(text(part))
		if place == "" {
			continue
		}
		if i := at(args, place); i >= 0 {
			b.WriteString(value(args[i+1]))
		} else {
			b.WriteString(text("{" + place + "}"))
		}
	}
	return b.String()
}

// form is what a phrase says of so many.
func (c *Catalogue) form(lang Lang, key string, args []any) string {
	p, ok := c.phrases[lang][key]
	if !ok {
		p = c.phrases[English][key]
	}
	if i := at(args, "n"); i >= 0 && p.One != "" && fmt.Sprint(args[i+1]) == "1" {
		return p.One
	}
	if p.Other == "" {
		return key
	}
	return p.Other
}

// at is where the pair of a place begins, -1 if there is none.
func at(args []any, place string) int {
	for i := 0; i+1 < len(args); i += 2 {
		if fmt.Sprint(args[i]) == place {
			return i
		}
	}
	return -1
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
