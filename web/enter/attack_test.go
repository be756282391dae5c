package enter_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"homemail/session"
	"homemail/store"
	"homemail/web/enter"
)

// TestAttackNoOracle: a wrong name, a wrong password, a device's password and an
// account that is turned off are answered in the same words.
func TestAttackNoOracle(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	blocked := h.person("carl@example.test")
	a, err := h.store.AccountByID(blocked)
	must(t, err)
	must(t, a.Update(func(p *store.Profile) error {
		p.Disabled = true
		return nil
	}))
	var first string
	for _, try := range [][2]string{
		{"anna@example.test", "wrong"}, {"nobody@example.test", "wrong"}, {"anna@example.test", h.device}, {"carl@example.test", password},
	} {
		r := h.visitor().post("/enter", "address", try[0], "password", try[1])
		body := strings.ReplaceAll(r.body, try[0], "ADDRESS")
		if r.status != http.StatusUnprocessableEntity || !strings.Contains(body, "do not belong together") {
			t.Errorf("%v: %d %s", try, r.status, r.body)
		}
		if len(r.header["Set-Cookie"]) > 0 {
			t.Errorf("%v: %v", try, r.header["Set-Cookie"])
		}
		if strings.Contains(body, try[1]) && try[1] != "wrong" {
			t.Errorf("the page shows a password")
		}
		if first == "" {
			first = body
		} else if body != first {
			t.Errorf("%v is answered in other words:\n%s\n%s", try, first, body)
		}
	}
}

func TestAttackBruteForce(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	for n := range 20 {
		r := v.post("/enter", "address", "anna@example.test", "password", "guess "+strconv.Itoa(n))
		if r.status == http.StatusTooManyRequests {
			after, err := strconv.Atoi(r.header.Get("Retry-After"))
			if err != nil || after < 1 || !strings.Contains(r.body, "Please wait 1 minute") {
				t.Errorf("Retry-After %d: %s", after, r.body)
			}
			if r := v.post("/enter", "address", "anna@example.test", "password", password); r.status != http.StatusTooManyRequests {
				t.Errorf("the right password among the guesses: %d", r.status)
			}
			return
		}
	}
	t.Error("20 guesses and no end")
}

// TestAttackFixation: a cookie that somebody put into a browser before is worth
// nothing after, and neither is the one of half a sign-in.
func TestAttackFixation(t *testing.T) {
	for _, secure := range []bool{true, false} {
		h := newHouse(t)
		h.start(secure)
		thief := h.visitor()
		thief.signIn("ben@example.test")
		planted := thief.cookie()
		v := h.visitor()
		u, _ := url.Parse(v.base)
		v.client.Jar.SetCookies(u, thief.client.Jar.Cookies(u))
		v.get("/enter/again")
		v.post("/enter", "address", "anna@example.test", "password", password)
		if v.is() != "anna@example.test" || v.cookie() == planted {
			t.Errorf("secure %t: %s, cookie the same: %t", secure, v.is(), v.cookie() == planted)
		}
		if who := thief.is(); who == "anna@example.test" {
			t.Errorf("secure %t: the planted cookie is %s's", secure, who)
		}
	}
}

// TestAttackFromElsewhere: another site signs nobody in, out, or on.
func TestAttackFromElsewhere(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	elsewhere := map[string]func(*http.Request){
		"cross-site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"origin": func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://evil.example")
		},
		"sandbox": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
		"port": func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://house.test:8443")
		},
	}
	for name, change := range elsewhere {
		v := h.visitor()
		r := v.do("POST", "/enter", url.Values{"address": {"ben@example.test"}, "password": {password}}, change)
		if r.status != http.StatusForbidden || v.cookie() != "" {
			t.Errorf("%s: signed in by another site: %d", name, r.status)
		}
		v.signIn("anna@example.test")
		for _, path := range []string{"/leave", "/enter/again", "/enter/passkey", "/enter/passkey/options", "/enter/passkey/new", "/enter/passkey/new/options"} {
			if r := v.do("POST", path, url.Values{"password": {password}}, change); r.status != http.StatusForbidden {
				t.Errorf("%s: %s: %d", name, path, r.status)
			}
		}
		if v.is() != "anna@example.test" {
			t.Errorf("%s: signed out by another site", name)
		}
	}
	v := h.visitor()
	v.signIn("anna@example.test")
	for _, token := range []string{"", "x", strings.Repeat("A", 86)} {
		v.token = token
		if r := v.post("/leave"); r.status != http.StatusForbidden {
			t.Errorf("without a token: %d", r.status)
		}
	}
}

