package page

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A view may know more of its page than its body.

// Titled is a view that says the title of its page; of others, it is NAME.title.
type Titled interface{ Title() Message }

// Underway is a view of something that goes on while people look. Where there is
// no JavaScript, its page has a way to look again: one that loaded itself anew
// would take readers and screen readers away from where they are (WCAG 2.2.1).
type Underway interface{ Underway() bool }

// layout is what the template page.layout is made from.
type layout struct {
	Frame
	Lang  Lang
	Langs []tongue
	Title Message
	Again *Notice // with the way to look again; nil for none
	Back  string
	Flash *Notice
	Name  string
	Body  template.HTML
}

// A tongue is a language that the reader can switch to.
type tongue struct {
	Lang    Lang
	Name    Message
	Current bool
}

const compressed = 1400 // octets that fit into a packet anyway

// Render answers with the page NAME made from a view.
func (s *Set) Render(w http.ResponseWriter, r *http.Request, name string, view any, status int) {
	lang := s.Lang(r)
	body, err := s.execute(lang, name, view)
	if err != nil {
		s.fail(w, r, name, err)
		return
	}
	l := layout{Lang: lang, Name: name, Title: Say(name + ".title"), Back: back(r), Body: template.HTML(body), Flash: s.takeFlash(w, r)}
	if s.o.Frame != nil {
		l.Frame = s.o.Frame(r)
	}
	if l.Home == "" {
		l.Home = "/"
	}
	if t, ok := view.(Titled); ok {
		l.Title = t.Title()
	}
	if u, ok := view.(Underway); ok && u.Underway() {
		l.Again = &Notice{Waiting, Say("page.again.lead"), l.Back, Say("page.again")}
	}
	for _, other := range Langs() {
		l.Langs = append(l.Langs, tongue{other, Say("page.lang." + string(other)), other == lang})
	}
	page, err := s.execute(lang, "page.layout", l)
	if err != nil {
		s.fail(w, r, name, err)
		return
	}
	w.Header().Set("Content-Language", string(lang))
	s.send(w, r, page, status)
}

// RenderPart answers with the template NAME alone, for htmx to put into a page.
func (s *Set) RenderPart(w http.ResponseWriter, r *http.Request, name string, view any, status int) {
	part, err := s.execute(s.Lang(r), name, view)
	if err != nil {
		s.fail(w, r, name, err)
		return
	}
	s.send(w, r, part, status)
}

// IsPart reports whether htmx asks for a part of a page: the same handler
// answers who has no JavaScript with a whole one.
func IsPart(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true" && r.Header.Get("HX-Boosted") == "" && r.Header.Get("HX-History-Restore-Request") == ""
}

func (s *Set) execute(lang Lang, name string, view any) ([]byte, error) {
	var b bytes.Buffer
	if err := s.pages[lang].ExecuteTemplate(&b, name, view); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// send answers with HTML, in which the token takes the place that templates
// left for it.
func (s *Set) send(w http.ResponseWriter, r *http.Request, html []byte, status int) {
	html = s.fillToken(r, html)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // what is on pages is private
	if len(html) > compressed && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		html = squeeze(html, gzip.BestSpeed)
	}
	h.Set("Content-Length", strconv.Itoa(len(html)))
	w.WriteHeader(status)
	_, _ = w.Write(html)
}

// fail answers when a page cannot be made: a bug, for a log.
func (s *Set) fail(w http.ResponseWriter, r *http.Request, name string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.log.Error("a page could not be made", "page", name, "err", err)
	if name == "page.error" || name == "page.layout" {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	s.Error(w, r, http.StatusInternalServerError)
}

// A Refusal is why a request is not served, in words.
type Refusal struct {
	Status       int
	What         Message // what it means: the heading
	Why          Message
	Href         string // where to go on
	Do           Message
	RetrySeconds int
}

// Title is the heading, too.
func (f Refusal) Title() Message { return f.What }

// Error answers with a page that says what a status means and what to do.
func (s *Set) Error(w http.ResponseWriter, r *http.Request, status int) {
	key := "page.error." + strconv.Itoa(status)
	if !s.words.Has(key) {
		key = "page.error.500"
		if status < 500 {
			key = "page.error.400"
		}
	}
	s.Refuse(w, r, Refusal{Status: status, What: Say(key), Why: Say(key + ".why"), Href: "/", Do: Say("page.error.home")})
}

// Refuse answers with a page that says why a request is not served.
func (s *Set) Refuse(w http.ResponseWriter, r *http.Request, f Refusal) {
	if f.RetrySeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetrySeconds))
	}
	s.Render(w, r, "page.error", f, f.Status)
}

// Lang is the language for a reader: as chosen on a page, else the account's,
// else the first of ours that the browser asks for.
func (s *Set) Lang(r *http.Request) Lang {
	if c, ok := Cookie(r, langCookie); ok && isLang(Lang(c)) {
		return Lang(c)
	}
	if s.o.Lang != nil {
		if l := s.o.Lang(r); isLang(l) {
			return l
		}
	}
	return accepted(r.Header.Get("Accept-Language"))
}

func isLang(l Lang) bool { return l == English || l == Japanese }

// accepted reads Accept-Language (RFC 9110 §12.5.4). Browsers send it in order
// of preference; weights only repeat that order.
func accepted(header string) Lang {
	for one := range strings.SplitSeq(header, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(one), ";")
		primary, _, _ := strings.Cut(tag, "-")
		if l := Lang(strings.ToLower(primary)); isLang(l) {
			return l
		}
	}
	return Langs()[0]
}

// setLang is the switch of the layout: POST lang and where to go back to.
func (s *Set) setLang(w http.ResponseWriter, r *http.Request) {
	lang := Lang(r.PostFormValue("lang"))
	if !isLang(lang) {
		s.Error(w, r, http.StatusBadRequest)
		return
	}
	SetCookie(w, r, http.Cookie{Name: langCookie, Value: string(lang), MaxAge: int((365 * 24 * time.Hour).Seconds())})
	http.Redirect(w, r, local(r.PostFormValue("back")), http.StatusSeeOther)
}

// back is where a switch of the language leads: to this page, if it can be
// asked for again.
func back(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return local(r.URL.Path)
	}
	return local(r.URL.RequestURI())
}

// local returns a path of ours, or "/" where somebody would lead a reader
// elsewhere: browsers take "//host" and "/\host" for other hosts.
func local(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t\x00") {
		return "/"
	}
	return p
}
