package page

import (
	"bytes"
	"fmt"
	"html/template"
	"reflect"
	"strings"
	"time"

	"rsc.io/qr"
)

// A State is what a check, a step or a message has come to. It is always shown
// by a mark, a word and a colour.
type State string

// The states; their values are those of package check.
const (
	Good    State = "good"
	Waiting State = "waiting"
	Unknown State = "could not test"
	Bad     State = "bad"
	Off     State = "off" // switched off, or left out
)

// Class is the state's name in the style sheet, and in the catalogues.
func (s State) Class() string {
	switch s {
	case Good, Waiting, Bad, Off:
		return string(s)
	}
	return "unknown"
}

// An Option is a choice in a form. Label and Help are keys, Messages or texts.
type Option struct {
	Value       string
	Label, Help any
}

// A control is a field of a form as it is shown.
type control struct {
	ID, Name, Kind     string
	Label, Help, Error any
	Value              string
	Checked            bool
	Required, Optional bool
	Min, Max           int
	Attrs              map[string]string // of autocomplete and its like
	Options            []choice
	Rows               string
}

type choice struct {
	Option
	ID     string
	Chosen bool
}

// library are the functions of templates in one language.
type library struct {
	s    *Set
	lang Lang
	t    *template.Template
}

// funcs are what templates can call.
func (s *Set) funcs(lang Lang, t *template.Template) template.FuncMap {
	l, w := library{s, lang, t}, s.words
	return template.FuncMap{
		// words and values
		"t":      l.words,
		"lang":   func() Lang { return lang },
		"date":   func(at time.Time) template.HTML { return stamp(at, w.Date(lang, at), "") },
		"day":    func(at time.Time) template.HTML { return stamp(at, w.Day(lang, at), "") },
		"clock":  func(at time.Time) template.HTML { return stamp(at, w.Clock(lang, at), "") },
		"ago":    func(at time.Time) template.HTML { return stamp(at, w.Ago(lang, at), w.Date(lang, at)) },
		"span":   func(d time.Duration) string { return w.Span(lang, d) },
		"number": func(v any) string { return w.Value(lang, v) },
		"bytes":  func(v any) string { return Bytes(whole(v)) },
		"strong": func(v any) template.HTML { return wrap("strong", w.Value(lang, v)) },
		"code":   func(v any) template.HTML { return wrap("code", w.Value(lang, v)) },
		"link":   l.link,
		// components
		"icon":     icon,
		"badge":    l.badge,
		"light":    func(s State) (template.HTML, error) { return l.make("page.light", s) },
		"copyable": l.copyable,
		"progress": l.progress,
		"qr":       l.qr,
		"notice":   func(n Notice) (template.HTML, error) { return l.make("page.notice", n) },
		// forms
		"input":    l.input,
		"area":     l.area,
		"tick":     l.tick,
		"radio":    l.radio,
		"selected": l.selected,
		"option":   func(value string, label any) Option { return Option{value, label, nil} },
		"options":  func(o ...Option) []Option { return o },
		"csrf": func() template.HTML {
			return template.HTML(`<input type="hidden" name="` + tokenField + `" value="` + s.mark + `">`)
		},
		"token":    func() string { return s.mark },
		"language": func() string { return langPath },
		"asset":    l.asset,
	}
}

func (l library) make(name string, view any) (template.HTML, error) {
	var b bytes.Buffer
	err := l.t.ExecuteTemplate(&b, name, view)
	return template.HTML(strings.TrimSpace(b.String())), err
}

// words says a key, a Message, or a text that other packages bring along.
func (l library) words(what any, args ...any) any {
	switch what := what.(type) {
	case nil:
		return ""
	case template.HTML:
		return what
	case string:
		return l.s.words.html(l.lang, what, args)
	case Message:
		return l.s.words.html(l.lang, what.Key, what.Args)
	}
	return l.s.words.Value(l.lang, what)
}

func wrap(tag, text string) template.HTML {
	return template.HTML("<" + tag + ">" + template.HTMLEscapeString(text) + "</" + tag + ">")
}

// link is for the place of a message: {{t "x.done" "page" (link "/x" "x.title")}}.
func (l library) link(href string, label any) (template.HTML, error) {
	return l.make("page.link", Option{Value: href, Label: label})
}

