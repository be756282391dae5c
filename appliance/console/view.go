// Package console shows the box to who stands before it: as text with a QR code on
// a serial line, and as a picture where there is a screen, as the kernel's text
// console draws no Japanese. What is shown is a View; this package finds nothing
// out by itself.
package console

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rsc.io/qr"
)

//go:embed en.json ja.json
var catalogues embed.FS

// Words are the words of one language.
type Words map[string]string

// Load returns the words of a language, "en" or "ja"; another one is English.
func Load(lang string) Words {
	if lang != "ja" {
		lang = "en"
	}
	b, err := catalogues.ReadFile(lang + ".json")
	w := Words{}
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	if err != nil {
		panic(err) // it is a part of the program, which a test reads
	}
	return w
}

// Say returns the words of a key, with pairs of names and values put in.
func (w Words) Say(key string, pairs ...string) string {
	s := w[key]
	if s == "" {
		return key
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, "{"+pairs[i]+"}", pairs[i+1])
	}
	return s
}

// A Light is one of the five things that an owner looks at first.
type Light struct {
	Name  string // "receiving"
	State string // "ok", "bad", "unknown", "off"
}

// A View is what is to be seen.
type View struct {
	Lang    string // "" while nobody has chosen one: then both are shown
	URL     string // of the page, "" without a network
	Code    string // of the claim, "" once the house is somebody's
	Lights  []Light
	Trouble string // "damaged"; "" for none
	Detail  string
	Notice  string // a line about what goes on
	Prompt  string // what the keyboard is asked
	Typed   string
}

// link is where the QR code leads: to the page with the code of the claim filled in.
func (v View) link() string {
	if v.Code != "" {
		return v.URL + "?code=" + v.Code
	}
	return v.URL
}

// langs are the languages that the view is in.
func (v View) langs() []string {
	if v.Lang == "" {
		return []string{"en", "ja"}
	}
	return []string{v.Lang}
}

// A Kind says how a line is drawn.
type Kind int

// The kinds of lines.
const (
	Plain Kind = iota
	Large
	Good
	Warn
	Bad
	Dim
)

// A Line is one line, before it is wrapped.
type Line struct {
	Kind Kind
	Text string
}

// Lines is the view in words, without the QR code.
func (v View) Lines() (list []Line) {
	say := func(k Kind, text string) { list = append(list, Line{k, text}) }
	for _, lang := range v.langs() {
		w := Load(lang)
		if v.Trouble != "" {
			say(Bad, w.Say("console.trouble."+v.Trouble))
		}
		switch {
		case v.URL == "":
			say(Warn, w.Say("console.noaddress"))
		case v.Code != "":
			say(Plain, w.Say("console.open"))
			say(Large, v.URL)
			say(Plain, w.Say("console.code"))
			say(Large, v.Code)
		default:
			say(Plain, w.Say("console.page"))
			say(Large, v.URL)
		}
		for _, l := range v.Lights {
			say(kindOf(l.State), w.Say("console.light."+l.Name)+": "+w.Say("console.state."+l.State))
		}
		say(Plain, "")
	}
	if v.Detail != "" {
		say(Dim, v.Detail)
	}
	if v.Notice != "" {
		say(Plain, v.Notice)
	}
	if v.Prompt != "" {
		say(Plain, v.Prompt)
		say(Large, v.Typed+"_")
		say(Dim, Load(v.Lang).Say("console.menu.back"))
		return list
	}
	for _, lang := range v.langs() {
		say(Dim, Load(lang).Say("console.menu"))
	}
	return list
}

func kindOf(state string) Kind {
	switch state {
	case "ok":
		return Good
	case "bad":
		return Bad
	}
	return Dim
}

// Text is the view for a terminal that knows UTF-8, with the QR code in half
// blocks: dark on light, as cameras want it.
func (v View) Text() string {
	var b strings.Builder
	for _, l := range v.Lines() {
		text := l.Text
		if l.Kind == Large {
			text = "    " + text
		}
		fmt.Fprintf(&b, "%s\r\n", text)
	}
	if v.URL != "" && v.Prompt == "" {
		b.WriteString(Blocks(v.link()))
	}
	return b.String()
}

// quiet is the light margin of a QR code, ISO/IEC 18004 §6.3.8 asks for four.
const quiet = 4

// matrix is a QR code with its margin; true is dark.
func matrix(text string) [][]bool {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil // too long: then there is none
	}
	n := c.Size + 2*quiet
	m := make([][]bool, n)
	for y := range m {
		m[y] = make([]bool, n)
		for x := range m[y] {
			m[y][x] = c.Black(x-quiet, y-quiet)
		}
	}
	return m
}

// Blocks draws a QR code with characters of two modules each, one above the other.
func Blocks(text string) string {
	m := matrix(text)
	var b strings.Builder
	for y := 0; y < len(m); y += 2 {
		b.WriteString("\x1b[30;47m") // black on white, whatever the terminal's colours are
		for x := range m[y] {
			below := y+1 < len(m) && m[y+1][x]
			switch {
			case m[y][x] && below:
				b.WriteString("█")
			case m[y][x]:
				b.WriteString("▀")
			case below:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\x1b[0m\r\n")
	}
	return b.String()
}

// Runes are all that a picture may have to draw: those of the catalogues, and
// ASCII for what is put in.
func Runes() []rune {
	seen := map[rune]bool{}
	for r := ' '; r <= '~'; r++ {
		seen[r] = true
	}
	for _, lang := range []string{"en", "ja"} {
		for _, text := range Load(lang) {
			for _, r := range text {
				seen[r] = true
			}
		}
	}
	list := []rune{}
	for r := range seen {
		list = append(list, r)
	}
	slices.Sort(list)
	return list
}
