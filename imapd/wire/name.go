package wire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// modified is the base64 of modified UTF-7: "," for "/" and no padding,
// RFC 3501 §5.1.3.
var modified = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// DecodeName makes UTF-8 out of a mailbox's name as it came: in modified UTF-7,
// where raw UTF-8 is let pass too, or in UTF-8 as it is.
func DecodeName(s string, raw bool) (name string, ok bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	if raw || strings.IndexByte(s, '&') < 0 {
		return s, true
	}
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "&")
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		code, rest, found := strings.Cut(rest, "-")
		if !found {
			return "", false
		}
		s = rest
		if code == "" { // "&-" is "&"
			b.WriteByte('&')
			continue
		}
		if !decodeUTF16(&b, code) {
			return "", false
		}
	}
}

// decodeUTF16 decodes a shifted run. What could have stood plain, or is half a
// character, is refused: each name is written in one way only.
func decodeUTF16(b *strings.Builder, code string) bool {
	bytes, err := modified.DecodeString(code)
	if err != nil || len(bytes) == 0 || len(bytes)%2 != 0 {
		return false
	}
	for i := 0; i < len(bytes); i += 2 {
		r := rune(bytes[i])<<8 | rune(bytes[i+1])
		if utf16.IsSurrogate(r) {
			i += 2
			if i >= len(bytes) {
				return false
			}
			if r = utf16.DecodeRune(r, rune(bytes[i])<<8|rune(bytes[i+1])); r == utf8.RuneError {
				return false
			}
		} else if r >= ' ' && r <= '~' {
			return false
		}
		b.WriteRune(r)
	}
	return true
}

// EncodeName is a mailbox's name in modified UTF-7.
func EncodeName(name string) string {
	if !needsShift(name) {
		return name
	}
	var b strings.Builder
	var run []byte
	end := func() {
		if len(run) > 0 {
			b.WriteString("&" + modified.EncodeToString(run) + "-")
			run = run[:0]
		}
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			for _, u := range utf16.Encode([]rune{r}) {
				run = append(run, byte(u>>8), byte(u))
			}
			continue
		}
		end()
		if b.WriteRune(r); r == '&' {
			b.WriteByte('-')
		}
	}
	end()
	return b.String()
}

func needsShift(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < ' ' || c > '~' || c == '&' {
			return true
		}
	}
	return false
}
