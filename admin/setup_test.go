package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"homemail/internal/mailtest"
	"homemail/store"
)

// roundTrip is a provider's API in a function.
type roundTrip func(*http.Request) (int, string, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	code, body, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestRegister(t *testing.T) {
	unreachable := &net.OpError{Op: "dial", Err: errors.New("no route to host")}
	for _, tt := range []struct {
		name      string
		get, post int
		down      error
		want      error // nil: it is ours
		posts     int
	}{
		{"taro.dedyn.io", 404, 201, nil, nil, 1},
		{"Taro.dedyn.io", 200, 500, nil, nil, 0}, // since a try that was cut short
		{"taro.dedyn.io", 404, 400, nil, ErrNameTaken, 1},
		{"taro.dedyn.io", 404, 409, nil, ErrNameTaken, 1},
		{"taro.dedyn.io", 401, 201, nil, ErrToken, 0},
		{"taro.dedyn.io", 404, 403, nil, ErrToken, 1},
		{"taro.dedyn.io", 0, 0, unreachable, unreachable, 0},
		{"taro.example.org", 404, 201, nil, store.ErrInvalid, 0},
		{"a.b.dedyn.io", 404, 201, nil, store.ErrInvalid, 0},
		{"dedyn.io", 404, 201, nil, store.ErrInvalid, 0},
	} {
		posts := 0
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (int, string, error) {
			if r.Header.Get("Authorization") != "Token secret" || r.URL.Host != "desec.io" || r.URL.Scheme != "https" {
				t.Errorf("%s %s", r.URL, r.Header)
			}
			if tt.down != nil {
				return 0, "", tt.down
			}
			if r.Method == http.MethodGet {
				return tt.get, "{}", nil
			}
			posts++
			return tt.post, `{"name":["taken"]}`, nil
		})}
		err := register(context.Background(), client, RegisterName{Name: tt.name, Token: " secret\n"})
		if !errors.Is(err, tt.want) || tt.want == nil && err != nil || posts != tt.posts {
			t.Errorf("%+v: %v after %d posts", tt, err, posts)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Error("the token is in the error:", err)
		}
	}
}

func TestAlert(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.AddDomain("example.org"); err != nil {
		t.Fatal(err)
	}
	h := &House{Store: s}
	set := setupOperations()["alert.set"]
	for request, ok := range map[string]bool{`{"address":"me@example.net"}`: true, `{"address":"me@example.org"}`: false, `{"address":"nobody"}`: false, `{"adress":""}`: false} {
		if _, err := set(t.Context(), h, []byte(request)); (err == nil) != ok {
			t.Errorf("%s: %v", request, err)
		}
	}
	if a, err := h.AlertAddress(); a != "me@example.net" || err != nil {
		t.Errorf("%q %v", a, err)
	}
	if _, err := set(t.Context(), h, []byte(`{"address":""}`)); err != nil {
		t.Error(err)
	}
	if a, err := h.AlertAddress(); a != "" || err != nil {
		t.Errorf("%q %v", a, err)
	}
}

// A domain whose zone nobody finds is not registered, as a misspelt one.
func TestLookDomain(t *testing.T) {
	for domain, tt := range map[string]struct {
		zone mailtest.Zone
		want bool
	}{
		"example.org":      {mailtest.Zone{"NS example.org": {"ns1.example.net."}, "A ns1.example.net": {"192.0.2.53"}}, true},
		"mail.example.org": {mailtest.Zone{"NS example.org": {"ns1.example.net."}, "A ns1.example.net": {"192.0.2.53"}}, true},
		"exmaple.org":      {mailtest.Zone{"NS org": {"a0.example.net."}}, false},
		"nothing.example":  {mailtest.Zone{}, false},
	} {
		h := &House{DNS: mailtest.NewCounted(tt.zone).Resolver}
		got, err := h.lookDomain(t.Context(), Domain{domain})
		if err != nil || got.Registered != tt.want {
			t.Errorf("%s: %+v, %v; want registered %v", domain, got, err, tt.want)
		}
	}
}
