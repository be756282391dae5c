// Package session says who is signed in on the web: it takes a person's own
// password, a second factor or a passkey, and gives a browser a cookie for it.
// The back-off, the hashes and the names are package signin's. It writes no
// page, and it never takes a device password.
package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

// What a sign-in can come to besides signin.ErrDenied, signin.ErrBusy and
// *signin.WaitError. Any other error is a fault of ours, and temporary.
var (
	ErrOver      = errors.New("this took too long or was done already; begin again")
	ErrClock     = errors.New("the clock of the house is not set, so that a code cannot be checked; use a recovery code")
	ErrNotFresh  = errors.New("say again who you are")
	ErrNoPasskey = errors.New("passkeys need a public certificate")
)

// A Role is what somebody may do on the web.
type Role string

// The roles. An owner may do what a person may.
const (
	Person Role = "person"
	Owner  Role = "owner"
)

// How long sessions last, by the steady clock of the house (steady.go).
const (
	idle      = 30 * 24 * time.Hour // without a request
	idleOwner = 12 * time.Hour      // of an owner who did not ask to be remembered
	absolute  = 90 * 24 * time.Hour // whatever happens

	perAccount = 20 // sessions; the one unused for longest makes room
	perPending = 8  // sign-ins of an account that wait for their second factor
)

// A Manager keeps the sessions of a store. It is safe for concurrent use.
type Manager struct {
	store   *store.Store
	signin  *signin.Checker
	o       Options
	steady  *steady
	Owners  *Owners
	key     [32]byte // of what lives no longer than the process
	mu      sync.Mutex
	seen    map[string]sight // by hash: not written down yet
	live    map[string]map[*visit]struct{}
	pending map[string]pending   // by hash
	used    map[string]time.Time // challenges of passkeys, until they are over
}

// Options are the settings of a Manager.
type Options struct {
	SignIn *signin.Checker // of the mail protocols, whose back-off this shares; nil makes one
	Log    *slog.Logger    // slog.Default() if nil
	// Trusted says whether the wall clock may be believed, clock.Clock.Trusted;
	// nil is always.
	Trusted func() bool
	// Passkeys is for whom passkeys are made: the host and its origins, as long
	// as a public certificate stands for it. Nil offers none.
	Passkeys func() (rp RelyingParty, ok bool)
	// Told is told of each sign-in, good and bad, before it is answered. It must
	// be quick.
	Told func(Event)
	// Refuse answers a request that Middleware or Require turn away; nil answers
	// with the bare status.
	Refuse func(w http.ResponseWriter, r *http.Request, why Refusal)
	// Issuer is what a program for codes shows beside the address; "homemail" if
	// empty.
	Issuer string
}

// An Event is a sign-in or what became of one.
type Event struct {
	What    What
	OK      bool
	Account mail.AccountID // 0 if the name stands for nobody, or before it is known
	Name    string         // as it was typed, short and valid; "" for a passkey, and if it is not known whether it is anybody's
	Method  Method
	From    From
	Err     error // why not
}

// What is what an Event is about.
type What string

// The events.
const (
	SignedIn  What = "sign-in"      // to the last factor, or a failure on the way
	Half      What = "password"     // the password was right, a second factor is owed
	Confirmed What = "confirmation" // somebody signed in said again who they are
	SignedOut What = "sign-out"
)

// A Method is how somebody proved who they are.
type Method string

// The methods.
const (
	ByPassword Method = "password"
	ByTOTP     Method = "totp"
	ByRecovery Method = "recovery"
	ByPasskey  Method = "passkey"
	ByClaim    Method = "claim" // the caller knew, see Open
)

// New returns a Manager of a store. Run sweeps and ends; everything else works
// without it.
func New(s *store.Store, o Options) *Manager {
	if o.SignIn == nil {
		o.SignIn = signin.New(s, signin.Options{Log: o.Log})
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	if o.Passkeys == nil {
		o.Passkeys = func() (RelyingParty, bool) { return RelyingParty{}, false }
	}
	if o.Told == nil {
		o.Told = func(Event) {}
	}
	if o.Refuse == nil {
		o.Refuse = refuse
	}
	if o.Issuer == "" {
		o.Issuer = "homemail"
	}
	m := &Manager{
		store: s, signin: o.SignIn, o: o, Owners: NewOwners(s), steady: newSteady(s, o.Trusted),
		seen: make(map[string]sight), live: make(map[string]map[*visit]struct{}),
		pending: make(map[string]pending), used: make(map[string]time.Time),
	}
	rand.Read(m.key[:])
	return m
}

// A Session is somebody who is signed in. It is what was true when it was
// looked up: look it up at each request.
type Session struct {
	ID       string // names it in lists; it opens nothing
	Account  mail.AccountID
	Address  mail.Path
	Name     string
	Language string
	Role     Role
	Method   Method    // how it began
	Created  time.Time // by the wall clock, for people
	Seen     time.Time // the same, to the hour
	Remote   string    // where it was last used
	Browser  string
	Remember bool
	CSRF     string // the token for forms of this session; "" in lists

	hash string        // of the token; the row's name
	auth time.Duration // these three by the steady clock: when it was proved,
	last time.Duration // when it was used before
	now  time.Duration // and when it was looked up
}

// Fresh reports whether the person has proved who they are within some time:
// ask so before what is dangerous.
func (s *Session) Fresh(within time.Duration) bool { return s.now-s.auth <= within }

// CheckCSRF compares the token that came with a form.
func (s *Session) CheckCSRF(token string) bool {
	return s.CSRF != "" && hmac.Equal([]byte(s.CSRF), []byte(token))
}

// tokenSize is 256 bits: a token is never guessed.
const tokenSize = 32

func newToken() string {
	b := make([]byte, tokenSize)
	rand.Read(b) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// hashToken returns what is kept of a token, and false if it cannot be one.
// The token is random, so that a fast hash is as good as a slow one.
func hashToken(token string) (string, bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != tokenSize {
		return "", false
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), true
}

// csrf is derived, so that nothing that is stored shows it.
func csrf(token string) string {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte("csrf"))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
