package rfc6376

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

func canonicalBody(t testing.TB, relaxed bool, pieces ...[]byte) string {
	t.Helper()
	var out bytes.Buffer
	b := NewBody(&out, relaxed)
	for _, p := range pieces {
		if _, err := b.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestBody(t *testing.T) {
	for _, tt := range []struct{ in, simple, relaxed string }{
		{"", "\r\n", ""}, // RFC 6376 §3.4.3 and §3.4.4
		{"\r\n\r\n", "\r\n", ""},
		{" \r\n\t", " \r\n\t\r\n", ""},
		{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"}, // §3.4.5
		{"a", "a\r\n", "a\r\n"},
		{"a \t", "a \t\r\n", "a\r\n"},
		{"a\n\nb\n", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"a\rb \r\r\nc\r", "a\rb \r\r\nc\r\r\n", "a\rb \r\r\nc\r\r\n"},
		{"\xff\x00 \x01", "\xff\x00 \x01\r\n", "\xff\x00 \x01\r\n"},
	} {
		if got := canonicalBody(t, false, []byte(tt.in)); got != tt.simple {
			t.Errorf("simple %q: got %q, want %q", tt.in, got, tt.simple)
		}
		if got := canonicalBody(t, true, []byte(tt.in)); got != tt.relaxed {
			t.Errorf("relaxed %q: got %q, want %q", tt.in, got, tt.relaxed)
		}
	}
}

var bhTag = regexp.MustCompile(`bh=([^;]*)`)

// library returns the body hash that go-msgauth computes.
func library(t testing.TB, key ed25519.PrivateKey, form dkim.Canonicalization, body []byte) string {
	t.Helper()
	s, err := dkim.NewSigner(&dkim.SignOptions{Domain: "a.test", Selector: "s", Signer: key, BodyCanonicalization: form})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(append([]byte("From: a@a.test\r\n\r\n"), body...)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return Squeeze(bhTag.FindStringSubmatch(s.Signature())[1])
}

// FuzzBody: both forms are idempotent, independent of how the body is cut into
// pieces, and the same as go-msgauth's. Bare carriage returns have no form that
// anybody agreed on.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"", "\r\n", "a \r\n b\t\t c\r\n\r\n", "\n\n\na", "a\r\r\n \r\n", "x \r\n\r\n \r\n\t\r\n", "\r\n \r\na"} {
		f.Add([]byte(s), uint8(1))
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		bareCR := bytes.Count(in, []byte("\r")) != bytes.Count(in, []byte("\r\n"))
		for relaxed, form := range map[bool]dkim.Canonicalization{false: dkim.CanonicalizationSimple, true: dkim.CanonicalizationRelaxed} {
			once := canonicalBody(t, relaxed, in)
			if twice := canonicalBody(t, relaxed, []byte(once)); twice != once {
				t.Errorf("relaxed %v of %q: %q, then %q", relaxed, in, once, twice)
			}
			if cut := canonicalBody(t, relaxed, slices.Collect(slices.Chunk(in, int(piece)+1))...); cut != once {
				t.Errorf("relaxed %v of %q: %q whole, %q in pieces of %d", relaxed, in, once, cut, int(piece)+1)
			}
			if sum := sha256.Sum256([]byte(once)); !bareCR && base64.StdEncoding.EncodeToString(sum[:]) != library(t, key, form, in) {
				t.Errorf("relaxed %v of %q: %q has another hash in go-msgauth", relaxed, in, once)
			}
		}
	})
}

func TestField(t *testing.T) {
	for _, tt := range []struct{ in, name, simple, relaxed string }{
		{"A: X\r\n", "a", "A: X\r\n", "a:X\r\n"}, // RFC 6376 §3.4.5
		{"B : Y\t\r\n\tZ  \r\n", "b", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"Subject:\r\n", "subject", "Subject:\r\n", "subject:\r\n"},
		{"Subject: \n \n x\n", "subject", "Subject: \n \n x\r\n", "subject:x\r\n"},
		{"X:a\rb", "x", "X:a\rb\r\n", "x:a\rb\r\n"},
		{"no field\r\n", "", "no field\r\n", "no field:\r\n"},
	} {
		f := Field(tt.in)
		if got := string(f.AppendCanonical(nil, false)); got != tt.simple || f.Name() != tt.name {
			t.Errorf("simple %q: got %q and %q", tt.in, got, f.Name())
		}
		if got := string(f.AppendCanonical(nil, true)); got != tt.relaxed {
			t.Errorf("relaxed %q: got %q, want %q", tt.in, got, tt.relaxed)
		}
	}
}

// FuzzFields: no octet of a header is lost or made up, and the relaxed form is
// idempotent.
func FuzzFields(f *testing.F) {
	f.Add([]byte("From: a\r\n b\r\nTo : c\n\r\nbody"))
	f.Add([]byte(" x\r\n:\r\nA:\r b\r\n\t\r\n \r\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		joined := 0
		for _, field := range Fields(in) {
			if !bytes.HasPrefix(in[joined:], field) {
				t.Fatalf("%q is not next in %q", field, in)
			}
			joined += len(field)
			once := field.AppendCanonical(nil, true)
			if twice := Field(once).AppendCanonical(nil, true); !bytes.Equal(once, twice) {
				t.Errorf("%q: %q, then %q", field, once, twice)
			}
			if field.Name() != "" && bytes.Contains(once[:len(once)-2], []byte("\n")) {
				t.Errorf("%q is not unfolded: %q", field, once)
			}
		}
		if rest := in[joined:]; len(rest) > 0 && !isBlank(rest) {
			t.Errorf("%q is left of %q", rest, in)
		}
	})
}

func TestIs(t *testing.T) {
	for _, c := range []struct {
		field Field
		name  string
		is    bool
	}{
		{Field("From: a\r\n"), "from", true},
		{Field("FROM \t: a\r\n"), "from", true},
		{Field("From: a\r\n"), "fro", false},
		{Field("From: a\r\n"), "to", false},
		{Field(" From: a\r\n"), "from", false},
		{Field("From\r\n"), "from", false},
		{Field("\xe2\x84\xaaey: a\r\n"), "key", false}, // U+212A folds to k
		{Field(": a\r\n"), "", true},
	} {
		named := c.field.Named()
		if got := c.field.Is(c.name); got != c.is || named != (c.field.Name() != "") || c.is != (c.field.Name() == c.name) {
			t.Errorf("%q: Is(%q) %v, name %q, a field %v", c.field, c.name, got, c.field.Name(), named)
		}
	}
}

func TestSelect(t *testing.T) {
	fields := Fields([]byte("A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\n\r\n"))
	var got []string
	for _, f := range Select(fields, []string{"a", "C", "A", "a", "x", "b"}) {
		got = append(got, f.Value())
	}
	if want := []string{" 3", " 4", " 1", " 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzDivider: the header ends at the first blank line, however the message is
// cut, and the rest is the body.
func FuzzDivider(f *testing.F) {
	f.Add([]byte("A: b\r\n\r\nbody\r\n\r\n"), uint8(0))
	f.Add([]byte("\r\nbody"), uint8(1))
	f.Add([]byte("A: b\r\r\n\r\r\n\n\n"), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		var body bytes.Buffer
		d := Divider{Body: func([]byte) io.Writer { return &body }}
		for p := range slices.Chunk(in, int(piece)+1) {
			if _, err := d.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if whole := string(d.Header()) + body.String(); whole != string(in) {
			t.Errorf("%q became %q", in, whole)
		}
		blank := regexp.MustCompile(`(?:^|\n)\r?\n`).FindIndex(in)
		want := len(in)
		if blank != nil {
			want = blank[1]
		}
		if len(d.Header()) != want {
			t.Errorf("%q: header %q", in, d.Header())
		}
	})
}

func TestDividerLimit(t *testing.T) {
	d := Divider{Body: func([]byte) io.Writer { t.Error("a body after a header without end"); return nil }}
	for range 1000 {
		_, _ = d.Write(bytes.Repeat([]byte("X: y\r\n"), 1000)) // never fails without a body
	}
	if err := d.Close(); !errors.Is(err, ErrHeader) || len(d.Header()) > 0 {
		t.Errorf("%v, %d octets kept", err, len(d.Header()))
	}
}

func TestParseTags(t *testing.T) {
	for in, want := range map[string]string{
		"a=1; b = 2 3\r\n\t4 ;c=": "map[a:1 b:2 3\r\n\t4 c:]",
		" a=1;\r\n ":              "map[a:1]",
		"a=b=c":                   "map[a:b=c]",
		"a_1=x":                   "map[a_1:x]",
		"":                        "map[]",
		"a=1;;b=2":                "",
		";a=1":                    "",
		"a=1;a=2":                 "",
		"a":                       "",
		"1a=2":                    "",
		"a b=2":                   "",
		"=2":                      "",
		"a=1; b":                  "",
	} {
		tags, err := ParseTags(in)
		if want == "" != (err != nil) || err == nil && fmt.Sprint(tags) != want {
			t.Errorf("%q: %v, %v", in, tags, err)
		}
	}
}

func TestWithoutSignature(t *testing.T) {
	for in, want := range map[string]string{
		"S: a=1; b=xyz\r\n\t/+==; bh=b=\r\n": "S: a=1; b=; bh=b=\r\n",
		"S: b=xyz\r\n":                       "S: b=\r\n",
		"S:\r\n b =\r\n xyz":                 "S:\r\n b =\r\n",
		"S: xb=1;h=b\r\n":                    "S: xb=1;h=b\r\n",
	} {
		if got := string(Field(in).WithoutSignature()); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzCompose: what is composed can be read, in lines that every server takes,
// and signing changes nothing but b=.
func FuzzCompose(f *testing.F) {
	f.Add("from:to:subject", "c2lnbmF0dXJl")
	f.Add(strings.Repeat("content-transfer-encoding:", 20)+"x", strings.Repeat("abcd", 200))
	f.Fuzz(func(t *testing.T, h, b string) {
		for _, s := range []string{h, b} {
			if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' }) {
				t.Skip()
			}
		}
		composed := Compose("DKIM-Signature", []Tag{{"v", "1"}, {"h", h}, {"c", "relaxed/relaxed"}})
		signed := composed.Sign(b)
		tags, err := ParseTags(signed.Value())
		if err != nil || Squeeze(tags["h"]) != h || Squeeze(tags["b"]) != b || len(tags) != 4 {
			t.Errorf("%q: %v, %v", signed, tags, err)
		}
		if bare := signed.WithoutSignature(); !bytes.Equal(bare, composed) {
			t.Errorf("%q, unsigned %q", composed, bare)
		}
		longest := 0
		for name := range strings.SplitSeq(h, ":") {
			longest = max(longest, len(name))
		}
		for line := range strings.SplitSeq(string(signed), "\r\n") {
			if len(line) > max(78, longest+20) {
				t.Errorf("line of %d octets: %q", len(line), line)
			}
		}
	})
}

func TestParseKey(t *testing.T) {
	rsaKey := func(bits uint, e int) string {
		n := new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)
		return base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: n, E: e}))
	}
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := base64.StdEncoding.EncodeToString(pub)
	ok := errors.New("")
	for _, tt := range []struct {
		record string
		want   error
	}{
		{"v=DKIM1; k=rsa; p=" + rsaKey(2048, 65537), ok},
		{"p=" + rsaKey(1024, 3), ok},
		{"v=DKIM1; h=sha1:sha256; s=*; t=y:s; n=a note; p=" + rsaKey(4096, 65537), ok},
		{" v=DKIM1; k=ed25519; p=" + ed[:10] + " \t" + ed[10:], ok},
		{"p=" + rsaKey(512, 65537), errSize},
		{"p=" + rsaKey(4097, 65537), errSize},
		{"p=" + rsaKey(16384, 65537), errSize},
		{"p=" + strings.Repeat("A", maxRecord), errSize},
		{"v=DKIM1; p=", errRevoked},
		{"v=DKIM1", errKey},
		{"v=DKIM2; p=" + rsaKey(2048, 65537), errKey},
		{"p=" + rsaKey(2048, 65537) + "; v=DKIM1", errKey},
		{"s=tlsrpt; p=" + rsaKey(2048, 65537), errKey},
		{"k=ed25519; p=" + ed[4:], errKey},
		{"k=ed25519; p=" + rsaKey(2048, 65537), errKey},
		{"p=" + ed, errKey},
		{"k=dsa; p=" + ed, errAlgorithm},
		{"p=%%%", errKey},
		{"v=spf1 -all", errKey},
		{"", errKey},
	} {
		if _, err := ParseKey(tt.record); !errors.Is(err, tt.want) && (tt.want != ok || err != nil) {
			t.Errorf("%.60q: %v, want %v", tt.record, err, tt.want)
		}
	}
	k, err := ParseKey("h=sha1; k=ed25519; p=" + ed)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Verify(Ed25519, make([]byte, 32), "AAAA"); !errors.Is(err, errAlgorithm) {
		t.Errorf("a key for sha1 only: %v", err)
	}
}

