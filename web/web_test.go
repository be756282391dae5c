package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"homemail/autoconfig"
)

func names() Options {
	return Options{
		Host:    func() string { return "Mail.Example.test." },
		Domains: func() []string { return []string{"other.test", "example.test", "xn--wgv71a.test"} },
		MTASTS: func(domain string) (string, bool) {
			return "version: STSv1\r\nmx: for " + domain + "\r\n", domain != "other.test"
		},
		Server: func(domain string) autoconfig.Server {
			return autoconfig.Server{
				Host: "mail.example.test", Domain: domain,
				IMAP: []autoconfig.Service{{Port: 993, TLS: autoconfig.Implicit}}, Submission: []autoconfig.Service{{Port: 465, TLS: autoconfig.Implicit}},
			}
		},
		ACME: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "proof") }),
		Log:  slog.New(slog.DiscardHandler),
	}
}

func server(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(h http.Handler, method, host, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func outlook(addr string) string {
	return `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>` +
		addr + `</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>`
}

// Each host has its own, and no other has it.
func TestHTTPS(t *testing.T) {
	s := server(t, names())
	for _, tt := range []struct {
		method, host, target, body string
		status                     int
		want                       string // in the answer
	}{
		{"GET", "mta-sts.example.test", stsPath, "", 200, "mx: for example.test\r\n"},
		{"GET", "MTA-STS.Example.TEST.:443", stsPath, "", 200, "mx: for example.test"},
		{"HEAD", "mta-sts.example.test", stsPath, "", 200, ""},
		{"POST", "mta-sts.example.test", stsPath, "", 405, ""},
		{"GET", "mta-sts.other.test", stsPath, "", 404, ""},
		{"GET", "mail.example.test", stsPath, "", 404, ""},
		{"GET", "autoconfig.example.test", stsPath, "", 404, ""},
		{"GET", "mta-sts.mail.example.test", stsPath, "", 421, ""},

		{"GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=a%40example.test", "", 200, "<domain>example.test<"},
		{"GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=a%40other.test", "", 200, "<domain>other.test<"},
		{"GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=%E8%8A%B1%40%E6%97%A5%E6%9C%AC.test", "", 200, "<domain>xn--wgv71a.test<"},
		{"GET", "autoconfig.example.test", thunderbirdPath, "", 200, "<domain>example.test<"},
		{"GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=a%40elsewhere.test", "", 404, ""},
		{"GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=postmaster", "", 404, ""},
		{"GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=%3Cx%3E", "", 404, ""},
		{"GET", "autoconfig.example.test", thunderbirdHomePath, "", 200, "<domain>example.test<"},
		{"GET", "example.test", thunderbirdHomePath, "", 200, "<domain>example.test<"},
		{"GET", "mail.example.test", thunderbirdHomePath, "", 200, "<domain>example.test<"},
		{"GET", "other.test", thunderbirdHomePath, "", 200, "<domain>other.test<"},
		{"GET", "mail.example.test", thunderbirdPath, "", 404, ""},
		{"GET", "mta-sts.example.test", thunderbirdHomePath, "", 404, ""},

		{"POST", "autodiscover.example.test", outlookPath, outlook("a@example.test"), 200, "<LoginName>a@example.test<"},
		{"POST", "autodiscover.example.test", "/Autodiscover/Autodiscover.xml", outlook("a@example.test"), 200, "<LoginName>a@example.test<"},
		{"POST", "autodiscover.example.test", "/AutoDiscover/AutoDiscover.XML", outlook("a@other.test"), 200, "<LoginName>a@other.test<"},
		{"POST", "example.test", "/Autodiscover/Autodiscover.xml", outlook("a@example.test"), 200, "<LoginName>a@example.test<"},
		{"POST", "mail.example.test", outlookPath, outlook("a@example.test"), 200, "<LoginName>a@example.test<"},
		{"POST", "autodiscover.example.test", outlookPath, outlook("a@elsewhere.test"), 200, "<ErrorCode>600<"},
		{"POST", "autodiscover.example.test", outlookPath, "no XML", 200, "<ErrorCode>600<"},
		{"POST", "autodiscover.example.test", outlookPath, strings.Replace(outlook("a@example.test"), "2006a", "2007", 1), 200, "<ErrorCode>601<"},
		{"GET", "autodiscover.example.test", "/Autodiscover/Autodiscover.xml", "", 405, ""},
		{"POST", "autoconfig.example.test", outlookPath, outlook("a@example.test"), 404, ""},

		{"GET", "mail.example.test", autoconfig.ProfilePath + "?address=a%2Bb%40example.test", "", 200, "<string>a+b@example.test<"},
		{"GET", "autoconfig.other.test", autoconfig.ProfilePath + "?address=a%40other.test", "", 200, "<string>a@other.test<"},
		{"GET", "mail.example.test", autoconfig.ProfilePath + "?address=a%40elsewhere.test", "", 404, ""},
		{"GET", "mail.example.test", autoconfig.ProfilePath, "", 404, ""},

		{"GET", "mta-sts.example.test", "/", "", 404, ""},
		{"GET", "mail.example.test", "/setup/", "", 404, ""},
		{"POST", "mail.example.test", "/setup", "", 405, ""},
		{"GET", "mail.example.test", "/../../etc/passwd", "", 307, ""}, // to where it is not
		{"GET", "mail.example.test", "/.well-known/", "", 404, ""},
		{"GET", "mail.example.test", challengePath + "x", "", 404, ""}, // port 80 only
		{"PUT", "mail.example.test", "/", "", 405, ""},
		{"TRACE", "mail.example.test", "/", "", 405, ""},
		{"OPTIONS", "mail.example.test", "*", "", 405, ""},

		{"GET", "evil.test", stsPath, "", 421, ""},
		{"GET", "192.168.1.23", autoconfig.ProfilePath + "?address=a%40example.test", "", 421, ""},
		{"GET", "[::1]:443", "/", "", 421, ""},
		{"GET", "", "/", "", 421, ""},
		{"GET", "mail.example.test.evil.test", "/", "", 421, ""},
		{"GET", "evil.mail.example.test", "/", "", 421, ""},
		{"GET", "mail.example.test:443:80", "/", "", 421, ""},
	} {
		w := ask(s.secure, tt.method, tt.host, tt.target, tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s https://%s%s: got %d %q, want %d %q", tt.method, tt.host, tt.target, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestPort80(t *testing.T) {
	s := server(t, names())
	for _, tt := range []struct {
		method, host, target string
		status               int
		location, want       string
	}{
		{"GET", "mail.example.test", challengePath + "token", 200, "", "proof"},
		{"GET", "new.example.test", challengePath + "token", 200, "", "proof"}, // the handler knows its names
		{"GET", "mail.example.test", "/", 302, "https://mail.example.test/", ""},
		{"GET", "MAIL.example.test:80", "/a%2Fb?c=d%20e", 302, "https://mail.example.test/a%2Fb?c=d%20e", ""},
		{"HEAD", "example.test", "/", 302, "https://example.test/", ""},
		{"GET", "autodiscover.example.test", "/autodiscover/autodiscover.xml", 302, "https://autodiscover.example.test/autodiscover/autodiscover.xml", ""},
		{"GET", "mta-sts.example.test", stsPath, 302, "https://mta-sts.example.test" + stsPath, ""},
		{"GET", "mail.example.test", "//evil.test/", 302, "https://mail.example.test//evil.test/", ""},
		{"GET", "mail.example.test", "x:.evil.test/", 302, "https://mail.example.test", ""}, // opaque
		{"POST", "autodiscover.example.test", "/autodiscover/autodiscover.xml", 405, "", ""},
		{"DELETE", "mail.example.test", "/", 405, "", ""},
		{"POST", "evil.test", "/", 421, "", ""},
		{"GET", "evil.test", "/", 421, "", ""},
		{"GET", "192.0.2.1", "/", 421, "", ""},
		{"GET", "", "/", 421, "", ""},
	} {
		w := ask(s.open, tt.method, tt.host, tt.target, "")
		if w.Code != tt.status || w.Header().Get("Location") != tt.location || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s http://%s%s: got %d to %q, %q; want %d to %q", tt.method, tt.host, tt.target, w.Code, w.Header().Get("Location"), w.Body, tt.status, tt.location)
		}
	}
}

func TestHeaders(t *testing.T) {
	s := server(t, names())
	for _, tt := range []struct {
		w    *httptest.ResponseRecorder
		kind string
	}{
		{ask(s.secure, "GET", "mta-sts.example.test", stsPath, ""), "text/plain; charset=utf-8"},
		{ask(s.secure, "GET", "autoconfig.example.test", thunderbirdPath, ""), "text/xml; charset=utf-8"},
		{ask(s.secure, "GET", "mail.example.test", autoconfig.ProfilePath+"?address=a%40example.test", ""), autoconfig.AppleType},
		{ask(s.secure, "GET", "mail.example.test", "/nothing", ""), "text/plain; charset=utf-8"},
		{ask(s.secure, "GET", "evil.test", "/", ""), "text/plain; charset=utf-8"},
		{ask(s.secure, "PUT", "evil.test", "/", ""), "text/plain; charset=utf-8"},
		{ask(s.open, "GET", "mail.example.test", "/", ""), "text/html; charset=utf-8"},
	} {
		h := tt.w.Result().Header
		for k, want := range map[string]string{
			"Content-Type": tt.kind, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Server": "", "Access-Control-Allow-Origin": "",
		} {
			if got := h.Get(k); got != want {
				t.Errorf("%d: %s is %q, want %q", tt.w.Code, k, got, want)
			}
		}
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") {
			t.Errorf("%d: policy is %q", tt.w.Code, h.Get("Content-Security-Policy"))
		}
	}
}

func TestLanguage(t *testing.T) {
	s := server(t, names())
	r := httptest.NewRequest("GET", autoconfig.ProfilePath+"?address=a%40example.test", nil)
	r.Host = "mail.example.test"
	r.Header.Set("Accept-Language", "ja-JP,ja;q=0.9,en;q=0.8")
	w := httptest.NewRecorder()
	s.secure.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), "a@example.test のメール") {
		t.Errorf("got %s", w.Body)
	}
}

