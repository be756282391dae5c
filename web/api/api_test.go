package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"homemail/admin"
	"homemail/internal/storetest"
	"homemail/queue"
	"homemail/signin"
	"homemail/store"
	"homemail/words"
)

// A fakeHouse answers each operation as a test says.
type fakeHouse func(ctx context.Context, operation string, request json.RawMessage) (any, error)

func (f fakeHouse) Do(ctx context.Context, operation string, request json.RawMessage) (any, error) {
	return f(ctx, operation, request)
}

// fakeTokens are tokens by their scope: "hm_read" may read.
type fakeTokens struct{}

func (fakeTokens) Use(secret string, _ netip.Addr) (admin.Token, error) {
	scope, ok := strings.CutPrefix(secret, "hm_")
	if !ok || scope == "" || scope == "wrong" {
		return admin.Token{}, admin.ErrNoToken
	}
	if scope == "broken" {
		return admin.Token{}, store.ErrBroken
	}
	return admin.Token{Name: "test", Scopes: []admin.Scope{admin.Scope(scope)}}, nil
}

func newAPI(t testing.TB, house fakeHouse) *API {
	t.Helper()
	if house == nil {
		house = func(context.Context, string, json.RawMessage) (any, error) { return admin.Empty{}, nil }
	}
	figures := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
	a, err := New(Options{
		House: house, Tokens: fakeTokens{}, Metrics: figures, Log: slog.New(slog.DiscardHandler),
		Hosts: func() []string { return []string{"Mail.Example.Test", ""} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A call is a request; what is not said is as it should be.
type call struct {
	method, host, path, token, kind, body, from string

	plain  bool
	header http.Header
}

func (c call) on(h http.Handler) *httptest.ResponseRecorder {
	or := func(s *string, otherwise string) {
		if *s == "" {
			*s = otherwise
		}
	}
	or(&c.method, "POST")
	or(&c.host, "mail.example.test")
	or(&c.path, "/api/v1/status")
	or(&c.token, "hm_all")
	or(&c.kind, "application/json")
	or(&c.from, "192.168.1.5:4711")
	r := httptest.NewRequest(c.method, "https://"+c.host+c.path, strings.NewReader(c.body))
	r.RemoteAddr = c.from
	if c.header != nil {
		r.Header = c.header
	}
	if c.token != "-" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	r.Header.Set("Content-Type", c.kind)
	r.TLS = &tls.ConnectionState{}
	if c.plain {
		r.TLS = nil
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// expect holds an answer to a failure, the zero one being none.
func expect(t *testing.T, name string, w *httptest.ResponseRecorder, want failure) {
	t.Helper()
	if want.status == 0 {
		want.status = http.StatusOK
	}
	var f Failed
	_ = json.Unmarshal(w.Body.Bytes(), &f)
	if w.Code != want.status || f.Code != want.code || (want.code != "") != (f.Error != "") {
		t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, want.status, want.code)
	}
	if w.Header().Get("Set-Cookie") != "" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s: headers %v", name, w.Header())
	}
}

func TestRequests(t *testing.T) {
	a := newAPI(t, nil)
	for _, tt := range []struct {
		name string
		call call
		want failure
	}{
		{"as it should be", call{body: "{}"}, failure{}},
		{"no body", call{kind: "text/plain"}, failure{}},
		{"a charset", call{kind: "application/json; charset=utf-8", body: "{}"}, failure{}},
		{"scope read", call{token: "hm_read"}, failure{}},
		{"by address", call{host: "192.168.1.2"}, failure{}},
		{"by address and port", call{host: "[fd00::1]:8443"}, failure{}},
		{"by localhost", call{host: "localhost:2443"}, failure{}},
		{"with a dot", call{host: "MAIL.example.test."}, failure{}},

		{"without TLS", call{plain: true}, insecure},
		{"another host", call{host: "evil.example"}, misdirected},
		{"from outside", call{from: "198.51.100.7:1"}, outside},
		{"from nowhere", call{from: "@"}, outside},
		{"from outside, mapped", call{from: "[::ffff:198.51.100.7]:1"}, outside},
		{"says it is from inside", call{from: "198.51.100.7:1", header: http.Header{"X-Forwarded-For": {"192.168.1.5"}, "Forwarded": {"for=192.168.1.5"}}}, outside},
		{"no token", call{token: "-"}, noToken},
		{"a wrong token", call{token: "hm_wrong"}, noToken},
		{"a cookie", call{token: "-", header: http.Header{"Cookie": {"token=hm_all"}}}, noToken},
		{"basic", call{token: "-", header: http.Header{"Authorization": {"Basic aG06aG1fYWxs"}}}, noToken},
		{"in the URL", call{token: "-", path: "/api/v1/status?access_token=hm_all&token=hm_all"}, noToken},
		{"two tokens", call{token: "-", header: http.Header{"Authorization": {"Bearer hm_all", "Bearer hm_read"}}}, noToken},
		{"the store is broken", call{token: "hm_broken"}, unavailable},

		{"no verb", call{path: "/api/v1/account.burn"}, noVerb},
		{"no verb at all", call{path: "/api/v1/"}, noVerb},
		{"another version", call{path: "/api/v2/status"}, noVerb},
		{"verbs are told with a token only", call{path: "/api/v1/account.burn", token: "-"}, noToken},
		{"GET", call{method: "GET"}, badMethod},
		{"OPTIONS", call{method: "OPTIONS"}, badMethod},
		{"another scope", call{path: "/api/v1/account.add", token: "hm_mail"}, badScope},
		{"scope read changes", call{path: "/api/v1/account.add", token: "hm_read"}, badScope},
		{"never by token", call{path: "/api/v1/token.add"}, badScope},
		{"owner.reset", call{path: "/api/v1/owner.reset"}, badScope},
		{"a form", call{kind: "application/x-www-form-urlencoded", body: "{}"}, mediaType},
		{"text", call{kind: "text/plain", body: "{}"}, mediaType},

		{"no JSON", call{body: "{"}, badRequest},
		{"a list", call{path: "/api/v1/account.add", body: "[]"}, badRequest},
		{"two values", call{body: "{}{}"}, badRequest},
		{"an unknown field", call{path: "/api/v1/account.add", body: `{"address":"a@b.test","admin":true}`}, badRequest},
		{"a wrong type", call{path: "/api/v1/account.add", body: `{"address":7}`}, badRequest},
		{"a password", call{path: "/api/v1/account.change", body: `{"address":"a@b.test","password":"long enough, is it not"}`}, badScope},
		{"too long", call{path: "/api/v1/account.add", body: `{"name":"` + strings.Repeat("x", bodyMax) + `"}`}, tooLarge},

		{"the document", call{method: "GET", path: "/api/v1/openapi.json", token: "-"}, failure{}},
		{"the document by POST", call{path: "/api/v1/openapi.json"}, badMethod},
		{"the document from outside", call{method: "GET", path: "/api/v1/openapi.json", from: "198.51.100.7:1"}, outside},
		{"figures", call{method: "GET", path: "/metrics", token: "hm_read"}, failure{}},
		{"figures for Prometheus", call{method: "GET", path: "/metrics", token: "hm_metrics"}, failure{}},
		{"figures for others", call{method: "GET", path: "/metrics", token: "hm_people"}, badScope},
		{"figures for nobody", call{method: "GET", path: "/metrics", token: "-"}, noToken},
		{"figures by POST", call{path: "/metrics"}, badMethod},
		{"what is for figures reads nothing else", call{token: "hm_metrics"}, badScope},
	} {
		expect(t, tt.name, tt.call.on(a), tt.want)
		a.guesses = guesses{}
	}
}

func TestOver(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := newAPI(t, nil).Over(next)
	for path, want := range map[string]int{"/": 418, "/api": 418, "/apis/": 418, "/metrics/": 418, "/metrics": 200, "/api/v1/openapi.json": 200, "/api/x": 404} {
		if got := (call{method: "GET", path: path}).on(h).Code; got != want {
			t.Errorf("%s: %d", path, got)
		}
	}
}

// TestFailures: what an operation says is told as it is, with the right status.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want failure
	}{
		{words.Because(store.ErrInvalid, "admin.not-ours", "domain", "example.test"), impossible},
		{fmt.Errorf("anna@example.test: %w", store.ErrNotFound), notFound},
		{fmt.Errorf("anna@example.test: %w", store.ErrExists), exists},
		{admin.ErrNameTaken, exists},
		{fmt.Errorf("%w: a quota is not negative", store.ErrInvalid), impossible},
		{signin.ErrDenied, impossible},
		{queue.ErrBusy, busy},
		{fmt.Errorf("commit: %w", store.ErrDiskFull), unavailable},
		{store.ErrBroken, unavailable},
		{signin.ErrBusy, unavailable},
		{context.DeadlineExceeded, unavailable},
		{errors.New("somebody else's words"), failed},
	} {
		a := newAPI(t, func(context.Context, string, json.RawMessage) (any, error) { return nil, tt.err })
		w := call{}.on(a)
		expect(t, tt.err.Error(), w, tt.want)
		var f Failed
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Error != tt.err.Error() {
			t.Errorf("%v became %q", tt.err, f.Error)
		}
		if reason, _ := words.Of(tt.err); f.Reason != reason {
			t.Errorf("%v has the reason %q, want %q", tt.err, f.Reason, reason)
		}
		if (w.Header().Get("Retry-After") != "") != (tt.want == unavailable) {
			t.Errorf("%v: Retry-After %q", tt.err, w.Header().Get("Retry-After"))
		}
	}
}

// TestDo: an operation gets what was sent, and who asks is noted.
func TestDo(t *testing.T) {
	var got string
	a := newAPI(t, func(ctx context.Context, operation string, request json.RawMessage) (any, error) {
		got = operation + " " + string(request)
		if _, ok := ctx.Deadline(); !ok {
			t.Error("it may take for ever")
		}
		return []admin.Alias(nil), nil
	})
	w := call{path: "/api/v1/alias.list", body: " {} "}.on(a)
	if got != "alias.list  {} " || w.Body.String() != "[]\n" {
		t.Errorf("asked %q, answered %q", got, w.Body)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
}

func TestAtOnce(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	a := newAPI(t, func(context.Context, string, json.RawMessage) (any, error) {
		enter <- struct{}{}
		<-leave
		return admin.Empty{}, nil
	})
	done := make(chan int, atOnce)
	for range atOnce {
		go func() { done <- call{}.on(a).Code }()
		<-enter
	}
	expect(t, "one more", call{}.on(a), unavailable)
	close(leave)
	for range atOnce {
		if code := <-done; code != http.StatusOK {
			t.Error(code)
		}
	}
}

// TestGuesses: who sends wrong tokens has to wait; others do not.
func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		a := newAPI(t, nil)
		a.o.Refused = func(netip.Addr) { told++ }
		wrong := call{token: "hm_wrong"}
		for range guessesAtOnce {
			expect(t, "a guess", wrong.on(a), noToken)
		}
		w := wrong.on(a)
		expect(t, "one guess more", w, slowDown)
		if w.Header().Get("Retry-After") != "6" || told != guessesAtOnce {
			t.Errorf("Retry-After %q, %d told", w.Header().Get("Retry-After"), told)
		}
		expect(t, "a right one from there", call{}.on(a), slowDown)
		expect(t, "one from elsewhere", call{from: "192.168.1.6:1"}.on(a), failure{})
		time.Sleep(guessEvery)
		expect(t, "a right one later", call{}.on(a), failure{})
		expect(t, "a guess later", wrong.on(a), noToken)
		expect(t, "and another", wrong.on(a), slowDown)
		time.Sleep(guessesAtOnce * guessEvery)
		for range guessesAtOnce {
			expect(t, "much later", wrong.on(a), noToken)
		}
	})
}

func TestGuessersAreBounded(t *testing.T) {
	var g guesses
	now := time.Now()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range 3 * guessersMax {
		g.wrong(at(i), now)
	}
	if len(g.of) > guessersMax {
		t.Errorf("%d are remembered", len(g.of))
	}
	g.wrong(netip.MustParseAddr("192.168.1.5"), now.Add(time.Hour))
	if len(g.of) != 1 {
		t.Errorf("%d are remembered for nothing", len(g.of))
	}
	for a, want := range map[string]string{"2001:db8::1": "2001:db8::/64", "fe80::1": "fe80::1/128", "fd00::1": "fd00::1/128", "198.51.100.7": "198.51.100.7/32"} {
		if got := guesser(netip.MustParseAddr(a)).String(); got != want {
			t.Errorf("%s: %s", a, got)
		}
	}
}

// TestHouse asks a real house through a real connection.
func TestHouse(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	tokens := admin.NewTokens(s)
	made, err := tokens.Add(admin.AddToken{Name: "script", Scopes: []admin.Scope{admin.ScopePeople}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{House: &admin.House{Store: s}, Tokens: tokens, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(a)
	defer server.Close()
	ask := func(verb, body string) (int, string) {
		r, err := http.NewRequest("POST", server.URL+"/api/v1/"+verb, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+made.Secret)
		r.Header.Set("Content-Type", "application/json")
		w, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		b, _ := io.ReadAll(w.Body)
		return w.StatusCode, string(b)
	}
	for _, tt := range []struct {
		verb, body string
		want       int
		has        string
	}{
		{"account.add", `{"address":"anna@example.test","name":"Anna"}`, 200, `"address":"anna@example.test"`},
		{"account.add", `{"address":"anna@example.test"}`, 409, "exists"},
		{"account.add", `{"address":"anna@elsewhere.test"}`, 422, `"code":"impossible","reason":"admin.`},
		{"account.list", ``, 200, `"name":"Anna"`},
		{"device.add", `{"address":"anna@example.test","name":"Phone"}`, 200, `"password":"`},
		{"device.revoke", `{"address":"anna@example.test","device":"Phone"}`, 200, `{}`},
		{"device.revoke", `{"address":"anna@example.test","device":"Phone"}`, 404, "not found"},
		{"account.remove", `{"address":"bert@example.test"}`, 404, "not found"},
		{"queue.list", ``, 403, "scope"},
	} {
		if code, body := ask(tt.verb, tt.body); code != tt.want || !strings.Contains(body, tt.has) {
			t.Errorf("%s %s: %d %s", tt.verb, tt.body, code, body)
		}
	}
	if err := tokens.Remove("script"); err != nil {
		t.Fatal(err)
	}
	if code, _ := ask("account.list", ""); code != 401 {
		t.Errorf("a token that was taken back: %d", code)
	}
}

// FuzzRequest: whatever is sent, the answer is JSON, and a house is asked only
// what its own types take.
func FuzzRequest(f *testing.F) {
	for _, body := range []string{"", "{}", "null", "[]", `{"address":"a@b.test"}`, `{"address":1}`, `{"x":1}`, `{"address":"a"} `, "{}x", "\xff", `{"quota":1e400}`, `{"password":"x"}`} {
		f.Add("account.change", "application/json", body)
		f.Add("publish.apply", "application/json", body)
	}
	f.Add("../x", "text/plain", "{}")
	f.Add("openapi.json", "", "")
	var asked *admin.Change
	a := newAPI(f, func(_ context.Context, operation string, request json.RawMessage) (any, error) {
		if operation == "account.change" {
			asked = new(admin.Change)
			d := json.NewDecoder(strings.NewReader(string(request)))
			d.DisallowUnknownFields()
			if err := d.Decode(asked); err != nil {
				return nil, err
			}
		}
		return admin.Empty{}, nil
	})
	f.Fuzz(func(t *testing.T, verb, kind, body string) {
		asked = nil
		r := httptest.NewRequest("POST", "https://localhost/", strings.NewReader(body))
		r.URL.Path, r.RemoteAddr = version+verb, "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer hm_all")
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%q %q: %d %q", verb, body, w.Code, w.Body)
		}
		if w.Code >= 500 {
			t.Errorf("%q %q: the house could not read it: %s", verb, body, w.Body)
		}
		if asked != nil && asked.Password != nil {
			t.Errorf("%q sets a password", body)
		}
	})
}
