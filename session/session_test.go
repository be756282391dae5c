package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

const annasPassword = "violin harbor maple trout"

// quickHash is argon2id that takes no time.
func quickHash(password string) string {
	salt := randomBytes(16)
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=64,t=1,p=1$" + b64(salt) + "$" + b64(argon2.IDKey([]byte(password), salt, 1, 64, 1, 32))
}

type house struct {
	*Manager
	t      testing.TB
	dir    string
	anna   mail.AccountID
	device string // a device password of anna's
	events []Event
	mu     sync.Mutex
	clock  bool // trusted
	rp     bool
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newHouse(t testing.TB) *house {
	h := &house{t: t, dir: t.TempDir(), clock: true, rp: true}
	h.open()
	must(t, h.store.AddDomain("example.test"))
	h.anna = h.person("anna@example.test", annasPassword)
	h.device, _ = signin.NewDevicePassword()
	a, err := h.store.AccountByID(h.anna)
	must(t, err)
	must(t, a.Update(func(p *store.Profile) error {
		d, err := signin.NewDevice(*p, "Phone", h.device)
		p.Devices = append(p.Devices, d)
		return err
	}))
	t.Cleanup(func() { h.store.Close() })
	return h
}

func (h *house) open() {
	s, err := store.Open(h.dir, store.Options{Log: quiet})
	must(h.t, err)
	h.Manager = New(s, Options{
		Log: quiet, SignIn: signin.New(s, signin.Options{Log: quiet, FailDelay: -1}),
		Trusted: func() bool { return h.clock },
		Passkeys: func() (RelyingParty, bool) {
			return RelyingParty{"mail.example.test", []string{"https://mail.example.test"}}, h.rp
		},
		Told: func(e Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	})
}

// restart closes the store as a stop does, or as a crash does.
func (h *house) restart(clean bool) {
	if clean {
		must(h.t, h.flush())
	}
	must(h.t, h.store.Close())
	h.open()
}

func (h *house) person(address mail.Path, password string) mail.AccountID {
	a, err := h.store.AddAccount(store.Profile{Address: address, Name: "Anna Maier", Password: quickHash(password)})
	must(h.t, err)
	return a.ID
}

// later lets time pass.
func (h *house) later(d time.Duration) {
	_, err := h.steady.Now()
	must(h.t, err)
	h.steady.mu.Lock()
	defer h.steady.mu.Unlock()
	h.steady.base += d
}

func (h *house) signedIn(from From, remember bool) Result {
	h.t.Helper()
	res, err := h.SignIn(context.Background(), from, "anna@example.test", annasPassword, remember)
	must(h.t, err)
	if res.Session == nil {
		h.t.Fatalf("not signed in: %+v", res)
	}
	return res
}

// is reports whether a token is of somebody who is signed in.
func (h *house) is(token string) bool {
	h.t.Helper()
	s, err := h.Lookup(token, true)
	must(h.t, err)
	return s != nil
}

func (h *house) last() Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[len(h.events)-1]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at is a browser at an address that nobody else has.
func at(addr string) From {
	return From{Remote: netip.MustParseAddr(addr), Browser: "Firefox, Linux", Encrypted: true}
}

var home = at("192.168.1.20")

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, false)
	s := res.Session
	if s.Address != "anna@example.test" || s.Role != Person || s.CSRF == "" || !s.CheckCSRF(s.CSRF) || s.CheckCSRF("") || s.CheckCSRF("x"+s.CSRF[1:]) && s.CSRF[0] != 'x' {
		t.Errorf("%+v", s)
	}
	if !h.is(res.Token) || h.is(res.Token[:len(res.Token)-1]+"!") || h.is("") {
		t.Error("the token alone opens")
	}
	if e := h.last(); e.What != SignedIn || !e.OK || e.Account != h.anna || e.Method != ByPassword {
		t.Errorf("%+v", e)
	}
	must(t, h.SignOut(home, s))
	if h.is(res.Token) {
		t.Error("signed in after signing out")
	}
}

func TestTokenIsNotStored(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, false)
	must(t, h.store.States("", func(path string, v []byte) bool {
		if strings.Contains(path+string(v), res.Token) || strings.Contains(path+string(v), res.Session.CSRF) {
			t.Errorf("%s holds the token", path)
		}
		return true
	}))
}

