package imapd

import (
	"bufio"
	"bytes"
	"compress/flate"
	"io"
)

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
// of its compressor, which has some 700 KB: the next one begins anew, which is
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
