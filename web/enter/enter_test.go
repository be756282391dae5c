package enter_test

import (
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"homemail/mail"
	"homemail/session"
	"homemail/signin"
	"homemail/store"
	"homemail/web/enter"
	"homemail/web/page"
)

const password = "violin harbor maple trout"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// quickHash is argon2id that takes no time.
func quickHash(password string) string {
	b64 := base64.RawStdEncoding.EncodeToString
	salt := []byte("0123456789abcdef")
	return "$argon2id$v=19$m=64,t=1,p=1$" + b64(salt) + "$" + b64(argon2.IDKey([]byte(password), salt, 1, 64, 1, 32))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A house is one with two people, of whom Anna owns it.
type house struct {
	t       testing.TB
	store   *store.Store
	m       *session.Manager
	server  *httptest.Server
	anna    mail.AccountID
	device  string // Anna's phone's password
	trusted bool   // the clock
	rp      session.RelyingParty
	set     *page.Set
}

// refused is what a request gets that the Manager turns away.
func (h *house) refused(why session.Refusal, r *http.Request) (status int, to string) {
	w := httptest.NewRecorder()
	enter.Refuse(h.set)(w, r, why)
	return w.Code, w.Header().Get("Location") + w.Header().Get("HX-Redirect")
}

func newHouse(t testing.TB) *house {
	h := &house{t: t, trusted: true}
	s, err := store.Open(t.TempDir(), store.Options{Log: quiet})
	must(t, err)
	h.store = s
	t.Cleanup(func() { s.Close() })
	must(t, s.AddDomain("example.test"))
	h.anna = h.person("anna@example.test")
	h.person("ben@example.test")
	a, err := s.AccountByID(h.anna)
	must(t, err)
	h.device, _ = signin.NewDevicePassword()
	must(t, a.Update(func(p *store.Profile) error {
		d, err := signin.NewDevice(*p, "Phone", h.device)
		p.Devices = append(p.Devices, d)
		return err
	}))
	set, err := page.New(page.Options{Sources: []fs.FS{enter.Source()}, Hosts: func() []string { return []string{"house.test"} },
		Key: []byte("0123456789abcdef0123456789abcdef"), Session: enter.TokenOf, Lang: enter.LangOf, Log: quiet})
	must(t, err)
	h.set = set
	h.m = session.New(s, session.Options{
		Log: quiet, SignIn: signin.New(s, signin.Options{Log: quiet, FailDelay: -1}),
		Trusted: func() bool { return h.trusted }, Refuse: enter.Refuse(set),
		Passkeys: func() (session.RelyingParty, bool) { return h.rp, h.rp.ID != "" },
	})
	must(t, h.m.Owners.Add(h.anna))
	e := enter.New(enter.Options{Manager: h.m, Set: set, Log: quiet, ResetFile: "reset-owner",
		Home:  func(s *session.Session) string { return "/home/" + string(s.Role) },
		HTTPS: func(r *http.Request) string { return "https://house.test" + r.URL.Path }})
	mux := http.NewServeMux()
	mux.Handle(enter.Path, e)
	mux.Handle(enter.Path+"/", e)
	mux.Handle(enter.LeavePath, e)
	said := func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if s := session.FromContext(r.Context()); s != nil {
			who = string(s.Address)
		}
		io.WriteString(w, "here is "+who+" "+set.Token(r))
	}
	mux.HandleFunc("/", said)
	mux.Handle("/mine", h.m.Require(session.Person, 0)(http.HandlerFunc(said)))
	mux.Handle("/house", h.m.Require(session.Owner, 0)(http.HandlerFunc(said)))
	mux.Handle("/danger", h.m.Require(session.Person, session.Sudo)(http.HandlerFunc(said)))
	h.server = httptest.NewUnstartedServer(h.m.Middleware(set.Handler(mux)))
	return h
}

func (h *house) person(address mail.Path) mail.AccountID {
	a, err := h.store.AddAccount(store.Profile{Address: address, Name: "Somebody", Password: quickHash(password)})
	must(h.t, err)
	return a.ID
}

// A visitor is a browser with its cookies.
type visitor struct {
	t      testing.TB
	base   string
	client *http.Client
	token  string
}