func TestAttackStolenDevicePassword(t *testing.T) {
	h := newHouse(t)
	for _, password := range []string{h.device, strings.ReplaceAll(h.device, "-", "")} {
		if _, err := h.SignIn(context.Background(), home, "anna@example.test", password, true); !errors.Is(err, signin.ErrDenied) {
			t.Errorf("a device password on the web: %v", err)
		}
	}
	p, _ := profile(h.store, h.anna)
	must(t, updateProfile(h, func(p *store.Profile) { p.Password = "" }))
	if _, err := h.SignIn(context.Background(), at("192.168.1.21"), "anna@example.test", h.device, true); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a device password where there is no own one: %v", err)
	}
	if _, err := h.SignIn(context.Background(), at("192.168.1.21"), "anna@example.test", "", true); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("no password where there is none: %v", err)
	}
	must(t, updateProfile(h, func(q *store.Profile) { q.Password = p.Password }))
	res := h.signedIn(at("192.168.1.22"), false)
	if _, err := h.Confirm(context.Background(), at("192.168.1.22"), res.Session, h.device, ""); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a device password for dangerous things: %v", err)
	}
}

func updateProfile(h *house, fn func(*store.Profile)) error {
	a, err := h.store.AccountByID(h.anna)
	if err != nil {
		return err
	}
	return a.Update(func(p *store.Profile) error { fn(p); return nil })
}

func TestAttackSessionFixation(t *testing.T) {
	h := newHouse(t)
	secret := h.enrol()
	// The attacker gives the victim a token: of nothing, of a session of the
	// attacker's own, and of a sign-in that waits.
	mallory := h.person("mallory@example.test", "other words than hers")
	own, err := h.Open(home, mallory, false)
	must(t, err)
	for _, planted := range []string{newToken(), own.Token} {
		from := home
		from.Token = planted
		half, err := h.SignIn(context.Background(), from, "anna@example.test", annasPassword, false)
		must(t, err)
		if half.Session != nil || half.Token == planted || h.is(half.Token) {
			t.Fatal("a password alone signed in where a code is owed, or under a token known before")
		}
		from.Token = half.Token
		res, err := h.Second(context.Background(), from, code(h, secret))
		must(t, err)
		if res.Token == half.Token || res.Token == planted {
			t.Error("the token is that of before")
		}
		if h.is(half.Token) || h.is(planted) || !h.is(res.Token) {
			t.Error("a token of before opens the session")
		}
		must(t, h.change(h.anna, func(f *factors) error { f.Step = 0; return nil }))
	}
	// And proving it again changes the token too.
	res, err := h.Open(home, h.anna, false)
	must(t, err)
	again, err := h.Confirm(context.Background(), home, res.Session, annasPassword, code(h, secret))
	must(t, err)
	if h.is(res.Token) || !h.is(again.Token) {
		t.Error("the token of before opens a session that was confirmed")
	}
}

