package sign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"homemail/mailauth/rfc6376"
)

// fixed has the same keys for every domain.
type fixed []Key

func (f fixed) Get(string) ([]Key, error) { return f, nil }

var testSet = sync.OnceValue(func() Set {
	s, err := NewSet("example.test", time.Now())
	if err != nil {
		panic(err)
	}
	return s
})

func signer() *Signer {
	return New(Options{Keys: fixed(testSet().Keys), ClockTrusted: func() bool { return true }})
}

func records(t testing.TB, keys []Key) map[string]string {
	t.Helper()
	zone := make(map[string]string)
	for _, k := range keys {
		name, value, err := Record(k)
		if err != nil {
			t.Fatal(err)
		}
		zone[name] = value
	}
	return zone
}

func signMessage(t testing.TB, s *Signer, domain, msg string) (fields []byte, err error) {
	t.Helper()
	g, err := s.Begin(domain)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = g.Write([]byte(msg)) // never fails
	return g.Fields()
}

// library verifies with go-msgauth.
func library(t testing.TB, zone map[string]string, msg []byte) {
	t.Helper()
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(msg), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if txt, ok := zone[name]; ok {
			return []string{txt}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}})
	if err != nil || len(verified) < 2 {
		t.Errorf("go-msgauth: %d signatures, %v\n%q", len(verified), err, msg)
		return
	}
	for _, v := range verified[:2] { // ours are on top
		if v.Err != nil || v.Domain != "example.test" {
			t.Errorf("go-msgauth: %s: %v\n%q", v.Domain, v.Err, msg)
		}
	}
}

// ours verifies with our own canonical forms, step by step as RFC 6376 §6.1.
func ours(t testing.TB, zone map[string]string, msg []byte) {
	t.Helper()
	var body bytes.Buffer
	canonical := rfc6376.NewBody(&body, true)
	d := rfc6376.Divider{Body: func([]byte) io.Writer { return canonical }}
	_, _ = d.Write(msg) // a buffer never fails
	if err := errors.Join(d.Close(), canonical.Close()); err != nil {
		t.Fatal(err)
	}
	fields := rfc6376.Fields(d.Header())
	for _, f := range fields[:2] {
		tags, err := rfc6376.ParseTags(f.Value())
		if err != nil || f.Name() != "dkim-signature" {
			t.Errorf("%q: %v", f, err)
			continue
		}
		if sum := sha256.Sum256(body.Bytes()); tags["bh"] != base64.StdEncoding.EncodeToString(sum[:]) {
			t.Errorf("body hash of %q", msg)
		}
		name, _, err := rfc6376.KeyName(tags["d"], tags["s"])
		if err != nil {
			t.Error(err)
		}
		key, err := rfc6376.LookUp(t.Context(), func(context.Context, string) ([]string, error) { return []string{zone[name]}, nil }, name)
		if err != nil {
			t.Error(err)
		}
		chosen := rfc6376.Select(fields, rfc6376.SplitList(tags["h"]))
		if err := key.Verify(tags["a"], rfc6376.Digest(chosen, f, true), tags["b"]); err != nil {
			t.Errorf("%s: %v\n%q", tags["a"], err, msg)
		}
	}
}

const plain = "From: Anna <anna@example.test>\r\nTo: b@example.net\r\nSubject: Hello\r\nDate: Thu, 14 Jan 2026 15:00:01 +0900\r\n" +
	"Message-ID: <1@example.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"