// What is not set up is not there, and nothing falls over.
func TestWithoutParts(t *testing.T) {
	o := names()
	o.MTASTS, o.Server, o.ACME = nil, nil, nil
	s := server(t, o)
	for _, tt := range []struct {
		h                    http.Handler
		method, host, target string
		want                 int
	}{
		{s.secure, "GET", "mta-sts.example.test", stsPath, 404},
		{s.secure, "GET", "autoconfig.example.test", thunderbirdPath, 404},
		{s.secure, "GET", "autoconfig.example.test", thunderbirdPath + "?emailaddress=a%40example.test", 404},
		{s.secure, "GET", "mail.example.test", autoconfig.ProfilePath + "?address=a%40example.test", 404},
		{s.secure, "POST", "autodiscover.example.test", outlookPath, 200},
		{s.open, "GET", "mail.example.test", challengePath + "x", 302},
	} {
		if w := ask(tt.h, tt.method, tt.host, tt.target, outlook("a@example.test")); w.Code != tt.want {
			t.Errorf("%s %s%s: got %d %s, want %d", tt.method, tt.host, tt.target, w.Code, w.Body, tt.want)
		}
	}
	o.Domains = func() []string { return nil }
	if w := ask(server(t, o).secure, "GET", "mail.example.test", thunderbirdHomePath, ""); w.Code != 404 {
		t.Errorf("without a domain: got %d", w.Code)
	}
	o = names()
	o.Server = func(string) autoconfig.Server { return autoconfig.Server{} } // nothing is open
	if w := ask(server(t, o).secure, "GET", "mail.example.test", autoconfig.ProfilePath+"?address=a%40example.test", ""); w.Code != 404 || w.Header().Get("Content-Disposition") != "" {
		t.Errorf("with no door open: got %d %v", w.Code, w.Header())
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a server without names")
	}
}

