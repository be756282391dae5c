package signin

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"homemail/mail"
)

// The back-off of sign-ins that fail.
const (
	failures   = 5                // this many
	failWindow = 10 * time.Minute // in so long
	firstBan   = 15 * time.Minute // shut an address out for so long,
	longestBan = 24 * time.Hour   // twice as long each time, up to this;
	forgetBan  = 24 * time.Hour   // and a day later the first time is again the first.
	nearBan    = time.Minute      // the most for the house's own network, where it is a typing error

	accountFree  = 10               // failures of an account in failWindow that slow nobody
	accountDelay = time.Second      // for each further one, to addresses we do not know
	longestDelay = 10 * time.Second // never more: nobody can lock somebody else out
	knownAddrs   = 8                // remembered addresses of an account

	remembered = 10_000 // addresses, and as many accounts: some 3 MB at most
)

// A limiter remembers failures by address and by account. It forgets what was
// not used for longest. Its clock is time.Now's monotonic one.
type limiter struct {
	mu       sync.Mutex
	addrs    *lru[netip.Prefix, addrState]
	accounts *lru[string, accountState]
	codes    *lru[mail.AccountID, addrState] // second factors, see limiter.codeWait

	doubt func(netip.Addr) bool // see Checker.Doubt; nil doubts nobody
}

type addrState struct {
	failed  [failures]time.Time // the latest, oldest first
	until   time.Time           // shut out
	bans    int                 // one after another
	refused int                 // attempts during the ban
}

type accountState struct {
	failed int
	last   time.Time
	known  []netip.Prefix // where sign-ins were right, latest last
}

func newLimiter() *limiter {
	return &limiter{addrs: newLRU[netip.Prefix, addrState](remembered),
		accounts: newLRU[string, accountState](remembered),
		codes:    newLRU[mail.AccountID, addrState](remembered)}
}

// network is what counts as one address: a v6 household has a /64.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the zero Prefix for no address: one bucket for those
	return p
}

// local reports whether a is an address of the house's own network.
func local(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

// near reports whether who comes from a is of the house. mu is held.
func (l *limiter) near(a netip.Addr) bool { return local(a) && !l.doubted(a) }

func (l *limiter) doubted(a netip.Addr) bool { return l.doubt != nil && l.doubt(a.Unmap()) }

// pen is who is shut out together with a. Of a network of the house that strangers
// seem to be in it is one address: else they would shut out the whole house. mu is
// held.
func (l *limiter) pen(a netip.Addr) netip.Prefix {
	if local(a) && l.doubted(a) {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen())
	}
	return network(a)
}

// wait says for how long a is still shut out.
func (l *limiter) wait(a netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.addrs.peek(l.pen(a))
	if s == nil {
		return 0
	}
	left := time.Until(s.until)
	if left > 0 {
		s.refused++
	}
	return max(left, 0)
}

// delay says how long a sign-in to account from a has to be held up.
func (l *limiter) delay(a netip.Addr, account string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.accounts.peek(account)
	if s == nil || time.Since(s.last) > failWindow || slices.Contains(s.known, network(a)) {
		return 0
	}
	return min(max(time.Duration(s.failed-accountFree), 0)*accountDelay, longestDelay)
}

// failure counts one, and returns for how long a is shut out from now on (0:
// not at all) and how many attempts were refused during the ban before.
func (l *limiter) failure(a netip.Addr, account string) (ban time.Duration, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()

	who := l.accounts.get(account)
	if now.Sub(who.last) > failWindow {
		who.failed = 0
	}
	who.failed, who.last = who.failed+1, now

	return l.addrs.get(l.pen(a)).failure(now, l.near(a))
}

// failure counts one at a time, and shuts out as limiter.failure tells.
func (s *addrState) failure(now time.Time, near bool) (ban time.Duration, refused int) {
	copy(s.failed[:], s.failed[1:])
	s.failed[failures-1] = now
	if s.failed[0].IsZero() || now.Sub(s.failed[0]) > failWindow {
		return 0, 0
	}
	if now.Sub(s.until) > forgetBan {
		s.bans = 0
	}
	ban = min(firstBan<<min(s.bans, 10), longestBan)
	if near {
		ban = nearBan
	}
	refused = s.refused
	*s = addrState{until: now.Add(ban), bans: s.bans + 1}
	return ban, refused
}

// success forgets the failures of a, and remembers it as one of account's.
func (l *limiter) success(a netip.Addr, account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := network(a)
	l.addrs.remove(l.pen(a))
	s := l.accounts.get(account)
	if i := slices.Index(s.known, n); i >= 0 {
		s.known = slices.Delete(s.known, i, i+1)
	} else if len(s.known) == knownAddrs {
		s.known = slices.Delete(s.known, 0, 1)
	}
	s.known = append(s.known, n)
}

// codeWait says for how long the second factor of an account may not be tried
// from a. Who tries it knows the password, so that nobody else is shut out by
// this; and those whom it would shut out are let in where they were before.
func (l *limiter) codeWait(a netip.Addr, id mail.AccountID) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.codes.peek(id)
	if who := l.accounts.peek(accountKey(id)); s == nil || who != nil && slices.Contains(who.known, network(a)) {
		return 0
	}
	return max(time.Until(s.until), 0)
}

// codeFailure counts a wrong second factor against the account: addresses cost
// an attacker nothing, and a code has but a million values.
func (l *limiter) codeFailure(id mail.AccountID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.codes.get(id).failure(time.Now(), false)
}