// corpus are messages, most of them odd. Those of odd have no form that all
// verifiers agree on: no bare carriage return may leave the house at all.
func corpus() (even, odd map[string]string) {
	from := "From: anna@example.test\r\n"
	even = map[string]string{
		"plain":             plain,
		"empty body":        from + "\r\n",
		"blank body":        from + "\r\n\r\n\r\n \r\n\t\r\n",
		"no final newline":  from + "\r\nx",
		"trailing space":    from + "\r\nx \t\r\n y\t z  \r\n\r\n \r\n",
		"folded":            "From:\r\n anna\r\n\t@example.test\r\nSubject: a\r\n\t b\r\n  c  \r\nTO:x@example.net\r\n\r\nx\r\n",
		"eight bit":         from + "Subject: \xe3\x81\x82\r\n\r\n\xe3\x81\x82\xff\x80\r\n",
		"UTF-8 From":        "From: \xe3\x81\x82 <\xe3\x81\x82@example.test>\r\n\r\nx\r\n",
		"subdomain":         "From: a@sub.EXAMPLE.test\r\n\r\nx\r\n",
		"many From":         "From: a@example.test, b@example.test\r\n\r\nx\r\n",
		"repeated":          from + "To: a@b.test\r\nTo: c@d.test\r\nReferences: <1@a>\r\nReferences: <2@a>\r\nCc:\r\n\r\nx\r\n",
		"dots":              from + "\r\n.\r\n..\r\n.x\r\n",
		"long line":         from + "Subject: " + strings.Repeat("x", 900) + "\r\n\r\n" + strings.Repeat("y", 5000) + "\r\n",
		"long recipients":   from + "To: " + strings.Repeat("<a@example.net>,\r\n ", 2000) + "<a@example.net>\r\n\r\nx\r\n",
		"many lines":        from + "\r\n" + strings.Repeat("line\r\n", 20000),
		"blank lines":       from + "\r\n" + strings.Repeat("\r\n", 20000) + "x" + strings.Repeat("\r\n", 20000),
		"signed before":     "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x; h=from; bh=AAAA; b=AAAA\r\n" + from + "\r\nx\r\n",
		"list":              from + "List-Id: <l.example.test>\r\nList-Unsubscribe: <https://example.test/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx\r\n",
		"multipart":         from + "Content-Type: multipart/mixed;\r\n\tboundary=\"b=;b\"\r\n\r\n--b=;b\r\n\r\nx\r\n--b=;b--\r\n",
		"tags in a subject": from + "Subject: b=x; bh=y; b = z;\r\n\r\nx\r\n",
		"empty fields":      from + "Subject:\r\nTo: \r\nCc:\t\r\nReply-To:\r\n \r\n\r\nx\r\n",
	}
	odd = map[string]string{
		"space before colon": "From : anna@example.test\r\nTo\t: x\r\n\r\nx\r\n", // dkimpy refuses it
		"bare CR":            from + "Subject: a\rb\r\n\r\na\rb \r c\r\r\n\r",
		"bare LF":            "From: anna@example.test\nSubject: x\n\nbody \n\n",
		"NUL":                from + "\r\na\x00b\r\n",
		"no blank line":      from + "Subject: x",
		"line is no field":   from + "not a field\r\nSubject: x\r\n\r\nx\r\n",
		"blank continuation": from + "Subject: x\r\n \r\n\t\r\n\r\nx\r\n",
	}
	return even, odd
}

func TestSign(t *testing.T) {
	s, zone := signer(), records(t, testSet().Keys)
	even, odd := corpus()
	check := func(name, msg string, library ...func(testing.TB, map[string]string, []byte)) {
		t.Run(name, func(t *testing.T) {
			fields, err := signMessage(t, s, "Example.TEST", msg)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(string(fields), "\r\n") {
				if len(line) > 78 {
					t.Errorf("long line %q", line)
				}
			}
			for _, verify := range library {
				verify(t, zone, append(slices.Clone(fields), msg...))
			}
		})
	}
	for name, msg := range even {
		check(name, msg, ours, library)
	}
	for name, msg := range odd {
		check(name, msg, ours)
	}
}

// TestTags holds the fields against what we promise of them.
func TestTags(t *testing.T) {
	fields, err := signMessage(t, signer(), "example.test", plain)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range rfc6376.Fields(fields) {
		tags, err := rfc6376.ParseTags(f.Value())
		if err != nil {
			t.Fatal(err)
		}
		const h = "from:from:to:to:cc:subject:subject:date:date:reply-to:message-id:mime-version:content-type"
		if got := rfc6376.Squeeze(tags["h"]); got != h {
			t.Errorf("h=%s\nwant %s", got, h)
		}
		var at, until int64
		if n, err := fmt.Sscan(tags["t"]+" "+tags["x"], &at, &until); n != 2 || until-at != 7*24*60*60 || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
			t.Errorf("t=%s x=%s: %v", tags["t"], tags["x"], err)
		}
		if tags["c"] != "relaxed/relaxed" || tags["d"] != "example.test" || tags["a"] != []string{"rsa-sha256", "ed25519-sha256"}[i] {
			t.Errorf("%v", tags)
		}
		for _, never := range []string{"l", "i", "z"} {
			if v, ok := tags[never]; ok {
				t.Errorf("%s=%s", never, v)
			}
		}
	}
	s := New(Options{Keys: fixed(testSet().Keys)})
	if fields, err = signMessage(t, s, "example.test", plain); err != nil || bytes.Contains(fields, []byte("t=")) || bytes.Contains(fields, []byte("x=")) {
		t.Errorf("time from a clock that is not trusted: %v\n%s", err, fields)
	}
}

