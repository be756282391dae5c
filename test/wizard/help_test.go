package wizard

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
)

func copyAll(to io.Writer, from io.Reader) (int64, error) { return io.Copy(to, from) }

// cookies are what a visitor would send.
func cookies(v *visitor) (list []string) {
	u, err := url.Parse(v.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.Jar.Cookies(u) {
		list = append(list, c.Name+"="+c.Value)
	}
	return list
}

type recorder = httptest.ResponseRecorder

func newRecorder() *recorder { return httptest.NewRecorder() }

// withLocal is the context of a connection to an address of ours.
func withLocal(ctx context.Context, at netip.AddrPort) context.Context {
	return context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(net.TCPAddrFromAddrPort(at)))
}
