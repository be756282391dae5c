package rfc6376

import (
	"errors"
	"io"
)

// MaxHeader is how much of a header is kept, as everywhere in our house.
const MaxHeader = 256 << 10

// What makes a header unfit to be signed.
var (
	ErrHeader = errors.New("header is too long")
	ErrFolded = errors.New("header begins with a continuation line")
)

// CheckTop makes sure that a field can be put above a header: its first line
// must not become part of that field.
func CheckTop(header []byte) error {
	if len(header) > 0 && (header[0] == ' ' || header[0] == '\t') {
		return ErrFolded
	}
	return nil
}

// A Divider splits a message that streams by into its header, which it keeps,
// and its body, which it passes on.
type Divider struct {
	// Body is asked once, when the header is complete, for where the body
	// goes. It may return nil for nowhere.
	Body func(header []byte) io.Writer

	header []byte
	line   int // the length of the line so far, without CR
	cr     bool
	done   bool
	body   io.Writer
	err    error
}

// Write takes the next bytes of the message. Its only error is that of the
// body's writer.
func (d *Divider) Write(p []byte) (int, error) {
	size := len(p)
	if !d.done {
		n, ended := d.scan(p)
		d.keep(p[:n])
		p = p[n:]
		if ended {
			d.begin()
		}
	}
	if len(p) > 0 && d.body != nil {
		if _, err := d.body.Write(p); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// Close ends the message; without a blank line all of it was header.
func (d *Divider) Close() error {
	if !d.done {
		d.begin()
	}
	return d.err
}

// Header returns the header with its blank line, if it had one.
func (d *Divider) Header() []byte { return d.header }

func (d *Divider) begin() {
	d.done = true
	if d.err == nil {
		d.body = d.Body(d.header)
	}
}

// scan returns how much of p belongs to the header, and whether it ends there.
func (d *Divider) scan(p []byte) (n int, ended bool) {
	for i, c := range p {
		switch {
		case c == '\n':
			if d.line == 0 {
				return i + 1, true
			}
			d.line, d.cr = 0, false
		case c == '\r' && !d.cr:
			d.cr = true
		default:
			d.line++ // after a bare CR too
			d.cr = c == '\r'
		}
	}
	return len(p), false
}

func (d *Divider) keep(p []byte) {
	if len(d.header)+len(p) > MaxHeader {
		d.err, d.header = ErrHeader, nil
	}
	if d.err == nil {
		d.header = append(d.header, p...)
	}
}
