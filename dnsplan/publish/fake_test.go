package publish

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// fake is a provider's HTTP interface: a client whose requests all go there,
// and fails the test if they were meant for another host.
func fake(t *testing.T, host string, h http.Handler) *http.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != host || r.URL.Scheme != "https" {
			t.Errorf("asked %s, not https://%s", r.URL, host)
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = to.Scheme, to.Host
		return http.DefaultTransport.RoundTrip(r)
	})}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
