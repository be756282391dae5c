package client

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// onWire is what leaves after DATA, when the message comes in pieces of n.
func onWire(t testing.TB, in string, n int) string {
	var out bytes.Buffer
	d := newDotWriter(&out)
	for s := in; s != ""; {
		n := min(max(n, 1), len(s))
		if m, err := d.Write([]byte(s[:n])); m != n || err != nil {
			t.Fatal(m, err)
		}
		s = s[n:]
	}
	out.Write(d.finish())
	return out.String()
}

// readDots is the server's view of mail data, RFC 5321 §4.5.2.
func readDots(t testing.TB, wire string) string {
	rest := strings.ReplaceAll(wire, "\r\n", "")
	if strings.ContainsAny(rest, "\r\n") {
		t.Fatalf("a CR or LF stands alone in %q", wire)
	}
	wire = "\r\n" + wire // of the DATA command
	if i := strings.Index(wire, "\r\n.\r\n"); i < 0 || i+len("\r\n.\r\n") != len(wire) {
		t.Fatalf("%q does not end where it should", wire)
	}
	var b strings.Builder
	for l := range strings.SplitSeq(strings.TrimSuffix(wire[2:], ".\r\n"), "\r\n") {
		if l != "" && l[0] == '.' && !strings.HasPrefix(l, "..") {
			t.Fatalf("line %q has a dot that is not doubled", l)
		}
		b.WriteString(strings.TrimPrefix(l, ".") + "\r\n")
	}
	return strings.TrimSuffix(b.String(), "\r\n")
}

// normal is what a message means: lines that end in CR LF.
func normal(in string) string {
	s := strings.ReplaceAll(in, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return strings.ReplaceAll(s, "\n", "\r\n")
}

// FuzzDots: whatever is stored, what leaves is one message, and the same.
func FuzzDots(f *testing.F) {
	for _, s := range []string{
		"", ".", "..", "\r", "\n", "\r\n", ".\r\n", "a", "a\r\n", "a\r\n.\r\nMAIL FROM:<x>\r\n",
		"a\n.\nb", "a\r.\rb", "a\n.\r\nb", "a\r\n.\nb", "a\r\n.\rb", "a\r\r\n.\r\r\nb", "\r\n.\x00\r\n", "a\x00b",
		"a\n\r.\r\n\n", "\r\n\r\n..\r\n.", strings.Repeat(".", 3000), "x\r", ".\r", "\r.", "\xff\xfe.\n",
	} {
		f.Add(s, 1)
		f.Add(s, 1000)
	}
	f.Fuzz(func(t *testing.T, in string, n int) {
		if got, want := readDots(t, onWire(t, in, n)), normal(in); got != want {
			t.Errorf("%q in pieces of %d arrives as %q", in, n, got)
		}
	})
}

// TestDotsAtBlocks has dots and line ends where the writer flushes.
func TestDotsAtBlocks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const alphabet = "\r\n.x"
	for _, size := range []int{chunkSize - 2, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize} {
		for range 5 {
			b := make([]byte, size)
			for i := range b {
				b[i] = 'y'
				if rnd.IntN(4) == 0 || i > size-20 {
					b[i] = alphabet[rnd.IntN(len(alphabet))]
				}
			}
			for _, n := range []int{7, 4096, 1 << 20} {
				if got, want := readDots(t, onWire(t, string(b), n)), normal(string(b)); got != want {
					t.Fatalf("%d octets in pieces of %d arrive otherwise", size, n)
				}
			}
		}
	}
}

// FuzzChunks: BDAT sends the same octets, no pair is split, and nothing leaves
// in which a CR or LF stands alone.
func FuzzChunks(f *testing.F) {
	f.Add("", 0)
	f.Add("a\r\nb\x00", 0)
	f.Add("\r\n", chunkSize-1)
	f.Add("a\rb", chunkSize)
	f.Add("\r", chunkSize-1)
	f.Add("\n", chunkSize)
	f.Fuzz(func(t *testing.T, in string, pad int) {
		in = strings.Repeat("p", min(max(pad, 0), 2*chunkSize)) + in
		var got strings.Builder
		ended := false
		err := chunks(iotest.HalfReader(strings.NewReader(in)), func(p []byte, last bool) error {
			if ended || strings.ContainsAny(strings.ReplaceAll(string(p), "\r\n", ""), "\r\n") {
				t.Fatalf("chunk %q leaves", p)
			}
			ended = last
			got.Write(p)
			return nil
		})
		bare := strings.ContainsAny(strings.ReplaceAll(in, "\r\n", ""), "\r\n")
		switch {
		case bare && !errors.Is(err, errBareNewline):
			t.Errorf("%q: %v", in, err)
		case bare && ended:
			t.Errorf("%q ends", in)
		case !bare && (err != nil || !ended || got.String() != in):
			t.Errorf("%q: %v, arrives as %q", in, err, got.String())
		}
	})
}

func TestChunksReadError(t *testing.T) {
	fail := &readError{io.ErrUnexpectedEOF}
	err := chunks(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(fail)), func(p []byte, last bool) error {
		if last {
			t.Error("a message that was cut short ends")
		}
		return nil
	})
	if err != error(fail) {
		t.Error(err)
	}
}

func BenchmarkDots(b *testing.B) {
	in := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1<<20/78))
	b.SetBytes(int64(len(in)))
	d := newDotWriter(io.Discard)
	for b.Loop() {
		d.Write(in)
	}
}