// strangers are what ?to= must not lead to.
var strangers = []string{
	"https://evil.example/", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "/\t/evil.example", "/\n/evil.example",
	"/\r\nSet-Cookie: x=y", "javascript:alert(1)", "data:text/html,x", "evil.example", " //evil.example", "/ /evil.example", "http:/evil.example",
	"/\u2028x", "/\x00", "/" + strings.Repeat("a", 2000), "/enter", "/leave", "/enter/again?to=/enter", "/x/../enter/code", "?x", "",
	"//house.test@evil.example", "/%",
}

// leadsAway reports whether a page has evil.example in a link, or where it goes
// on to. The switch of languages has the page's own address, which is its own.
func leadsAway(body string) bool {
	return regexp.MustCompile(`(?:href|action|name="to" value)="[^"]*evil`).MatchString(body)
}

func TestAttackOpenRedirect(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	for _, to := range strangers {
		r := h.visitor().post("/enter", "address", "ben@example.test", "password", password, "to", to)
		if r.to != "/home/person" {
			t.Errorf("%q leads to %q", to, r.to)
		}
		if r := h.visitor().get("/enter?to=" + url.QueryEscape(to)); leadsAway(r.body) {
			t.Errorf("the page leads to %q", to)
		}
		if v.cookie() == "" {
			v.signIn("anna@example.test")
		}
		if r := v.get("/enter?to=" + url.QueryEscape(to)); r.to != "/home/owner" {
			t.Errorf("signed in, %q leads to %q", to, r.to)
		}
		if r := v.get(enter.NewPasskeyPath + "?to=" + url.QueryEscape(to)); leadsAway(r.body) {
			t.Errorf("the page for passkeys leads to %q", to)
		}
	}
	if r := h.visitor().post("/enter", "address", "ben@example.test", "password", password, "to", "/mine?a=b&c=%2F%2F"); r.to != "/mine?a=b&c=%2F%2F" {
		t.Errorf("our own page: %q", r.to)
	}
}

// FuzzOnward: whatever is asked for, a browser stays with us.
func FuzzOnward(f *testing.F) {
	for _, s := range strangers {
		f.Add(s)
	}
	f.Add("/mine?a=b#c")
	base, _ := url.Parse("https://house.test/enter")
	f.Fuzz(func(t *testing.T, to string) {
		own := enter.Own(to)
		if own == "" {
			return
		}
		// What browsers do before they read an address, WHATWG URL §4.4.
		seen := strings.ReplaceAll(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.TrimSpace(own)), `\`, "/")
		u, err := base.Parse(seen)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || strings.HasPrefix(seen, "//") {
			t.Errorf("%q leads to %v, %v", to, u, err)
		}
	})
}

// TestAttackXSS: nothing that is typed becomes markup.
func TestAttackXSS(t *testing.T) {
	h := newHouse(t)
	h.rp = session.RelyingParty{ID: "house.test", Origins: []string{"https://house.test"}}
	h.start(true)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>'` + "`"
	v := h.visitor()
	v.signIn("ben@example.test")
	for _, path := range []string{"/enter", "/enter/code", "/enter/again", "/enter/passkey", enter.NewPasskeyPath, "/language"} {
		for _, v := range []*visitor{v, h.visitor()} {
			fields := []string{"lang", "en"}
			for _, name := range []string{"address", "password", "code", "to", "answer", "name", "remember", "back"} {
				fields = append(fields, name, evil)
			}
			pages := []reply{v.post(path, fields...), v.get(path + "?to=" + url.QueryEscape("/"+evil))}
			for _, r := range pages {
				if strings.Contains(r.body, "<script>") || strings.Contains(r.body, "<img src=x") || strings.Contains(r.to, "<") {
					t.Errorf("%s: %s", path, r.body)
				}
				if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
					t.Errorf("%s: policy %q", path, csp)
				}
			}
		}
	}
	// The address is still in its field, harmless.
	if r := h.visitor().post("/enter", "address", `"><b>`, "password", "x"); !strings.Contains(r.body, "&#34;&gt;&lt;b&gt;") {
		t.Error(r.body)
	}
}

// TestAttackOtherNames: a page whose name is pointed here (DNS rebinding) gets
// nothing.
func TestAttackOtherNames(t *testing.T) {
	h := newHouse(t)
	h.start(true)
	v := h.visitor()
	v.base = "https://evil.example"
	if r := v.post("/enter", "address", "ben@example.test", "password", password); r.status != http.StatusMisdirectedRequest || v.cookie() != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}
