package enter_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"homemail/session"
	"homemail/web/enter"
)

// enrol has Anna use codes. It returns what makes them, for some time later in
// steps, and the recovery codes.
func (h *house) enrol() (code func(later int64) string, recovery []string) {
	h.t.Helper()
	res, err := h.m.Open(session.From{}, h.anna, false)
	must(h.t, err)
	en, err := h.m.BeginTOTP(res.Session)
	must(h.t, err)
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(en.Secret)
	must(h.t, err)
	code = func(later int64) string { // RFC 6238 §4
		m := hmac.New(sha1.New, key)
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30+later)))
		sum := m.Sum(nil)
		at := sum[len(sum)-1] & 15
		return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
	}
	recovery, err = h.m.FinishTOTP(h.t.Context(), session.From{}, res.Session, code(-1))
	must(h.t, err)
	return code, recovery
}

func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	code, recovery := h.enrol()
	v := h.visitor()
	if r := v.get("/enter/code"); r.to != "/enter" {
		t.Errorf("a code without a password: %d %q", r.status, r.to)
	}
	r := v.post("/enter", "address", "anna@example.test", "password", password, "to", "/mine?x=1")
	if r.to != "/enter/code?to=%2Fmine%3Fx%3D1" {
		t.Fatalf("after the password: %d %q", r.status, r.to)
	}
	half := v.cookie()
	if who := v.is(); who != "nobody" {
		t.Errorf("half a sign-in opens the door to %s", who)
	}
	if r := v.get(r.to); !strings.Contains(r.body, `autocomplete="one-time-code"`) || !strings.Contains(r.body, `value="/mine?x=1"`) {
		t.Error(r.body)
	}
	if r := v.post("/enter/code", "code", "000000x", "to", "/mine?x=1"); r.status != 422 || !strings.Contains(r.body, "does not fit") {
		t.Errorf("a wrong code: %d %s", r.status, r.body)
	}
	if r := v.post("/enter/code", "code", ""); r.status != 422 {
		t.Errorf("no code: %d", r.status)
	}
	now := code(0)
	if r := v.post("/enter/code", "code", now[:3]+" "+now[3:], "to", "/mine?x=1"); r.to != "/mine?x=1" || v.cookie() == half {
		t.Errorf("the code: %d %q %s", r.status, r.to, r.body)
	}

	v = h.visitor() // by paper, and of that only once
	v.post("/enter", "address", "anna@example.test", "password", password)
	if r := v.post("/enter/code", "code", strings.ToLower(recovery[0])); r.to != "/home/owner" {
		t.Errorf("a recovery code: %d %s", r.status, r.body)
	}
	v = h.visitor()
	v.post("/enter", "address", "anna@example.test", "password", password)
	for range 5 {
		r = v.post("/enter/code", "code", recovery[0])
	}
	if v.is() != "nobody" {
		t.Error("a recovery code is good twice")
	}
	if r := v.post("/enter/code", "code", recovery[1]); r.status == 303 && r.to != "/enter" || v.is() != "nobody" {
		t.Errorf("a sixth try: %d %q", r.status, r.to)
	}
}