func TestAttackBruteForce(t *testing.T) {
	h := newHouse(t)
	far := at("203.0.113.7")
	for i := range 5 {
		if _, err := h.SignIn(context.Background(), far, "anna@example.test", fmt.Sprint("guess number ", i), false); !errors.Is(err, signin.ErrDenied) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	var wait *signin.WaitError
	if _, err := h.SignIn(context.Background(), far, "anna@example.test", annasPassword, false); !errors.As(err, &wait) {
		t.Errorf("the sixth: %v", err)
	}
	// The same back-off as that of mail, both ways.
	if _, err := h.signin.Password(context.Background(), signin.Attempt{Remote: far.Remote, Protocol: "imap", TLS: tlsState}, "anna@example.test", h.device); !errors.As(err, &wait) {
		t.Errorf("mail after guesses on the web: %v", err)
	}
	other := at("203.0.113.8")
	for range 5 {
		h.signin.Password(context.Background(), signin.Attempt{Remote: other.Remote, Protocol: "imap", TLS: tlsState}, "anna@example.test", "guess")
	}
	if _, err := h.SignIn(context.Background(), other, "anna@example.test", annasPassword, false); !errors.As(err, &wait) {
		t.Errorf("the web after guesses by mail: %v", err)
	}
	h.signedIn(home, false) // nobody else is shut out
}

func TestAttackUnknownNames(t *testing.T) {
	h := newHouse(t)
	must(t, updateProfile(h, func(p *store.Profile) { p.Password, _ = signin.HashPassword(annasPassword) }))
	least := func(name string, addr string) time.Duration {
		best := time.Hour
		for range 3 {
			start := time.Now()
			if _, err := h.SignIn(context.Background(), at(addr), name, "no password of anybody", false); !errors.Is(err, signin.ErrDenied) || err.Error() != signin.ErrDenied.Error() {
				t.Fatalf("%s: %v", name, err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	known, unknown := least("anna@example.test", "203.0.113.1"), least("nobody@example.test", "203.0.113.2")
	if unknown < known/3 || known < unknown/3 {
		t.Errorf("a known name takes %v, an unknown one %v", known, unknown)
	}
	must(t, updateProfile(h, func(p *store.Profile) { p.Disabled = true }))
	if disabled := least("anna@example.test", "203.0.113.3"); disabled < unknown/3 {
		t.Errorf("a disabled name takes %v, an unknown one %v", disabled, unknown)
	}
}

func TestAttackIsThereASecondFactor(t *testing.T) {
	h := newHouse(t)
	_, without := h.SignIn(context.Background(), at("203.0.113.1"), "anna@example.test", "wrong password", false)
	h.enrol()
	res, with := h.SignIn(context.Background(), at("203.0.113.2"), "anna@example.test", "wrong password", false)
	if without.Error() != with.Error() || len(res.Second) > 0 || res.Token != "" {
		t.Errorf("a wrong password tells: %v, %v, %+v", without, with, res)
	}
}

func TestDisabledAccountIsOut(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, true)
	ctx, leave := h.enter(t.Context(), res.Session)
	defer leave()
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(run) }()
	must(t, updateProfile(h, func(p *store.Profile) { p.Disabled = true }))
	if h.is(res.Token) {
		t.Error("signed in while disabled")
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("a page that is open goes on")
	}
	if _, err := h.Open(home, h.anna, false); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a new session: %v", err)
	}
	stop()
	must(t, <-done)
}

// The command line may end a session on the same store, unseen.
func TestEndedElsewhereEndsOpenPages(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, true)
	ctx, leave := h.enter(t.Context(), res.Session)
	defer leave()
	must(t, New(h.store, Options{Log: quiet}).EndAll(h.anna))
	must(t, h.recheck())
	if ctx.Err() == nil {
		t.Error("a page that is open goes on")
	}
}

func TestPasswordChangeEndsOthers(t *testing.T) {
	h := newHouse(t)
	mine, other := h.signedIn(home, true), h.signedIn(home, true)
	const next = "quite another trout today"
	res, err := h.ChangePassword(t.Context(), home, mine.Session, annasPassword, next)
	must(t, err)
	if h.is(mine.Token) || h.is(other.Token) || !h.is(res.Token) {
		t.Errorf("after a change: old token %v, other %v, new %v", h.is(mine.Token), h.is(other.Token), h.is(res.Token))
	}
	if _, err := h.SignIn(t.Context(), home, "anna@example.test", annasPassword, false); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := h.ChangePassword(t.Context(), home, res.Session, annasPassword, "yet another trout today"); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a change with a wrong password: %v", err)
	}
	// However it is changed: by an owner, at the command line.
	must(t, updateProfile(h, func(p *store.Profile) { p.Password = quickHash(next) }))
	if h.is(res.Token) {
		t.Error("the session outlives a password that was set for the person")
	}
}

func TestSignOutEverywhere(t *testing.T) {
	h := newHouse(t)
	mine, other := h.signedIn(home, true), h.signedIn(home, true)
	res, err := h.EndOthers(home, mine.Session)
	must(t, err)
	if h.is(other.Token) || h.is(mine.Token) || !h.is(res.Token) {
		t.Error("others go on, or mine does not")
	}
	if _, err := h.Confirm(t.Context(), home, other.Session, annasPassword, ""); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a session that was ended comes back: %v", err)
	}
	list, err := h.List(h.anna)
	must(t, err)
	if len(list) != 1 || list[0].CSRF != "" {
		t.Fatalf("%+v", list)
	}
	must(t, h.End(h.anna, list[0].ID))
	if h.is(res.Token) || !errors.Is(h.End(h.anna, list[0].ID), store.ErrNotFound) {
		t.Error("one by one")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	h := newHouse(t)
	first := h.signedIn(home, true)
	for range perAccount {
		h.later(time.Minute)
		_, err := h.Open(home, h.anna, true)
		must(t, err)
	}
	list, err := h.List(h.anna)
	must(t, err)
	if len(list) != perAccount || h.is(first.Token) {
		t.Errorf("%d sessions; the oldest is open: %v", len(list), h.is(first.Token))
	}
}

