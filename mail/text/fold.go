package text

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold appends s, which is UTF-8, to dst as it is compared: without regard to
// case, to the width and composition of letters (NFKC, near RFC 5051), to
// invisible characters, and to how much white space stands between words. A
// line break between letters of a script without spaces is none. What is not
// UTF-8 is a replacement character. It ends at Max bytes of what it appends.
func Fold(dst, s []byte) []byte {
	f := folder{dst: dst, start: len(dst)}
	for i := 0; i < len(s) && len(f.dst)-f.start < Max; {
		c := s[i]
		if c < utf8.RuneSelf {
			if n := f.word(s[i:]); n > 0 {
				i += n
				continue
			}
			f.ascii(c)
			i++
			continue
		}
		n := runLength(s[i:])
		f.wide(s[i : i+n])
		i += n
	}
	f.space()
	return f.dst
}

// pieceMax is about how much that is not ASCII is folded at once: a character
// may become 18.
const pieceMax = 1 << 10

// FoldString is Fold of a string.
func FoldString(s string) string { return string(Fold(nil, []byte(s))) }

// runLength is how much at the start of s is not ASCII, or is ASCII between
// letters with marks.
func runLength(s []byte) int {
	for n := 1; n < len(s); n++ {
		switch c := s[n]; {
		case c < utf8.RuneSelf && (n+1 == len(s) || s[n+1] != 0xcc && s[n+1] != 0xcd): // U+0300 to U+037F
			return n
		case n >= pieceMax && norm.NFKC.Properties(s[n:]).BoundaryBefore():
			return n
		}
	}
	return len(s)
}

type folder struct {
	dst   []byte
	start int  // where this text starts in dst
	blank bool // white space is due
	line  bool // and it has a line break
	cjk   bool // the last rune is of a script without spaces
	run   []byte
}

// folded are the ASCII characters that are seen, in lower case; 0 for others.
var folded = func() (t [256]byte) {
	for c := byte('!'); c < 0x7f; c++ {
		t[c] = c
		if 'A' <= c && c <= 'Z' {
			t[c] += 'a' - 'A'
		}
	}
	return t
}()

// word folds what is ASCII and seen at the start of s, and returns its length.
func (f *folder) word(s []byte) int {
	if folded[s[0]] == 0 {
		return 0
	}
	f.space()
	f.cjk = false
	n := 0
	for n < len(s) && folded[s[n]] != 0 {
		f.dst = append(f.dst, folded[s[n]])
		n++
	}
	return n
}

func (f *folder) ascii(c byte) {
	switch {
	case folded[c] != 0:
		f.space()
		f.dst = append(f.dst, folded[c])
		f.cjk = false
	case c == '\n':
		f.blank, f.line = true, true
	case c == ' ' || c >= '\t' && c <= '\r':
		f.blank = true
	}
}

// space writes white space that is due.
func (f *folder) space() {
	if f.blank {
		f.dst = append(f.dst, ' ')
		f.blank, f.line, f.cjk = false, false, false
	}
}

// wide folds a run of other than ASCII. A mark at its start belongs to the
// letter before.
func (f *folder) wide(s []byte) {
	f.run = f.run[:0]
	if n := len(f.dst); !norm.NFKC.Properties(s).BoundaryBefore() && !f.blank && n > f.start && f.dst[n-1] < utf8.RuneSelf && f.dst[n-1] > ' ' {
		f.run = append(f.run, f.dst[n-1])
		f.dst = f.dst[:n-1]
	}
	if len(f.run) == 0 && norm.NFKC.QuickSpan(s) == len(s) {
		f.runes(s)
		return
	}
	f.run = norm.NFKC.Append(f.run, s...)
	f.runes(f.run)
}

func (f *folder) runes(s []byte) {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		i += n
		f.rune(r)
	}
}

func (f *folder) rune(r rune) {
	switch {
	case r < utf8.RuneSelf:
		f.ascii(byte(r))
		return
	case invisible(r):
		return
	case unicode.IsSpace(r):
		f.blank = true
		return
	}
	cjk := Unspaced(r)
	if f.blank && f.line && f.cjk && cjk {
		f.blank, f.line = false, false
	}
	f.space()
	f.cjk = cjk
	switch r {
	case 'ß', 'ẞ':
		f.dst = append(f.dst, "ss"...)
	case 'ς':
		f.dst = utf8.AppendRune(f.dst, 'σ')
	default:
		f.dst = utf8.AppendRune(f.dst, unicode.ToLower(r))
	}
}

// invisible are characters that mail uses as filling, and that join or part
// letters without being seen.
func invisible(r rune) bool {
	return r == 0xad || r == 0x34f || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
		r >= 0x2060 && r <= 0x2064 || r == 0xfeff || r >= 0xfe00 && r <= 0xfe0f
}

// Unspaced reports whether r is a letter of a script that puts no spaces
// between words.
func Unspaced(r rune) bool {
	switch {
	case r < 0xe00:
		return false
	case r <= 0xeff, r >= 0x1000 && r <= 0x109f, r >= 0x1780 && r <= 0x17ff: // Thai, Lao; Myanmar; Khmer
		return true
	case r >= 0x3040 && r <= 0x30ff, r >= 0x3400 && r <= 0x4dbf, r >= 0x4e00 && r <= 0x9fff: // kana, Han
		return r != 0x30fb // the middle dot
	case r >= 0x3005 && r <= 0x3007, r >= 0x3105 && r <= 0x312f, r >= 0xac00 && r <= 0xd7af: // 々, Bopomofo, Hangul
		return true
	case r >= 0xf900 && r <= 0xfaff, r >= 0x20000 && r <= 0x3ffff:
		return true
	}
	return false
}

// Letter reports whether r is part of a word.
func Letter(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || Unspaced(r)
}
