package rfc6376

import (
	"errors"
	"strings"
)

// What ParseTags can say.
var (
	errTagSyntax = errors.New("malformed tag list")
	errTagTwice  = errors.New("a tag is there twice")
)

const wsp = " \t\r\n"

// ParseTags reads a tag list, RFC 6376 §3.2. Values keep the white space
// inside them.
func ParseTags(list string) (map[string]string, error) {
	tags := make(map[string]string)
	for len(list) > 0 {
		spec, rest, more := strings.Cut(list, ";")
		if !more && strings.Trim(spec, wsp) == "" && len(tags) > 0 {
			return tags, nil // after the last semicolon
		}
		name, value, ok := strings.Cut(spec, "=")
		name = strings.Trim(name, wsp)
		if !ok || !isTagName(name) {
			return nil, errTagSyntax
		}
		if _, twice := tags[name]; twice {
			return nil, errTagTwice
		}
		tags[name] = strings.Trim(value, wsp)
		list = rest
	}
	return tags, nil
}

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// Squeeze takes the white space out of a value, which base64 and lists may
// hold anywhere.
func Squeeze(s string) string {
	if !strings.ContainsAny(s, wsp) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(wsp, r) {
			return -1
		}
		return r
	}, s)
}

// SplitList reads a list with colons, as in h=.
func SplitList(s string) []string {
	list := strings.Split(s, ":")
	for i := range list {
		list[i] = strings.Trim(list[i], wsp)
	}
	return list
}

// Canonical reads c=: which of header and body are relaxed. A body that is not
// named is simple, RFC 6376 §3.5.
func Canonical(c string) (header, body, ok bool) {
	h, b, both := strings.Cut(Squeeze(c), "/")
	if !isForm(h) || both && !isForm(b) {
		return false, false, false
	}
	return h == "relaxed", b == "relaxed", true
}

func isForm(s string) bool { return s == "simple" || s == "relaxed" }

// WithoutSignature returns f with nothing between "b=" and the next semicolon,
// RFC 6376 §3.7.
func (f Field) WithoutSignature() Field {
	name, value, _ := strings.Cut(string(trimEOL(f)), ":")
	specs := strings.Split(value, ";")
	for i, spec := range specs {
		if at := strings.IndexByte(spec, '='); at >= 0 && strings.Trim(spec[:at], wsp) == "b" {
			specs[i] = spec[:at+1]
		}
	}
	return Field(name + ":" + strings.Join(specs, ";") + "\r\n")
}

// A Tag is a name and a value of a field to be composed.
type Tag struct{ Name, Value string }

// fold is where lines end, RFC 5322 §2.1.1.
const fold = 76

// Compose returns a field of these tags and an empty b= at its end. Lists fold
// at their colons, other values not at all.
func Compose(name string, tags []Tag) Field {
	w := folder{line: len(name) + 1}
	w.b.WriteString(name + ":")
	for _, t := range tags {
		for i, part := range strings.SplitAfter(t.Name+"="+t.Value+";", ":") {
			w.word(part, i == 0)
		}
	}
	w.word("b=", true)
	return Field(w.b.String() + "\r\n")
}

// Sign fills in the empty b= of a field from Compose.
func (f Field) Sign(signature string) Field {
	line := string(trimEOL(f))
	w := folder{line: len(line) - strings.LastIndexByte(line, '\n') - 1}
	w.b.WriteString(line)
	for len(signature) > 0 {
		n := min(len(signature), fold-w.line)
		if n <= 0 {
			w.fold()
			continue
		}
		w.b.WriteString(signature[:n])
		w.line += n
		signature = signature[n:]
	}
	return Field(w.b.String() + "\r\n")
}

type folder struct {
	b    strings.Builder
	line int
}

// word writes a word that is not split, after a space if it begins a tag.
func (w *folder) word(s string, begins bool) {
	switch {
	case w.line+1+len(s) > fold:
		w.fold()
	case begins:
		w.b.WriteByte(' ')
		w.line++
	}
	w.b.WriteString(s)
	w.line += len(s)
}

func (w *folder) fold() {
	w.b.WriteString("\r\n\t")
	w.line = 1
}
