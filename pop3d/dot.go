package pop3d

import (
	"bufio"
	"bytes"
	"errors"
)

// A dotWriter writes the lines of a multi-line reply, RFC 1939 §3: a dot at
// the start of a line is doubled, and Close ends with a line of one dot.
//
// Bytes go out as they are stored, but for what would let a message end the
// reply early or never: a bare LF before a dot, where some clients see the end
// of a line and others do not, becomes CRLF, and so does the end of a message
// that has none.
type dotWriter struct {
	w      *bufio.Writer
	inLine bool // something of this line is written
	held   bool // a bare LF is not written yet
	last   byte // before p
}

func (d *dotWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if d.held {
			d.held = false
			if p[0] == '.' {
				d.w.WriteByte('\r')
			}
			d.w.WriteByte('\n')
		}
		if !d.inLine && p[0] == '.' {
			d.w.WriteByte('.')
		}
		d.inLine = true
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			d.last = p[len(p)-1]
			_, err := d.w.Write(p)
			return n, err
		}
		if i > 0 {
			d.last = p[i-1]
		}
		d.held = d.last != '\r'
		if !d.held {
			i++ // CRLF: the LF too
			d.w.Write(p[:i])
			p = p[i:]
		} else {
			d.w.Write(p[:i])
			p = p[i+1:]
		}
		d.last, d.inLine = '\n', false
	}
	_, err := d.w.Write(nil) // a bufio.Writer keeps its first error
	return n, err
}

// Close ends the reply. It does not flush.
func (d *dotWriter) Close() error {
	switch {
	case d.held:
		d.w.WriteString("\r\n")
	case d.inLine && d.last == '\r':
		d.w.WriteByte('\n')
	case d.inLine:
		d.w.WriteString("\r\n")
	}
	_, err := d.w.WriteString(".\r\n")
	return err
}

// errTopDone says that a topWriter has what it wants.
var errTopDone = errors.New("enough lines")

// A topWriter passes the header, the empty line and the first lines of the
// body on, and then returns errTopDone.
type topWriter struct {
	w      *dotWriter
	lines  int  // of the body, still to come
	body   bool // the header is over
	inLine bool // this line has more than a CR so far
}

func (t *topWriter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); {
		if t.body && t.lines == 0 {
			_, err := t.w.Write(p[:at])
			return len(p), errors.Join(err, errTopDone)
		}
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			t.inLine = t.inLine || !onlyCR(p[at:])
			break
		}
		switch {
		case t.body:
			t.lines--
		case !t.inLine && onlyCR(p[at:at+i]):
			t.body = true
		}
		t.inLine = false
		at += i + 1
	}
	return t.w.Write(p)
}

func onlyCR(line []byte) bool { return len(line) == 0 || len(line) == 1 && line[0] == '\r' }
