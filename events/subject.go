package events

import (
	"fmt"
	"io"
	"mime"

	"golang.org/x/text/encoding/htmlindex"
)

// rawSubject is how much of a Subject field is looked at.
const rawSubject = 1000

// plainSubject decodes a Subject, RFC 2047; what cannot be decoded stays as it
// is.
func plainSubject(s string) string {
	s = s[:min(len(s), rawSubject)]
	words := mime.WordDecoder{CharsetReader: decodeCharset}
	decoded, err := words.DecodeHeader(s)
	if err != nil {
		return s
	}
	return decoded
}

func decodeCharset(charset string, in io.Reader) (io.Reader, error) {
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fmt.Errorf("charset %q: %w", charset, err)
	}
	return e.NewDecoder().Reader(in), nil
}
