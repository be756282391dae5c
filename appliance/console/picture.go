package console

import "strings"

// A Canvas is a picture of points, each 0xRRGGBB.
type Canvas struct {
	W, H int
	Pix  []uint32
}

// The colours are dark enough on white for everybody, WCAG 2.2 §1.4.3.
const (
	white = 0xffffff
	black = 0x1a1a1a
	green = 0x1b6e2c
	amber = 0x8a5a00
	red   = 0xa81414
	grey  = 0x5a5a5a
)

func colour(k Kind) uint32 {
	switch k {
	case Good:
		return green
	case Warn:
		return amber
	case Bad:
		return red
	case Dim:
		return grey
	}
	return black
}

const largeScreen = 700 // lines, from which the larger glyphs are used

// Draw draws the view: words at the left, the QR code at the right.
func (v View) Draw(w, h int) (*Canvas, error) {
	fonts, err := Fonts()
	if err != nil {
		return nil, err
	}
	f, scale := fonts[0], 1
	if h >= largeScreen {
		f, scale = fonts[len(fonts)-1], max(1, h/1080)
	}
	c := &Canvas{W: w, H: h, Pix: make([]uint32, w*h)}
	c.fill(0, 0, w, h, white)
	margin := h / 20
	right := w - margin
	if v.URL != "" && v.Prompt == "" {
		side := min(w*2/5, h-2*margin)
		right = c.code(v.link(), w-margin, margin, side) - margin
	}
	y := margin
	for _, l := range v.Lines() {
		n := scale
		if l.Kind == Large && w >= 800 {
			n = 2 * scale
		}
		for _, row := range wrap(f, l.Text, (right-margin)/n) {
			c.text(f, row, margin, y, n, colour(l.Kind))
			y += f.Height * n
		}
	}
	return c, nil
}

// code draws a QR code with its upper right corner at x, y, not wider than side,
// and returns where it begins.
func (c *Canvas) code(text string, x, y, side int) int {
	m := matrix(text)
	if len(m) == 0 || side < len(m) {
		return x
	}
	unit := side / len(m)
	left := x - unit*len(m)
	for row := range m {
		for col, dark := range m[row] {
			if dark {
				c.fill(left+col*unit, y+row*unit, unit, unit, 0)
			}
		}
	}
	return left
}

func (c *Canvas) fill(x, y, w, h int, col uint32) {
	for j := max(y, 0); j < min(y+h, c.H); j++ {
		for i := max(x, 0); i < min(x+w, c.W); i++ {
			c.Pix[j*c.W+i] = col
		}
	}
}

// width is how wide a text is. What the font does not have is as wide as a ?.
func (f Font) width(text string) (n int) {
	for _, r := range text {
		n += f.glyph(r).Advance
	}
	return n
}

func (f Font) glyph(r rune) Glyph {
	g, ok := f.Glyphs[r]
	if !ok {
		g = f.Glyphs['?']
	}
	return g
}

// wrap breaks a text into rows. Japanese has no spaces: there it breaks before any
// character but those that may not begin a line.
func wrap(f Font, text string, width int) (rows []string) {
	row, last, before := "", 0, 0 // where row could be broken: at the end of it, and before that
	for _, r := range text {
		size := len(string(r))
		if strings.ContainsRune("。、:)?", r) && last == len(row) {
			last = before
		}
		if row += string(r); f.width(row) > width && len(row) > size {
			at := last
			if at == 0 {
				at = len(row) - size
			}
			rows = append(rows, strings.TrimRight(row[:at], " "))
			row, last, before = row[at:], 0, 0
		}
		if r == ' ' || r >= 0x2e80 {
			last, before = len(row), last
		}
	}
	return append(rows, row)
}

func (c *Canvas) text(f Font, text string, x, y, scale int, col uint32) {
	for _, r := range text {
		g := f.glyph(r)
		for j := range g.H {
			for i := range g.W {
				if a := g.Alpha[j*g.W+i]; a > 0 {
					c.blend(x+(g.X+i)*scale, y+(f.Baseline+g.Y+j)*scale, scale, col, uint32(a))
				}
			}
		}
		x += g.Advance * scale
	}
}

// blend paints a square over what is there, a fifteenths of it.
func (c *Canvas) blend(x, y, n int, col, a uint32) {
	for j := max(y, 0); j < min(y+n, c.H); j++ {
		for i := max(x, 0); i < min(x+n, c.W); i++ {
			p := &c.Pix[j*c.W+i]
			mix := func(shift uint) uint32 {
				return ((*p>>shift&0xff)*(15-a) + (col>>shift&0xff)*a) / 15 << shift
			}
			*p = mix(16) | mix(8) | mix(0)
		}
	}
}
