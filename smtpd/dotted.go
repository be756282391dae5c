package smtpd

import (
	"bytes"
	"io"
)

// A dotted reads the message of DATA, RFC 5321 §4.5.2, from the wire. It stands
// in for go-smtp's reader, which takes one byte at a time and needs more time
// for a message than everything else together; go-smtp gets the dot that ends
// the message, and with it an empty one.
type dotted struct {
	c    *conn
	at   place
	over bool
}

// Read returns io.EOF after the dot, and io.ErrUnexpectedEOF if there is none.
func (d *dotted) Read(p []byte) (n int, err error) {
	for n == 0 && !d.over {
		raw := d.c.receive(p)
		if raw == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		n = d.undot(p[:raw])
		if d.over = !d.c.flow.open(); d.over {
			d.c.line = []byte(".\r\n")
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// undot takes away the first dot of each line, and the line that is only a dot.
// The scanner has seen p: a dot and a CR at the start of a line are the end.
func (d *dotted) undot(p []byte) (n int) {
	for i := 0; i < len(p); {
		switch d.at {
		case lineStart:
			d.at = inLine
			if p[i] == '.' {
				d.at = lineDot
				i++
			}
		case lineDot:
			d.at = inLine
			if p[i] == '\r' {
				d.at = lineDotCR
			}
		case lineDotCR:
			return n
		default:
			line := p[i:]
			if end := bytes.IndexByte(line, '\n'); end >= 0 {
				line, d.at = line[:end+1], lineStart
			}
			n += copy(p[n:], line)
			i += len(line)
		}
	}
	return n
}
