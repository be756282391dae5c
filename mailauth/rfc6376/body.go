// Package rfc6376 has the parts of DKIM that ARC and our own signing share:
// canonical forms, the choice of signed fields, tag lists, key records and
// the two signature algorithms. It looks nothing up and judges no message.
//
// A bare LF counts as a line's end, because that is how a message leaves; a
// bare CR is text.
package rfc6376

import "io"

// A Body writes the canonical form of a message body, RFC 6376 §3.4.3 and
// §3.4.4, in constant memory.
type Body struct {
	w       io.Writer
	relaxed bool

	cr    bool   // the last octet was a CR
	wsp   bool   // relaxed: white space before what comes next
	lines uint64 // line endings not yet written: they may be the last
	text  bool   // something was written
	err   error

	n   int
	buf [4096]byte // a hash is fast on large pieces only
}

// NewBody returns a Body that writes to w, in relaxed or in simple form.
func NewBody(w io.Writer, relaxed bool) *Body { return &Body{w: w, relaxed: relaxed} }

// Write takes the next bytes of the body.
func (b *Body) Write(p []byte) (int, error) {
	for i := 0; i < len(p) && b.err == nil; {
		switch c := p[i]; {
		case c == '\n':
			b.cr, b.wsp = false, false
			b.lines++
			i++
		case b.cr:
			b.cr = false
			b.put(oneCR)
		case c == '\r':
			b.cr = true
			i++
		case b.relaxed && (c == ' ' || c == '\t'):
			b.wsp = true
			i++
		default:
			n := b.run(p[i:])
			b.put(p[i : i+n])
			i += n
		}
	}
	return len(p), b.err
}

// Close ends the body. A simple body has a last line even if it is empty.
func (b *Body) Close() error {
	if b.cr {
		b.cr = false
		b.put(oneCR)
	}
	if b.text || !b.relaxed {
		b.append(oneCRLF)
	}
	b.flush()
	return b.err
}

// run returns how many octets from the start of p, one at least, stay as they
// are.
func (b *Body) run(p []byte) int {
	for i := 1; i < len(p); i++ {
		switch c := p[i]; {
		case c > ' ':
		case c == '\r' || c == '\n':
			return i
		case b.relaxed && c == '\t':
			return i
		case b.relaxed && c == ' ' && (i+1 == len(p) || p[i+1] <= ' '):
			return i
		}
	}
	return len(p)
}

var (
	oneCR   = []byte("\r")
	oneSP   = []byte(" ")
	oneCRLF = []byte("\r\n")
)

// put writes text after the line endings and the white space before it.
func (b *Body) put(text []byte) {
	for ; b.lines > 0 && b.err == nil; b.lines-- {
		b.append(oneCRLF)
	}
	if b.wsp {
		b.wsp = false
		b.append(oneSP)
	}
	b.text = true
	b.append(text)
}

func (b *Body) append(p []byte) {
	if len(p) > len(b.buf)-b.n {
		b.flush()
	}
	if len(p) > len(b.buf) {
		if b.err == nil {
			_, b.err = b.w.Write(p)
		}
		return
	}
	b.n += copy(b.buf[b.n:], p)
}

func (b *Body) flush() {
	if b.n > 0 && b.err == nil {
		_, b.err = b.w.Write(b.buf[:b.n])
	}
	b.n = 0
}
