package autoconfig

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"rsc.io/qr"

	"homemail/mail"
)

// ProfilePath is where the web server gives out Apple profiles.
const ProfilePath = "/.mobileconfig"

// ProfileURL is where a phone's camera leads to the profile of an address.
func ProfileURL(s Server, addr mail.Path) (string, error) {
	s, err := s.checked()
	if err != nil {
		return "", err
	}
	user, err := s.userName(addr)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "https", Host: s.Host, Path: ProfilePath, RawQuery: url.Values{"address": {user}}.Encode()}
	return u.String(), nil
}

// maxQR is in octets: 81 modules a side (version 16), which a phone still reads
// from a screen.
const maxQR = 450

var errQR = errors.New("text is too long for a QR code")

// A QR is a QR code, ISO/IEC 18004.
type QR struct{ code *qr.Code }

// NewQR encodes a text so that an eighth of the picture may be unreadable.
func NewQR(text string) (QR, error) {
	if len(text) > maxQR {
		return QR{}, errQR
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return QR{}, fmt.Errorf("QR code: %w", err)
	}
	return QR{code}, nil
}

// Size is how many modules a side has, without the quiet zone.
func (q QR) Size() int { return q.code.Size }

// Black reports whether a module is black.
func (q QR) Black(x, y int) bool { return q.code.Black(x, y) }

// PNG returns a picture with scale pixels to a module.
func (q QR) PNG(scale int) []byte {
	c := *q.code
	c.Scale = min(max(scale, 1), 32)
	return c.PNG()
}

const quiet = 4 // modules of white around it, ISO/IEC 18004 §6.3.8

// SVG returns a picture without a size of its own: it fills where it is put.
func (q QR) SVG() []byte {
	var b strings.Builder
	side := q.Size() + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, side, side, side, side)
	for y := range q.Size() {
		for x := 0; x < q.Size(); x++ {
			from := x
			for q.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	b.WriteString(`"/></svg>` + "\n")
	return []byte(b.String())
}