// badge shows a state, with its usual word or another.
func (l library) badge(state any, label ...any) (template.HTML, error) {
	s := State(fmt.Sprint(state))
	o := Option{Value: s.Class(), Label: "page.state." + s.Class()}
	if len(label) > 0 {
		o.Label = l.words(label[0], label[1:]...)
	}
	return l.make("page.badge", o)
}

// copyable shows a value that one click or long press selects as a whole.
func (l library) copyable(label any, value string) (template.HTML, error) {
	return l.make("page.copyable", Option{Value: value, Label: label})
}

// progress shows how much of something is done, in words, too.
func (l library) progress(done, total any, label any, args ...any) (template.HTML, error) {
	return l.make("page.progress", struct {
		Done, Total int64
		Label       any
	}{whole(done), max(whole(total), 1), l.words(label, args...)})
}

// qr draws a code, with its quiet zone, as one path.
func (l library) qr(text string, label any) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", err
	}
	const quiet = 4 // modules, ISO/IEC 18004 §6.3.8
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	return l.make("page.qr", struct {
		Size  int
		Path  string
		Label any
	}{code.Size + 2*quiet, path.String(), label})
}

func (l library) asset(name string) (string, error) {
	href, ok := l.s.assets.hrefs[name]
	if !ok {
		return "", fmt.Errorf("there is no file %q", name)
	}
	return href, nil
}

// control gathers what all fields have. The help of a label with the key K is
// K.help, if there is one; attributes are pairs of names and values.
func (l library) control(f Form, kind, name string, label any, attrs []string) control {
	fd, known := f.fields[name]
	c := control{ID: "f-" + name, Name: name, Kind: kind, Label: label, Value: f.Value(name), Attrs: map[string]string{}}
	if known {
		c.Required, c.Optional = fd.required, !fd.required
		c.Min, c.Max = fd.min, fd.max
	}
	if key, ok := label.(string); ok && l.s.words.Has(key+".help") {
		c.Help = key + ".help"
	}
	if m, ok := f.Errors[name]; ok {
		c.Error = m
	}
	for i := 0; i+1 < len(attrs); i += 2 {
		switch name, value := attrs[i], attrs[i+1]; name {
		case "type":
			c.Kind = value
		case "id":
			c.ID = value
		case "rows":
			c.Rows = value
		default:
			c.Attrs[name] = value
		}
	}
	return c
}

// input is a field of one line: {{input .Form "host" "x.host" "type" "url"}}.
func (l library) input(f Form, name string, label any, attrs ...string) (template.HTML, error) {
	kind := "text"
	if f.fields[name].secret {
		kind = "password"
	}
	return l.make("page.input", l.control(f, kind, name, label, attrs))
}

// area is a field of several lines.
func (l library) area(f Form, name string, label any, attrs ...string) (template.HTML, error) {
	c := l.control(f, "", name, label, attrs)
	if c.Rows == "" {
		c.Rows = "5"
	}
	return l.make("page.area", c)
}

// tick is yes or no.
func (l library) tick(f Form, name string, label any, attrs ...string) (template.HTML, error) {
	c := l.control(f, "", name, label, attrs)
	c.Checked = f.Has(name, "")
	return l.make("page.tick", c)
}

// radio shows a few choices with a sentence about each.
func (l library) radio(f Form, name string, label any, options []Option) (template.HTML, error) {
	return l.make("page.radio", l.chosen(f, name, label, options))
}

// selected shows many short choices.
func (l library) selected(f Form, name string, label any, options []Option) (template.HTML, error) {
	return l.make("page.select", l.chosen(f, name, label, options))
}

func (l library) chosen(f Form, name string, label any, options []Option) control {
	c := l.control(f, "", name, label, nil)
	for i, o := range options {
		if key, ok := o.Label.(string); ok && o.Help == nil && l.s.words.Has(key+".help") {
			o.Help = key + ".help"
		}
		c.Options = append(c.Options, choice{o, fmt.Sprintf("%s-%d", c.ID, i), f.Has(name, o.Value) && (o.Value != "" || f.Value(name) == "")})
	}
	return c
}

func whole(v any) int64 {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return r.Int()
	case r.CanUint():
		return int64(r.Uint())
	case r.CanFloat():
		return int64(r.Float())
	}
	return 0
}
