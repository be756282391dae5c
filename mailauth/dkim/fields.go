package dkim

import (
	"bytes"
	"strings"
)

// A field is a header field with its bytes as they came.
type field struct {
	name string // lower case
	raw  []byte // to the end of its last line
}

// value returns what is after the colon.
func (f field) value() []byte {
	_, value, _ := bytes.Cut(f.raw, []byte{':'})
	return value
}

// splitFields returns the fields of a header up to its blank line. Lines that
// are no field are passed over. long reports that it is over our limits.
func splitFields(header []byte) (fields []field, long bool) {
	if len(header) > maxHeader {
		return nil, true
	}
	for len(header) > 0 {
		n := fieldLength(header)
		raw := header[:n]
		header = header[n:]
		if len(bytes.TrimRight(raw, "\r\n")) == 0 {
			break
		}
		name, _, ok := bytes.Cut(raw, []byte{':'})
		name = bytes.TrimRight(name, " \t") // obs-optional, RFC 5322 §4.5
		if !ok || !isFieldName(name) {
			continue
		}
		if len(fields) == maxFields {
			return fields, true
		}
		fields = append(fields, field{strings.ToLower(string(name)), raw})
	}
	return fields, false
}

// fieldLength returns the length of a line and of those that continue it.
func fieldLength(h []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return len(h)
		}
		first := n == 0 && i <= 1 // the blank line has no continuation
		n += i + 1
		if n == len(h) || first || h[n] != ' ' && h[n] != '\t' {
			return n
		}
	}
}

// isFieldName is the ftext of RFC 5322 §3.6.8.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(name) > 0
}
