package imapd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"

	"homemail/mail/message"
)

// errEncoding says that a part is not what its Content-Transfer-Encoding says.
var errEncoding = errors.New("content transfer encoding")

func held(b []byte) source {
	return source{size: int64(len(b)), open: func() io.Reader { return bytes.NewReader(b) }, mem: b}
}

// binarySection finds BINARY[...], RFC 3516: a part without its transfer
// encoding. It is decoded once for its size, and again when it is sent.
func binarySection(body io.ReaderAt, l layout, path []int) (source, error) {
	p := l.part(path)
	if p == nil {
		return held(nil), nil
	}
	where := l.body(p)
	if len(path) == 0 {
		where = region{0, l.size}
	}
	raw := func() io.Reader { return io.NewSectionReader(body, where.at, where.size()) }
	if len(path) == 0 || p.IsMultipart() || p.IsMessage() {
		return source{size: where.size(), open: raw}, nil
	}
	decoded := func() io.Reader { return decodeTransfer(p, raw()) }
	n, err := io.Copy(io.Discard, decoded())
	return source{size: n, open: decoded}, err
}

// decodeTransfer undoes a part's Content-Transfer-Encoding, RFC 2045 §6.
func decodeTransfer(p *message.Part, r io.Reader) io.Reader {
	switch p.Encoding {
	case "", "7bit", "8bit", "binary":
		return r
	case "base64":
		return codingErrors{base64.NewDecoder(base64.StdEncoding, &base64Only{r: r})}
	case "quoted-printable":
		return codingErrors{quotedprintable.NewReader(r)}
	}
	return codingErrors{failing{fmt.Errorf("%w: %q is not known", errEncoding, p.Encoding)}}
}

// codingErrors marks the errors of decoders, and lets those of the store pass.
type codingErrors struct{ r io.Reader }

func (c codingErrors) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	var corrupt base64.CorruptInputError
	switch {
	case err == nil || err == io.EOF || errors.Is(err, errEncoding):
	case errors.As(err, &corrupt), errors.Is(err, io.ErrUnexpectedEOF), isQuotedPrintable(err):
		err = fmt.Errorf("%w: %w", errEncoding, err)
	}
	return n, err
}

// isQuotedPrintable recognises errors of a package that has no names for them.
func isQuotedPrintable(err error) bool {
	return bytes.HasPrefix([]byte(err.Error()), []byte("quotedprintable:"))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// base64Only leaves out what is not of the alphabet, RFC 2045 §6.8, and ends
// at the padding.
type base64Only struct {
	r     io.Reader
	n     int // characters so far
	ended bool
}

func (b *base64Only) Read(p []byte) (int, error) {
	for {
		if b.ended {
			return b.pad(p)
		}
		n, err := b.r.Read(p)
		keep := 0
		for _, c := range p[:n] {
			if c == '=' {
				b.ended = true
				break
			}
			if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/' {
				p[keep] = c
				keep++
			}
		}
		b.n += keep
		if err == io.EOF {
			b.ended, err = true, nil
		}
		if keep > 0 || err != nil {
			return keep, err
		}
	}
}

// pad completes the last group, which not every encoder does.
func (b *base64Only) pad(p []byte) (int, error) {
	n := 0
	for b.n%4 > 1 && n < len(p) {
		p[n] = '='
		n++
		b.n++
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
