package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy is the Content-Security-Policy of every page: nothing that is not in
// a file of ours runs, and nobody shows our pages in theirs.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

const (
	maxBody     = 64 << 10 // octets of a form; the longest, a pasted key, has 4 KiB
	maxFields   = 200      // of a form
	tokenField  = "csrf"
	tokenHeader = "X-CSRF-Token"
	langPath    = "/language"
)

// Handler serves next with all that pages need around them: the static files,
// the switch of the language, and the rules for every request.
func (s *Set) Handler(next http.Handler) http.Handler {
	m := http.NewServeMux()
	m.Handle("GET "+staticPath, s.assets)
	m.HandleFunc("POST "+langPath, s.setLang)
	m.Handle("/", next)
	return s.guard(m)
}

// guard holds requests to our rules. Names first: who comes by another name is
// told nothing, not even what this is.
func (s *Set) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w, r)
		if !s.ours(r) {
			http.Error(w, http.StatusText(http.StatusMisdirectedRequest), http.StatusMisdirectedRequest) // RFC 9110 §15.5.20
			return
		}
		if s.o.Allowed != nil {
			if no := s.o.Allowed(r); no != nil {
				s.Refuse(w, r, *no)
				return
			}
		}
		if status := s.checkBody(w, r); status != 0 {
			s.Error(w, r, status)
			return
		}
		if err := s.checkOrigin(r); err != nil {
			s.log.Info("a form from elsewhere was refused", "path", Where(r), "from", r.RemoteAddr, "err", err)
			s.Error(w, r, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// setHeaders sets what browsers are to hold themselves to. The referrer has to
// stay within the site and not be off: without one, browsers send "Origin: null"
// with our own forms. Strict-Transport-Security is left out on purpose: without
// a certificate that browsers trust, it would keep the owner out.
func setHeaders(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if r.TLS != nil { // elsewhere browsers only complain
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
}

// ours reports whether a request names a host of ours. A page elsewhere whose
// name is pointed here (DNS rebinding) still sends its own name; an address
// cannot be pointed anywhere, so the one that the connection came to will do.
func (s *Set) ours(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = fold(strings.Trim(host, "[]"))
	if slices.ContainsFunc(s.o.Hosts(), func(h string) bool { return host != "" && fold(h) == host }) {
		return true
	}
	at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	local, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return false
	}
	addr := local.Addr().Unmap().WithZone("")
	if host == "localhost" { // RFC 6761 §6.3: never a name of the DNS
		return addr.IsLoopback()
	}
	named, err := netip.ParseAddr(host)
	return err == nil && named.Unmap().WithZone("") == addr
}

// fold brings a name to the form in which names are compared.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// checkBody bounds what a request carries, and reads its form within that.
func (s *Set) checkBody(w http.ResponseWriter, r *http.Request) (status int) {
	limit := int64(maxBody)
	if s.o.Body != nil {
		if n := s.o.Body(r); n > 0 {
			limit = n
		}
	}
	if r.ContentLength > limit {
		return http.StatusRequestEntityTooLarge
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" {
		return 0 // files are read by who wants them
	}
	err := r.ParseForm()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case err != nil || len(r.Form) > maxFields:
		return http.StatusBadRequest
	}
	return 0
}

// secretMin is as long as the shortest part of a path that may be a secret, such
// as that of a link for somebody; no page of ours has a name that long.
const secretMin = 20

// Where is the path of a request for a log: a part that may be a secret is not in
// it.
func Where(r *http.Request) string {
	parts := strings.Split(r.URL.Path, "/")
	for i, part := range parts {
		if len(part) >= secretMin {
			parts[i] = "..."
		}
	}
	return strings.Join(parts, "/")
}

var errToken = errors.New("no valid token")

// checkOrigin refuses what another site's page has sent with our cookies: by
// what the browser says of its origin, and where somebody is signed in by a
// token that only our pages have.
func (s *Set) checkOrigin(r *http.Request) error {
	if err := s.cross.Check(r); err != nil {
		return err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return nil
	}
	session := s.session(r)
	if session == "" {
		return nil
	}
	token := r.Header.Get(tokenHeader)
	if token == "" {
		token = r.PostForm.Get(tokenField)
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); token == "" && kind == "multipart/form-data" {
		token = r.URL.Query().Get(tokenField) // of a form with files: action="?csrf={{token}}"
	}
	if !s.validToken(session, token) {
		return errToken
	}
	return nil
}

func (s *Set) session(r *http.Request) string {
	if s.o.Session == nil {
		return ""
	}
	return s.o.Session(r)
}

// Token returns a token for the session of a request, "" where there is none.
// It is another one each time, though it means the same: what is compressed
// together with what a stranger chose must not repeat itself (BREACH).
func (s *Set) Token(r *http.Request) string {
	session := s.session(r)
	if session == "" {
		return ""
	}
	pad := make([]byte, sha256.Size)
	_, _ = rand.Read(pad) // never fails, see its documentation
	return base64.RawURLEncoding.EncodeToString(append(pad, xor(s.sign(tokenField, session), pad)...))
}

func (s *Set) validToken(session, token string) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 2*sha256.Size {
		return false
	}
	return hmac.Equal(xor(b[sha256.Size:], b[:sha256.Size]), s.sign(tokenField, session))
}

func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	for i := range a {
		out[i] = a[i] ^ b[i]
	}
	return out
}

// newMark makes what stands for the token in templates, which are the same for
// everybody.
func newMark() string { return "token-" + rand.Text() }

// fillToken puts the token where {{csrf}} was.
func (s *Set) fillToken(r *http.Request, html []byte) []byte {
	if !strings.Contains(string(html), s.mark) {
		return html
	}
	return []byte(strings.ReplaceAll(string(html), s.mark, s.Token(r)))
}
