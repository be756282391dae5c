package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/mail"
)

const pagesHost = "mail.example.test"

// A village is a house with an owner and a person, asked from wherever a test
// wants to be.
type village struct {
	t        *testing.T
	h        *house
	password map[string]string // by address
}

func newVillage(t *testing.T, outside ...string) *village {
	t.Helper()
	c := trySettings(t.TempDir())
	listenOn(&c, func(string) int { return 0 })
	c.HostName, c.DNS.Server, c.Web.Outside = pagesHost, emptyDNS(t), outside
	h, err := openHouse(t.Context(), c, world{}, quietLog(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	v := &village{t: t, h: h, password: map[string]string{}}
	v.do("domain.add", map[string]any{"address": "example.test"})
	for _, address := range []string{"anna@example.test", "ben@example.test"} {
		v.do("account.add", admin.AddAccount{Address: mail.Path(address), Name: "N"})
		v.password[address] = v.do("password.reset", admin.Reset{Address: mail.Path(address)}).(admin.NewPassword).Password
	}
	v.do("owner.add", admin.Address{Address: "anna@example.test"})
	return v
}

func (v *village) do(verb string, request any) any {
	v.t.Helper()
	b, err := json.Marshal(request)
	if err != nil {
		v.t.Fatal(err)
	}
	answer, err := v.h.admin().Do(v.t.Context(), verb, b)
	if err != nil {
		v.t.Fatal(verb, err)
	}
	return answer
}

// A guest is a browser that has come.
type guest struct {
	*village
	client *http.Client
	url    string
}

// guest comes from an address, over the real web server.
func (v *village) guest(from string) *guest {
	v.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(v.t.Context())
	done := make(chan error)
	go func() { done <- v.h.web.ServeTLS(ctx, farListener{l, from}) }()
	v.t.Cleanup(func() { stop(); <-done })
	jar, _ := cookiejar.New(nil)
	at := l.Addr().String()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: pagesHost},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", at)
		},
	}
	v.t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &guest{v, client, "https://" + pagesHost}
}

// A farListener has its connections come from elsewhere.
type farListener struct {
	net.Listener
	from string
}

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{c, l.from}, nil
}

type farConn struct {
	net.Conn
	from string
}

func (c farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 4711}
}

