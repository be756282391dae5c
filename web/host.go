package web

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// A role is what a host name is for; one name may have several.
type role uint8

const (
	home         role = 1 << iota // the mail host, or a domain itself
	sts                           // mta-sts.DOMAIN, RFC 8461 §3.3
	autoconf                      // autoconfig.DOMAIN, Thunderbird
	autodiscover                  // autodiscover.DOMAIN, Outlook
)

// helpers are the labels that dnsplan puts before a domain.
var helpers = []struct {
	label string
	role  role
}{{"mta-sts.", sts}, {"autoconfig.", autoconf}, {"autodiscover.", autodiscover}}

// Helpers are the names that are served for a domain, with a dot at the end.
func Helpers() (list []string) {
	for _, h := range helpers {
		list = append(list, h.label)
	}
	return list
}

// A site is a host of ours, as a request has named it.
type site struct {
	host   string
	domain string // that it stands for, if a request names none
	roles  role
}

// site finds out what a host is for; it has no role if it is not ours.
func (s *Server) site(host string) site {
	at := site{host: host}
	add := func(r role, domain string) {
		at.roles |= r
		at.domain = domain
	}
	domains := s.o.Domains()
	if host == fold(s.o.Host()) {
		add(home, nearest(host, domains))
	}
	for _, d := range domains {
		d = fold(d)
		if host == d {
			add(home, d)
		}
		for _, h := range helpers {
			if host == h.label+d {
				add(h.role, d)
			}
		}
	}
	return at
}

// nearest is the domain that the mail host is in, or else the first.
func nearest(host string, domains []string) string {
	best := ""
	for _, d := range domains {
		if d = fold(d); len(d) > len(best) && (host == d || strings.HasSuffix(host, "."+d)) {
			best = d
		}
	}
	if best == "" && len(domains) > 0 {
		best = fold(domains[0])
	}
	return best
}

// fold brings a name to the form in which names are compared.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// asked is the host that a request names, without its port.
func asked(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return fold(host)
}

type siteKey struct{}

// known lets through what names a host of ours, and tells next which.
func (s *Server) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := s.site(asked(r))
		if at.roles == 0 {
			refuse(w, http.StatusMisdirectedRequest) // RFC 9110 §15.5.20
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), siteKey{}, at)))
	})
}

// on serves only hosts with one of some roles.
func on(roles role, serve func(http.ResponseWriter, *http.Request, site)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Value(siteKey{}).(site)
		if at.roles&roles == 0 {
			refuse(w, http.StatusNotFound)
			return
		}
		serve(w, r, at)
	})
}

const challengePath = "/.well-known/acme-challenge/" // RFC 8555 §8.3

// onOpen serves port 80. Challenges come before the question whether a host is
// known: a certificate may be wanted for a name that is not in use yet.
func (s *Server) onOpen() http.Handler {
	inside := func(host string) bool { return s.localName(host) || private(host) }
	redirect := s.inside(inside, s.known(on(^role(0), toHTTPS)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.o.ACME != nil && strings.HasPrefix(r.URL.Path, challengePath):
			s.o.ACME.ServeHTTP(w, r)
		case r.Method == http.MethodPost && s.site(asked(r)).roles != 0:
			// What it carries has been seen by everybody: better it fails.
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed)
		default:
			redirect.ServeHTTP(w, r)
		}
	})
}

// toHTTPS redirects for this once: Outlook knows 301 and 302, and a domain that
// moves on to another server should not be remembered as ours.
func toHTTPS(w http.ResponseWriter, r *http.Request, at site) {
	to := url.URL{Scheme: "https", Host: at.host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// limited holds every request to our methods and limits, and every answer to
// our headers. Strict-Transport-Security is left out on purpose: when there is
// no certificate that browsers trust, it would keep the owner out, too.
func limited(body func(*http.Request) int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, most := w.Header(), int64(maxBody)
		if body != nil {
			most = cmp.Or(body(r), most)
		}
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
			h.Set("Allow", "GET, HEAD, POST")
			refuse(w, http.StatusMethodNotAllowed)
		case r.ContentLength > most:
			refuse(w, http.StatusRequestEntityTooLarge)
		default:
			http.MaxBytesHandler(next, most).ServeHTTP(w, r)
		}
	})
}

// refuse answers with the words of the standard.
func refuse(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }
