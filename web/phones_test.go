package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"homemail/autoconfig"
)

// read asks for a page in a language.
func read(h http.Handler, host, target, language string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.Host = host
	r.Header.Set("Accept-Language", language)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	o := names()
	o.LocalName = func() string { return "homemail-2.local." }
	s := server(t, o)
	anna := setupPath + "?address=anna%40example.test"
	for _, tt := range []struct {
		host, target, language string
		status                 int
		want                   []string
	}{
		{"mail.example.test", "/", "", 200, []string{`<html lang="en">`, english.Title, `placeholder="name@example.test"`, `href="/?lang=ja"`}},
		{"autoconfig.other.test", "/", "en-GB, ja", 200, []string{english.Title, `placeholder="name@other.test"`}},
		{"xn--wgv71a.test", "/", "ja,en;q=0.5", 200, []string{`<html lang="ja">`, japanese.Title, `placeholder="name@日本.test"`}},
		{"mail.example.test", "/?lang=en", "ja", 200, []string{english.Title}},
		{"mail.example.test", "/?lang=ja", "en", 200, []string{japanese.Title, `name="lang" value="ja"`}},

		{"mail.example.test", anna, "en", 200, []string{"anna@example.test</h1>", "993</dd>", "465</dd>", "SSL/TLS", "mail.example.test</dd>", "/.mobileconfig?address=anna%40example.test&amp;lang=en", "<svg "}},
		{"autoconfig.example.test", anna, "ja", 200, []string{japanese.Install, japanese.Thunderbird, "&amp;lang=ja"}},
		{"mail.example.test", setupPath + "?address=%20Anna%40Other.TEST%20", "en", 200, []string{"Anna@other.test</h1>"}},
		{"mail.example.test", setupPath, "en", 200, []string{english.Title}},
		{"mail.example.test", setupPath + "?address=anna%40elsewhere.test", "en", 404, []string{english.NotOurs, `value="anna@elsewhere.test"`}},
		{"mail.example.test", setupPath + "?address=anna", "ja", 404, []string{japanese.NotOurs}},
		{"mta-sts.example.test", anna, "en", 404, nil},
		{"evil.test", anna, "en", 421, nil},
	} {
		check(t, s.secure, tt.host, tt.target, tt.language, tt.status, tt.want)
	}
	for _, tt := range []struct {
		host, target  string
		plain, secure int // status on port 80 and on 443
	}{
		{"homemail-2.local", "/", 200, 200},
		{"HomeMail-2.local.:80", "/?lang=en", 200, 200},
		{"homemail.local", "/", 421, 421}, // another's
		{"192.168.1.23", "/", 200, 421},
		{"[fd00::1]:80", "/", 200, 421},
		{"[fe80::1%25eth0]", "/", 200, 421},
		{"127.0.0.1:8080", "/", 200, 421},
		{"203.0.113.25", "/", 421, 421},
		{"192.168.1.23", anna, 421, 421},
		{"homemail-2.local", anna, 421, 421},
		{"homemail-2.local", autoconfig.ProfilePath + "?address=a%40example.test", 421, 421},
		{"192.168.1.23.evil.test", "/", 421, 421},
	} {
		for h, status := range map[*http.Handler]int{&s.open: tt.plain, &s.secure: tt.secure} {
			var want []string
			if status == 200 {
				want = []string{english.House, `href="https://mail.example.test/?lang=en"`}
			}
			if b := check(t, *h, tt.host, tt.target, "en", status, want); strings.Contains(b, "<form") {
				t.Errorf("%s: a form where everybody can read along", tt.host)
			}
		}
	}
	if w := ask(s.open, "POST", "192.168.1.23", "/", "x"); w.Code != 421 {
		t.Errorf("a request that changes something got %d", w.Code)
	}
}

func check(t *testing.T, h http.Handler, host, target, language string, status int, want []string) string {
	t.Helper()
	w := read(h, host, target, language)
	if w.Code != status {
		t.Errorf("%s%s: got %d, want %d", host, target, w.Code, status)
	}
	for _, text := range want {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s%s: %q is not in\n%s", host, target, text, w.Body)
		}
	}
	return w.Body.String()
}

