package message

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// A Parser reads a message that is written to it in pieces of any size. What
// it finds does not depend on how the message was cut. Its time is linear in
// the size of the message and its memory is bounded.
type Parser struct {
	s    Structure
	done bool

	at   int64 // where the current line starts
	held int64 // bytes of the current line that were seen in earlier writes
	line []byte
	last byte  // the byte before those being written
	eol  int   // length of the line ending before the current line
	rows int64 // line endings before the current line

	stack    []entity // from the root to the part being read
	bounds   int      // entities of the stack whose boundary is awaited
	parts    int      // entities opened so far
	inHeader bool
	header   []byte // of the last entity, until its blank line
	lineAt   int    // where the current line starts in header
	rowsTop  int    // lines of the top header
	nulTop   bool   // the top header has a NUL

	addresses         int    // kept so far
	text              int    // bytes of strings kept so far
	scratch, unfolded []byte // a value while it is read, and while it is kept
}

// An entity is a part that has not ended.
type entity struct {
	Part
	boundary string // awaited; "" if none is
	rows     int64  // line endings before the body
	message  bool   // its header is a message's: the root or within message/rfc822
	mute     bool   // a leaf whose header is not to be read
}

// NewParser returns a Parser for one message.
func NewParser() *Parser {
	p := &Parser{header: make([]byte, 0, 2<<10), stack: make([]entity, 0, 4)}
	p.open(0, true)
	return p
}

// Write takes the next bytes of the message. It never fails.
func (p *Parser) Write(b []byte) (int, error) {
	n := len(b)
	if p.done {
		return n, nil
	}
	p.s.EightBit = p.s.EightBit || hasEightBit(b)
	for len(b) > 0 {
		if !p.inHeader && p.bounds == 0 { // nothing can follow this body
			p.at += int64(len(b))
			p.rows += int64(bytes.Count(b, []byte{'\n'}))
			break
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			p.hold(b)
			break
		}
		p.endLine(b[:i+1])
		b = b[i+1:]
	}
	return n, nil
}

// Structure ends the message and returns what was found.
func (p *Parser) Structure() *Structure {
	if p.done {
		return &p.s
	}
	if p.held > 0 { // the last line has no ending
		p.takeLine(p.line, p.held, 0)
		p.at += p.held
	}
	p.endHeaders(p.at)
	for len(p.stack) > 1 {
		p.close(p.at, p.rows)
	}
	root := &p.stack[0]
	root.End, root.Lines = p.at, p.rows-root.rows
	p.s.Root = root.Part
	p.done, p.stack, p.header, p.line, p.scratch, p.unfolded = true, nil, nil, nil, nil, nil
	return &p.s
}

// hold keeps what is needed of a line whose end has not come.
func (p *Parser) hold(b []byte) {
	if p.inHeader {
		p.keepHeader(b)
	}
	p.line = append(p.line, b[:min(len(b), maxLine-len(p.line))]...)
	p.held += int64(len(b))
	p.last = b[len(b)-1]
}

// endLine takes the rest of a line, with its line feed.
func (p *Parser) endLine(b []byte) {
	if p.inHeader {
		p.keepHeader(b)
	}
	size := p.held + int64(len(b))
	eol := 1
	if len(b) > 1 && b[len(b)-2] == '\r' || len(b) == 1 && p.held > 0 && p.last == '\r' {
		eol = 2
	}
	line := b
	if p.held > 0 {
		p.line = append(p.line, b[:min(len(b), maxLine-len(p.line))]...)
		line = p.line
	}
	if p.inHeader || len(line) > 2 && line[0] == '-' && line[1] == '-' {
		p.takeLine(line, size, eol)
	}
	p.at += size
	p.rows++
	p.eol = eol
	p.held, p.line, p.lineAt = 0, p.line[:0], len(p.header)
}

// takeLine looks at a line of size bytes, of which line is the start and eol
// the length of its ending.
func (p *Parser) takeLine(line []byte, size int64, eol int) {
	whole := size <= maxLine
	if whole {
		line = line[:int(size)-eol]
	} else {
		line = line[:maxLine]
	}
	if whole && p.takeBoundary(line, size) {
		return
	}
	if !p.inHeader {
		return
	}
	e := &p.stack[len(p.stack)-1]
	top := len(p.stack) == 1
	switch {
	case whole && len(line) == 0:
		p.endHeader(p.at+size, p.rows+1)
	case p.at == e.HeaderAt && !startsHeader(line):
		p.header, p.nulTop = p.header[:0], p.nulTop && !top
		p.endHeaders(p.at)
	case top:
		p.rowsTop++
	}
}

// startsHeader reports whether an entity whose first line is this one has a
// header: a blank line is looked for before. An mbox "From " may come first.
func startsHeader(line []byte) bool {
	if bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From ")) {
		return true
	}
	_, _, ok := cutField(line)
	return ok
}

