package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"homemail/admin"
	"homemail/dnsplan/publish"
	"homemail/outbound"
	"homemail/relay"
	"homemail/resolver"
	"homemail/store"
	"homemail/zones"
)

// gandiSet is a set of records as Gandi's LiveDNS has it.
type gandiSet struct {
	Name   string   `json:"rrset_name"`
	Type   string   `json:"rrset_type"`
	TTL    int      `json:"rrset_ttl"`
	Values []string `json:"rrset_values"`
}

// A fakeGandi is a zone there.
type fakeGandi struct {
	mu     sync.Mutex
	sets   []gandiSet
	left   int    // writes that it takes before it fails; -1 for all
	meddle func() // before the next but one read
	reads  int
}

func (g *fakeGandi) put(s gandiSet) {
	g.sets = slices.DeleteFunc(g.sets, func(o gandiSet) bool { return o.Name == s.Name && o.Type == s.Type })
	if len(s.Values) > 0 {
		g.sets = append(g.sets, s)
	}
}

func (g *fakeGandi) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	g.serve(w, r)
	return w.Result(), nil
}

func (g *fakeGandi) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/v5/livedns/domains/example.org/records")
	switch part := strings.Split(path, "/"); {
	case !ok || r.Header.Get("Authorization") != "Bearer t0ken":
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no such token")
	case r.Method == http.MethodGet:
		if g.reads++; g.reads == 2 && g.meddle != nil {
			g.meddle()
			g.meddle = nil
		}
		json.NewEncoder(w).Encode(g.sets)
	case len(part) != 3 || g.left == 0:
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "out of order")
	default:
		g.left--
		s := gandiSet{Name: part[1], Type: part[2]}
		if r.Method == http.MethodPut && json.NewDecoder(r.Body).Decode(&s) == nil {
			s.Name, s.Type = part[1], part[2]
		}
		g.put(s)
		w.WriteHeader(http.StatusCreated)
	}
}

// nowhere is a DNS that has nothing.
type nowhere struct{}

var errNowhere = &net.DNSError{Err: "no such host", IsNotFound: true}

func (nowhere) Records(_ context.Context, name, _ string) (resolver.Answer[string], error) {
	return resolver.Answer[string]{Name: name}, errNowhere
}

func (nowhere) Ask(_ context.Context, _ netip.AddrPort, name, _ string) (resolver.Answer[string], error) {
	return resolver.Answer[string]{Name: name}, errNowhere
}

func (nowhere) IP(context.Context, string) (resolver.Answer[netip.Addr], error) {
	return resolver.Answer[netip.Addr]{}, errNowhere
}

func (nowhere) Flush(string) {}

// serveAdmin answers an owner's commands for a house whose DNS provider is fake.
func serveAdmin(t *testing.T, g *fakeGandi) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := store.Open(dir, store.Options{Log: quietLog(io.Discard), Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	book, err := outbound.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddDomain("example.org"); err != nil {
		t.Fatal(err)
	}
	if err := book.SetRoute("", relay.Route{Way: relay.Direct}); err != nil {
		t.Fatal(err)
	}
	l, err := admin.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := &admin.House{Store: s, Book: book, Keys: outbound.NewKeyring(s), DNS: nowhere{}, Host: "mail.example.org",
		Publishing: &admin.Publishing{
			Zones:     zones.New(s, &http.Client{Transport: g}),
			Publisher: publish.New(publish.Options{Store: s, NotFound: store.ErrNotFound}),
		}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.Serve(ctx, l) }()
	t.Cleanup(func() { stop(); <-done })
	return dir
}

// has fails the test unless text has all of the words.
func has(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("there is no %q in\n%s", w, text)
		}
	}
}

