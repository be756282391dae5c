package session

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"homemail/signin"
)

func request(encrypted bool, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest("GET", "http://mail.example.test/", nil)
	r.RemoteAddr = "192.168.1.20:40000"
	if encrypted {
		r.TLS = new(tls.ConnectionState)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// who says who is signed in.
func (h *house) who(r *http.Request) (*Session, int) {
	var s *Session
	w := httptest.NewRecorder()
	h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s = FromContext(r.Context()) })).ServeHTTP(w, r)
	return s, w.Code
}

func TestCookies(t *testing.T) {
	h := newHouse(t)
	for _, encrypted := range []bool{true, false} {
		r := request(encrypted)
		res := h.signedIn(FromRequest(r), true)
		w := httptest.NewRecorder()
		SetCookie(w, r, res)
		c := w.Result().Cookies()[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != encrypted ||
			strings.HasPrefix(c.Name, "__Host-") != encrypted || c.MaxAge != int(idle/time.Second) {
			t.Errorf("%v", c)
		}
		if s, _ := h.who(request(encrypted, c)); s == nil || s.Account != h.anna {
			t.Errorf("encrypted %v: nobody is signed in", encrypted)
		}
		// A cookie that crossed the home in the clear opens nothing over HTTPS, nor
		// the other way round.
		for _, name := range []string{plainName, secureName} {
			if s, _ := h.who(request(!encrypted, &http.Cookie{Name: name, Value: c.Value})); s != nil {
				t.Errorf("encrypted %v: the cookie is good for the other, as %s", encrypted, name)
			}
		}
		w = httptest.NewRecorder()
		ClearCookie(w, r)
		if c := w.Result().Cookies()[0]; c.MaxAge >= 0 || c.Value != "" {
			t.Errorf("%v", c)
		}
	}
}

func TestCookieEndsWithTheBrowser(t *testing.T) {
	h := newHouse(t)
	r := request(true)
	for _, role := range []Role{Person, Owner} {
		for _, remember := range []bool{false, true} {
			w := httptest.NewRecorder()
			SetCookie(w, r, h.signedIn(FromRequest(r), remember))
			if c := w.Result().Cookies()[0]; (c.MaxAge != 0) != remember {
				t.Errorf("%s, remember %v: %v", role, remember, c)
			}
		}
		must(t, h.Owners.Add(h.anna))
	}
	h.enrol()
	res, err := h.SignIn(t.Context(), FromRequest(r), "anna@example.test", annasPassword, true)
	must(t, err)
	w := httptest.NewRecorder()
	SetCookie(w, r, res)
	if c := w.Result().Cookies()[0]; c.MaxAge != 0 {
		t.Errorf("half a sign-in: %v", c)
	}
}

func TestRequire(t *testing.T) {
	h := newHouse(t)
	var why []Refusal
	h.o.Refuse = func(w http.ResponseWriter, r *http.Request, x Refusal) {
		why = append(why, x)
		refuse(w, r, x)
	}
	res := h.signedIn(home, true)
	get := func(role Role, fresh time.Duration, token string) int {
		w := httptest.NewRecorder()
		page := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		h.Middleware(h.Require(role, fresh)(page)).ServeHTTP(w, request(true, &http.Cookie{Name: secureName, Value: token}))
		return w.Code
	}
	if got := get(Person, Sudo, res.Token); got != 200 {
		t.Errorf("a person: %d", got)
	}
	if got := get(Person, 0, "x"); got != 401 || why[0] != NeedSignIn {
		t.Errorf("nobody: %d", got)
	}
	if got := get(Owner, 0, res.Token); got != 403 || why[1] != NeedOwner {
		t.Errorf("a person for an owner: %d", got)
	}
	must(t, h.Owners.Add(h.anna))
	if got := get(Owner, Sudo, res.Token); got != 200 {
		t.Errorf("an owner: %d", got)
	}
	h.later(Sudo + time.Second)
	if got := get(Owner, Sudo, res.Token); got != 403 || why[2] != NeedFresh {
		t.Errorf("an owner of before: %d", got)
	}
	if got := get(Owner, 0, res.Token); got != 200 {
		t.Errorf("an owner of before, for nothing dangerous: %d", got)
	}
	must(t, h.store.Close())
	if got := get(Person, 0, res.Token); got != 503 {
		t.Errorf("a store that cannot be read signs people out: %d", got)
	}
}

func TestFromRequestBelievesNoHeader(t *testing.T) {
	r := request(true)
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Forwarded-Proto"} {
		r.Header.Set(name, "203.0.113.5")
	}
	r.RemoteAddr = "[::ffff:192.168.1.20%eth0]:1"
	if f := FromRequest(r); f.Remote.String() != "192.168.1.20" {
		t.Errorf("%+v", f)
	}
}