func TestNearest(t *testing.T) {
	for _, tt := range []struct{ host, domains, want string }{
		{"mail.example.test", "example.test", "example.test"},
		{"mail.home.example.test", "example.test home.example.test", "home.example.test"},
		{"mail.elsewhere.test", "b.test a.test", "b.test"},
		{"mailexample.test", "x.test example.test", "x.test"},
		{"example.test", "x.test Example.test.", "example.test"},
		{"mail.example.test", "", ""},
	} {
		if got := nearest(tt.host, strings.Fields(tt.domains)); got != tt.want {
			t.Errorf("%s among %s: got %q, want %q", tt.host, tt.domains, got, tt.want)
		}
	}
}

// A mail host that has a helper's name is both.
func TestHostWithHelpersName(t *testing.T) {
	o := names()
	o.Host = func() string { return "autoconfig.example.test" }
	s := server(t, o)
	for _, target := range []string{thunderbirdPath, autoconfig.ProfilePath + "?address=a%40example.test"} {
		if w := ask(s.secure, "GET", "autoconfig.example.test", target, ""); w.Code != 200 {
			t.Errorf("%s: got %d", target, w.Code)
		}
	}
	if w := ask(s.secure, "POST", "autoconfig.example.test", outlookPath, outlook("a@example.test")); w.Code != 200 {
		t.Errorf("autodiscover: got %d", w.Code)
	}
}

