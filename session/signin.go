package session

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

// A Result is a sign-in that is right so far.
type Result struct {
	// Session is whom it signed in; nil if a second factor is owed.
	Session *Session
	// Token is for the browser, see SetCookie. It is always a new one: a token
	// that somebody knew before is worth nothing after.
	Token string
	// Second are the factors of which one is owed: give it, with Token, to
	// Second or FinishPasskey.
	Second []Method

	keep bool // beyond the browser's end
}

// A pending is a sign-in whose password was right and whose second factor is
// owed. It is in memory alone: after a restart one begins again.
type pending struct {
	account  mail.AccountID
	bind     []byte
	name     string
	second   []Method
	remember bool
	until    time.Time
	tries    int
	n        uint64 // in which order they came
}

const (
	pendingFor   = 10 * time.Minute
	pendingTries = 5
	passwordMax  = 1024 // bytes; argon2 reads them all
)

// SignIn takes the name and the own password of a person, or a code of an owner's
// kit instead of it. Replaced sessions of
// the browser (from.Token) end. It never says whether there is a second factor
// before the password was right. Errors are signin's.
func (m *Manager) SignIn(ctx context.Context, from From, name, password string, remember bool) (Result, error) {
	e := Event{What: SignedIn, Name: loggable(name), Method: ByPassword, From: from}
	res, err := m.signIn(ctx, from, &e, name, password, remember)
	return res, m.tell(e, err)
}

func (m *Manager) signIn(ctx context.Context, from From, e *Event, name, password string, remember bool) (Result, error) {
	p, by, err := m.ownOrKit(ctx, from, name, password)
	if err != nil {
		return Result{}, err
	}
	e.Account, e.Method = p.ID, by
	f, err := m.factors(p.ID)
	if err != nil {
		return Result{}, err // an account whose factors cannot be read has not none
	}
	if second := f.methods(); len(second) > 0 {
		e.What = Half
		return m.await(from, p, e.Name, second, remember)
	}
	m.signin.Right(from.attempt(), p.ID)
	return m.open(from, p, ByPassword, remember)
}

// clean makes one form of a password that keyboards type in several, RFC 8265
// §4.2.2. One that is too long is wrong.
func clean(password string) string {
	if len(password) > passwordMax {
		return ""
	}
	return norm.NFC.String(password)
}

// tell passes on an event with its outcome.
func (m *Manager) tell(e Event, err error) error {
	if e.OK, e.Err = err == nil, err; !e.OK && e.Account == 0 {
		e.Name = "" // it may be a password that went into the wrong field
	}
	m.o.Told(e)
	return err
}

// Open signs in whom the caller knows, such as who has claimed the house.
func (m *Manager) Open(from From, id mail.AccountID, remember bool) (Result, error) {
	e := Event{What: SignedIn, Account: id, Method: ByClaim, From: from}
	p, err := profile(m.store, id)
	if err == nil && p.Disabled {
		err = signin.ErrDenied
	}
	if err != nil {
		return Result{}, m.tell(e, err)
	}
	res, err := m.open(from, p, ByClaim, remember)
	return res, m.tell(e, err)
}

// open makes the session of a sign-in that was right to the last, instead of
// the one that the browser had.
func (m *Manager) open(from From, p store.Profile, by Method, remember bool) (Result, error) {
	bind, err := m.bind(p)
	if err != nil {
		return Result{}, err
	}
	return m.openBound(from, p.ID, bind, by, remember)
}

func (m *Manager) openBound(from From, id mail.AccountID, bind []byte, by Method, remember bool) (Result, error) {
	now, err := m.steady.Now()
	if err != nil {
		return Result{}, err
	}
	wall := time.Now().UTC().Truncate(time.Second)
	token, err := m.put(row{
		Account: id, Bind: bind, Born: now, Seen: now, Auth: now, Created: wall, SeenWall: wall,
		Remote: from.Remote.String(), Browser: from.Browser, Method: by, Remember: remember, Encrypted: from.Encrypted,
	})
	if err != nil {
		return Result{}, err
	}
	if err := m.forget(from.Token); err != nil {
		return Result{}, err
	}
	return m.result(token, from)
}

// result looks the session up again: the account may have been disabled, or its
// password changed, while this went on.
func (m *Manager) result(token string, from From) (Result, error) {
	s, err := m.Lookup(token, from.Encrypted)
	if err != nil {
		return Result{}, err
	}
	if s == nil {
		return Result{}, signin.ErrDenied
	}
	return Result{Session: s, Token: token, keep: s.Remember}, nil
}

// forget ends what a token was good for.
func (m *Manager) forget(token string) error {
	hash, ok := hashToken(token)
	if !ok {
		return nil
	}
	m.mu.Lock()
	delete(m.pending, hash)
	m.mu.Unlock()
	return m.end(hash)
}

// renew moves a session to a new token, and to what it is bound to now. One
// that was not bound to what we say was ended meanwhile, and stays so.
func (m *Manager) renew(from From, s *Session, was, is []byte, auth time.Duration) (Result, error) {
	r, err := m.row(s.hash)
	if err != nil {
		return Result{}, err
	}
	if r == nil || !bytes.Equal(r.Bind, was) {
		return Result{}, signin.ErrDenied
	}
	r.Bind, r.Auth = is, auth
	token, err := m.put(*r)
	if err != nil {
		return Result{}, err
	}
	if err := m.end(s.hash); err != nil {
		return Result{}, err
	}
	return m.result(token, from)
}

