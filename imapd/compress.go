package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

// Bounds on what a client may make us unpack.
const (
	inflateRatio = 10
	inflateFree  = 10 << 20 // bytes that the ratio does not count
)

var errBomb = errors.New("compressed too far")

// compress is COMPRESS, RFC 4978.
func (s *session) compress(c *call) error {
	s.l.SP()
	if s.l.Word() != "DEFLATE" {
		s.l.Fail("Unknown compression mechanism")
	}
	if err := s.end(); err != nil {
		return err
	}
	if s.deflated {
		return no("COMPRESSIONACTIVE", "Compression is on already") // RFC 4978 §3
	}
	s.tagged(c.tag, "OK", "", "Compression is on")
	c.answered = true
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.deflated = true
	s.w.Reset(&deflater{s.s, s.g})
	s.l.Reset(bufio.NewReaderSize(newInflater(s.g.in), inBuffer))
	return nil
}

// A deflater compresses what a wire.Writer gathered. Behind each piece it lets go
// of its compressor, which has some hundred KB: the next one begins anew, which is
// still the same stream, as no block refers to what another compressor saw.
type deflater struct {
	s *Server
	w io.Writer
}

func (d *deflater) Write(p []byte) (int, error) {
	var out bytes.Buffer
	z, ok := d.s.deflaters.Get().(*flate.Writer)
	if ok {
		z.Reset(&out)
	} else {
		var err error
		if z, err = flate.NewWriter(&out, flate.BestSpeed); err != nil {
			return 0, err
		}
	}
	defer d.s.deflaters.Put(z)
	if _, err := z.Write(p); err != nil {
		return 0, err
	}
	if err := z.Flush(); err != nil {
		return 0, err
	}
	if _, err := d.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// An inflater unpacks what the client sends, as long as that stays in proportion.
type inflater struct {
	in     *bufio.Reader
	r      io.Reader
	packed int64
	loose  int64
}

func newInflater(in *bufio.Reader) *inflater {
	z := &inflater{in: in}
	// RFC 4978 §4 advises a partial flush, whose end the standard library's
	// reader waits behind.
	z.r = flate.NewReaderOpts(packedReader{z}, flate.WithPartialBlock())
	return z
}

// packedReader counts what flate takes.
type packedReader struct{ z *inflater }

func (p packedReader) Read(b []byte) (int, error) {
	n, err := p.z.in.Read(b)
	p.z.packed += int64(n)
	return n, err
}

func (p packedReader) ReadByte() (byte, error) {
	c, err := p.z.in.ReadByte()
	if err == nil {
		p.z.packed++
	}
	return c, err
}

func (z *inflater) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	z.loose += int64(n)
	if z.loose > inflateRatio*z.packed+inflateFree {
		return 0, errBomb
	}
	return n, err
}

var _ io.ByteReader = packedReader{} // so that flate takes no more than it needs
