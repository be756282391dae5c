package page

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// files are sources of a few lines.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

const (
	testEN = `{"x.title": "A page", "x.hello": "Hello, {name}", "x.mails": {"one": "{n} mail", "other": "{n} mails"}}`
	testJA = `{"x.title": "ページ", "x.hello": "{name}さん", "x.mails": "メール{n}通"}`
	testX  = `<h1>{{t "x.hello" "name" .Name}}</h1><p>{{t "x.mails" "n" .N}}</p><form method="post">{{csrf}}</form>`
)

type view struct {
	Name string
	N    int
}

func newSet(t *testing.T, change func(*Options)) *Set {
	t.Helper()
	o := Options{
		Sources: nil,
		Hosts:   func() []string { return []string{"mail.example"} },
		Key:     []byte(strings.Repeat("k", minKey)),
		Zone:    func() *time.Location { return time.UTC },
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	if o.Sources == nil {
		o.Sources = append(o.Sources, files("x.html", testX, "en.json", testEN, "ja.json", testJA))
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "mail.example"
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRender(t *testing.T) {
	s := newSet(t, nil)
	show := func(header ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Render(w, request("GET", "/p?q=1", "", header...), "x", view{"<b>Taro", 1}, http.StatusOK)
		return w
	}
	has := func(w *httptest.ResponseRecorder, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("no %q in\n%s", text, w.Body)
			}
		}
	}
	has(show(), `<html lang="en">`, `<title>A page · homemail</title>`, `Hello, &lt;b&gt;Taro`, `<p>1 mail</p>`, `value="/p?q=1"`)
	has(show("Accept-Language", "fr, JA-jp;q=0.9, en;q=0.8"), `<html lang="ja">`, `&lt;b&gt;Taroさん`, `メール1通`)
	has(show("Accept-Language", "ja", "Cookie", "lang=en"), `<html lang="en">`)
	has(show("Accept-Language", "ja", "Cookie", "lang=xx"), `<html lang="ja">`)
	if w := show(); w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Language") != "en" {
		t.Errorf("header %v", w.Header())
	}
	w := show("Accept-Encoding", "gzip, br")
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !strings.Contains(string(b), "Hello") {
		t.Errorf("%v: %s", err, b)
	}
	w = httptest.NewRecorder()
	s.RenderPart(w, request("GET", "/", ""), "x", view{"Taro", 2000}, http.StatusOK)
	if !strings.HasPrefix(w.Body.String(), "<h1>Hello, Taro</h1><p>2,000 mails</p>") {
		t.Errorf("part %s", w.Body)
	}
	w = httptest.NewRecorder()
	s.Render(w, request("GET", "/", ""), "x", struct{ Name string }{"no N"}, http.StatusOK)
	if w.Code != 500 || strings.Contains(w.Body.String(), "Hello") {
		t.Errorf("a view without a field: %d %s", w.Code, w.Body)
	}
}

func TestNew(t *testing.T) {
	ok := files("x.html", testX, "en.json", testEN, "ja.json", testJA)
	for name, o := range map[string]Options{
		"two templates of a name": {Sources: nil},
		"a key in two places":     {},
		"a key twice":             {},
		"one of the parts twice":  {},
		"a template that breaks":  {},
	} {
		o.Hosts, o.Key = func() []string { return nil }, make([]byte, minKey)
		switch name {
		case "two templates of a name":
			o.Sources = append(o.Sources, ok, files("x.html", ""))
			o.Sources[1] = files("x.html", "<p>")
		case "a key in two places":
			o.Sources = append(o.Sources, ok, files("en.json", `{"x.title": "again"}`))
		case "a key twice":
			o.Sources = append(o.Sources, files("en.json", `{"y": "1", "y": "2"}`))
		case "one of the parts twice":
			o.Sources = append(o.Sources, files("x.html", `{{define "page.nav"}}<p>{{end}}`))
		case "a template that breaks":
			o.Sources = append(o.Sources, files("x.html", `{{nothing}}`))
		}
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Hosts: func() []string { return nil }, Key: []byte("short")}); err == nil {
		t.Error("a short key was taken")
	}
}

// TestVendored fails when a file of others is not what they have published:
// htmx.org 2.0.11 dist/htmx.min.js, htmx-ext-sse 2.2.4 dist/sse.min.js.
func TestVendored(t *testing.T) {
	for name, want := range map[string]string{
		"htmx.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
		"sse.js":  "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
	} {
		b, err := os.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is %x", name, sum)
		}
	}
}

func TestOwnWords(t *testing.T) {
	words, err := LoadWords(nil)
	if err != nil {
		t.Fatal(err)
	}
	checkWords(t, words, os.DirFS("."), []fs.FS{ownUI()})
	CheckTemplates(t, ownUI())
}

// A recorder notes what a check finds.
type recorder struct{ found []string }

