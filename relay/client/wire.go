package client

import (
	"bytes"
	"errors"
	"io"
)

// chunkSize is how much of a message goes out at once: the unit of the time
// limit (RFC 5321 §4.5.3.2.5) and of BDAT.
const chunkSize = 64 << 10

// errBareNewline says that binary data cannot go out: see chunks.
var errBareNewline = errors.New("a CR or LF stands alone in binary data")

// A dotWriter writes the mail data of DATA, RFC 5321 §4.1.1.4 and §4.5.2.
//
// Whatever it is given, CR and LF leave only as a pair and a line that begins
// with a dot gets another one, so that no server can find an end of the data,
// or a command, that we did not write (RFC 5321 §2.3.8; "SMTP smuggling"). A
// CR or LF alone becomes CR LF, as Postfix and Sendmail have it. All else
// passes as it is: NUL, which cannot end anything anywhere and which a
// signature may cover, and lines over 998 octets, which real mail has and
// which most servers take.
type dotWriter struct {
	w    io.Writer
	buf  []byte // at most chunkSize and a little more
	cr   bool   // a CR has come, and we do not know yet what follows
	text bool   // the line has begun
}

func newDotWriter(w io.Writer) *dotWriter {
	return &dotWriter{w: w, buf: make([]byte, 0, chunkSize+64)}
}

func (d *dotWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if d.cr || p[0] == '\n' {
			p = p[d.newline(p[0]):]
		} else if p[0] == '\r' {
			d.cr, p = true, p[1:]
		} else {
			p = p[d.line(p):]
		}
		if len(d.buf) >= chunkSize {
			if err := d.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

// newline ends a line at a CR that came before or at an LF, c. It returns how
// much of c it took.
func (d *dotWriter) newline(c byte) int {
	d.buf = append(d.buf, '\r', '\n')
	d.cr, d.text = false, false
	if c == '\n' {
		return 1
	}
	return 0
}

// line takes what stands before the next CR or LF, or as much of it as fits:
// at least one octet, since Write leaves no full buffer.
func (d *dotWriter) line(p []byte) int {
	p = p[:min(len(p), chunkSize-len(d.buf))]
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		p = p[:i]
	}
	if i := bytes.IndexByte(p, '\r'); i >= 0 {
		p = p[:i]
	}
	if !d.text && p[0] == '.' {
		d.buf = append(d.buf, '.')
	}
	d.text = true
	d.buf = append(d.buf, p...)
	return len(p)
}

// finish ends the last line and returns what is still to be written: with the
// line that ends the data. Writing it is the moment after which the server may
// have the message.
func (d *dotWriter) finish() []byte {
	if d.cr || d.text {
		d.newline(0)
	}
	return append(d.buf, ".\r\n"...)
}

func (d *dotWriter) flush() error {
	_, err := d.w.Write(d.buf)
	d.buf = d.buf[:0]
	return err
}

// chunks reads r in pieces for BDAT, RFC 3030 §2, and calls send with each; the
// last is said to be so and may be empty. Binary data in which a CR or LF
// stands alone is an error before it is sent: it would be changed into
// something else if we made pairs of them, and what a server behind the next
// one makes of it nobody knows (RFC 3030 §5). No pair is split between chunks.
func chunks(r io.Reader, send func(p []byte, last bool) error) error {
	buf := make([]byte, chunkSize)
	held := 0 // octets from before: a CR at most
	for {
		n, err := io.ReadFull(r, buf[held:])
		last := err == io.EOF || err == io.ErrUnexpectedEOF // ReadFull's own, not wrapped
		if err != nil && !last {
			return err
		}
		p := buf[:held+n]
		held = 0
		if !last && p[len(p)-1] == '\r' {
			p, held = p[:len(p)-1], 1
		}
		if !paired(p) {
			return errBareNewline
		}
		if err := send(p, last); err != nil || last {
			return err
		}
		buf[0] = '\r' // if it was held
	}
}

// paired reports whether CR and LF stand only as pairs in p.
func paired(p []byte) bool {
	cr := false
	for _, c := range p {
		if cr != (c == '\n') {
			return false
		}
		cr = c == '\r'
	}
	return !cr
}

// A readError is a failure to read the message: ours, not the server's.
type readError struct{ err error }

func (e *readError) Error() string { return "the message cannot be read: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }
