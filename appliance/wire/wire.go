// Package wire is how confined processes talk to PID 1: short lines of words over
// a pipe. They have read what strangers sent and may be theirs by now, so what they
// say is bounded before it is looked at. The package knows no word.
package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Max is the longest line, and more than any of them needs.
const Max = 512

// ErrTooLong says that a line was longer.
var ErrTooLong = errors.New("a line is too long")

// Each calls fn with each line until r ends, a line is too long, has a control
// character, or fn returns an error. Bytes beyond ASCII pass as they are.
func Each(r io.Reader, fn func(line string) error) error {
	in := bufio.NewReaderSize(r, Max+1)
	for {
		b, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return ErrTooLong
		case errors.Is(err, io.EOF): // what is left has no end: the writer died in it
			return nil
		case err != nil:
			return err
		}
		b = b[:len(b)-1]
		for _, c := range b {
			if c < ' ' || c == 0x7f {
				return fmt.Errorf("a line has the control character %#x", c)
			}
		}
		if err := fn(string(b)); err != nil {
			return err
		}
	}
}

// longest is how much of a word Line takes: six of three octets each fit on a line,
// of the kinds that there are.
const longest = 120

// Line is words on a line, in which a word may have spaces, or be empty.
func Line(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = url.QueryEscape(strings.ToValidUTF8(w[:min(len(w), longest)], ""))
	}
	return strings.Join(out, " ")
}

// Words reads what Line made.
func Words(line string) []string {
	words := strings.Split(line, " ")
	for i, w := range words {
		if s, err := url.QueryUnescape(w); err == nil {
			words[i] = s
		}
	}
	return words
}
