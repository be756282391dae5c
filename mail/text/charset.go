package text

import (
	"bytes"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

// find returns the encoding of a charset's name; nil for UTF-8 and what is not
// known.
func find(charset string) encoding.Encoding {
	if len(charset) > 40 {
		return nil
	}
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968":
		return nil
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	case "cp932", "ms932":
		return japanese.ShiftJIS
	}
	enc, err := htmlindex.Get(charset)
	if err != nil || enc == encoding.Replacement {
		return nil
	}
	return enc
}

// guess returns the encoding of bytes that are said to be UTF-8 or ASCII, or of
// which nothing is said. Some bytes that are wrong do not make another charset
// of much that is right.
func guess(b []byte) encoding.Encoding {
	if bytes.Contains(b, []byte("\x1b$")) || bytes.Contains(b, []byte("\x1b(J")) {
		return japanese.ISO2022JP
	}
	if utf8.Valid(b) {
		return nil
	}
	right, wrong := 0, 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			wrong++
		} else {
			right++
		}
		i += n
	}
	if right > wrong {
		return nil
	}
	return charmap.Windows1252
}

// cutRune is how many bytes at the end of b are the start of a character.
func cutRune(b []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(b)); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// decode returns at most limit bytes of b as UTF-8. It may return b itself.
func decode(b []byte, charset string, limit int) []byte {
	enc := find(charset)
	if enc == nil {
		enc = guess(b)
	}
	if enc == nil {
		if b = cut(b, limit); !utf8.Valid(b) {
			b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
		}
		return b
	}
	r := io.LimitReader(transform.NewReader(bytes.NewReader(b), enc.NewDecoder()), int64(limit))
	out, _ := io.ReadAll(r) // as far as it could be read
	return cut(out, limit)
}

// cut shortens b to at most limit bytes, at the start of a character.
func cut(b []byte, limit int) []byte {
	if len(b) <= limit {
		return b
	}
	b = b[:limit]
	return b[:len(b)-cutRune(b)]
}

// wordsMax is how much of a field's value is looked at.
const wordsMax = 16 << 10

// Words returns a header's value as a person reads it: unfolded, encoded words
// of RFC 2047 decoded, 8-bit text as UTF-8.
func Words(s string) string {
	s = s[:min(len(s), wordsMax)]
	if strings.ContainsAny(s, "\r\n\x00") {
		s = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(s)
	}
	if !utf8.ValidString(s) || strings.IndexByte(s, 0x1b) >= 0 {
		s = string(decode([]byte(s), "", 3*wordsMax))
	}
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(r)
		return bytes.NewReader(decode(b, charset, 3*wordsMax)), err
	}}
	if text, err := d.DecodeHeader(s); err == nil {
		return text
	}
	return s
}