// takeBoundary acts on a line without its ending if it is a boundary that is
// awaited, RFC 2046 §5.1.1.
func (p *Parser) takeBoundary(line []byte, size int64) bool {
	if p.bounds == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return false
	}
	line = bytes.TrimRight(line[2:], " \t\r") // transport padding
	for i := len(p.stack) - 1; i >= 0; i-- {
		bound := p.stack[i].boundary
		if bound == "" || len(line) < len(bound) || string(line[:len(bound)]) != bound {
			continue
		}
		switch string(line[len(bound):]) {
		case "":
			p.closeTo(i)
			p.openChild(p.at + size)
			return true
		case "--":
			p.closeTo(i)
			p.forget(&p.stack[i])
			return true
		}
	}
	return false
}

// closeTo ends every entity above the i-th before the current line, whose
// preceding line ending belongs to the boundary.
func (p *Parser) closeTo(i int) {
	if p.inHeader { // and there was no blank line
		p.header = p.header[:p.lineAt]
		p.endHeaders(p.at)
	}
	for len(p.stack) > i+1 {
		p.close(p.at-int64(p.eol), p.rows-1)
	}
}

// openChild opens a part of the multipart on top of the stack. When there are
// too many, all the rest of the multipart is one opaque leaf; each multipart
// that is open now may need one.
func (p *Parser) openChild(at int64) {
	if p.parts < maxParts-maxDepth {
		p.open(at, false)
		return
	}
	p.forget(&p.stack[len(p.stack)-1])
	p.open(at, false)
	e := &p.stack[len(p.stack)-1]
	e.Type, e.Subtype, e.Encoding = "application", "octet-stream", "binary"
	e.mute = true
	p.endHeader(at, p.rows+1)
}

func (p *Parser) open(at int64, message bool) {
	p.parts++
	p.stack = append(p.stack, entity{Part: Part{HeaderAt: at}, message: message})
	p.inHeader, p.header, p.lineAt = true, p.header[:0], 0
}

// close ends the top of the stack and gives it to the entity below.
func (p *Parser) close(end, rows int64) {
	e := &p.stack[len(p.stack)-1]
	p.forget(e)
	e.End, e.Lines = end, max(rows-e.rows, 0)
	if n := len(e.Children); n > 0 && e.Children[n-1].End > end {
		e.End, e.Lines = e.Children[n-1].End, p.rows-e.rows
	}
	if e.End < e.BodyAt {
		e.End, e.Lines = e.BodyAt, 0
	}
	below := &p.stack[len(p.stack)-2]
	below.Children = append(below.Children, e.Part)
	p.stack = p.stack[:len(p.stack)-1]
}

// forget waits no longer for the boundary of e.
func (p *Parser) forget(e *entity) {
	if e.boundary != "" {
		e.boundary = ""
		p.bounds--
	}
}

// endHeaders ends the header being read, if any, and those of the messages
// that it turns out to enclose.
func (p *Parser) endHeaders(bodyAt int64) {
	for p.inHeader {
		p.endHeader(bodyAt, p.rows)
	}
}

// endHeader ends the header of the top of the stack. rows are the line endings
// before its body.
func (p *Parser) endHeader(bodyAt, rows int64) {
	e := &p.stack[len(p.stack)-1]
	p.inHeader = false
	e.BodyAt, e.rows = bodyAt, rows
	if e.mute {
		return
	}
	if len(p.stack) == 1 {
		p.judgeHeader(bodyAt)
	}
	p.readHeader(e)
	room := len(p.stack) < maxDepth && p.parts < maxParts-maxDepth
	switch {
	case !room:
	case e.Type == "multipart":
		if b := strings.TrimRight(param(e.Params, "boundary"), " \t"); b != "" && len(b) <= maxBoundary {
			e.boundary = b
			p.bounds++
		}
	case holdsMessage(&e.Part):
		p.open(bodyAt, true) // e may have moved
	}
}

// holdsMessage reports whether the body is a message that can be read in place:
// RFC 2046 §5.2.1 allows no other encoding; RFC 6532 §3.7.
func holdsMessage(p *Part) bool {
	if p.Type != "message" || p.Subtype != "rfc822" && p.Subtype != "global" {
		return false
	}
	return p.Encoding == "7bit" || p.Encoding == "8bit" || p.Encoding == "binary"
}

// keepHeader keeps bytes of the header being read, up to maxHeader.
func (p *Parser) keepHeader(b []byte) {
	if len(p.stack) == 1 && !p.nulTop {
		p.nulTop = bytes.IndexByte(b, 0) >= 0
	}
	p.header = append(p.header, b[:min(len(b), maxHeader-len(p.header))]...)
}

func (p *Parser) judgeHeader(bodyAt int64) {
	switch {
	case p.rowsTop > maxHeaderLines:
		p.s.HeaderBad = headerLines
	case bodyAt > maxHeader:
		p.s.HeaderBad = headerLong
	case p.nulTop:
		p.s.HeaderBad = headerNUL
	}
}

// What HeaderBad can say.
const (
	headerLines = "The header has more than 1,000 lines."
	headerLong  = "The header is larger than 256 KiB."
	headerNUL   = "The header has a NUL character."
)

// hasEightBit looks at eight bytes at a time.
func hasEightBit(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 32 {
		w := binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) |
			binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
		if w&high != 0 {
			return true
		}
		b = b[32:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
