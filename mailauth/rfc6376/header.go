package rfc6376

import (
	"bytes"
	"strings"
)

// A Field is a header field as it stands in a message, with its line endings.
type Field []byte

// Fields splits a header, with or without its blank line, into its fields. A
// line that is no field is kept as one without a name.
func Fields(header []byte) []Field {
	var fields []Field
	for len(header) > 0 && !isBlank(header) {
		n := fieldLength(header)
		fields = append(fields, Field(header[:n]))
		header = header[n:]
	}
	return fields
}

func isBlank(line []byte) bool {
	return line[0] == '\n' || line[0] == '\r' && len(line) > 1 && line[1] == '\n'
}

func fieldLength(h []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return len(h)
		}
		n += i + 1
		if n == len(h) || h[n] != ' ' && h[n] != '\t' {
			return n
		}
	}
}

// Name returns the name of a field in lower case, "" if it is no field.
func (f Field) Name() string { return strings.ToLower(string(f.name())) }

// Is reports whether a field has a name, which is given in lower case.
func (f Field) Is(name string) bool {
	n := f.name()
	return len(n) == len(name) && bytes.EqualFold(n, []byte(name))
}

// Named reports whether f is a field at all.
func (f Field) Named() bool { return len(f.name()) > 0 }

// name is the name as it stands there, empty if there is none.
func (f Field) name() []byte {
	name, _, ok := bytes.Cut(f, []byte{':'})
	name = bytes.TrimRight(name, " \t")
	if !ok {
		return nil
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return nil
		}
	}
	return name
}

// Value returns what follows the colon, folded as it is, without the last
// line ending.
func (f Field) Value() string {
	_, value, _ := bytes.Cut(f, []byte{':'})
	return string(trimEOL(value))
}

func trimEOL(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// AppendCanonical appends the canonical form of f to dst, RFC 6376 §3.4.1 and
// §3.4.2, with a CRLF at its end.
func (f Field) AppendCanonical(dst []byte, relaxed bool) []byte {
	if !relaxed {
		return append(append(dst, trimEOL(f)...), '\r', '\n')
	}
	name, value, _ := bytes.Cut(f, []byte{':'})
	dst = append(dst, bytes.ToLower(bytes.Trim(name, " \t\r\n"))...)
	dst = append(dst, ':')
	start, wsp := len(dst), false
	for i, c := range value {
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' && i+1 < len(value) && value[i+1] == '\n':
			wsp = true
		default:
			if wsp && len(dst) > start {
				dst = append(dst, ' ')
			}
			wsp = false
			dst = append(dst, c)
		}
	}
	return append(dst, '\r', '\n')
}

// Select returns the fields that the names of h= stand for, RFC 6376 §5.4.2:
// of several with one name the last first. A name that is left over stands for
// nothing: it seals the message against such a field.
func Select(fields []Field, names []string) []Field {
	at := make(map[string][]Field, len(names))
	for _, n := range names {
		at[strings.ToLower(n)] = nil
	}
	for _, f := range fields {
		name := f.Name()
		if list, asked := at[name]; asked {
			at[name] = append(list, f)
		}
	}
	var chosen []Field
	for _, n := range names {
		n = strings.ToLower(n)
		if list := at[n]; len(list) > 0 {
			chosen = append(chosen, list[len(list)-1])
			at[n] = list[:len(list)-1]
		}
	}
	return chosen
}
