package web

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"homemail/autoconfig"
	"homemail/mail"
)

// The paths that programs ask for.
const (
	stsPath             = "/.well-known/mta-sts.txt"                     // RFC 8461 §3.3
	thunderbirdPath     = "/mail/config-v1.1.xml"                        // at autoconfig.DOMAIN
	thunderbirdHomePath = "/.well-known/autoconfig/mail/config-v1.1.xml" // also at DOMAIN
	outlookPath         = "/autodiscover/autodiscover.xml"               // Outlook, iOS and others spell it in four ways
)

// routes are what is served over HTTPS.
func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	m.Handle("GET "+stsPath, on(sts, s.policy))
	m.Handle("GET "+thunderbirdPath, on(autoconf, s.thunderbird))
	m.Handle("GET "+thunderbirdHomePath, on(home|autoconf, s.thunderbird))
	m.Handle("POST "+outlookPath, on(home|autodiscover, s.outlook))
	m.Handle("GET "+autoconfig.ProfilePath, on(home|autoconf, s.apple))
	m.Handle("GET /{$}", on(home|autoconf, s.front))
	m.Handle("GET "+setupPath, on(home|autoconf, s.setup))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.URL.Path, outlookPath) {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = outlookPath, ""
		}
		m.ServeHTTP(w, r)
	})
}

// people gives on the requests of those who live here.
func (s *Server) people(next http.Handler) http.Handler {
	if s.o.People == nil || s.o.For == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := s.site(asked(r))
		if at.roles != 0 && (at.roles&home == 0 || forPrograms(r.URL.Path)) || !s.o.For(r) {
			next.ServeHTTP(w, r)
			return
		}
		s.o.People.ServeHTTP(w, r)
	})
}

// forPrograms reports whether programs look at a path of the mail host, and
// whether it is the page that strangers may see.
func forPrograms(path string) bool {
	return strings.HasPrefix(path, "/.well-known/") || path == thunderbirdPath || strings.EqualFold(path, outlookPath) ||
		path == autoconfig.ProfilePath || path == setupPath
}

func (s *Server) policy(w http.ResponseWriter, r *http.Request, at site) {
	policy, ok := "", false
	if s.o.MTASTS != nil {
		policy, ok = s.o.MTASTS(at.domain)
	}
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, policy)
}

var (
	errNoSettings = errors.New("there are no settings to give out")
	errNotOurs    = errors.New("the address is of no domain of ours")
)

// ours reads an address that somebody claims to have here. Whether anybody has
// it is not looked at.
func (s *Server) ours(text string) (mail.Path, error) {
	addr, err := mail.ParsePath(text)
	if err != nil {
		return "", err
	}
	if s.o.Server == nil {
		return "", errNoSettings
	}
	if !slices.ContainsFunc(s.o.Domains(), func(d string) bool { return fold(d) == addr.Domain() }) {
		return "", errNotOurs
	}
	return addr, nil
}

// thunderbird answers for the domain of the address, if there is one: a program
// may have come here by way of the domain's MX.
func (s *Server) thunderbird(w http.ResponseWriter, r *http.Request, at site) {
	domain := at.domain
	if text := r.URL.Query().Get("emailaddress"); text != "" {
		addr, err := s.ours(text)
		if err != nil {
			refuse(w, http.StatusNotFound)
			return
		}
		domain = addr.Domain()
	}
	if s.o.Server == nil || domain == "" {
		refuse(w, http.StatusNotFound)
		return
	}
	b, err := autoconfig.Thunderbird(s.o.Server(domain))
	s.reply(w, "text/xml; charset=utf-8", b, err)
}

// outlook answers a request that it cannot use with 200 and an error in XML, as
// Exchange does: anything else sends Outlook on to guess.
func (s *Server) outlook(w http.ResponseWriter, r *http.Request, _ site) {
	b, err := s.outlookReply(r.Body)
	if err != nil {
		s.log.Debug("autodiscover", "err", err)
		b, err = autoconfig.OutlookError(err)
	}
	s.reply(w, "text/xml; charset=utf-8", b, err)
}

func (s *Server) outlookReply(body io.Reader) ([]byte, error) {
	wanted, err := autoconfig.ParseOutlook(body)
	if err != nil {
		return nil, err
	}
	addr, err := s.ours(string(wanted))
	if err != nil {
		return nil, err
	}
	return autoconfig.Outlook(s.o.Server(addr.Domain()), addr)
}

// apple gives out a profile without a password, signed if there is a
// certificate that devices trust.
func (s *Server) apple(w http.ResponseWriter, r *http.Request, _ site) {
	addr, err := s.ours(r.URL.Query().Get("address"))
	if err != nil {
		refuse(w, http.StatusNotFound)
		return
	}
	server := s.o.Server(addr.Domain())
	b, err := autoconfig.Apple(server, autoconfig.Device{Address: addr, Lang: language(r)})
	if err == nil {
		b = s.signed(b, server.Host)
	}
	w.Header().Set("Content-Disposition", `attachment; filename="mail.mobileconfig"`)
	s.reply(w, autoconfig.AppleType, b, err)
}

// signed signs a profile if it can: one without a signature works, too.
func (s *Server) signed(profile []byte, host string) []byte {
	cert, err := certificate(s.o.TLS, host)
	if err == nil {
		var b []byte
		if b, err = autoconfig.SignApple(profile, cert); err == nil {
			return b
		}
	}
	s.log.Debug("an Apple profile is not signed", "err", err)
	return profile
}

var errNoCertificate = errors.New("no certificate to sign with")

// certificate is what is shown to who connects to a host.
func certificate(c *tls.Config, host string) (*tls.Certificate, error) {
	switch {
	case c != nil && c.GetCertificate != nil:
		return c.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	case c != nil && len(c.Certificates) > 0:
		return &c.Certificates[0], nil
	}
	return nil, errNoCertificate
}

// language is that of the reader, as far as we speak it: as a link of ours asks
// for it, or else as the browser does.
func language(r *http.Request) string {
	switch r.URL.Query().Get("lang") {
	case "ja":
		return "ja"
	case "en":
		return ""
	}
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.Header.Get("Accept-Language"))), "ja") {
		return "ja"
	}
	return ""
}

// reply sends a document, or says that there is none.
func (s *Server) reply(w http.ResponseWriter, kind string, b []byte, err error) {
	if err != nil {
		s.log.Debug("no settings to give out", "err", err)
		w.Header().Del("Content-Disposition")
		refuse(w, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(b)
}
