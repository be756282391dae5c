package message

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// hostile are messages made to cost much. checkLaws has the bounds.
func hostile() map[string][]byte {
	nest := func(n int) []byte {
		var w bytes.Buffer
		fmt.Fprint(&w, "Content-Type: multipart/mixed; boundary=0\r\n\r\n")
		for i := range n {
			fmt.Fprintf(&w, "--%x\r\nContent-Type:multipart/x;boundary=%x\r\n\r\n", i, i+1)
		}
		return w.Bytes()
	}
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	return map[string][]byte{
		"multiparts 20,000 deep": nest(20000),
		"messages 20,000 deep":   []byte(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 20000)),
		"100,000 addresses":      []byte("To: " + strings.Repeat("a@b.test,\r\n ", 100000) + "c@d\r\n\r\n"),
		"100,000 address fields": []byte(strings.Repeat("To: a@b.test\r\n", 100000) + "\r\n"),
		"groups":                 []byte("To: " + strings.Repeat("g:a@b,c@d;", 20000) + "\r\n\r\n"),
		"10,000 parts":           []byte(mixed + strings.Repeat("--b\r\nContent-Type: application/pdf; name=\"a letter of the parents.pdf\"\r\nContent-Disposition: attachment; filename=\"a letter of the parents.pdf\"\r\n\r\nx\r\n", 10000) + "--b--\r\n"),
		"empty parts":            []byte(mixed + strings.Repeat("--b\r\n", 50000)),
		"10,000 messages":        []byte(mixed + strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: "+strings.Repeat("x", 500)+"\r\nFrom: a@b\r\n\r\n", 10000)),
		"header of 10 MB":        []byte("X: y\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 10000) + "Subject: late\r\n\r\nbody"),
		"one line of 10 MB":      []byte("Subject: " + strings.Repeat("x", 10<<20)),
		"10 MB without a colon":  bytes.Repeat([]byte("x"), 10<<20),
		"100,000 params":         []byte("Content-Type: text/plain" + strings.Repeat(";a=b", 30000) + "\r\n\r\n"),
		"100,000 continuations":  []byte("Content-Disposition: a" + manyf(";f*%d*=b", 20000) + "\r\n\r\n"),
		"params without end":     []byte("Content-Type: text/plain; a=" + strings.Repeat("b ", 100000) + "\r\n\r\n"),
		"comments":               []byte("To: " + strings.Repeat("(", 200000) + "\r\nContent-Type: " + strings.Repeat("(", 20000) + "\r\n\r\n"),
		"quotes":                 []byte("To: " + strings.Repeat("\"\\", 100001) + "\r\nFrom: \"x\r\n\r\n"),
		"escapes":                []byte("To: " + strings.Repeat("\x1b$", 100000) + "\r\n\r\n"),
		"angles":                 []byte("To: " + strings.Repeat("<", 200000) + "\r\n\r\n"),
		"names of 10 KB":         []byte(strings.Repeat("From: "+strings.Repeat("n", 10000)+" <a@b>\r\n", 25) + "\r\n"),
		"groups without names":   []byte("To: " + strings.Repeat("\x00", 4000) + strings.Repeat(":", 200000) + "\r\n\r\n"),
		"delivered":              []byte(strings.Repeat("Delivered-To: "+strings.Repeat("n", 2000)+"\r\n", 120) + "\r\n"),
		"references":             []byte("References: " + manyf("<%d@x>\r\n ", 15000) + "\r\n\r\n"),
		"boundary lines":         append(nest(19), strings.Repeat("--\r\n--f\r\n---\r\n", 50000)...),
		"long boundary":          []byte("Content-Type: multipart/x; boundary=" + strings.Repeat("b", 3000) + "\r\n\r\n--" + strings.Repeat("b", 3000) + "\r\n\r\n"),
	}
}

func manyf(format string, n int) string {
	var w strings.Builder
	for i := range n {
		fmt.Fprintf(&w, format, i)
	}
	return w.String()
}

func TestHostile(t *testing.T) {
	for name, b := range hostile() {
		t.Run(name, func(t *testing.T) {
			s := parse(b)
			checkLaws(t, b, s)
			if cut := parseCut(b, 32<<10); cut.Root.End != s.Root.End || !bytes.Equal(cut.AppendBinary(nil), s.AppendBinary(nil)) {
				t.Error("in pieces of 32 KiB it is another")
			}
		})
	}
}

// TestLimits looks at what is left of hostile messages.
func TestLimits(t *testing.T) {
	h := hostile()
	many := parse(h["10,000 parts"])
	if n := len(many.Root.Children); n != maxParts-maxDepth {
		t.Errorf("%d parts", n)
	}
	if last := many.Root.Children[len(many.Root.Children)-1]; last.Subtype != "octet-stream" || last.End != many.Root.End {
		t.Errorf("the rest is %s/%s up to %d", last.Type, last.Subtype, last.End)
	}
	back, err := Decode(many.AppendBinary(nil))
	if err != nil || len(back.Root.Children) != len(many.Root.Children) {
		t.Errorf("parts of the record: %d, %v", len(back.Root.Children), err)
	}
	if n := len(parse(h["100,000 addresses"]).Envelope.To); n != maxAddresses {
		t.Errorf("%d addresses", n)
	}
	refs := parse(h["references"]).Envelope.References
	if len(refs) != maxReferences || refs[0] != "<0@x>" || refs[99] != "<14999@x>" {
		t.Errorf("%d references, %q", len(refs), refs)
	}
	for name, want := range map[string]string{"header of 10 MB": headerLines, "one line of 10 MB": headerLong, "100,000 params": ""} {
		if got := parse(h[name]).HeaderBad; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := parse([]byte("Subject: a\x00b\r\n\r\n")).HeaderBad; got != headerNUL {
		t.Errorf("NUL: %q", got)
	}
	for _, ok := range []string{"Subject: a\r\n\r\nb\x00", "no header \x00\r\n", strings.Repeat("A: b\r\n", 1000) + "\r\n"} {
		if got := parse([]byte(ok)).HeaderBad; got != "" {
			t.Errorf("%.40q: %q", ok, got)
		}
	}
	if got := parse([]byte(strings.Repeat("A: b\r\n", 1001) + "\r\n")).HeaderBad; got != headerLines {
		t.Errorf("1,001 lines: %q", got)
	}
}

// A record costs memory by what it holds, not by what it promises.
func TestDecodeAllocates(t *testing.T) {
	promise := []byte{version, 0, 0, 0, 0} // an empty envelope
	for range 30 {                         // each a part that promises 900 children
		promise = append(promise, 0x80, 0x10, 0, 0, 0, 0, 0x84, 0x07)
	}
	promise = append(promise, make([]byte, 60000)...)
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Decode(promise)
		}
	})
	if n := got.AllocedBytesPerOp(); n > 1<<20 {
		t.Errorf("%d bytes for a record of %d", n, len(promise))
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add(parse(crlf(s)).AppendBinary(nil))
	}
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x01000)1\x01\x10000000001\x02000000(00000000000000000000\"00000000000000000")) // Reply-To without From
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		again := s.AppendBinary(nil)
		if len(again) > len(b) {
			t.Fatalf("record of %d bytes became %d", len(b), len(again))
		}
		back, err := Decode(again)
		if err != nil || !bytes.Equal(back.AppendBinary(nil), again) {
			t.Fatalf("%x\nbecame %x: %v", b, again, err)
		}
	})
}
