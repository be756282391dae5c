package mailauth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/netip"
	"testing"

	"homemail/internal/mailtest"
	"homemail/mail"
	"homemail/mailauth/rfc6376"
	"homemail/resolver"
)

// Who can be asked.
var (
	_ Resolver = net.DefaultResolver
	_ Resolver = (*resolver.Resolver)(nil)
	_ Resolver = mailtest.Zone{}
)

// silent is a resolver that never answers.
type silent struct{}

func (silent) wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (s silent) LookupTXT(ctx context.Context, _ string) ([]string, error) { return nil, s.wait(ctx) }
func (s silent) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) { return nil, s.wait(ctx) }
func (s silent) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	return nil, s.wait(ctx)
}
func (s silent) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	return nil, s.wait(ctx)
}

// remote is where the mail of the tests comes from.
var remote = netip.MustParseAddr("192.0.2.1")

// judgeText judges a message that comes from remote.
func judgeText(t testing.TB, o Options, from mail.Path, text string) mail.Verdict {
	t.Helper()
	o.Host = "mx.example.test"
	k := New(o).Begin(t.Context(), Origin{Remote: remote, Helo: "helo.test", From: from})
	defer k.Close()
	for b := []byte(text); len(b) > 0; {
		n := min(len(b), 777)
		k.Write(b[:n])
		b = b[n:]
	}
	return k.Verdict()
}

// signMessage signs From for example.org with the key that testdata/01-all-pass.dns has.
func signMessage(t testing.TB, header, body string, more ...rfc6376.Tag) string {
	t.Helper()
	block, _ := pem.Decode(readFile(t, "dkim/testdata/rsa.pem"))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	b := rfc6376.NewBody(hash, true)
	b.Write([]byte(body))
	b.Close()
	f := rfc6376.Compose("DKIM-Signature", append([]rfc6376.Tag{{Name: "v", Value: "1"}, {Name: "a", Value: "rsa-sha256"},
		{Name: "c", Value: "relaxed/relaxed"}, {Name: "d", Value: "example.org"}, {Name: "s", Value: "s1"},
		{Name: "h", Value: "From"}, {Name: "bh", Value: base64.StdEncoding.EncodeToString(hash.Sum(nil))}}, more...))
	signed := rfc6376.Select(rfc6376.Fields([]byte(header)), []string{"From"})
	sig, err := rfc6376.Sign(key, rfc6376.Digest(signed, f, true))
	if err != nil {
		t.Fatal(err)
	}
	return string(f.Sign(sig)) + header + body
}
