package console

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Screen is a frame buffer, /dev/fb0.
type Screen struct {
	f    *os.File
	W, H int
	form format
}

// format is how a screen keeps its points.
type format struct {
	bits             uint32
	red, green, blue field
	line             int // octets
}

// field is struct fb_bitfield of linux/fb.h.
type field struct{ offset, length, _ uint32 }

// varInfo is struct fb_var_screeninfo, as far as it is used.
type varInfo struct {
	w, h, _, _, x, y, bits, _ uint32
	red, green, blue, _       field
	_                         [20]uint32
}

// fixInfo is struct fb_fix_screeninfo of 64 bits.
type fixInfo struct {
	_    [16]byte
	_    uint64
	_    [4]uint32
	_    [4]uint16
	line uint32
	_    [7]uint32
}

const (
	getVar = 0x4600 // FBIOGET_VSCREENINFO
	getFix = 0x4602 // FBIOGET_FSCREENINFO
	most   = 8192   // points in a row: more is no screen
)

// OpenScreen looks at a frame buffer that is open.
func OpenScreen(f *os.File) (*Screen, error) {
	var v varInfo
	var x fixInfo
	if err := errors.Join(control(f, getVar, unsafe.Pointer(&v)), control(f, getFix, unsafe.Pointer(&x))); err != nil {
		return nil, err
	}
	s := &Screen{f, int(v.w), int(v.h), format{v.bits, v.red, v.green, v.blue, int(x.line)}}
	if s.W < 320 || s.H < 200 || s.W > most || s.H > most || v.bits != 16 && v.bits != 24 && v.bits != 32 || s.form.line < s.W*int(v.bits)/8 {
		return nil, fmt.Errorf("a screen of %d by %d points of %d bits", v.w, v.h, v.bits)
	}
	return s, nil
}

func control(f *os.File, op uintptr, to unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), op, uintptr(to))
	if e != 0 {
		return e
	}
	return nil
}

// Show puts a picture on the screen.
func (s *Screen) Show(c *Canvas) error {
	b := make([]byte, s.form.line*c.H)
	s.form.encode(c, b)
	_, err := s.f.WriteAt(b, 0)
	return err
}

func (m format) encode(c *Canvas, b []byte) {
	n := int(m.bits / 8)
	for y := range c.H {
		row := b[y*m.line:]
		for x := range c.W {
			p := c.Pix[y*c.W+x]
			v := m.red.put(p>>16) | m.green.put(p>>8) | m.blue.put(p)
			for i := range n {
				row[x*n+i] = byte(v >> (8 * i))
			}
		}
	}
}

// put takes the upper bits of eight.
func (f field) put(v uint32) uint32 {
	if f.length == 0 || f.length > 8 {
		return 0
	}
	return (v & 0xff) >> (8 - f.length) << f.offset
}
