package text

import "bytes"

// transfer undoes a Content-Transfer-Encoding, RFC 2045 §6, in place: b is
// used up. What is no base64, and what is no escape, is passed over.
func transfer(b []byte, encoding string) []byte {
	switch encoding {
	case "base64":
		return fromBase64(b)
	case "quoted-printable":
		return quotedPrintable(b)
	}
	return b
}

// sextets are the values of the letters of base64, RFC 4648 §4 and §5; 64 is no
// letter.
var sextets = func() (t [256]byte) {
	for i := range t {
		t[i] = 64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

func fromBase64(b []byte) []byte {
	out := b[:0]
	var word uint32
	n := 0
	for _, c := range b {
		v := sextets[c]
		if v == 64 {
			if c == '=' { // the next text begins a new word
				out = base64Rest(out, word, n)
				word, n = 0, 0
			}
			continue
		}
		word = word<<6 | uint32(v)
		if n++; n == 4 {
			out = append(out, byte(word>>16), byte(word>>8), byte(word))
			word, n = 0, 0
		}
	}
	return base64Rest(out, word, n)
}

func base64Rest(out []byte, word uint32, n int) []byte {
	switch n {
	case 2:
		return append(out, byte(word>>4))
	case 3:
		return append(out, byte(word>>10), byte(word>>2))
	}
	return out
}

func quotedPrintable(b []byte) []byte {
	if bytes.IndexByte(b, '=') < 0 {
		return b
	}
	out := b[:0]
	for i := 0; i < len(b); i++ {
		if b[i] != '=' {
			out = append(out, b[i])
			continue
		}
		if i+2 < len(b) {
			if hi, lo := unhex(b[i+1]), unhex(b[i+2]); hi < 16 && lo < 16 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		j := i + 1 // a soft line break, perhaps with white space before its end
		for j < len(b) && (b[j] == ' ' || b[j] == '\t' || b[j] == '\r') {
			j++
		}
		switch {
		case j == len(b):
			i = j
		case b[j] == '\n':
			i = j
		default:
			out = append(out, '=')
		}
	}
	return out
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}