// start opens the doors; over HTTPS if secure.
func (h *house) start(secure bool) {
	if secure {
		h.server.StartTLS()
	} else {
		h.server.Start()
	}
	h.t.Cleanup(h.server.Close)
}

func (h *house) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	must(h.t, err)
	transport := h.server.Client().Transport.(*http.Transport).Clone()
	addr := h.server.Listener.Addr().String()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if transport.TLSClientConfig != nil {
		transport.TLSClientConfig.ServerName = "example.com" // of httptest's certificate
	}
	scheme := "http"
	if h.server.TLS != nil {
		scheme = "https"
	}
	return &visitor{t: h.t, base: scheme + "://house.test", client: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// A reply is what a visitor sees.
type reply struct {
	status int
	to     string // of a redirect
	body   string
	header http.Header
}

func (v *visitor) do(method, path string, form url.Values, change ...func(*http.Request)) reply {
	v.t.Helper()
	r, err := http.NewRequest(method, v.base+path, strings.NewReader(form.Encode()))
	must(v.t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", v.base)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, f := range change {
		f(r)
	}
	resp, err := v.client.Do(r)
	must(v.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(v.t, err)
	out := reply{resp.StatusCode, resp.Header.Get("Location"), string(b), resp.Header}
	if m := regexp.MustCompile(`name="csrf" value="([^"]*)"`).FindStringSubmatch(out.body); m != nil {
		v.token = m[1]
	}
	return out
}

func (v *visitor) get(path string) reply { v.t.Helper(); return v.do(http.MethodGet, path, nil) }

// post sends fields as pairs, with the token of the page before.
func (v *visitor) post(path string, fields ...string) reply {
	v.t.Helper()
	form := url.Values{"csrf": {v.token}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return v.do(http.MethodPost, path, form)
}

func (v *visitor) signIn(who string) reply {
	v.t.Helper()
	v.get("/enter")
	r := v.post("/enter", "address", who, "password", password)
	if r.status != http.StatusSeeOther {
		v.t.Fatalf("not signed in: %d %s", r.status, r.body)
	}
	return r
}

func (v *visitor) is() string {
	v.t.Helper()
	_, who, _ := strings.Cut(v.get("/x").body, "here is ")
	who, _, _ = strings.Cut(who, " ")
	return who
}

// cookie is the one of the session.
func (v *visitor) cookie() string {
	u, _ := url.Parse(v.base)
	for _, c := range v.client.Jar.Cookies(u) {
		if c.Name == "__Host-homemail" || c.Name == "homemail" {
			return c.Value
		}
	}
	return ""
}

func TestWords(t *testing.T) {
	page.CheckCatalogues(t, os.DirFS("."), enter.Source())
	page.CheckTemplates(t, enter.Source())
}

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	if r := v.get("/enter"); r.status != 200 || !strings.Contains(r.body, `autocomplete="current-password"`) || strings.Contains(r.body, "webauthn") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := v.signIn("anna@example.test"); r.to != "/home/owner" {
		t.Errorf("an owner goes to %q", r.to)
	}
	if who := v.is(); who != "anna@example.test" {
		t.Errorf("signed in as %q", who)
	}
	if r := v.get("/enter?to=/mine"); r.status != 303 || r.to != "/mine" {
		t.Errorf("who is signed in: %d %q", r.status, r.to)
	}
	v.get("/enter/again")
	if r := v.post("/leave"); r.to != "/enter" || v.cookie() != "" || v.is() != "nobody" {
		t.Errorf("leaving: %+v, %q", r, v.cookie())
	}
	if r := v.get("/enter"); !strings.Contains(r.body, "You are signed out.") {
		t.Error(r.body)
	}
	if r := h.visitor().signIn("ben@example.test"); r.to != "/home/person" {
		t.Errorf("a person goes to %q", r.to)
	}
}

func TestRemember(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	for _, who := range []string{"anna@example.test", "ben@example.test"} {
		for _, remember := range []bool{false, true} {
			fields := []string{"address", who, "password", password}
			if remember {
				fields = append(fields, "remember", "on")
			}
			r := h.visitor().post("/enter", fields...)
			if kept := strings.Contains(strings.Join(r.header["Set-Cookie"], "\n"), "Max-Age=2592000"); kept != remember {
				t.Errorf("%s, remember %t: %v", who, remember, r.header["Set-Cookie"])
			}
		}
	}
}