func TestBrowser(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1": "Safari, iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0":           "Edge, Windows",
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36":                            "Chrome, Android",
		"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0":                                                                  "Firefox, Linux",
		"curl/8.8.0":                      "curl",
		"<script>alert(1)</script>\r\nX:": "",
	} {
		if got := browser(agent); got != want {
			t.Errorf("%q: %q", agent, got)
		}
	}
}

// The law of a cookie: whatever it holds, it signs nobody in but with a token
// that was given out.
func FuzzCookie(f *testing.F) {
	h := newHouse(f)
	res := h.signedIn(home, true)
	half := func() string { h.enrol(); return h.half(home).Token }()
	for _, s := range []string{"", res.Token, half, res.Token + "=", strings.ToUpper(res.Token), res.Session.ID, res.Session.CSRF, "../owners", "\x00", "a;b", strings.Repeat("A", 43)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s, err := h.Lookup(value, true)
		if err != nil {
			t.Fatal(err)
		}
		if (s != nil) != (value == res.Token) {
			t.Errorf("%q signs in: %v", value, s != nil)
		}
		r := request(true)
		r.Header.Set("Cookie", secureName+"="+value)
		if s, code := h.who(r); code != 200 || s != nil && !strings.Contains(value, res.Token) {
			t.Errorf("%q: %d, signs in: %v", value, code, s != nil)
		}
	})
}

// The law of passkeys: no bytes sign in that no authenticator has signed for
// this challenge, and none make a passkey.
func FuzzPasskey(f *testing.F) {
	h := newHouse(f)
	a := newAuthenticator(f)
	owner, err := h.Open(home, h.anna, false)
	must(f, err)
	creation, _, err := h.NewPasskeyOptions(home, owner.Session)
	must(f, err)
	f.Add(a.create(creation), "x") // for other challenges than those below
	h.newPasskey(a)
	options, challenge, err := h.PasskeyOptions(home)
	must(f, err)
	good := a.get(options)
	f.Add(good, challenge[:20])
	f.Add([]byte(`{}`), "")
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"","signature":"","userHandle":""}}`), challenge+"A")
	f.Add(good[:len(good)/2], "AAAA")
	var n atomic.Uint32
	f.Fuzz(func(t *testing.T, body []byte, forged string) {
		from := home // each time another: the back-off must not be what refuses
		from.Remote = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0b000000+n.Add(1))))
		_, asked, err := h.PasskeyOptions(from)
		must(t, err)
		from.Challenge = asked
		if res, err := h.PasskeySignIn(t.Context(), from, body, false); !errors.Is(err, signin.ErrDenied) || res.Token != "" {
			t.Errorf("%q: %v", body, err)
		}
		from.Challenge = forged // good is for a challenge that was sealed otherwise
		if res, err := h.PasskeySignIn(t.Context(), from, good, false); !errors.Is(err, ErrOver) || res.Token != "" {
			t.Errorf("the challenge %q: %v", forged, err)
		}
		_, asked, err = h.NewPasskeyOptions(from, owner.Session)
		must(t, err)
		from.Challenge = asked
		if _, err := h.AddPasskey(from, owner.Session, "x", body); !errors.Is(err, signin.ErrDenied) {
			t.Errorf("%q as a passkey: %v", body, err)
		}
	})
}