// ask asks for a page, and returns its status, where it leads, and its text.
func (b *guest) ask(method, path string, form url.Values) (status int, to, text string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return w.StatusCode, w.Header.Get("Location"), string(body)
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (b *guest) signIn(address string) {
	b.t.Helper()
	status, to, text := b.ask(http.MethodPost, "/enter", url.Values{"address": {address}, "password": {b.password[address]}})
	if status != http.StatusSeeOther {
		b.t.Fatalf("%s is not signed in: %d %s %s", address, status, to, text)
	}
}

// What is an owner's, by a path of each part.
func ownersPaths() []string {
	return []string{
		"/people", "/people/show?address=ben@example.test", "/addresses", "/dns", "/where", "/queue", "/network", "/sending",
		"/security", "/security/audit", "/logs", "/settings", "/first", "/first/you", "/first/people", "/first/dns", "/first/dns/zone",
		"/first/done", "/first/events?step=people",
	}
}

const (
	atHome = "192.168.7.7"
	abroad = "203.0.113.9"
)

// Each part of the pages is seen from where, and by whom, it is to be seen.
func TestWhoSeesPages(t *testing.T) {
	for _, tt := range []struct {
		open, from, who string
		own             bool // pages of a person
		owners          bool
		api             int
	}{
		{"", atHome, "", false, false, 401},
		{"", "fd00::5", "ben@example.test", true, false, 401},
		{"", atHome, "anna@example.test", true, true, 401},
		{"", abroad, "", false, false, 403},
		{"", "100.64.1.1", "", false, false, 403}, // others of the same carrier
		{"", "2001:db8::5", "", false, false, 403},
		{"me", abroad, "", false, false, 403},
		{"me", abroad, "anna@example.test", true, false, 403},
		{"admin", abroad, "", false, false, 403},
		{"admin", abroad, "ben@example.test", true, false, 403},
		{"admin", abroad, "anna@example.test", true, false, 403}, // a password is not enough
		{"api", abroad, "", false, false, 401},
	} {
		b := newVillage(t, strings.Fields(tt.open)...).guest(tt.from)
		if tt.who != "" {
			b.signIn(tt.who)
		}
		for _, path := range ownersPaths() {
			status, to, _ := b.ask(http.MethodGet, path, nil)
			if tt.owners != (status < 400 && !strings.HasPrefix(to, "/enter")) {
				t.Errorf("%+v: %s is %d %q", tt, path, status, to)
			}
		}
		for _, path := range []string{"/me", "/me/devices", "/me/security"} {
			if status, to, _ := b.ask(http.MethodGet, path, nil); tt.own != (status == http.StatusOK) {
				t.Errorf("%+v: %s is %d %q", tt, path, status, to)
			}
		}
		for _, path := range []string{"/api/v1/status", "/metrics"} {
			if status, _, _ := b.ask(http.MethodGet, path, nil); status != tt.api {
				t.Errorf("%+v: %s is %d", tt, path, status)
			}
		}
	}
}

// Who has found an owner's password cannot make a second factor with it outside,
// and come back as somebody who has two.
func TestAttackFactorFromOutside(t *testing.T) {
	b := newVillage(t, "me", "admin").guest(abroad)
	b.signIn("anna@example.test")
	for _, path := range []string{"/me/security/code", "/me/security/recovery", "/enter/passkey/new"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			form := url.Values{}
			if method == http.MethodPost {
				_, _, page := b.ask(http.MethodGet, "/me", nil)
				form.Set("csrf", tokenField.FindStringSubmatch(page)[1])
			}
			if status, to, _ := b.ask(method, path, form); status != http.StatusForbidden {
				t.Errorf("%s %s: %d %q", method, path, status, to)
			}
		}
	}
}

// Who has stolen an owner's cookie cannot get a password out of the wizard, or
// have mail sent on: the owner's own password is asked for first.
func TestAttackStolenCookie(t *testing.T) {
	b := newVillage(t).guest(atHome)
	b.signIn("anna@example.test")
	b.age(time.Hour)
	_, _, page := b.ask(http.MethodGet, "/me", nil)
	csrf := tokenField.FindStringSubmatch(page)[1]
	for _, ask := range []string{
		"GET /first/people", "GET /first/events?step=people", "POST /first/people/device", "POST /first/people/profile", "POST /first/people",
		"POST /first/safe/codes", "POST /first/safe", "POST /first/connection", "GET /first/connection", "POST /first/dns", "GET /first/dns?change=provider",
		"POST /first/dns/end-link", "POST /first/switch", "POST /first/switch/undo", "POST /first/line", "POST /first/you", "GET /me/export", "POST /me/devices/add", "POST /people/device", "POST /people/password", "POST /security/owner",
		"POST /people/remove", "POST /addresses/forward", "POST /sending/smarthost", "POST /settings",
	} {
		method, path, _ := strings.Cut(ask, " ")
		form := url.Values{}
		if method == http.MethodPost {
			form.Set("csrf", csrf)
		}
		if status, to, _ := b.ask(method, path, form); status != http.StatusSeeOther || !strings.HasPrefix(to, "/enter/again") {
			t.Errorf("%s: %d %q", ask, status, to)
		}
	}
}

// age has everybody signed in some time ago.
func (v *village) age(by time.Duration) {
	v.t.Helper()
	const rows = "session/token/"
	change := map[string][]byte{}
	err := v.h.store.States(rows, func(path string, b []byte) bool {
		var row map[string]any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			v.t.Fatal(err)
		}
		auth, err := row["auth"].(json.Number).Int64()
		if err != nil {
			v.t.Fatal(err)
		}
		row["auth"] = auth - int64(by)
		change[path], err = json.Marshal(row)
		return err == nil
	})
	if err != nil || len(change) == 0 {
		v.t.Fatal(len(change), err)
	}
	for path, b := range change {
		if err := v.h.store.PutState(path, b); err != nil {
			v.t.Fatal(err)
		}
	}
}

// A page whose name is pointed here (DNS rebinding) sends its own name, and gets
// nothing, wherever it asks.
func TestAttackRebinding(t *testing.T) {
	b := newVillage(t).guest(atHome)
	for _, host := range []string{"evil.example", pagesHost + ".evil.example", "192.168.1.1", "example.test", "mta-sts.evil.example"} {
		for _, path := range []string{"/people", "/enter", "/first", "/claim", "/me", "/share/x"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			w, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			w.Body.Close()
			if w.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s as %s: %d", path, host, w.StatusCode)
			}
		}
	}
}

// Whoever has no account any more is signed out, and so is an owner who was made
// a person of the owner's pages.
func TestRemovedIsOut(t *testing.T) {
	v := newVillage(t)
	anna, ben := v.guest(atHome), v.guest(atHome)
	v.do("owner.add", admin.Address{Address: "ben@example.test"})
	anna.signIn("anna@example.test")
	ben.signIn("ben@example.test")
	v.do("owner.remove", admin.Address{Address: "anna@example.test"})
	if status, _, _ := anna.ask(http.MethodGet, "/people", nil); status != http.StatusForbidden {
		t.Errorf("who was an owner: %d", status)
	}
	v.do("account.remove", admin.Address{Address: "anna@example.test"})
	if status, to, _ := anna.ask(http.MethodGet, "/me", nil); status != http.StatusSeeOther || !strings.HasPrefix(to, "/enter") {
		t.Errorf("who had an account: %d %q", status, to)
	}
	if status, _, _ := ben.ask(http.MethodGet, "/people", nil); status != http.StatusOK {
		t.Errorf("the new owner: %d", status)
	}
}

// A router that puts its own address in the place of strangers' opens no page to
// them: from then on nobody is taken for somebody at home.
func TestAttackMasquerade(t *testing.T) {
	v := newVillage(t)
	kept, err := json.Marshal([]check.Result{{Name: check.Visitors, Code: "hidden", Data: map[string]string{"address": "192.168.7.1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.h.store.PutState("check/results", kept); err != nil {
		t.Fatal(err)
	}
	open := v.guest("192.168.7.1")
	open.signIn("anna@example.test")
	v.h.line.checker = check.New(v.h.line.options(world{}))
	for _, from := range []string{"192.168.7.1", atHome, "fd00::5"} {
		b := v.guest(from)
		if from == "192.168.7.1" {
			b = open // who was signed in before
		}
		for _, path := range append(ownersPaths(), "/", "/enter", "/me") {
			if status, _, body := b.ask(http.MethodGet, path, nil); status != http.StatusForbidden || !strings.Contains(body, "Your router hides") {
				t.Errorf("%s from %s: %d", path, from, status)
			}
		}
		if status, _, _ := b.ask(http.MethodGet, "/api/v1/status", nil); status != http.StatusForbidden {
			t.Errorf("the API from %s: %d", from, status)
		}
		if status, to, _ := b.ask(http.MethodPost, "/enter", url.Values{"address": {"anna@example.test"}, "password": {v.password["anna@example.test"]}}); status != http.StatusForbidden {
			t.Errorf("signing in from %s: %d %s", from, status, to)
		}
	}
	b := v.guest("127.0.0.1")
	b.signIn("anna@example.test")
	if status, _, _ := b.ask(http.MethodGet, "/people", nil); status != http.StatusOK {
		t.Errorf("on the computer itself: %d", status)
	}
}