// TestOversigned: nothing that a reader sees can be added or changed.
func TestOversigned(t *testing.T) {
	fields, err := signMessage(t, signer(), "example.test", plain)
	if err != nil {
		t.Fatal(err)
	}
	zone := records(t, testSet().Keys)
	for _, added := range []string{"From: b@example.net", "To: c@example.net", "Cc: c@example.net", "Subject: x", "Date: x", "Reply-To: c@example.net"} {
		for _, msg := range []string{added + "\r\n" + string(fields) + plain, string(fields) + strings.Replace(plain, "\r\n\r\n", "\r\n"+added+"\r\n\r\n", 1)} {
			verified, err := dkim.VerifyWithOptions(strings.NewReader(msg), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) { return []string{zone[name]}, nil }})
			if err != nil || len(verified) != 2 || verified[0].Err == nil || verified[1].Err == nil {
				t.Errorf("%s was added and nobody saw it: %v", added, err)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	s := signer()
	for _, tt := range []struct {
		msg  string
		want error
	}{
		{"From: a@other.test\r\n\r\n", ErrNotAligned},
		{"From: a@notexample.test\r\n\r\n", ErrNotAligned},
		{"From: a@example.test, b@other.test\r\n\r\n", ErrNotAligned},
		{"From: a@example.test\r\nFrom: b@other.test\r\n\r\n", ErrNotAligned},
		{"From: <>\r\n\r\n", ErrNotAligned},
		{"Subject: x\r\n\r\n", ErrNotAligned},
		{"", ErrNotAligned},
		{"From: a@example.test\r\n" + strings.Repeat("To: a@example.test\r\n", 60) + "\r\n", ErrTooMany},
		{"From: a@example.test\r\n" + strings.Repeat("X: y\r\n", 60_000) + "\r\n", ErrHeader},
		{" x\r\nFrom: a@example.test\r\n\r\n", rfc6376.ErrFolded},
	} {
		if fields, err := signMessage(t, s, "example.test", tt.msg); !errors.Is(err, tt.want) || fields != nil {
			t.Errorf("%.60q: %q, %v, want %v", tt.msg, fields, err, tt.want)
		}
	}
	if g, err := New(Options{Keys: fixed(nil)}).Begin("example.test"); g != nil || !errors.Is(err, ErrNoKey) {
		t.Errorf("without keys: %v, %v", g, err)
	}
	if _, err := New(Options{Keys: fixed{{State: Active, Private: []byte("x")}}}).Begin("example.test"); err == nil {
		t.Error("with a broken key")
	}
	if _, err := New(Options{Keys: broken{}}).Begin("example.test"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without a store: %v", err)
	}
}

type broken struct{}

func (broken) Get(string) ([]Key, error) { return nil, io.ErrUnexpectedEOF }

func TestIDN(t *testing.T) {
	fields, err := signMessage(t, signer(), "例え.jp", "From: <a@例え.jp>\r\n\r\nx\r\n")
	if err != nil || !bytes.Contains(fields, []byte("d=xn--r8jz45g.jp;")) {
		t.Errorf("%v\n%s", err, fields)
	}
}

// FuzzSign: what we sign verifies, by our own forms always and by go-msgauth
// wherever forms are agreed on, however it comes in pieces.
func FuzzSign(f *testing.F) {
	even, odd := corpus()
	for _, msgs := range []map[string]string{even, odd} {
		for _, msg := range msgs {
			if len(msg) < 1<<10 {
				f.Add([]byte(msg), uint8(3))
			}
		}
	}
	s, zone := signer(), records(f, testSet().Keys)
	f.Fuzz(func(t *testing.T, msg []byte, piece uint8) {
		g, err := s.Begin("example.test")
		if err != nil {
			t.Fatal(err)
		}
		for p := range slices.Chunk(msg, int(piece)+1) {
			_, _ = g.Write(p) // never fails
		}
		fields, err := g.Fields()
		if err != nil {
			return
		}
		whole := append(slices.Clone(fields), msg...)
		ours(t, zone, whole)
		if bytes.Count(msg, []byte("\r")) == bytes.Count(msg, []byte("\r\n")) && bytes.Count(msg, []byte("\n")) == bytes.Count(msg, []byte("\r\n")) &&
			bytes.Contains(msg, []byte("\r\n\r\n")) && agreed(msg) {
			library(t, zone, whole)
		}
	})
}

// agreed reports whether a header has fields only, none with a continuation
// that is blank, and only text in them: go-msgauth trims other things too.
func agreed(msg []byte) bool {
	header, _, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
	for _, f := range rfc6376.Fields(header) {
		for i, line := range bytes.Split(f, []byte("\r\n")) {
			if f.Name() == "" || i > 0 && len(line) > 0 && len(bytes.Trim(line, " \t")) == 0 {
				return false
			}
		}
	}
	return !bytes.ContainsFunc(header, func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' && r != '\t' || r > '~' })
}

// TestMemory: a message of any size is signed in constant memory.
func TestMemory(t *testing.T) {
	g, err := signer().Begin("example.test")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = g.Write([]byte(plain)) // never fails
	blank := bytes.Repeat([]byte("\r\n"), 1<<15)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1 << 9 {
		_, _ = g.Write(blank)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d octets were allocated", grown)
	}
	if _, err := g.Fields(); err != nil {
		t.Error(err)
	}
}
