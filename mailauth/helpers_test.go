package mailauth

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"homemail/mail"
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
