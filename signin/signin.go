// Package signin says who somebody is: it checks device passwords for the mail
// protocols by USER/PASS, LOGIN and SASL, slows down those who guess, and ends
// the sessions of devices and accounts that were turned off. It never opens a
// connection and never sees a person's own password on a mail port.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"homemail/mail"
	"homemail/store"
)

// What a refused sign-in comes to. Any error that is none of these and no
// *WaitError is a fault of ours: the client should try again later.
var (
	ErrDenied    = errors.New("wrong name or password") // the same for both, on purpose
	ErrBusy      = errors.New("too many sign-ins at the moment")
	ErrMechanism = errors.New("unknown sign-in mechanism")
)

// A WaitError refuses a sign-in because too many before it failed.
type WaitError struct{ Wait time.Duration }

func (e *WaitError) Error() string {
	return fmt.Sprintf("too many failed sign-ins; try again in %v", e.Wait.Round(time.Second))
}

// An Attempt is where a sign-in comes from.
type Attempt struct {
	Remote   netip.Addr
	Protocol string               // "smtp", "imap", "pop3"
	TLS      *tls.ConnectionState // nil: no TLS, and then no sign-in
}

// failDelay is the least time that a failed sign-in takes, so that neither a
// clock nor the number of an account's devices tells which names exist.
const failDelay = 250 * time.Millisecond

// Options are the settings of a Checker; the zero value is good.
type Options struct {
	Log         *slog.Logger             // slog.Default() if nil
	Certificate func() *x509.Certificate // what clients are shown, for tls-server-end-point; may be nil
	Secret      []byte                   // makes up salts for unknown names; keep it over restarts. Random if nil
	FailDelay   time.Duration            // 250 ms if 0, none if negative
	Told        func(Told)               // of each sign-in; it must not wait for anything. It may be nil
}

// Stats counts since the start.
type Stats struct {
	Succeeded atomic.Int64 // sign-ins
	Failed    atomic.Int64 // wrong name or password
	Refused   atomic.Int64 // not looked at: back-off in force
	Revoked   atomic.Int64 // sessions ended because of a change of the account
	Sessions  atomic.Int64 // sessions open now
}

// A Checker checks sign-ins against the accounts of a store. It is safe for
// concurrent use.
type Checker struct {
	store  *store.Store
	o      Options
	dummy  store.Device // stands in for the devices of names that do not exist
	limits *limiter
	gate   *gate
	stats  Stats

	seconds sync.Mutex // held during the check of a second factor

	mu       sync.Mutex
	sessions map[mail.AccountID]map[*Session]struct{}
}

// New returns a Checker for the accounts of s. Run ends sessions; everything
// else works without it.
func New(s *store.Store, o Options) *Checker {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Secret == nil {
		o.Secret = randomBytes(32)
	}
	if o.FailDelay == 0 {
		o.FailDelay = failDelay
	}
	return &Checker{
		store:    s,
		o:        o,
		dummy:    store.Device{Hash: randomBytes(32), StoredKey: randomBytes(32), ServerKey: randomBytes(32), Iter: scramIterations},
		limits:   newLimiter(),
		gate:     newGate(),
		sessions: make(map[mail.AccountID]map[*Session]struct{}),
	}
}

// Doubt sets how it is known that an address of the house's network may be a
// stranger's, as a router puts its own in the place of theirs: who fails from there
// is shut out for as long as anybody. Nothing else changes for the people of the
// house, who sign in as ever. It is asked often, must be quick, and is set before
// anybody signs in.
func (c *Checker) Doubt(stranger func(netip.Addr) bool) { c.limits.doubt = stranger }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, crypto/rand
	return b
}

// Stats returns the counters, which go on counting.
func (c *Checker) Stats() *Stats { return &c.stats }

// Password checks a name and a device password as POP3's USER and PASS or
// IMAP's LOGIN bring them. The Session is the caller's to Close.
func (c *Checker) Password(ctx context.Context, at Attempt, name, password string) (*Session, error) {
	return c.password(ctx, at, "", name, password)
}

// password also takes an authorization identity, which may only be empty or
// another name of the same account: nobody acts for somebody else.
func (c *Checker) password(ctx context.Context, at Attempt, authz, name, password string) (*Session, error) {
	if err := c.admit(at); err != nil {
		return nil, err
	}
	start := time.Now()
	who, err := c.person(ctx, at, authz, name)
	if err != nil {
		return nil, err
	}
	device, ok := match(who.devices, password)
	if !ok || who.account == nil {
		return nil, c.fail(ctx, at, who, start)
	}
	return c.open(ctx, at, who, device, start)
}

// admit refuses attempts in the clear and those of addresses that must wait.
func (c *Checker) admit(at Attempt) error {
	if at.TLS == nil { // RFC 8314 §3; loopback and LAN get no trust for what they are
		return ErrDenied
	}
	return c.shutOut(at)
}

// fail records a failed sign-in, then takes its time.
func (c *Checker) fail(ctx context.Context, at Attempt, who person, start time.Time) error {
	c.count(at, who)
	return c.deny(ctx, start)
}

// count records a failed sign-in.
func (c *Checker) count(at Attempt, who person) {
	c.stats.Failed.Add(1)
	ban, refused := c.limits.failure(at.Remote, who.limitKey())
	c.o.Log.Info("sign-in failed", "name", who.said(), "remote", at.Remote, "protocol", at.Protocol)
	c.tellWrong(at, who)
	if ban > 0 {
		c.o.Log.Warn("too many failed sign-ins", "remote", at.Remote, "protocol", at.Protocol, "wait", ban, "refused_before", refused)
	}
}

// deny takes the time of a failed sign-in that began at start.
func (c *Checker) deny(ctx context.Context, start time.Time) error {
	if err := sleep(ctx, time.Until(start.Add(c.o.FailDelay))); err != nil {
		return err
	}
	return ErrDenied
}

// open makes the session of a sign-in that was right.
func (c *Checker) open(ctx context.Context, at Attempt, who person, device store.Device, start time.Time) (*Session, error) {
	s := &Session{
		Account: who.account, Address: who.address, Device: device.ID, Name: device.Name, Rewrite: device.From == store.RewriteFrom,
		id: who.id, hash: device.Hash, done: make(chan struct{}), c: c,
	}
	c.add(s)
	// The profile may have changed since it was read, and Run may have looked
	// before the session was there to be found: look once more.
	ok, err := c.valid(s)
	if err != nil {
		s.Close()
		return nil, err
	}
	if !ok {
		s.Close()
		return nil, c.fail(ctx, at, who, start)
	}
	c.stats.Succeeded.Add(1)
	c.limits.success(at.Remote, who.limitKey())
	c.store.Touch(who.id, device.ID, time.Now(), at.Remote.String())
	c.o.Log.Debug("signed in", "address", who.address, "device", device.ID, "remote", at.Remote, "protocol", at.Protocol)
	c.tellRight(at, who, device.Name)
	return s, nil
}

// loggable makes a stranger's text fit for a log line: short and valid, as a
// name may hold anything. slog's handlers quote it.
func loggable(name string) string {
	const most = 64
	return strings.ToValidUTF8(name[:min(len(name), most)], "?")
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
