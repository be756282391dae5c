package wizard

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/firstboot"
)

// TestWrongCode shows that a code is tried a few times only, and says no more
// than that it is wrong.
func TestWrongCode(t *testing.T) {
	w := New(t)
	v := w.visitor("en")
	v.get("/first")
	for range 5 {
		v.post("/first/claim", "code", "AAAA-AAAA").want(422, "")
	}
	v.post("/first/claim", "code", Code).want(429, "").has("Wait one minute")
	v.get("/first/start").want(200, "/first")
	if o := w.Show(); o.Steps[1].Status != firstboot.Todo {
		t.Errorf("%+v", o.Steps[1])
	}
}

// TestFar has somebody come from another network, with the right code.
func TestFar(t *testing.T) {
	w := New(t)
	for _, from := range []string{"203.0.113.9:4711", "[2001:db8::9]:4711", "192.168.7.7:1"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			rw := w.serve(method, "/first/claim", "code="+Code, func(r *http.Request) { r.RemoteAddr = from })
			if rw.Code != http.StatusForbidden || strings.Contains(rw.Body.String(), `name="code"`) {
				t.Errorf("%s %s: %d", method, from, rw.Code)
			}
		}
		for _, header := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded"} {
			rw := w.serve(http.MethodPost, "/first/claim", "code="+Code, func(r *http.Request) {
				r.RemoteAddr = from
				r.Header.Set(header, "127.0.0.1")
			})
			if rw.Code != http.StatusForbidden {
				t.Errorf("%s is believed: %d", header, rw.Code)
			}
		}
	}
	if _, err := w.Claim.By(); err == nil {
		t.Error("the house is claimed")
	}
}

// TestFarWithProof has the proof of the claim stolen and brought from elsewhere.
func TestFarWithProof(t *testing.T) {
	w := New(t)
	v := w.claimed("en")
	rw := w.serve(http.MethodGet, "/first/you", "", func(r *http.Request) {
		r.RemoteAddr, r.Header["Cookie"] = "203.0.113.9:1", cookies(v)
	})
	if rw.Code != http.StatusForbidden {
		t.Errorf("%d", rw.Code)
	}
}

// TestRebinding has a page elsewhere whose name was pointed at the box.
func TestRebinding(t *testing.T) {
	w := New(t)
	for _, host := range []string{"evil.example", "homemail.local.evil.example", "", "127.0.0.2"} {
		for _, path := range []string{"/", "/first", "/first/claim", "/claim", "/share/x"} {
			rw := w.serve(http.MethodPost, path, "code="+Code, func(r *http.Request) { r.Host = host })
			if rw.Code != http.StatusMisdirectedRequest {
				t.Errorf("%q %s: %d", host, path, rw.Code)
			}
		}
	}
}