// TestPush pushes to a provider that fails half way, and to one whose zone
// changes meanwhile.
func TestPush(t *testing.T) {
	g := &fakeGandi{left: -1, sets: []gandiSet{{"@", "MX", 3600, []string{"5 mx.mailhost.example."}}, {"www", "A", 900, []string{"198.51.100.80"}}}}
	dir := "-data=" + serveAdmin(t, g)
	fails := func(stdin string, args ...string) string {
		t.Helper()
		out, code := homemail(t, stdin, append(args, dir)...)
		if code != 1 {
			t.Fatalf("homemail %q: exit %d\n%s", args, code, out)
		}
		return out
	}
	has(t, fails("", "dns", "push", "example.org", "-ip=203.0.113.5"), "no DNS provider is set")
	var plan admin.DNSPlan
	if out := must(t, "dns", "example.org", "-zone", "-json", "-ip=203.0.113.5", dir); json.NewDecoder(strings.NewReader(out)).Decode(&plan) != nil || !strings.Contains(plan.Zone, "203.0.113.5") {
		t.Errorf("-json of a zone file:\n%s", out)
	}
	has(t, fails("token=wrong", "dns", "provider", "set", "example.org", "gandi"), "nothing was kept", "does not accept the credentials", "no such token")
	has(t, fails("t0ken", "dns", "provider", "set", "example.org", "gandi"), "line 1 of the credentials is not name=value")
	has(t, fails("", "dns", "provider", "set", "example.org", "gnadi"), "known are", "gandi")
	if out, code := homemail(t, "token=t0ken\n", "dns", "provider", "set", "example.org", "gandi", dir); code != 0 {
		t.Fatal(out)
	}
	has(t, must(t, "dns", "provider", "list", dir), "example.org", "gandi", "changed only when you say so")

	g.left = 0
	has(t, must(t, "dns", "push", "example.org", "-ip=203.0.113.5", "-json", dir), `"203.0.113.5"`)
	has(t, fails("\n", "dns", "push", "example.org", "-ip=203.0.113.5"), "+ mail.example.org A 203.0.113.5", "nothing was changed")
	g.left = 2
	has(t, fails("", "dns", "push", "example.org", "-ip=203.0.113.5", "-yes"), "Done: mail.example.org A, ", "Not done: ", "_dmarc.example.org TXT", "out of order", "to do the same again is safe")
	g.left = -1
	g.reads, g.meddle = 0, func() { g.put(gandiSet{"_dmarc", "TXT", 900, []string{`"v=DMARC1; p=reject"`}}) }
	out := must(t, "dns", "push", "example.org", "-ip=203.0.113.5", "-yes", dir)
	has(t, out, "planning again", "All records are as planned.")
	has(t, must(t, "dns", "push", "example.org", "-ip=203.0.113.5", dir), "Nothing has to be changed.")

	has(t, fails("", "dns", "mx", "switch", "example.org", "-yes"), "before the house is ready", "mail.example.org")
	has(t, must(t, "dns", "mx", "switch", "example.org", "-yes", "-force", dir), "- example.org MX 5 mx.mailhost.example", "+ example.org MX 10 mail.example.org")
	has(t, must(t, "dns", "mx", "show", "example.org", dir), "before: 5 mx.mailhost.example (until ")
	has(t, must(t, "dns", "mx", "restore", "example.org", "-yes", dir), "+ example.org MX 5 mx.mailhost.example")
	for _, s := range g.sets {
		if s.Type == "MX" && !slices.Equal(s.Values, []string{"5 mx.mailhost.example."}) || s.Name == "www" && (s.TTL != 900 || s.Values[0] != "198.51.100.80") {
			t.Errorf("%+v", s)
		}
	}
}

// TestDyndnsCommands keeps a name, and never shows its password.
func TestDyndnsCommands(t *testing.T) {
	dir := "-data=" + serveAdmin(t, &fakeGandi{})
	if out, code := homemail(t, "s3cret-pass\n", "dyndns", "add", "home.example.net", "dynu", "anna", dir); code != 0 {
		t.Fatal(out)
	}
	for _, args := range [][]string{{"dyndns", "list", dir}, {"dyndns", "list", dir, "-json"}} {
		out := must(t, args...)
		has(t, out, "home.example.net", "dynu", "anna")
		if strings.Contains(out, "s3cret") {
			t.Errorf("shown:\n%s", out)
		}
	}
	if out, code := homemail(t, "x\n", "dyndns", "add", "home.example.net", "dynuu", "anna", dir); code != 1 || !strings.Contains(out, "known are dedyn") {
		t.Errorf("%d %s", code, out)
	}
	must(t, "dyndns", "remove", "home.example.net", dir)
	if out := must(t, "dyndns", "list", dir); strings.Contains(out, "home") {
		t.Errorf("still listed:\n%s", out)
	}
	out, code := homemail(t, "", "dns", "provider", dir)
	if has(t, out, "dns provider set"); code != 2 {
		t.Errorf("exit %d", code)
	}
	for _, args := range [][]string{{"dns", "providers"}, {"dns", "providers", "-lang=ja"}} {
		has(t, must(t, args...), "cloudflare", "token=", "https://")
	}
}