func TestLookUp(t *testing.T) {
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := "k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)
	for _, tt := range []struct {
		txt  []string
		err  error
		want string
	}{
		{[]string{"unrelated", good}, nil, ""},
		{nil, nil, errNoKey.Error()},
		{nil, &net.DNSError{IsNotFound: true}, errNoKey.Error()},
		{nil, &net.DNSError{IsTimeout: true}, ErrTemporary.Error()},
		{nil, errors.New("never seen before"), ErrTemporary.Error()},
		{nil, context.DeadlineExceeded, ErrTemporary.Error()},
	} {
		_, err := LookUp(t.Context(), func(context.Context, string) ([]string, error) { return tt.txt, tt.err }, "s._domainkey.a.test")
		if tt.want == "" != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q, %v: %v", tt.txt, tt.err, err)
		}
	}
}

func TestKeyName(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"Example.ORG", "Sel.a"}:               "sel.a._domainkey.example.org",
		{"例え.jp", "s"}:                         "s._domainkey.xn--r8jz45g.jp",
		{"a_b.test", "s_1"}:                    "s_1._domainkey.a_b.test",
		{"a..test", "s"}:                       "",
		{"a.test.", "s"}:                       "",
		{"", "s"}:                              "",
		{"a.test", ""}:                         "",
		{"a.test", "*"}:                        "",
		{"a test", "s"}:                        "",
		{"\xff.test", "s"}:                     "",
		{strings.Repeat("a.", 130) + "a", "s"}: "",
	} {
		if name, _, err := KeyName(in[0], in[1]); name != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, name, err)
		}
	}
}

func BenchmarkBody(b *testing.B) {
	text := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and it does so again.\r\n", 1000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		body := NewBody(io.Discard, true)
		_, _ = body.Write(text)
		_ = body.Close()
	}
}

// BenchmarkBlankLines must take memory for none of them.
func BenchmarkBlankLines(b *testing.B) {
	text := bytes.Repeat([]byte(" \r\n"), 1<<20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		body := NewBody(io.Discard, true)
		_, _ = body.Write(text)
		_ = body.Close()
	}
}