// TestRace has many browsers that all have the code.
func TestRace(t *testing.T) {
	w := New(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	var losers []*visitor
	for range 8 {
		v := w.visitor("en")
		wg.Go(func() {
			v.get("/first").post("/first/claim", "code", Code)
			mu.Lock()
			defer mu.Unlock()
			if v.path == "/first/start" && v.status == 200 {
				won++
			} else {
				losers = append(losers, v)
			}
		})
	}
	wg.Wait()
	if won != 1 || len(losers) != 7 {
		t.Fatalf("%d have won", won)
	}
	for _, v := range losers {
		for _, path := range []string{"/", "/first", "/first/you", "/first/people", "/first/events?step=people"} {
			if v.get(path); v.status != http.StatusForbidden || !strings.Contains(v.page, "127.0.0.1") {
				t.Errorf("%s: %d", path, v.status)
			}
		}
		v.post("/first/you", "name", "x", "password", password, "again", password).want(403, "")
		v.post("/first/address", "kind", "inside", "local", "evil").want(403, "")
		v.post("/first/safe/codes").want(403, "")
	}
	if o := w.Show(); o.Steps[3].Status != firstboot.Todo {
		t.Errorf("a loser has answered: %+v", o.Steps[3])
	}
}

// TestForgery has another site send forms from the browser of the owner.
func TestForgery(t *testing.T) {
	w := New(t)
	v := w.claimed("en")
	token := tokenIn.FindStringSubmatch(v.page)[1]
	for name, change := range map[string]func(*http.Request){
		"no token": func(r *http.Request) {},
		"its own":  func(r *http.Request) { r.Header.Set("X-CSRF-Token", strings.Repeat("A", len(token))) },
		"cross-site": func(r *http.Request) {
			r.Header.Set("X-CSRF-Token", token)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		},
		"other origin": func(r *http.Request) {
			r.Header.Set("X-CSRF-Token", token)
			r.Header.Set("Origin", "https://evil.example")
		},
	} {
		for _, path := range []string{"/first/you", "/first/dns/skip", "/first/switch/undo", "/first/safe/codes", "/first/people/add", "/first/people/device", "/first/dns/end-link"} {
			rw := w.serve(http.MethodPost, path, "name=x&password=a&again=a", func(r *http.Request) {
				r.Header["Cookie"] = cookies(v)
				change(r)
			})
			if rw.Code != http.StatusForbidden {
				t.Errorf("%s %s: %d", name, path, rw.Code)
			}
		}
	}
	// The claim itself has no token to show, but a browser says where it comes from.
	other := New(t)
	rw := other.serve(http.MethodPost, "/first/claim", "code="+Code, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if rw.Code != http.StatusForbidden {
		t.Errorf("a claim from another site: %d", rw.Code)
	}
}

const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'{{.}}`

// TestScripts puts markup into every field that is shown anywhere.
func TestScripts(t *testing.T) {
	w := New(t)
	v := w.visitor("en")
	clean := func() {
		t.Helper()
		for _, bad := range []string{"<script>alert", "<img src=x", "<b>evil"} {
			if strings.Contains(v.page, bad) {
				t.Errorf("%s has %q", v.path, bad)
			}
		}
	}
	v.get("/first/claim?code=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
	clean()
	v.post("/first/claim", "code", evil)
	clean()
	v.get("/first").post("/first/claim", "code", Code)
	w.serve(http.MethodGet, "/first", "", func(r *http.Request) { r.Header.Set("User-Agent", evil) })
	v.post("/first/start", "kind", evil)
	clean()
	v.post("/first/you", "name", evil, "password", password, "again", evil)
	clean()
	v.post("/first/you", "name", evil, "password", password, "again", password).want(200, "/first/address")
	for _, kind := range []string{"own", "free", "keep", "inside"} {
		v.post("/first/address", "choose", "kind", "kind", kind)
		v.post("/first/address", "kind", kind, "domain", evil, "local", evil, "name", evil, "token", evil, "present", evil)
		clean()
		v.get("/first/address")
		clean()
	}
	v.post("/first/address", "choose", "kind", "kind", "own")
	v.post("/first/address", "kind", "own", "domain", "example.jp", "local", "taro").want(200, "/first/line")
	v.until("/first/line", `value="auto"`).post("/first/line", "mode", evil)
	clean()
	v.post("/first/line", "mode", "auto").want(200, "/first/connection")
	v.post("/first/connection", "choose", "preset", "preset", evil)
	clean()
	v.post("/first/connection", "choose", "preset", "preset", "custom")
	v.post("/first/connection", "host", evil, "port", evil, "user", evil, "password", evil, "sender", evil)
	clean()
	v.get("/first/connection")
	clean()
	v.get("/first/connection?change=preset").post("/first/connection", "choose", "preset", "preset", "brevo")
	v.post("/first/connection", "user", evil, "password", "x").want(200, "")
	clean()
	v.get("/first/dns?change=kind&names=" + "%3Cscript%3Ealert(1)")
	clean()
	v.post("/first/dns", "kind", "self", "provider", evil, "zone", evil, "credential.token", evil)
	clean()
	w.with(func(w *World) {
		w.in = &firstboot.Letter{From: `"<script>alert(1)</script>?bcc=x"@evil.example`, Subject: evil, At: time.Now(), SPF: evil}
	})
	v.until("/first/firstmail", "evil.example")
	clean()
	if regexp.MustCompile(`href="mailto:[^"]*\?`).MatchString(v.page) {
		t.Error("a sender begins header fields of the reply")
	}
	v.get("/first/safe").post("/first/safe", "alert", evil)
	clean()
	v.get("/first/people").post("/first/people/device", "device", evil)
	clean()
	v.post("/first/people/add", "local", "hanako", "name", evil)
	clean()
	v.post("/first/people/add", "local", evil, "name", "x")
	clean()
	v.get("/first/people")
	clean()
	v.get("/first/done")
	clean()
}

// TestHeaders puts line breaks into every field: none may become two.
func TestHeaders(t *testing.T) {
	w := New(t)
	v := w.claimed("en").toAddress()
	v.post("/first/address", "choose", "kind", "kind", "own")
	v.lineBreaks(map[string][]string{
		"/first/claim":   {"code"},
		"/first/start":   {"kind"},
		"/first/you":     {"name", "password", "again"},
		"/first/address": {"domain", "local"},
	})
	v.get("/first/start")
	v.post("/first/address", "kind", "own", "domain", "example.jp", "local", "taro").want(200, "/first/line").fromLine()
	v.lineBreaks(map[string][]string{
		"/first/line":          {"mode"},
		"/first/connection":    {"user", "password", "host", "sender"},
		"/first/dns":           {"kind", "provider", "zone", "credential.token"},
		"/first/safe":          {"alert"},
		"/first/people/add":    {"local", "name"},
		"/first/people/device": {"device"},
	})
	for _, s := range w.Show().Steps {
		for name, value := range s.Answers {
			if strings.ContainsAny(value, "\r\n\x00\u2028") {
				t.Errorf("%s.%s was kept as %q", s.ID, name, value)
			}
		}
	}
}

// lineBreaks puts line breaks into fields, by path.
func (v *visitor) lineBreaks(all map[string][]string) {
	v.t.Helper()
	for _, ending := range []string{"\r\n", "\n", "\r", "\u2028", "\x00"} {
		bad := "x" + ending + "Bcc: evil@evil.example"
		for path, fields := range all {
			for _, field := range fields {
				v.get("/first/start").post(path, field, bad)
				if v.status != 422 && path != "/first/claim" {
					v.t.Errorf("%s %s takes %q: %d", path, field, bad, v.status)
				}
			}
		}
	}
}

// TestSettled has who finds the owner's browser open try to get another password,
// or another address, out of the wizard.
func TestSettled(t *testing.T) {
	w := New(t)
	v := w.claimed("en").toLine()
	v.get("/first/you").post("/first/you", "name", "x", "password", "another long password", "again", "another long password").want(200, "/first/you")
	v.post("/first/address", "kind", "own", "domain", "example.jp", "local", "taro").want(200, "/first/address")
	for _, s := range w.Show().Steps {
		if s.ID == firstboot.You && (s.Answers["name"] != "山田太郎" || len(s.Sealed) > 0) {
			t.Errorf("%+v", s)
		}
	}
}

// TestShare shows what a link lets see: the records, until it ends.
func TestShare(t *testing.T) {
	w := New(t)
	v := w.claimed("en").toDNS()
	v.post("/first/dns", "choose", "kind", "kind", "other").want(200, "/first/dns").has("/share/")
	s, err := w.Engine().Share()
	if err != nil {
		t.Fatal(err)
	}
	guest := w.visitor("ja")
	guest.until("/share/"+s.Token, "v=DMARC1").want(200, "")
	for _, secret := range []string{"taro@", "smarthost", "山田", "/first/dns", "127.0.0.1", "<nav"} {
		if strings.Contains(guest.page, secret) {
			t.Errorf("the link shows %q", secret)
		}
	}
	for _, path := range []string{"/first/dns", "/first/dns/zone", "/first/people", "/first/safe"} {
		guest.get(path)
		if strings.Contains(guest.page, "v=DMARC1") || !strings.HasPrefix(guest.path, "/") || guest.status == 200 && strings.Contains(guest.page, "<form method=\"post\" action=\"/first/") {
			t.Errorf("a guest gets to %s: %d", guest.path, guest.status)
		}
	}
	guest.get("/share/"+s.Token+"x").want(404, "")
	guest.get("/share/").want(404, "")
	v.get("/first/dns").post("/first/dns/end-link")
	guest.get("/share/"+s.Token).want(404, "")
}

// serve asks the handler itself, as who and from where a test says.
func (w *World) serve(method, path, body string, change func(*http.Request)) *recorder {
	r, err := http.NewRequestWithContext(withLocal(w.t.Context(), netip.MustParseAddrPort("127.0.0.1:80")), method, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.RemoteAddr = "127.0.0.1:9"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	change(r)
	rw := newRecorder()
	w.handler().ServeHTTP(rw, r)
	if rw.Code == 0 {
		w.t.Fatal(fmt.Sprint("no answer to ", path))
	}
	return rw
}

// TestOpenLine has the wizard come over plain HTTP where there is HTTPS: it shows
// the way there and takes no code.
func TestOpenLine(t *testing.T) {
	w := New(t)
	w.with(func(w *World) { w.secure = "https://homemail.local/first" })
	w.Restart()
	v := w.visitor("en")
	v.get("/first").want(200, "/first").has("https://homemail.local/first").has("harbor violin maple trout")
	if strings.Contains(v.page, `name="code"`) {
		t.Error("a code is asked for over an open line")
	}
	v.post("/first/claim", "code", Code).want(200, "/first/claim").has("https://homemail.local/first")
	if _, err := w.Claim.By(); err == nil {
		t.Error("a code was taken over an open line")
	}
}

// TestOldProof has the proof of the claim brought back after its browser was
// signed in with it: a copy opens nothing any more, from the first moment on.
func TestOldProof(t *testing.T) {
	w := New(t)
	v := w.claimed("en")
	proof := cookies(v)
	v.toLine()
	for _, path := range []string{"/first", "/first/people", "/first/events?step=people"} {
		rw := w.serve(http.MethodGet, path, "", func(r *http.Request) { r.Header["Cookie"] = proof })
		if rw.Code == http.StatusOK || len(rw.Header()["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %q", path, rw.Code, rw.Header())
		}
	}
}
