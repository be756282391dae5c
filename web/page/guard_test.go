package page

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHost(t *testing.T) {
	h := newSet(t, nil).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	for _, c := range []struct {
		host, local string
		want        int
	}{
		{"mail.example", "192.0.2.1:443", 200},
		{"MAIL.example.:8443", "192.0.2.1:443", 200},
		{"evil.example", "192.0.2.1:443", 421},
		{"mail.example.evil.example", "192.0.2.1:443", 421},
		{"", "192.0.2.1:443", 421},
		{"192.0.2.1:8443", "192.0.2.1:443", 200},
		{"192.0.2.2", "192.0.2.1:443", 421},
		{"[2001:db8::1]", "[2001:db8::1]:443", 200},
		{"192.0.2.1", "[::ffff:192.0.2.1]:443", 200},
		{"localhost:8080", "127.0.0.1:8080", 200},
		{"localhost", "192.0.2.1:443", 421},
	} {
		r := request("GET", "/", "", "Host", c.host)
		at, err := net.ResolveTCPAddr("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		w := do(h, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(at))))
		if w.Code != c.want {
			t.Errorf("%q at %s: %d, want %d", c.host, c.local, w.Code, c.want)
		}
		if w.Code == 421 && strings.Contains(w.Body.String(), "homemail") {
			t.Errorf("%q is told what this is", c.host)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := newSet(t, nil).Handler(http.NotFoundHandler())
	w := do(h, request("GET", "/", ""))
	for name, want := range map[string]string{
		"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Error(policy)
	}
}

// TestForgery sends what another site's page can send, and what ours does.
func TestForgery(t *testing.T) {
	signedIn := "s1"
	s := newSet(t, func(o *Options) { o.Session = func(*http.Request) string { return signedIn } })
	done := 0
	h := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			done++
			return
		}
		s.Render(w, r, "x", view{}, http.StatusOK)
	}))
	token := func() string {
		_, after, _ := strings.Cut(do(h, request("GET", "/", "")).Body.String(), `name="csrf" value="`)
		got, _, _ := strings.Cut(after, `"`)
		return got
	}
	ours := token()
	if ours == "" || ours == token() || strings.HasPrefix(ours, "token-") {
		t.Fatalf("token %q", ours)
	}
	signedIn = "s2"
	other := token()
	signedIn = "s1"
	const kind = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		header []string
		body   string
		want   int
	}{
		"our page":            {[]string{"Sec-Fetch-Site", "same-origin"}, "csrf=" + ours, 200},
		"our page over HTTP":  {[]string{"Origin", "http://mail.example"}, "csrf=" + ours, 200},
		"htmx":                {[]string{"X-CSRF-Token", ours}, "a=b", 200},
		"no token":            {[]string{"Sec-Fetch-Site", "same-origin"}, "a=b", 403},
		"of another session":  {[]string{"Sec-Fetch-Site", "same-origin"}, "csrf=" + other, 403},
		"cut":                 {nil, "csrf=" + ours[:40], 403},
		"another site":        {[]string{"Sec-Fetch-Site", "cross-site"}, "csrf=" + ours, 403},
		"a neighbour":         {[]string{"Sec-Fetch-Site", "same-site"}, "csrf=" + ours, 403},
		"another origin":      {[]string{"Origin", "http://evil.example"}, "csrf=" + ours, 403},
		"no origin":           {[]string{"Origin", "null"}, "csrf=" + ours, 403},
		"in the address":      {[]string{"Content-Type", kind}, "a=b&x=" + ours, 403},
		"too long":            {nil, "csrf=" + ours + "&a=" + strings.Repeat("x", maxBody), 413},
		"not a form":          {nil, "csrf=%zz", 400},
		"more than any field": {nil, "csrf=" + ours + manyFields(), 400},
	} {
		before := done
		w := do(h, request("POST", "/", c.body, c.header...))
		if w.Code != c.want || (done > before) != (c.want == 200) {
			t.Errorf("%s: %d, done %v", name, w.Code, done > before)
		}
	}
	signedIn = ""
	if w := do(h, request("POST", "/", "a=b", "Sec-Fetch-Site", "same-origin")); w.Code != 200 {
		t.Errorf("before signing in: %d", w.Code)
	}
}

func manyFields() string {
	var b strings.Builder
	for i := range maxFields + 1 {
		b.WriteString("&f" + number(int64(i)) + "=")
	}
	return b.String()
}

func TestLanguageSwitch(t *testing.T) {
	h := newSet(t, nil).Handler(http.NotFoundHandler())
	for back, want := range map[string]string{"/a%3Fb=1": "/a?b=1", "//evil.example": "/", "%2F%5Cevil.example": "/", "https://evil.example": "/", "": "/", "/a%0D%0Ab": "/"} {
		w := do(h, request("POST", "/language", "lang=ja&back="+back))
		if w.Code != 303 || w.Header().Get("Location") != want || !strings.HasPrefix(w.Header().Get("Set-Cookie"), "lang=ja;") {
			t.Errorf("%q: %d %v", back, w.Code, w.Header())
		}
	}
	if w := do(h, request("POST", "/language", "lang=xx")); w.Code != 400 {
		t.Errorf("a language that we have not: %d", w.Code)
	}
}

func TestCookies(t *testing.T) {
	r := request("GET", "/", "")
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	SetCookie(w, r, http.Cookie{Name: "a", Value: "b", Domain: "example"})
	if got := w.Header().Get("Set-Cookie"); got != "__Host-a=b; Path=/; HttpOnly; Secure; SameSite=Lax" {
		t.Error(got)
	}
	r.Header.Set("Cookie", "a=planted")
	if v, ok := Cookie(r, "a"); ok {
		t.Errorf("took %q, which any neighbour can set", v)
	}
}

func TestFlash(t *testing.T) {
	s := newSet(t, nil)
	w := httptest.NewRecorder()
	s.Done(w, request("POST", "/", "a=b"), "/next", Say("x.mails", "n", 1))
	if w.Code != 303 || w.Header().Get("Location") != "/next" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	cookie, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	show := func(cookie string) (string, string) {
		w := httptest.NewRecorder()
		s.Render(w, request("GET", "/", "", "Cookie", cookie), "x", view{N: 7}, http.StatusOK)
		return w.Body.String(), w.Header().Get("Set-Cookie")
	}
	body, dropped := show(cookie)
	if !strings.Contains(body, "1 mail<") || !strings.Contains(body, `role="status"`) || !strings.Contains(dropped, "Max-Age=0") {
		t.Errorf("%s\n%s", dropped, body)
	}
	if body, _ := show(strings.Replace(cookie, "=e", "=f", 1)); strings.Contains(body, `class="notice`) {
		t.Error("a cookie that we have not signed is shown")
	}
	w = httptest.NewRecorder()
	s.Redirect(w, request("POST", "/", "a=b", "HX-Request", "true"), "//evil.example")
	if w.Header().Get("HX-Redirect") != "/" {
		t.Errorf("%v", w.Header())
	}
}