// await makes a sign-in wait for its second factor.
func (m *Manager) await(from From, p store.Profile, name string, second []Method, remember bool) (Result, error) {
	bind, err := m.bind(p)
	if err != nil {
		return Result{}, err
	}
	if err := m.forget(from.Token); err != nil {
		return Result{}, err
	}
	token := newToken()
	hash, _ := hashToken(token)
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest, mine, last := "", 0, uint64(0)
	for h, q := range m.pending {
		last = max(last, q.n)
		switch {
		case now.After(q.until):
			delete(m.pending, h)
		case q.account == p.ID:
			if mine++; oldest == "" || q.n < m.pending[oldest].n {
				oldest = h
			}
		}
	}
	if mine >= perPending {
		delete(m.pending, oldest)
	}
	m.pending[hash] = pending{account: p.ID, bind: bind, name: name, second: second, remember: remember, until: now.Add(pendingFor), n: last + 1}
	return Result{Token: token, Second: second}, nil
}

func (m *Manager) dropPending(id mail.AccountID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for hash, q := range m.pending {
		if q.account == id {
			delete(m.pending, hash)
		}
	}
}

// Pending returns which factors are owed to a token, none if it is not of a
// sign-in that waits.
func (m *Manager) Pending(token string) []Method {
	hash, ok := hashToken(token)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if q, ok := m.pending[hash]; ok && time.Now().Before(q.until) {
		return q.second
	}
	return nil
}

// try counts a try of a pending sign-in, and ends it after some.
func (m *Manager) try(token string) (pending, bool) {
	hash, ok := hashToken(token)
	if !ok {
		return pending{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q, ok := m.pending[hash]
	if !ok || time.Now().After(q.until) || q.tries >= pendingTries {
		delete(m.pending, hash)
		return pending{}, false
	}
	q.tries++
	m.pending[hash] = q
	return q, true
}

// Second takes the second factor of a sign-in that waits for it under
// from.Token: a code of the person's program or a recovery code. ErrOver if the
// sign-in is over, ErrClock if a code was wrong because our clock may be.
func (m *Manager) Second(ctx context.Context, from From, code string) (Result, error) {
	e := Event{What: SignedIn, Method: methodOf(code), From: from}
	q, ok := m.try(from.Token)
	if !ok {
		return Result{}, m.tell(e, ErrOver)
	}
	e.Account, e.Name = q.account, q.name
	res, err := m.second(ctx, from, q, code)
	return res, m.tell(e, err)
}

func (m *Manager) second(ctx context.Context, from From, q pending, code string) (Result, error) {
	if err := m.checkCode(ctx, from, q.account, code); err != nil {
		return Result{}, err
	}
	m.signin.Right(from.attempt(), q.account)
	// Bound to the password that was typed: a change since makes it worthless.
	return m.openBound(from, q.account, q.bind, methodOf(code), q.remember)
}

// checkCode checks a code of an account under the back-off.
func (m *Manager) checkCode(ctx context.Context, from From, id mail.AccountID, code string) error {
	err := m.signin.Second(ctx, from.attempt(), id, func() (bool, error) { return m.spend(id, code) })
	if errors.Is(err, signin.ErrDenied) && methodOf(code) == ByTOTP && !m.o.Trusted() {
		return ErrClock
	}
	return err
}

// Confirm has somebody who is signed in say again who they are, after which
// Fresh is true: with the password, and a code if the account has a second
// factor. A passkey alone will do too, see FinishPasskey.
func (m *Manager) Confirm(ctx context.Context, from From, s *Session, password, code string) (Result, error) {
	e := Event{What: Confirmed, Account: s.Account, Name: string(s.Address), Method: ByPassword, From: from}
	res, err := m.confirm(ctx, from, s, &e, password, code)
	return res, m.tell(e, err)
}

func (m *Manager) confirm(ctx context.Context, from From, s *Session, e *Event, password, code string) (Result, error) {
	p, err := m.own(ctx, from, s, password)
	if err != nil {
		return Result{}, err
	}
	f, err := m.factors(s.Account)
	if err != nil {
		return Result{}, err
	}
	if len(f.methods()) > 0 {
		e.Method = methodOf(code)
		if err := m.checkCode(ctx, from, s.Account, code); err != nil {
			return Result{}, err
		}
	}
	m.signin.Right(from.attempt(), s.Account)
	now, err := m.steady.Now()
	if err != nil {
		return Result{}, err
	}
	bound, err := m.bind(p)
	if err != nil {
		return Result{}, err
	}
	return m.renew(from, s, bound, bound, now)
}

// own checks the password of somebody who is signed in.
func (m *Manager) own(ctx context.Context, from From, s *Session, password string) (store.Profile, error) {
	p, _, err := m.ownOrKit(ctx, from, string(s.Address), password)
	if err == nil && p.ID != s.Account { // the address is somebody else's by now
		err = signin.ErrDenied
	}
	return p, err
}

// SignOut ends a session.
func (m *Manager) SignOut(from From, s *Session) error {
	return m.tell(Event{What: SignedOut, Account: s.Account, Name: string(s.Address), Method: s.Method, From: from}, m.end(s.hash))
}

// loggable makes a stranger's text fit to be kept: short and printable.
func loggable(s string) string {
	const most = 64
	return printable(s[:min(len(s), most)])
}

// printable takes out what is no text, or steers a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