func TestConcurrentSignIns(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	tokens := make(chan string, 12)
	for range cap(tokens) {
		wg.Go(func() {
			res, err := h.SignIn(context.Background(), home, "anna@example.test", annasPassword, true)
			if err == nil {
				tokens <- res.Token
			} else if !errors.Is(err, signin.ErrBusy) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(tokens)
	seen := map[string]bool{}
	for token := range tokens {
		if seen[token] || !h.is(token) {
			t.Error("not one session each")
		}
		seen[token] = true
	}
	if len(seen) == 0 {
		t.Error("nobody got in")
	}
}

func TestLifetimes(t *testing.T) {
	h := newHouse(t)
	owner := h.person("owner@example.test", "own words of the owner")
	must(t, h.Owners.Add(owner))
	person := h.signedIn(home, false)
	brief, err := h.Open(home, owner, false)
	must(t, err)
	long, err := h.Open(home, owner, true)
	must(t, err)
	h.later(idleOwner - time.Minute)
	if !h.is(brief.Token) {
		t.Error("the owner's session is over too soon")
	}
	h.later(2 * time.Minute)
	if h.is(brief.Token) || !h.is(long.Token) || !h.is(person.Token) {
		t.Error("after half a day: the owner's is over, unless remembered")
	}
	must(t, h.sweep())
	list, err := h.List(0)
	must(t, err)
	if len(list) != 2 {
		t.Errorf("%d sessions after the sweep", len(list))
	}
	for range 7 { // used every 12 days
		h.later(12 * 24 * time.Hour)
		s, err := h.Lookup(person.Token, true)
		must(t, err)
		if s == nil {
			t.Fatal("a session that is used is over")
		}
		h.touch(s, home)
	}
	h.restart(true) // and that is remembered
	if !h.is(person.Token) {
		t.Error("its use was forgotten")
	}
	if h.is(long.Token) {
		t.Error("a session that is not used goes on for 84 days")
	}
	h.later(12 * 24 * time.Hour)
	if h.is(person.Token) {
		t.Error("a session goes on for ever")
	}
}

func TestSurvivesRestart(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, true)
	h.restart(false)
	if !h.is(res.Token) {
		t.Error("a restart ends sessions")
	}
}

func TestClockJumps(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, true)
	must(t, h.flush())
	// The board starts again, and its clock is nowhere.
	h.clock = false
	h.restart(false)
	if !h.is(res.Token) {
		t.Error("an untrusted clock ended a session")
	}
	h.later(idle - time.Hour) // it runs so long without a time server
	if !h.is(res.Token) {
		t.Error("too soon")
	}
	h.later(2 * time.Hour)
	if h.is(res.Token) {
		t.Error("a session without use for ever, as long as the clock is not trusted")
	}
}

func TestSteady(t *testing.T) {
	h := newHouse(t)
	saved := func(at time.Duration, wall time.Time) {
		must(t, h.store.PutState(steadyPath, fmt.Appendf(nil, `{"at":%d,"wall":%q}`, at, wall.Format(time.RFC3339Nano))))
	}
	read := func(trusted bool) time.Duration {
		now, err := newSteady(h.store, func() bool { return trusted }).Now()
		must(t, err)
		return now.Round(time.Minute)
	}
	saved(100*time.Hour, time.Now().Add(-5*time.Hour))
	if got := read(true); got != 105*time.Hour {
		t.Errorf("5 h without power: %v", got)
	}
	if got := read(false); got != 100*time.Hour {
		t.Errorf("5 h without power, by a clock that is not trusted: %v", got)
	}
	saved(100*time.Hour, time.Now().AddDate(70, 0, 0))
	if got := read(true); got != 100*time.Hour {
		t.Errorf("saved in a wrong future: %v", got)
	}
	// Trusted only after a while: the time without power counts once.
	saved(100*time.Hour, time.Now().Add(-5*time.Hour))
	trusted := false
	c := newSteady(h.store, func() bool { return trusted })
	before, err := c.Now()
	must(t, err)
	trusted = true
	after, err := c.Now()
	must(t, err)
	again, err := c.Now()
	must(t, err)
	if d := (after - before).Round(time.Minute); d != 5*time.Hour || (again-after).Round(time.Minute) != 0 {
		t.Errorf("%v, %v, %v", before, after, again)
	}
}

func TestFresh(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, true)
	if !res.Session.Fresh(time.Minute) {
		t.Error("not fresh after the sign-in")
	}
	h.later(time.Hour)
	s, err := h.Lookup(res.Token, true)
	must(t, err)
	if s.Fresh(Sudo) {
		t.Error("fresh after an hour")
	}
	if _, err := h.BeginTOTP(s); !errors.Is(err, ErrNotFresh) {
		t.Errorf("factors: %v", err)
	}
	if _, err := h.Confirm(t.Context(), home, s, "wrong password", ""); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("confirmed by a wrong password: %v", err)
	}
	res, err = h.Confirm(t.Context(), home, s, annasPassword, "")
	must(t, err)
	if !res.Session.Fresh(time.Minute) {
		t.Error("not fresh after a confirmation")
	}
}

