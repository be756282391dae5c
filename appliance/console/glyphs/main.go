// Command glyphs makes the pictures of characters that the console draws, from a
// font of Debian's package fonts-noto-cjk:
//
//	go run ./appliance/console/glyphs FONT.ttc appliance/console/glyphs.bin
//
// It is to be run when the console's words have a character that is new; a test
// says so.
package main

import (
	"fmt"
	"image"
	"os"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"homemail/appliance/console"
)

// sizes are in pixels: for screens of 480 lines, and of 720 and more.
func sizes() []float64 { return []float64{17, 27} }

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: glyphs FONT OUTPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "glyphs:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	all, err := opentype.ParseCollection(data) // its first font is the Japanese one
	if err != nil {
		return err
	}
	f, err := all.Font(0)
	if err != nil {
		return err
	}
	var fonts []console.Font
	for _, size := range sizes() {
		made, err := draw(f, size)
		if err != nil {
			return err
		}
		fonts = append(fonts, made)
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if err := console.Pack(out, fonts, console.Runes()); err != nil {
		return err
	}
	return out.Close()
}

func draw(f *opentype.Font, size float64) (made console.Font, err error) {
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return made, err
	}
	made = console.Font{Height: int(size * 1.5), Baseline: int(size * 1.15), Glyphs: map[rune]console.Glyph{}}
	for _, r := range console.Runes() {
		at, mask, corner, advance, ok := face.Glyph(fixed.Point26_6{}, r)
		if !ok {
			return made, fmt.Errorf("the font has no %q", r)
		}
		g := console.Glyph{Rune: r, Advance: advance.Round(), X: at.Min.X, Y: at.Min.Y, W: at.Dx(), H: at.Dy()}
		a, ok := mask.(*image.Alpha)
		if !ok && g.W*g.H > 0 {
			return made, fmt.Errorf("%q is no picture of grey", r)
		}
		for y := range g.H {
			for x := range g.W {
				g.Alpha = append(g.Alpha, a.AlphaAt(corner.X+x, corner.Y+y).A>>4)
			}
		}
		made.Glyphs[r] = g
	}
	return made, nil
}
