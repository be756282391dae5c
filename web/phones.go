package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"homemail/autoconfig"
	"homemail/mail"
)

const setupPath = "/setup" // what to do for an address

//go:embed page.css
var style string

//go:embed page.html
var source string

var pages = template.Must(template.New("page").Parse(source))

// pagePolicy lets a page have its one style sheet and its one form, and nothing
// else: no script, no picture, nothing from elsewhere.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// A page is what page.html shows.
type page struct {
	words
	Style    template.CSS
	Title    string
	Switch   string // the same page in the other language
	Wrong    string // why what was asked for is not shown
	Domain   string // of the example in the form
	Typed    string // into it
	Settings *settings
	House    *houseLink
}

// settings are what there is to know about an address. They are the same for
// each of a domain, whether somebody has it or not.
type settings struct {
	autoconfig.Facts
	Profile string // link to the Apple profile
	QR      template.HTML
}

// A houseLink leads from the network of the house to the name that the world
// knows, for which there is a certificate. It is empty while there is no domain.
type houseLink struct{ URL string }

// front is the form.
func (s *Server) front(w http.ResponseWriter, r *http.Request, at site) {
	s.show(w, r, http.StatusOK, page{Domain: shownDomain(at.domain)})
}

// setup says what to do for an address.
func (s *Server) setup(w http.ResponseWriter, r *http.Request, at site) {
	typed := strings.TrimSpace(r.URL.Query().Get("address"))
	p, status := page{Domain: shownDomain(at.domain), Typed: typed}, http.StatusOK
	why := wordsFor(r).NotOurs
	addr, err := s.ours(typed)
	if err == nil {
		p.Settings, err = s.settings(addr, language(r))
		why = wordsFor(r).Nothing
	} else if errors.Is(err, errNoSettings) {
		why = wordsFor(r).Nothing
	}
	if err != nil && typed != "" {
		s.log.Debug("no settings to show", "err", err)
		p.Wrong, status = why, http.StatusNotFound
	}
	s.show(w, r, status, p)
}

func (s *Server) settings(addr mail.Path, lang string) (*settings, error) {
	server := s.o.Server(addr.Domain())
	facts, err := autoconfig.AccountFacts(server, addr)
	if err != nil {
		return nil, err
	}
	q := url.Values{"address": {facts.User}, "lang": {wordsOf(lang).Lang}}
	out := &settings{Facts: facts, Profile: autoconfig.ProfilePath + "?" + q.Encode()}
	leads := "https://" + server.Host + "/setup?" + q.Encode() // this page, which suits every phone
	if code, err := autoconfig.NewQR(leads); err == nil {      // an address may be too long for one
		out.QR = template.HTML(code.SVG()) // made of numbers alone
	}
	return out, nil
}

// inside answers in the network of the house, where people type in what mDNS or
// the router shows them. Nothing is asked of them there: it is for HTTPS, and
// for a name that has a certificate.
func (s *Server) inside(local func(host string) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := asked(r)
		if r.URL.Path != "/" || r.Method == http.MethodPost || s.site(host).roles != 0 || !local(host) {
			next.ServeHTTP(w, r)
			return
		}
		p := page{House: &houseLink{}}
		if host := fold(s.o.Host()); len(s.o.Domains()) > 0 && strings.Contains(host, ".") {
			p.House = &houseLink{URL: "https://" + host + "/"}
		}
		s.show(w, r, http.StatusOK, p)
	})
}

// localName reports whether a host is the house's name under .local.
func (s *Server) localName(host string) bool {
	if s.o.LocalName == nil {
		return false
	}
	name := fold(s.o.LocalName())
	return name != "" && host == name
}

// private reports whether a host is an address that has a meaning here only. A
// page elsewhere has a name of its own, whatever address that leads to.
func private(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	a = a.Unmap()
	return err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast())
}

// show writes a page in the reader's language.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.words, p.Style = wordsFor(r), template.CSS(style)
	p.Title = p.words.Title
	if p.House != nil {
		p.Title = p.words.House
	}
	other := r.URL.Query()
	other.Set("lang", p.Other)
	p.Switch = r.URL.Path + "?" + other.Encode()
	var b bytes.Buffer
	if err := pages.Execute(&b, p); err != nil {
		s.log.Error("a page cannot be written", "err", err)
		refuse(w, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	h.Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func wordsFor(r *http.Request) words { return wordsOf(language(r)) }

func wordsOf(lang string) words {
	if lang == "ja" {
		return japanese
	}
	return english
}

// shownDomain is a domain as people write it.
func shownDomain(domain string) string {
	if u, err := idna.Display.ToUnicode(domain); err == nil {
		return u
	}
	return domain
}

// Protocol is what people call it.
func (p page) Protocol(d autoconfig.Door) string {
	switch d.Protocol {
	case "IMAP":
		return p.In
	case "POP3":
		return p.InPOP
	}
	return p.Out
}

// Doors are the ways to read and to send: POP3 only where there is no IMAP, for
// it is the better one and one is enough.
func (s *settings) Doors() []autoconfig.Door {
	imap := slices.ContainsFunc(s.Facts.Doors, func(d autoconfig.Door) bool { return d.Protocol == "IMAP" })
	return slices.DeleteFunc(slices.Clone(s.Facts.Doors), func(d autoconfig.Door) bool { return imap && d.Protocol == "POP3" })
}
