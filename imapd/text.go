package imapd

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/transform"

	"homemail/mail/message"
	"homemail/store"
)

// A candidate is a message that SEARCH looks at, with what was read of it.
type candidate struct {
	x       *search
	m       *store.Message
	i       int
	summary *store.Summary
	st      *message.Structure
	header  []byte
	body    *store.Body
}

func (m *candidate) structure() (st *message.Structure, err error) {
	if m.st == nil {
		m.st, err = m.m.Structure()
	}
	return m.st, err
}

func (m *candidate) layout() (layout, error) {
	st, err := m.structure()
	if err != nil {
		return layout{}, err
	}
	if m.body == nil {
		m.body = m.x.s.acct.Body(m.m)
	}
	return layout{&st.Root, int64(len(m.m.Prefix)), m.m.Size}, nil
}

func (m *candidate) top() ([]byte, error) {
	if m.header != nil {
		return m.header, nil
	}
	l, err := m.layout()
	if err == nil {
		m.header, err = readHeader(m.body, l.header(l.root))
	}
	return m.header, err
}

// hasHeader reports whether a field contains a text; the empty text asks only
// for the field. What the envelope has is not read again.
func (m *candidate) hasHeader(key, value string) (bool, error) {
	st, err := m.structure()
	if err != nil {
		return false, err
	}
	f, e := newFinder(value), &st.Envelope
	switch strings.ToLower(key) {
	case "from":
		return hasAddress(f, e.From), nil
	case "to":
		return hasAddress(f, e.To), nil
	case "cc":
		return hasAddress(f, e.Cc), nil
	case "bcc":
		return hasAddress(f, e.Bcc), nil
	case "subject":
		if e.Subject != "" {
			return f.in(decodeWords(e.Subject)), nil
		}
	case "message-id":
		if e.MessageID != "" {
			return f.in(e.MessageID), nil
		}
	}
	header, err := m.top()
	if err != nil {
		return false, err
	}
	found := false
	eachField(header, func(name string, field []byte) {
		if !found && strings.EqualFold(name, key) {
			_, text, _ := bytes.Cut(field, []byte(":"))
			found = f.in(decodeWords(unfold(text)))
		}
	})
	return found, nil
}

func hasAddress(f *finder, list []message.Address) bool {
	for _, a := range list {
		if f.in(decodeWords(a.Name) + " <" + a.Mailbox + "@" + a.Host + ">") {
			return true
		}
	}
	return false
}

func unfold(b []byte) string {
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(b)))
}

// decodeWords decodes encoded words, RFC 2047.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{CharsetReader: charsetReader}
	if text, err := d.DecodeHeader(s); err == nil {
		return text
	}
	return s
}

var errCharset = errors.New("unknown character set")

func charsetReader(charset string, r io.Reader) (io.Reader, error) {
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return nil, errCharset
	}
	return transform.NewReader(r, enc.NewDecoder()), nil
}

// find looks for a text in the text parts of a body and, with header, in the
// header fields as a person reads them.
func (m *candidate) find(f *finder, header bool) (bool, error) {
	l, err := m.layout()
	if err != nil {
		return false, err
	}
	if header {
		top, err := m.top()
		if err != nil {
			return false, err
		}
		found := false
		eachField(top, func(_ string, field []byte) { found = found || f.in(decodeWords(unfold(field))) })
		if found {
			return true, nil
		}
	}
	return m.findPart(f, l, l.root)
}

func (m *candidate) findPart(f *finder, l layout, p *message.Part) (bool, error) {
	for i := range p.Children {
		if p.IsMessage() { // the header of a message within is part of the body
			b, err := readHeader(m.body, l.header(&p.Children[i]))
			if err != nil || f.in(decodeWords(string(b))) {
				return err == nil, err
			}
		}
		if ok, err := m.findPart(f, l, &p.Children[i]); ok || err != nil {
			return ok, err
		}
	}
	if len(p.Children) > 0 || p.Type != "text" && p.Type != "multipart" {
		return false, nil
	}
	where := l.body(p)
	r := decodeTransfer(p, io.NewSectionReader(m.body, where.at, where.size()))
	if cr, err := charsetReader(charsetOf(p), r); err == nil {
		r = cr
	}
	found, err := f.inReader(r, m.x.ctx.Err)
	if errors.Is(err, errEncoding) { // as far as it could be read
		err = nil
	}
	return found, err
}

func charsetOf(p *message.Part) string {
	for _, param := range p.Params {
		if param.Name == "charset" && !strings.EqualFold(param.Value, "us-ascii") {
			return param.Value
		}
	}
	return "utf-8"
}

// A finder looks for a text without regard to case.
type finder struct{ want []byte }

func newFinder(text string) *finder { return &finder{fold([]byte(text))} }

func (f *finder) in(text string) bool { return bytes.Contains(fold([]byte(text)), f.want) }

// inReader looks through a stream, a piece at a time, and asks stop before
// each.
func (f *finder) inReader(r io.Reader, stop func() error) (bool, error) {
	if len(f.want) == 0 {
		return true, nil
	}
	const piece = 32 << 10
	in := make([]byte, 0, piece+utf8.UTFMax)
	var seen []byte
	for {
		if err := stop(); err != nil {
			return false, err
		}
		n, err := r.Read(in[len(in):piece])
		in = in[:len(in)+n]
		whole := len(in)
		if err == nil {
			whole -= cutRune(in)
		}
		seen = append(seen, fold(in[:whole])...)
		if bytes.Contains(seen, f.want) {
			return true, nil
		}
		in = append(in[:0], in[whole:]...)
		if keep := len(f.want) - 1; len(seen) > keep {
			seen = append(seen[:0], seen[len(seen)-keep:]...)
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// cutRune is how many bytes at the end of b are the start of a character.
func cutRune(b []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(b)); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// fold makes upper and lower case the same.
func fold(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}
		return unicode.ToLower(r)
	}, b)
}