// A house without a domain, or without a name that the world knows, has no page
// to lead to, and one whose doors are closed no settings.
func TestNothingToShow(t *testing.T) {
	o := names()
	o.Domains = func() []string { return nil }
	if b := check(t, server(t, o).open, "10.0.0.2", "/", "en", 200, []string{english.NoDomain}); strings.Contains(b, "https://") {
		t.Errorf("a link to nowhere: %s", b)
	}
	o = names()
	o.Server = func(string) autoconfig.Server { return autoconfig.Server{} }
	check(t, server(t, o).secure, "mail.example.test", setupPath+"?address=a%40example.test", "en", 404, []string{english.Nothing})
	o.Server = nil
	check(t, server(t, o).secure, "mail.example.test", setupPath+"?address=a%40example.test", "ja", 404, []string{japanese.Nothing})
}

// What is said of an address does not depend on whether somebody has it.
func TestAllAddressesAreAlike(t *testing.T) {
	s := server(t, names())
	page := func(name string) string {
		b := read(s.secure, "mail.example.test", setupPath+"?address="+name+"%40example.test", "en").Body.String()
		before, rest, _ := strings.Cut(b, "<svg ")
		_, after, _ := strings.Cut(rest, "</svg>")
		return strings.ReplaceAll(before+after, name, "NAME")
	}
	if a, b := page("anna"), page("nobody"); a != b || !strings.Contains(a, "NAME") {
		t.Errorf("%s\n%s", a, b)
	}
}

// The policy lets through the style sheet that is in the page, and a page is
// not larger than a slow line can take.
func TestPagePolicy(t *testing.T) {
	s := server(t, names())
	long := strings.Repeat("a", 64) + "%40example.test"
	for _, target := range []string{"/", setupPath + "?address=" + long + "&lang=ja"} {
		w := read(s.secure, "mail.example.test", target, "en")
		_, rest, _ := strings.Cut(w.Body.String(), "<style>")
		css, _, ok := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(css))
		policy := w.Header().Get("Content-Security-Policy")
		if !ok || !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("%s: the style sheet is not that of %q", target, policy)
		}
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "script") || strings.Contains(policy, "unsafe") {
			t.Errorf("policy %q", policy)
		}
		if w.Body.Len() > 40<<10 {
			t.Errorf("%s has %d octets", target, w.Body.Len())
		}
	}
}

// Both languages say everything.
func TestWords(t *testing.T) {
	for _, w := range []words{english, japanese} {
		for f, v := range reflect.ValueOf(w).Fields() {
			if v.String() == "" {
				t.Errorf("%s: %s is missing", w.Lang, f.Name)
			}
		}
	}
}

// elements are those that a page is made of, attributes those that it has.
var (
	elements = strings.Fields(`html head meta title style body header main p a div h1 h2 h3 form label input button section dl dt dd svg path`)
	attrs    = strings.Fields(`lang charset name content class href hreflang action method for id type inputmode autocomplete autocapitalize autocorrect
		spellcheck maxlength required value placeholder aria-invalid aria-describedby aria-label role xmlns viewBox shape-rendering fill d`)
)

// Whatever is typed, it is text: a page is made of our elements alone, and links
// lead to us.
func FuzzSetup(f *testing.F) {
	f.Add("anna@example.test")
	f.Add(`"><script>alert(1)</script>@example.test`)
	f.Add(`"\"><img src=x onerror=alert(1)>"@example.test`)
	f.Add("' onfocus=alert(1) autofocus x='@elsewhere.test")
	f.Add("花@日本.test")
	f.Add("javascript:alert(1)//@example.test")
	s, err := New(names())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		w := read(s.secure, "mail.example.test", setupPath+"?address="+url.QueryEscape(typed), "en")
		doc, err := html.Parse(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if !slices.Contains(elements, n.Data) {
				t.Errorf("%q makes <%s>", typed, n.Data)
			}
			for _, a := range n.Attr {
				if !slices.Contains(attrs, a.Key) {
					t.Errorf("%q makes <%s %s>", typed, n.Data, a.Key)
				}
				if a.Key == "href" && (!strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//")) {
					t.Errorf("%q makes a link to %q", typed, a.Val)
				}
			}
		}
	})
}
