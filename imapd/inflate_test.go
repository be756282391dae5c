package imapd

import (
	"bufio"
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

// What the standard library packs, or unpacks, comes out the same here, however
// it comes in.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("a NOOP\r\n"), 1)
	f.Add(bytes.Repeat([]byte("some text and some text "), 5000), 6)
	noise := make([]byte, 70000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.UintN(256))
	}
	f.Add(noise, 9)
	f.Add([]byte("\xaa\x32\x54\xf0\xf3\xf7\x0f\xe0\xe5\x02\x08"), 0)
	f.Fuzz(func(t *testing.T, in []byte, level int) {
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, level%10)
		if err != nil {
			return
		}
		w.Write(in[:len(in)/2])
		w.Flush()
		w.Write(in[len(in)/2:])
		w.Close()
		got, _ := io.ReadAll(newInflater(bufio.NewReader(&packed)))
		if !bytes.Equal(got, in) && len(in) < inflateFree {
			t.Errorf("%d bytes packed at %d came out as %d", len(in), level, len(got))
		}
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), inflateFree))
		got, bad := io.ReadAll(newInflater(bufio.NewReader(bytes.NewReader(in))))
		if err == nil && !bytes.Equal(got, want) || bad == nil && len(in) > 0 && err != nil && !bytes.HasPrefix(got, want) {
			t.Errorf("%x: %d bytes, %v; the library has %d, %v", in, len(got), bad, len(want), err)
		}
	})
}

// Each byte is there as soon as its bits are: what zlib made with one
// Z_PARTIAL_FLUSH behind many commands, at which other readers wait.
func TestInflateDoesNotWait(t *testing.T) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 6)
	must(t, err)
	text := bytes.Repeat([]byte("e1 UID FETCH 1 (BODY.PEEK[])\r\n"), 30)
	w.Write(text)
	w.Flush()
	whole := packed.Bytes()
	bare := whole[:len(whole)-5] // without the empty block of a full flush
	pr, pw := io.Pipe()
	go pw.Write(bare)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(newInflater(bufio.NewReader(pr)), got); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%q, %v", got, err)
	}
	pw.Close()
}
