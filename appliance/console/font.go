package console

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"io"
)

// The glyphs are pictures of the characters that the catalogues have, made from
// Noto Sans CJK by `go run ./appliance/console/glyphs`; GLYPHS.md has the licence.
// A whole font would be as large as the rest of the program.
//
//go:embed glyphs.bin
var glyphData []byte

// A Glyph is the picture of one character.
type Glyph struct {
	Rune    rune
	Advance int
	X, Y    int // of the upper left corner, from the pen on the base line
	W, H    int
	Alpha   []byte // W*H values of 0 to 15
}

// A Font is the glyphs of one size.
type Font struct {
	Height   int // of a line
	Baseline int // from its top
	Glyphs   map[rune]Glyph
}

const (
	magic     = "hmglyph1"
	maxGlyphs = 5000
	maxData   = 8 << 20
)

var errGlyphs = errors.New("the glyphs are damaged")

// Pack writes fonts as Unpack reads them.
func Pack(w io.Writer, fonts []Font, order []rune) error {
	z := gzip.NewWriter(w)
	b := []byte(magic)
	b = append(b, byte(len(fonts)))
	for _, f := range fonts {
		b = append(b, byte(f.Height), byte(f.Baseline))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(f.Glyphs)))
		for _, r := range order {
			g, ok := f.Glyphs[r]
			if !ok {
				continue
			}
			b = binary.LittleEndian.AppendUint32(b, uint32(r))
			b = append(b, byte(g.Advance), byte(int8(g.X)), byte(int8(g.Y)), byte(g.W), byte(g.H))
			b = append(b, g.Alpha...)
		}
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	return z.Close()
}

// Unpack reads fonts.
func Unpack(r io.Reader) (fonts []Font, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(z, maxData))
	if err != nil {
		return nil, err
	}
	in := bytes.NewReader(b)
	head := make([]byte, len(magic)+1)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:len(magic)]) != magic {
		return nil, errGlyphs
	}
	for range head[len(magic)] {
		f, err := unpackFont(in)
		if err != nil {
			return nil, err
		}
		fonts = append(fonts, f)
	}
	return fonts, nil
}

func unpackFont(in io.Reader) (f Font, err error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return f, err
	}
	n := int(binary.LittleEndian.Uint16(head[2:]))
	if n > maxGlyphs {
		return f, errGlyphs
	}
	f = Font{Height: int(head[0]), Baseline: int(head[1]), Glyphs: make(map[rune]Glyph, n)}
	for range n {
		var h [9]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return f, err
		}
		g := Glyph{Rune: rune(binary.LittleEndian.Uint32(h[:])), Advance: int(h[4]), X: int(int8(h[5])), Y: int(int8(h[6])), W: int(h[7]), H: int(h[8])}
		g.Alpha = make([]byte, g.W*g.H)
		if _, err := io.ReadFull(in, g.Alpha); err != nil {
			return f, err
		}
		f.Glyphs[g.Rune] = g
	}
	return f, nil
}

// Fonts are those of the program, the smaller first.
func Fonts() ([]Font, error) { return Unpack(bytes.NewReader(glyphData)) }
