package dkim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"hash"
)

// A canon is a canonicalization, RFC 6376 §3.4.
type canon int

const (
	simple canon = iota
	relaxed
)

// canonOf reads one side of c=.
func canonOf(s string) (canon, bool) {
	switch s {
	case "", "simple":
		return simple, true
	case "relaxed":
		return relaxed, true
	}
	return 0, false
}

var crlf = []byte("\r\n")

// canonicalField appends a field in its canonical form, with CRLF.
func canonicalField(b *bytes.Buffer, c canon, raw []byte) {
	if c == simple { // RFC 6376 §3.4.1
		b.Write(raw)
		if !bytes.HasSuffix(raw, crlf) { // the header was all there is
			b.Write(crlf)
		}
		return
	}
	name, value, _ := bytes.Cut(raw, []byte{':'}) // RFC 6376 §3.4.2
	b.Write(bytes.ToLower(bytes.TrimRight(name, " \t")))
	b.WriteByte(':')
	blank, begun := false, false
	value = bytes.TrimSuffix(value, crlf)
	for i, c := range value {
		switch {
		case c == '\r' && i+1 < len(value) && value[i+1] == '\n', c == '\n' && i > 0 && value[i-1] == '\r':
			// unfolded; what follows is a blank
		case c == ' ' || c == '\t':
			blank = true
		default:
			if blank && begun {
				b.WriteByte(' ')
			}
			blank, begun = false, true
			b.WriteByte(c)
		}
	}
	b.Write(crlf)
}

// A bodyHash hashes a canonical body up to a limit.
type bodyHash struct {
	h     hash.Hash
	limit int64 // l=; -1 without
	total int64 // bytes seen
}

func (h *bodyHash) write(p []byte) {
	take := int64(len(p))
	if h.limit >= 0 {
		take = min(take, max(0, h.limit-h.total))
	}
	h.h.Write(p[:take])
	h.total += int64(len(p))
}

func (h *bodyHash) sum() []byte { return h.h.Sum(nil) }

// A body puts a body into its canonical form and hashes it. It keeps no more
// than a buffer: blank lines are counted, not stored, for a body may be
// nothing else.
type body struct {
	canon  canon
	hashes []*bodyHash
	out    *bufio.Writer
	lines  int  // CRLFs that are held back: they may be the end
	blank  bool // relaxed: white space that is held back
	cr     bool // a CR that may begin a CRLF
	any    bool // something was written
}

func newBody(c canon) *body {
	b := &body{canon: c}
	b.out = bufio.NewWriterSize(tee{b}, 8<<10)
	return b
}

// hash returns the hash with that limit.
func (b *body) hash(limit int64) *bodyHash {
	for _, h := range b.hashes {
		if h.limit == limit {
			return h
		}
	}
	h := &bodyHash{h: sha256.New(), limit: limit}
	b.hashes = append(b.hashes, h)
	return h
}

// A tee hands canonical bytes to all hashes of a body.
type tee struct{ b *body }

func (t tee) Write(p []byte) (int, error) {
	for _, h := range t.b.hashes {
		h.write(p)
	}
	return len(p), nil
}

// Write takes the next bytes. A CR or LF that stands alone is a character like
// others; the door lets none in.
func (b *body) Write(p []byte) {
	for len(p) > 0 && b.out != nil {
		if b.cr {
			b.cr = false
			if p[0] == '\n' {
				b.lines++
				b.blank = false // RFC 6376 §3.4.4: none at the end of a line
				p = p[1:]
				continue
			}
			b.text([]byte{'\r'})
		}
		switch c := p[0]; {
		case c == '\r':
			b.cr = true
			p = p[1:]
		case b.canon == relaxed && (c == ' ' || c == '\t'):
			b.blank = true
			p = p[1:]
		default:
			n := b.run(p)
			b.text(p[:n])
			p = p[n:]
		}
	}
}

// run returns how many bytes from the start of p are plain text; there is one.
func (b *body) run(p []byte) int {
	if b.canon == simple {
		if n := bytes.IndexByte(p, '\r'); n >= 0 {
			return n
		}
		return len(p)
	}
	for i, c := range p {
		if c == '\r' || c == ' ' || c == '\t' {
			return i
		}
	}
	return len(p)
}

// text writes plain text after what was held back before it.
func (b *body) text(p []byte) {
	for ; b.lines > 0; b.lines-- {
		b.out.Write(crlf)
	}
	if b.blank {
		b.out.WriteByte(' ')
		b.blank = false
	}
	b.out.Write(p)
	b.any = true
}

// Close ends the body: with one CRLF, RFC 6376 §3.4.3, or with nothing if it
// is empty and relaxed, §3.4.4. It may be called again.
func (b *body) Close() {
	if b.out == nil {
		return
	}
	if b.cr {
		b.text([]byte{'\r'})
	}
	if b.any || b.canon == simple {
		b.out.Write(crlf)
	}
	b.out.Flush()
	b.out = nil
}