func (*recorder) Helper()                     {}
func (r *recorder) Errorf(f string, a ...any) { r.found = append(r.found, fmt.Sprintf(f, a...)) }

func TestChecks(t *testing.T) {
	for name, c := range map[string]struct{ html, en, ja, code, want string }{
		"all well":       {testX, testEN, testJA, "", ""},
		"missing":        {`{{t "x.gone"}}`, `{}`, `{}`, "", `no catalogue has the key "x.gone"`},
		"missing label":  {`{{input .Form "a" "x.gone"}}`, `{}`, `{}`, "", `no catalogue has the key "x.gone"`},
		"missing in Go":  {"", `{}`, `{}`, `page.Say("x.gone")`, `no catalogue has the key "x.gone"`},
		"one language":   {`{{t "x.a"}}`, `{"x.a": "A"}`, `{}`, "", `ja: "x.a" is missing`},
		"other places":   {`{{t "x.a"}}`, `{"x.a": "{n} A"}`, `{"x.a": "{m}"}`, "", `"x.a": en has the places [n], ja has [m]`},
		"unused":         {``, `{"x.a": "A"}`, `{"x.a": "あ"}`, "", `en: nothing uses "x.a"`},
		"empty":          {`{{t "x.a"}}`, `{"x.a": "A"}`, `{"x.a": ""}`, "", `ja: "x.a" says nothing`},
		"by beginning":   {``, `{"x.a": "A"}`, `{"x.a": "あ"}`, `"x." + name`, ""},
		"help":           {`{{input .F "a" "x.a"}}`, `{"x.a": "A", "x.a.help": "B"}`, `{"x.a": "あ", "x.a.help": "い"}`, "", ""},
		"words":          {`<p>Hello {{.Name}}</p>`, `{}`, `{}`, "", `the template x says "Hello" itself`},
		"words of an if": {`{{if .A}}<i>yes</i>{{end}}`, `{}`, `{}`, "", `the template x says "yes" itself`},
		"attribute":      {`<img src="a" alt="A house">`, `{}`, `{}`, "", `the template x says "A house" itself`},
		"marks":          {`<!-- why --><p class="{{if .A}}good{{end}}">&nbsp;· {{.Name}} &gt; 1</p>`, `{}`, `{}`, "", ""},
	} {
		var r recorder
		source := files("x.html", c.html, "en.json", c.en, "ja.json", c.ja)
		CheckCatalogues(&r, files("a.go", c.code), source)
		CheckTemplates(&r, source)
		if got := strings.Join(r.found, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestStatic(t *testing.T) {
	s := newSet(t, nil)
	h := s.Handler(http.NotFoundHandler())
	total := 0
	for name, href := range s.assets.hrefs {
		w := do(h, request("GET", href, "", "Accept-Encoding", "gzip"))
		if w.Code != 200 || w.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		total += w.Body.Len()
		if w := do(h, request("GET", href, "")); w.Code != 200 || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	if total > 30_000 {
		t.Errorf("the static files have %d octets; 10,000 of 40,000 are for the page itself", total)
	}
	if w := do(h, request("GET", "/static/page.css", "")); w.Code != 404 {
		t.Errorf("without its hash: %d", w.Code)
	}
	for header, want := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.000": false, "": false, "gzipped": false} {
		if got := takesGzip(request("GET", "/", "", "Accept-Encoding", header)); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

type unfinished struct {
	view
	under bool
}

func (u unfinished) Underway() bool { return u.under }

// TestUnderway: a page of something under way says how to look again, and never
// loads itself anew.
func TestUnderway(t *testing.T) {
	s := newSet(t, nil)
	for _, under := range []bool{true, false} {
		w := httptest.NewRecorder()
		s.Render(w, request("GET", "/p?q=1", ""), "x", unfinished{view{"Taro", 1}, under}, http.StatusOK)
		again := strings.Contains(w.Body.String(), `<a href="/p?q=1">Look again</a>`) && strings.Contains(w.Body.String(), "<noscript>")
		if again != under {
			t.Errorf("under way %t, a way to look again %t:\n%s", under, again, w.Body)
		}
		if w.Header().Get("Refresh") != "" || strings.Contains(w.Body.String(), "http-equiv") {
			t.Errorf("it loads itself anew:\n%s", w.Body)
		}
	}
}

// TestWhere: no log has what a link to somebody is made of.
func TestWhere(t *testing.T) {
	var said bytes.Buffer
	s := newSet(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	const token = "ABCDEFGHJKMNPQRSTVWXYZ2345"
	h := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Stream(w, r, func(context.Context, Sender) error { return errors.New("broken") })
	}))
	do(h, request("POST", "/share/"+token, "a=b", "Sec-Fetch-Site", "cross-site"))
	do(h, request("GET", "/share/"+token+"/events", ""))
	if got := said.String(); strings.Count(got, "path=/share/...") != 2 || strings.Contains(got, token) {
		t.Error(got)
	}
}
