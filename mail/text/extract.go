package text

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"homemail/mail/message"
)

// Limits of what is read of a message. A stranger chooses the message; these
// bound what it costs: 200 ms and 32 MiB.
const (
	// Max is how much text of a message is looked at, in UTF-8: two novels.
	Max       = 2 << 20
	rawMax    = 3 << 20   // bytes of a part that are read: Max in base64, and some
	headerMax = 256 << 10 // bytes of a header that are read, as in package message
	innerMax  = 64 << 10  // of a message within
)

// errEnough ends the reading when Max is reached.
var errEnough = errors.New("enough text")

// A source is a message whose blob starts at some place of a reader.
type source struct {
	r    io.ReaderAt
	at   int64
	left int // of Max
	fn   func([]byte) error
}

// Body gives fn the texts of a message's body: its text parts, whatever their
// charset and encoding, reports and other text within messages, the headers
// of messages within, and the names of files. Each is UTF-8 and valid during
// fn; at most Max bytes in all. Offsets of the structure count from at in r. It
// fails as r fails, or fn.
func Body(st *message.Structure, r io.ReaderAt, at int64, fn func(text []byte) error) error {
	s := &source{r: r, at: at, left: Max, fn: fn}
	err := s.part(&st.Root)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// give passes on a text.
func (s *source) give(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	text = cut(text, s.left)
	s.left -= len(text)
	if err := s.fn(text); err != nil {
		return err
	}
	if s.left == 0 {
		return errEnough
	}
	return nil
}

func (s *source) part(p *message.Part) error {
	if name := p.Filename(); name != "" {
		if err := s.give([]byte(Words(name))); err != nil {
			return err
		}
	}
	if p.IsMessage() {
		inner := &p.Children[0]
		header, err := s.read(inner.HeaderAt, min(inner.BodyAt-inner.HeaderAt, innerMax))
		if err != nil {
			return err
		}
		for name, value := range message.Fields(header) {
			if err := s.give([]byte(name + ": " + Words(string(value)))); err != nil {
				return err
			}
		}
	}
	if len(p.Children) == 0 {
		return s.leaf(p)
	}
	for i := range p.Children {
		if err := s.part(&p.Children[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) leaf(p *message.Part) error {
	if p.Type != "text" && p.Type != "message" && p.Type != "multipart" {
		return nil
	}
	b, err := s.read(p.BodyAt, min(p.Size(), rawMax))
	if err != nil {
		return err
	}
	return s.give(leafText(p, b, min(Max, s.left)))
}

// leafText makes text of a part's bytes, which are used up.
func leafText(p *message.Part, b []byte, limit int) []byte {
	b = transfer(b, p.Encoding)
	charset := p.Param("charset")
	isHTML := p.Type == "text" && p.Subtype == "html"
	if charset == "" && isHTML {
		charset = metaCharset(b)
	}
	if isHTML { // much of it is tags
		return fromHTML(decode(b, charset, Max), limit)
	}
	return decode(b, charset, limit)
}

// metaCharset finds the charset that an HTML document says it has.
func metaCharset(b []byte) string {
	b = bytes.ToLower(b[:min(len(b), 1024)])
	_, b, ok := bytes.Cut(b, []byte("charset="))
	if !ok {
		return ""
	}
	b = bytes.TrimLeft(b, `"' `)
	if end := bytes.IndexAny(b, `"' />;`); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

// read reads bytes of the blob. What a record places behind the message's end
// is not there.
func (s *source) read(off, n int64) ([]byte, error) {
	b := make([]byte, max(n, 0))
	k, err := s.r.ReadAt(b, s.at+off)
	if err == io.EOF {
		err = nil
	}
	return b[:k], err
}

// Header gives fn the fields of a header: names as written, and values as a
// person reads them.
func Header(header []byte, fn func(name, value string) error) error {
	for name, value := range message.Fields(header[:min(len(header), headerMax)]) {
		if err := fn(name, strings.TrimSpace(Words(string(value)))); err != nil {
			return err
		}
	}
	return nil
}

// previewLength is how many characters a preview has, RFC 8970 §3.1.
const previewLength = 200

// previewRaw are the bytes of a part that are read for a preview: few at
// first, and more if they show next to nothing.
var previewRaw = [...]int64{1 << 10, 8 << 10, 64 << 10}

// Preview returns how a message's text begins, RFC 8970: at most 200
// characters of one line, "" if there is no text. It reads r as Body does, and
// what cannot be read is not there.
func Preview(st *message.Structure, r io.ReaderAt, at int64) string {
	p := firstText(&st.Root)
	if p == nil {
		return ""
	}
	s := &source{r: r, at: at}
	best := ""
	for _, most := range previewRaw {
		b, err := s.read(p.BodyAt, min(p.Size(), most))
		if err != nil {
			return best
		}
		best = shorten(leafText(p, b, 16*previewLength))
		if len(best) >= previewLength/2 || p.Size() <= most {
			break
		}
	}
	return best
}

// firstText finds the text that a mail program shows first.
func firstText(p *message.Part) *message.Part {
	if p.Disposition == "attachment" || p.IsMessage() {
		return nil
	}
	if len(p.Children) == 0 {
		if p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html") {
			return p
		}
		return nil
	}
	for i := range p.Children {
		if found := firstText(&p.Children[i]); found != nil {
			return found
		}
	}
	return nil
}

// shorten makes a preview of text: without quoted lines, and with single
// spaces.
func shorten(b []byte) string {
	var out strings.Builder
	n, blank := 0, false
	for line := range bytes.Lines(b) {
		if line[0] == '>' {
			continue
		}
		for _, r := range string(line) {
			switch {
			case r <= ' ' || r == 0x7f || r == 0xa0 || r == 0xfffd || invisible(r):
				blank = blank || r <= ' ' || r == 0xa0
				continue
			case blank && n > 0:
				out.WriteByte(' ')
				n++
			}
			blank = false
			if n >= previewLength {
				return strings.TrimRight(out.String(), " ")
			}
			out.WriteRune(r)
			n++
		}
	}
	return out.String()
}
