package bridge

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLexer(t *testing.T) {
	deep := strings.Repeat("(", 11)
	for in, ok := range map[string]bool{
		"* OK hello (" + deep + "\r\n":                       true,
		"* OK [PERMANENTFLAGS (a b)] hi\r\n":                 true,
		"* OK [CAPABILITY IMAP4rev1 (] hi\r\n":               false,
		"* OK [CAPABILITY(] hi\r\n":                          false,
		"* CAPABILITY IMAP4rev1\r\n":                         true,
		"* CAPABILITY(\r\n":                                  false,
		"* CAPABILITY (\r\n":                                 false,
		"* 5 EXISTS\r\n* 0 RECENT\r\n* OK\r\nT1 NO\r\n":      true,
		"T1 NO [TRYCREATE] x\r\n":                            true,
		"* THREAD (1)\r\n":                                   false,
		"* 1 FETCH(UID 1)\r\n":                               false,
		"\r\n":                                               false,
		"* OK [CAPABILITY IMAP4rev1\r\n* 1 FETCH (])\r\n":    false,
		"T1 NO it is \"so\r\n":                               true,
		"+ " + deep + "\r\n":                                 true,
		"* LIST () \"/\" INBOX\r\n":                          true,
		"* LIST () \"/\" \"a\r\n":                            false,
		"* LIST () \"/\" \"a\\\"b\"\r\n":                     true,
		"* LIST " + deep + "\r\n":                            false,
		"* 1 FETCH (UID 1 BODY[] \"" + deep + "\")\r\n":      true,
		"* 1 FETCH (BODY " + deep + "\r\n":                   false,
		"* 1 FETCH (BODY[] {11}\r\n" + deep + ")\r\n":        true,
		"* 1 FETCH (BODY[] {11} \n" + deep + ")\r\n":         true,
		"* 1 FETCH (BODY[] {10}\r\n" + deep + ")\r\n":        true,
		"* 1 FETCH (BODY[] {0}\r\n" + deep + ")\r\n":         false,
		"* OK {11}\r\n* X " + deep + "\r\n":                  false,
		deep + deep + "\r\n":                                 false,
		"*\t1\tFETCH\t" + strings.Repeat("x", 50) + "\r\n":   false,
		"* 1 FETCH (BODY[] {99999999999999999999}\r\n":       false,
		"* OK\r\n* " + deep + " " + deep + "\r\n":            false,
		"*(x{5}\r\nabcde\r\n":                                false,
		"* SEARCH " + strings.Repeat("1 ", lineMax) + "\r\n": false,
		"* OK " + strings.Repeat("x", lineMax) + "\r\n":      false,
	} {
		for _, step := range []int{1, 7, len(in)} {
			l := &lexer{}
			var err error
			for rest := in; rest != "" && err == nil; {
				n := min(step, len(rest))
				err = l.scan([]byte(rest[:n]))
				rest = rest[n:]
			}
			if (err == nil) != ok {
				t.Errorf("%.60q in steps of %d: %v", in, step, err)
			}
		}
	}
}

// FuzzLexer: how the octets are cut up changes nothing, and what is let through
// is never deeper than it may be, counting all that is no literal.
func FuzzLexer(f *testing.F) {
	for _, s := range []string{"* 1 FETCH (UID 7 BODY[] {3}\r\n((()\r\n", "* OK [X] (\r\n", "a b \"c\\\"(\" {1}\n((\n"} {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, in string, step uint8) {
		whole, parts := &lexer{}, &lexer{}
		want := whole.scan([]byte(in))
		var err error
		for rest := []byte(in); len(rest) > 0 && err == nil; {
			n := min(int(step)+1, len(rest))
			err = parts.scan(rest[:n])
			rest = rest[n:]
		}
		if (want == nil) != (err == nil) {
			t.Errorf("%q: whole %v, in parts %v", in, want, err)
		}
		got, err := io.ReadAll(&sieve{r: iotest.OneByteReader(strings.NewReader(in))})
		if !strings.HasPrefix(in, string(got)) || err == nil && whole.kind != unknownLine && string(got) != in {
			t.Errorf("%q came as %q, %v", in, got, err)
		}
		if whole.depth > depthMax || whole.length > lineMax || len(whole.head) > headMax {
			t.Errorf("%q: %+v", in, whole)
		}
	})
}