func TestOwners(t *testing.T) {
	h := newHouse(t)
	ben := h.person("ben@example.test", "words that ben knows well")
	must(t, h.Owners.Add(h.anna))
	if err := h.Owners.Remove(h.anna); !errors.Is(err, ErrLastOwner) {
		t.Errorf("the last owner: %v", err)
	}
	res := h.signedIn(home, true)
	if res.Session.Role != Owner {
		t.Error("not an owner")
	}
	must(t, h.Owners.Add(ben))
	must(t, h.Owners.Spare(h.anna))
	must(t, h.Owners.Remove(h.anna))
	if s, _ := h.Lookup(res.Token, true); s.Role != Person {
		t.Error("an owner after it was taken back")
	}
	must(t, h.Owners.Add(h.anna))
	must(t, updateProfile(h, func(p *store.Profile) { p.Disabled = true }))
	if err := h.Owners.Spare(ben); !errors.Is(err, ErrLastOwner) {
		t.Errorf("the last who can sign in: %v", err)
	}
	must(t, h.store.RemoveAccount("anna@example.test"))
	if list, err := h.Owners.List(); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := h.Owners.Add(h.anna); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an account that is gone: %v", err)
	}
	must(t, h.sweep())
}

func TestTwoOwnersRemoveEachOther(t *testing.T) {
	h := newHouse(t)
	ben := h.person("ben@example.test", "words that ben knows well")
	must(t, h.Owners.Add(h.anna))
	must(t, h.Owners.Add(ben))
	var wg sync.WaitGroup
	for _, id := range []mail.AccountID{h.anna, ben} {
		wg.Go(func() { NewOwners(h.store).Remove(id) })
	}
	wg.Wait()
	if list, err := h.Owners.List(); err != nil || len(list) == 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestEventsAreFitToKeep(t *testing.T) {
	h := newHouse(t)
	h.SignIn(t.Context(), home, "a\r\nb\x1b[31m"+strings.Repeat("x", 500), "guess", false)
	e := h.last()
	if e.OK || e.Name != "" || e.Err == nil {
		t.Errorf("%+v", e)
	}
	if name := loggable("a\r\nb\x1b[31m" + strings.Repeat("x", 500)); len(name) > 64 || strings.ContainsAny(name, "\r\n\x1b") {
		t.Errorf("%q", name)
	}
}

// A bug in what goes on in the background is an error, which is told.
func TestSafely(t *testing.T) {
	if err := safely(func() error { panic("odd") }); err == nil || !strings.Contains(err.Error(), "odd") {
		t.Error(err)
	}
	if err := safely(func() error { return ErrOver }); !errors.Is(err, ErrOver) {
		t.Error(err)
	}
}