// Whatever host is named, only ours are answered, and a redirect leads nowhere
// but to one of them. In the house there is one page.
func FuzzHost(f *testing.F) {
	f.Add("mail.example.test", "/")
	f.Add("MTA-STS.example.test.:80", "//evil.test/..;/?a=b")
	f.Add("[::1]:80", "/%2e%2e/")
	f.Add("192.168.1.2", "/")
	f.Add("a@mail.example.test", "/\\evil.test")
	s, err := New(names())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.URL.Path = host, path
		w := httptest.NewRecorder()
		s.open.ServeHTTP(w, r)
		if strings.HasPrefix(path, challengePath) {
			return
		}
		to := w.Header().Get("Location")
		at := s.site(asked(r))
		switch {
		case at.roles == 0 && path == "/" && private(at.host):
			if w.Code != http.StatusOK || to != "" {
				t.Errorf("%q: %d to %q", host, w.Code, to)
			}
		case at.roles == 0:
			if w.Code != http.StatusMisdirectedRequest || to != "" {
				t.Errorf("%q: %d to %q", host, w.Code, to)
			}
		case w.Code != http.StatusFound || to != "https://"+at.host && !strings.HasPrefix(to, "https://"+at.host+"/"):
			t.Errorf("%q %q: %d to %q", host, path, w.Code, to)
		}
	})
}

// A request that nobody has looked at yet does no harm: the answer is XML with
// settings for the address in it, or with an error.
func FuzzAutodiscover(f *testing.F) {
	f.Add("/autodiscover/autodiscover.xml", outlook("a@example.test"))
	f.Add("/Autodiscover/Autodiscover.xml", outlook("&lt;a@example.test"))
	f.Add("/AUTODISCOVER/autodiscover.XML", "<!DOCTYPE x>"+outlook("a@example.test"))
	s, err := New(names())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Host, r.URL.Path = "autodiscover.example.test", path
		w := httptest.NewRecorder()
		s.secure.ServeHTTP(w, r)
		if !strings.EqualFold(path, outlookPath) {
			if w.Code == http.StatusOK {
				t.Errorf("%q is served", path)
			}
			return
		}
		if len(body) > maxBody {
			return
		}
		got := w.Body.String()
		if settings, failed := strings.Contains(got, "<Action>settings</Action>"), strings.Contains(got, "<ErrorCode>60"); w.Code != http.StatusOK || settings == failed {
			t.Errorf("%q: %d %s", body, w.Code, got)
		}
	})
}