func TestWrongClockIsSaid(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	h.enrol()
	h.trusted = false
	v := h.visitor()
	v.post("/enter", "address", "anna@example.test", "password", password)
	if r := v.post("/enter/code", "code", "123456"); !strings.Contains(r.body, "clock of the house") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// TestAgain: before what is dangerous one says again who one is, and comes back.
func TestAgain(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	if r := v.get("/danger?x=1"); r.to != "/enter?to=%2Fdanger%3Fx%3D1" {
		t.Errorf("nobody: %d %q", r.status, r.to)
	}
	v.signIn("ben@example.test")
	if r := v.get("/danger"); r.status != 200 {
		t.Errorf("who has just signed in: %d", r.status)
	}
	v.get("/enter/again")
	token := v.token
	old := v.cookie()
	if r := v.post("/enter/again", "password", "wrong", "to", "/danger"); r.status != 422 || !strings.Contains(r.body, "This is not right") {
		t.Errorf("a wrong password: %d %s", r.status, r.body)
	}
	v.token = token
	if r := v.post("/enter/again", "password", password, "to", "/danger"); r.to != "/danger" || v.cookie() == old {
		t.Errorf("the right one: %d %q", r.status, r.to)
	}
	if v.is() != "ben@example.test" {
		t.Error("signed out")
	}
}

func TestAgainWithCode(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	v.signIn("anna@example.test")
	code, _ := h.enrol()
	if r := v.get("/enter/again"); !strings.Contains(r.body, "one-time-code") {
		t.Error(r.body)
	}
	if r := v.post("/enter/again", "password", password); r.status != 422 {
		t.Errorf("without a code: %d", r.status)
	}
	if r := v.post("/enter/again", "password", password, "code", code(0)); r.to != "/home/owner" {
		t.Errorf("with it: %d %s", r.status, r.body)
	}
}

// TestRefuse: each refusal leads to the page that is lacking, and back.
func TestRefuse(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	request := func(method, path string, header ...string) *http.Request {
		r, err := http.NewRequest(method, "https://house.test"+path, nil)
		must(t, err)
		r.RequestURI = path
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	back := func(to string) string { return "?to=" + url.QueryEscape(to) }
	for _, c := range []struct {
		why    session.Refusal
		r      *http.Request
		status int
		to     string
	}{
		{session.NeedSignIn, request("GET", "/people?n=1"), 303, "/enter" + back("/people?n=1")},
		{session.NeedSignIn, request("GET", "//evil.example/"), 303, "/enter"},
		{session.NeedSignIn, request("GET", "/events", "Accept", "text/event-stream"), 401, ""},
		{session.NeedSignIn, request("POST", "/people/add", "Referer", "https://house.test/people"), 303, "/enter" + back("/people")},
		{session.NeedSignIn, request("POST", "/people/add", "Referer", "https://evil.example/people"), 303, "/enter"},
		{session.NeedSignIn, request("POST", "/people/add"), 303, "/enter"},
		{session.NeedFresh, request("GET", "/danger"), 303, "/enter/again" + back("/danger")},
		{session.NeedFresh, request("POST", "/danger", "Referer", "https://house.test/danger?x"), 303, "/enter/again" + back("/danger?x")},
		{session.NeedFresh, request("POST", "/x", "HX-Request", "true", "HX-Current-URL", "https://house.test/people"), 204, "/enter/again" + back("/people")},
		{session.NeedOwner, request("GET", "/people"), 403, ""},
		{session.NotNow, request("GET", "/people"), 503, ""},
	} {
		if status, to := h.refused(c.why, c.r); status != c.status || to != c.to {
			t.Errorf("%d %s %s %v: %d %q; want %d %q", c.why, c.r.Method, c.r.URL, c.r.Header, status, to, c.status, c.to)
		}
	}
	v := h.visitor()
	v.signIn("ben@example.test")
	if r := v.get("/house"); r.status != 403 || !strings.Contains(r.body, "for the owners") {
		t.Errorf("a person among owners: %d %s", r.status, r.body)
	}
	// A store that cannot be read is no reason to sign anybody out, or to forget
	// the rules of pages.
	must(t, h.store.Close())
	r := v.get("/mine")
	if r.status != 503 || r.header.Get("Retry-After") == "" || r.header.Get("Content-Security-Policy") == "" || v.cookie() == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

// TestPasskeysWhere: a passkey is asked for only where a browser could use it.
func TestPasskeysWhere(t *testing.T) {
	for _, c := range []struct {
		secure bool
		rp     string
		shown  bool
	}{{true, "house.test", true}, {true, "mail.house.test", false}, {true, "", false}, {false, "house.test", false}} {
		h := newHouse(t)
		h.rp = session.RelyingParty{ID: c.rp, Origins: []string{"https://" + c.rp}}
		h.start(c.secure)
		v := h.visitor()
		if r := v.get("/enter"); strings.Contains(r.body, "webauthn") != c.shown || strings.Contains(r.body, "data-passkey=") != c.shown {
			t.Errorf("%+v: %s", c, r.body)
		}
		v.signIn("ben@example.test")
		r := v.get(enter.NewPasskeyPath + "?to=/mine")
		if strings.Contains(r.body, `data-passkey="create"`) != c.shown {
			t.Errorf("%+v: %s", c, r.body)
		}
	}
}

func TestPasskeyAnswers(t *testing.T) {
	h := newHouse(t)
	h.rp = session.RelyingParty{ID: "house.test", Origins: []string{"https://house.test"}}
	h.start(true)
	v := h.visitor()
	v.get("/enter")
	if r := v.post("/enter/passkey", "answer", "{}", "remember", "on"); r.status != 422 || !strings.Contains(r.body, "press the button once more") ||
		!strings.Contains(r.body, `value="on" checked`) {
		t.Errorf("without a challenge: %d %s", r.status, r.body)
	}
	if r := v.post("/enter/passkey/options"); r.status != 200 || !strings.Contains(r.body, `"rpId":"house.test"`) ||
		r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", r.status, r.body, r.header)
	}
	for _, answer := range []string{"{}", "", "null", strings.Repeat("x", 33000), `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`} {
		if r := v.post("/enter/passkey", "answer", answer); r.status != 422 || v.is() != "nobody" {
			t.Errorf("%.20s: %d %s", answer, r.status, r.body)
		}
	}
	json := func(r *http.Request) { r.Header.Set("Accept", "application/json") }
	if r := v.do("POST", "/enter/passkey/new/options", nil, json); r.status != 401 {
		t.Errorf("a new passkey for nobody: %d", r.status)
	}
	v = h.visitor()
	v.signIn("ben@example.test")
	v.get(enter.NewPasskeyPath)
	if r := v.post("/enter/passkey/new/options"); r.status != 200 || !strings.Contains(r.body, `"challenge"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := v.post(enter.NewPasskeyPath, "answer", "{}", "name", "My phone"); r.status != 422 || !strings.Contains(r.body, `value="My phone"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	// The challenge for a new passkey signs nobody in.
	if r := v.post("/enter/passkey", "answer", "{}"); r.status != 422 {
		t.Errorf("%d", r.status)
	}
}

func TestForgotten(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	if r := h.visitor().get("/enter/forgotten?to=/mine"); !strings.Contains(r.body, "homemail owner reset") || !strings.Contains(r.body, "reset-owner") ||
		!strings.Contains(r.body, "/enter?to=%2fmine") {
		t.Error(r.body)
	}
}

func TestOtherMethods(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	for path, status := range map[string]int{"/leave": 405, "/enter/passkey": 405, "/enter/passkey/options": 405, "/enter/x": 404} {
		if r := v.get(path); r.status != status || !strings.Contains(r.body, "<h1>") {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}
