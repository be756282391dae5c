package session

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"homemail/signin"
)

// From is where a request comes from, and what the browser brought.
type From struct {
	Remote    netip.Addr
	Browser   string // "Safari, iPhone"
	Encrypted bool   // it came over HTTPS
	Token     string // of a session, or of a sign-in that waits; "" if none
	Challenge string // of a passkey, see SetChallenge
}

func (f From) attempt() signin.Attempt {
	return signin.Attempt{Remote: f.Remote, Protocol: signin.Web}
}

// FromRequest tells where a request comes from. It believes the connection and
// no header.
func FromRequest(r *http.Request) From {
	f := From{Browser: browser(r.UserAgent()), Encrypted: r.TLS != nil}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		f.Remote = at.Addr().Unmap().WithZone("")
	}
	if c, err := r.Cookie(cookieName(f.Encrypted)); err == nil {
		f.Token = c.Value
	}
	if c, err := r.Cookie(challengeName); err == nil {
		f.Challenge = c.Value
	}
	return f
}

// The names of the cookies. A browser takes one with __Host- from nobody but
// the host itself over HTTPS; plain HTTP, at home, needs another. Each is read
// where it is set alone, RFC 6265bis §4.1.3.
const (
	secureName    = "__Host-homemail"
	plainName     = "homemail"
	challengeName = "__Host-homemail-passkey"
)

func cookieName(encrypted bool) string {
	if encrypted {
		return secureName
	}
	return plainName
}

func setCookie(w http.ResponseWriter, name, value string, secure bool, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, Secure: secure,
		// Not Strict: whoever follows a link from a mail would look signed out.
		SameSite: http.SameSiteLaxMode,
		MaxAge:   int(age / time.Second),
	})
}

// SetCookie gives the browser the token of a sign-in.
func SetCookie(w http.ResponseWriter, r *http.Request, res Result) {
	age := time.Duration(0) // until the browser ends
	if res.keep {
		age = idle
	}
	setCookie(w, cookieName(r.TLS != nil), res.Token, r.TLS != nil, age)
}

// ClearCookie takes the token from the browser.
func ClearCookie(w http.ResponseWriter, r *http.Request) {
	setCookie(w, cookieName(r.TLS != nil), "", r.TLS != nil, -time.Second)
}

// SetChallenge gives the browser a passkey's challenge to keep.
func SetChallenge(w http.ResponseWriter, challenge string) {
	setCookie(w, challengeName, challenge, true, challengeFor)
}

// A Refusal is why a request was turned away.
type Refusal int

// The refusals, and what to answer.
const (
	NeedSignIn Refusal = iota // the page to sign in
	NeedOwner                 // that this is for owners
	NeedFresh                 // the page for Confirm
	NotNow                    // to try again: the store cannot be read
)

func refuse(w http.ResponseWriter, _ *http.Request, why Refusal) {
	status := http.StatusForbidden
	switch why {
	case NeedSignIn:
		status = http.StatusUnauthorized
	case NotNow:
		status = http.StatusServiceUnavailable
	}
	http.Error(w, http.StatusText(status), status)
}

type contextKey struct{}

// FromContext returns the session of a request that came through Middleware,
// nil if nobody is signed in.
func FromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(contextKey{}).(*Session)
	return s
}

// Middleware puts the session into the request's context, which ends when the
// session does: streams of events end with it.
func (m *Manager) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := FromRequest(r)
		s, err := m.Lookup(from.Token, from.Encrypted)
		if err != nil {
			m.o.Log.Error("cannot look up who is signed in", "err", err)
			m.o.Refuse(w, r, NotNow)
			return
		}
		if s == nil {
			next.ServeHTTP(w, r)
			return
		}
		m.touch(s, from)
		ctx, leave := m.enter(context.WithValue(r.Context(), contextKey{}, s), s)
		defer leave()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Require lets in who has a role, and with fresh above 0 who has proved it
// within that time. It goes inside of Middleware.
func (m *Manager) Require(role Role, fresh time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch s := FromContext(r.Context()); {
			case s == nil:
				m.o.Refuse(w, r, NeedSignIn)
			case role == Owner && s.Role != Owner:
				m.o.Refuse(w, r, NeedOwner)
			case fresh > 0 && !s.Fresh(fresh):
				m.o.Refuse(w, r, NeedFresh)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// A visit is a request that is being answered.
type visit struct{ cancel context.CancelFunc }

// enter has the context end with the session.
func (m *Manager) enter(ctx context.Context, s *Session) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	v := &visit{cancel}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[s.hash] == nil {
		m.live[s.hash] = make(map[*visit]struct{})
	}
	m.live[s.hash][v] = struct{}{}
	return ctx, func() {
		cancel()
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.live[s.hash], v)
		if len(m.live[s.hash]) == 0 {
			delete(m.live, s.hash)
		}
	}
}

// cut ends the requests of a session. mu is held.
func (m *Manager) cut(hash string) {
	for v := range m.live[hash] {
		v.cancel()
	}
}

// seenStep is how often the use of a session is noted.
const seenStep = 10 * time.Minute

func (m *Manager) touch(s *Session, from From) {
	if s.now-s.last < seenStep && s.Remote == from.Remote.String() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[s.hash] = sight{s.now, time.Now().UTC().Truncate(time.Second), from.Remote.String()}
}
