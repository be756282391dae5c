package reports

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxPacked = 1 << 20   // bytes of an attachment: large reporters stay below 100 KiB for a home
	maxPlain  = 10 << 20  // bytes of a report, unpacked
	maxRatio  = 100       // of unpacked to packed: XML gives 10 to 30, a bomb 1000
	spare     = 256 << 10 // unpacked bytes that no ratio is asked of
	maxFiles  = 16        // in a zip; reports have one
)

// Errors of what is no report, or none that we read.
var (
	ErrNoReport = errors.New("this is no report")
	ErrTooBig   = errors.New("the report is too big")
)

// Parse reads a report as it was attached: a *DMARC or a *TLS, packed by gzip
// or zip or not at all. What it is its bytes say: reporters name their types in
// many ways. It takes no more memory than some times maxPacked, whatever it is
// given.
func Parse(packed []byte) (any, error) {
	r, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	b := bufio.NewReader(r)
	for n := 0; n < 64; n++ { // a byte order mark and blanks
		c, err := b.ReadByte()
		switch {
		case err == io.EOF:
			return nil, fmt.Errorf("%w: it is empty", ErrNoReport)
		case err != nil:
			return nil, noReport(err)
		case c == '<', c == '{':
			b.UnreadByte()
			if c == '<' {
				return parseDMARC(b)
			}
			return parseTLS(b)
		case !strings.ContainsRune(" \t\r\n\xef\xbb\xbf", rune(c)) && c < 0x80, c >= 0x80 && n > 2:
			return nil, fmt.Errorf("%w: neither XML nor JSON", ErrNoReport)
		}
	}
	return nil, fmt.Errorf("%w: neither XML nor JSON", ErrNoReport)
}

// noReport says of an error that it is the stranger's.
func noReport(err error) error {
	if errors.Is(err, ErrTooBig) || errors.Is(err, ErrNoReport) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoReport, err)
}

// unpack reads what is in an archive, to its bound.
func unpack(packed []byte) (io.Reader, error) {
	if len(packed) > maxPacked {
		return nil, fmt.Errorf("%w: %d bytes are attached", ErrTooBig, len(packed))
	}
	var r io.Reader = bytes.NewReader(packed)
	switch {
	case bytes.HasPrefix(packed, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, noReport(err)
		}
		r = z
	case bytes.HasPrefix(packed, []byte("PK\x03\x04")):
		f, err := openZip(packed)
		if err != nil {
			return nil, err
		}
		r = f
	}
	return &bounded{r: r, left: min(maxPlain, len(packed)*maxRatio+spare)}, nil
}

// openZip opens the first file of an archive that is not empty. The directory
// is counted before it is read: each entry takes a hundred times its bytes.
func openZip(packed []byte) (io.Reader, error) {
	if n := bytes.Count(packed, []byte("PK\x01\x02")); n > maxFiles {
		return nil, fmt.Errorf("%w: an archive of %d files", ErrTooBig, n)
	}
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, noReport(err)
	}
	for _, f := range z.File {
		if f.UncompressedSize64 == 0 || f.FileInfo().IsDir() || strings.HasPrefix(f.Name, "__MACOSX/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, noReport(err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("%w: an empty archive", ErrNoReport)
}

// bounded reads to a bound, and fails where there is more.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.r.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("%w, unpacked", ErrTooBig)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
