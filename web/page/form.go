package page

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	usualLine = 200    // characters of a line that sets no limit
	usualText = 10_000 // characters of a text of several lines
	maxChosen = 200    // of a list
)

// A Form is what a reader has typed, and what is wrong with it. Templates show
// it with input, area, tick, choice and selected.
type Form struct {
	values url.Values
	fields map[string]field
	Errors map[string]Message // by field
}

// A field is what a struct's tag says of one: `form:"name,required,max=64"`.
type field struct {
	name     string
	required bool
	lines    bool // may have several
	secret   bool // a password: not trimmed, and never sent back
	min, max int  // characters; of a number, its bounds
	bounded  bool // min and max of a number were given
	choices  []string
	index    int
}

// Fill makes a form that shows what a struct holds.
func Fill(from any) Form {
	v := reflect.Indirect(reflect.ValueOf(from))
	f := Form{values: url.Values{}, fields: map[string]field{}, Errors: map[string]Message{}}
	for _, fd := range fields(v.Type()) {
		f.fields[fd.name] = fd
		switch fv := v.Field(fd.index); fv.Kind() {
		case reflect.Bool:
			if fv.Bool() {
				f.values.Set(fd.name, "on")
			}
		case reflect.Slice:
			for i := range fv.Len() {
				f.values.Add(fd.name, fv.Index(i).String())
			}
		default:
			f.values.Set(fd.name, fmt.Sprint(fv.Interface()))
		}
	}
	return f
}

// Read reads a form into a struct, a pointer to which is given: its fields are
// strings, bools, ints or lists of strings with a tag
//
//	form:"NAME[,required][,min=N][,max=N][,lines][,secret][,one=A|B|C]"
//
// Space around what was typed goes, but not of secrets. No line may hold a line
// break or another control character, so none can become two header fields.
// Form.OK tells whether all is well.
func Read(r *http.Request, into any) Form {
	v := reflect.ValueOf(into).Elem()
	f := Form{values: url.Values{}, fields: map[string]field{}, Errors: map[string]Message{}}
	if err := r.ParseForm(); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		f.Errors[""] = Say("page.form.unreadable")
		return f
	}
	for _, fd := range fields(v.Type()) {
		f.fields[fd.name] = fd
		given := r.PostForm[fd.name]
		if len(given) > maxChosen {
			given = given[:maxChosen]
		}
		clean := make([]string, 0, len(given))
		for _, g := range given {
			g, wrong := fd.clean(g)
			if !wrong.IsZero() {
				f.Errors[fd.name] = wrong
			}
			clean = append(clean, g)
		}
		f.values[fd.name] = clean
		if wrong := fd.set(v.Field(fd.index), clean); !wrong.IsZero() && f.Errors[fd.name].IsZero() {
			f.Errors[fd.name] = wrong
		}
	}
	return f
}

// OK reports whether nothing is wrong with a form.
func (f Form) OK() bool { return len(f.Errors) == 0 }

// Fail notes what is wrong with a field, or with all of it if name is empty. It
// returns the form for Render with status 422.
func (f Form) Fail(name string, m Message) Form {
	f.Errors[name] = m
	return f
}

// Value is what was typed; never a secret.
func (f Form) Value(name string) string {
	if f.fields[name].secret {
		return ""
	}
	return f.values.Get(name)
}

// Has reports whether a value was chosen, of a tick any.
func (f Form) Has(name, value string) bool {
	return slices.Contains(f.values[name], value) || value == "" && f.values.Get(name) != ""
}

// fields reads the tags of a struct. A tag that it cannot read is a bug.
func fields(t reflect.Type) (list []field) {
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("form")
		if !ok {
			continue
		}
		words := strings.Split(tag, ",")
		fd := field{name: words[0], index: i}
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "required":
				fd.required = true
			case "lines":
				fd.lines = true
			case "secret":
				fd.secret = true
			case "min":
				fd.min, fd.bounded = atoi(value), true
			case "max":
				fd.max, fd.bounded = atoi(value), true
			case "one":
				fd.choices = strings.Split(value, "|")
			default:
				panic("page: form tag " + strconv.Quote(tag))
			}
		}
		if fd.max == 0 && t.Field(i).Type.Kind() != reflect.Int {
			if fd.max = usualLine; fd.lines {
				fd.max = usualText
			}
		}
		list = append(list, fd)
	}
	return list
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("page: form tag: " + err.Error())
	}
	return n
}

// Line is the value of a field that is no part of a form's struct, as a hidden one
// and the query of an address: without the space around it, and "" if it has a line
// break or another control character in it.
func Line(r *http.Request, name string) string {
	s, wrong := field{}.clean(r.FormValue(name))
	if !wrong.IsZero() {
		return ""
	}
	return s
}

// clean trims a value and says what is wrong with its characters.
func (fd field) clean(s string) (string, Message) {
	if fd.lines {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	if !fd.secret {
		s = strings.TrimSpace(s)
	}
	bad := func(r rune) bool {
		return (unicode.IsControl(r) || r == '\u2028' || r == '\u2029') && !(fd.lines && (r == '\n' || r == '\t'))
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return "", Say("page.form.characters")
	}
	return s, Message{}
}

// set puts what was given into a struct, and says what is wrong with it.
func (fd field) set(v reflect.Value, given []string) Message {
	one := ""
	if len(given) > 0 {
		one = given[0]
	}
	if fd.required && one == "" {
		return Say("page.form.required")
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(one != "")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(given), len(given)))
		for i, g := range given {
			if wrong := fd.check(g); !wrong.IsZero() {
				return wrong
			}
			v.Index(i).SetString(g)
		}
	case reflect.Int:
		if one == "" {
			return Message{}
		}
		n, err := strconv.Atoi(one)
		if err != nil {
			return Say("page.form.number")
		}
		if fd.bounded && (n < fd.min || n > fd.max) {
			return Say("page.form.between", "min", fd.min, "max", fd.max)
		}
		v.SetInt(int64(n))
	case reflect.String:
		if wrong := fd.check(one); !wrong.IsZero() {
			return wrong
		}
		v.SetString(one)
	default:
		panic("page: a form cannot have a " + v.Kind().String())
	}
	return Message{}
}

// check says what is wrong with one text.
func (fd field) check(s string) Message {
	n := utf8.RuneCountInString(s)
	switch {
	case n > fd.max:
		return Say("page.form.long", "max", fd.max)
	case s != "" && n < fd.min:
		return Say("page.form.short", "min", fd.min)
	case s != "" && fd.choices != nil && !slices.Contains(fd.choices, s):
		return Say("page.form.choice")
	}
	return Message{}
}
