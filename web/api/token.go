package api

import (
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"homemail/admin"
)

// authorize finds out whose token a request has, in its header and nowhere else
// (RFC 6750 §2.1): what stands in a URL ends up in logs.
func (a *API) authorize(w http.ResponseWriter, r *http.Request, from netip.Addr) (admin.Token, bool) {
	if wait := a.guesses.wait(from, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		a.refuse(w, slowDown, "there were too many wrong tokens from this address; wait a little")
		return admin.Token{}, false
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) > 1 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="homemail"`)
		a.refuse(w, noToken, "send a token as Authorization: Bearer hm_...; to make one: homemail token add NAME -scope SCOPE")
		return admin.Token{}, false
	}
	t, err := a.o.Tokens.Use(strings.TrimLeft(secret, " "), from)
	if errors.Is(err, admin.ErrNoToken) {
		a.guesses.wrong(from, time.Now())
		a.log.Info("a wrong token was refused", "from", from)
		if a.o.Refused != nil {
			a.o.Refused(from)
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="homemail", error="invalid_token"`)
		a.refuse(w, noToken, err.Error())
		return t, false
	}
	if err != nil {
		a.fail(w, "(token)", t, err)
	}
	return t, err == nil
}

// Nobody guesses 256 bits. Guesses are counted so that who tries costs us little,
// and that a program with an old token is noticed.
const (
	guessesAtOnce = 10              // of an address, before it has to wait
	guessEvery    = 6 * time.Second // from then on
	guessersMax   = 1000            // addresses that are remembered
)

// guesses are the wrong tokens of late. The zero value is ready.
type guesses struct {
	mu sync.Mutex
	of map[netip.Prefix]time.Time // when the last of them is forgiven
}

// guesser is who guesses: a network of IPv6 is one house, but ours has many in it.
func guesser(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() && !private(a) {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix of no address
	return p
}

// wait is how long an address has to wait.
func (g *guesses) wait(a netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, guessed := g.of[guesser(a)]
	if !guessed {
		return 0
	}
	return until.Sub(now) - (guessesAtOnce-1)*guessEvery
}

// wrong counts a guess.
func (g *guesses) wrong(a netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[netip.Prefix]time.Time{}
	}
	key := guesser(a)
	if _, known := g.of[key]; !known && len(g.of) >= guessersMax {
		g.forget(now)
	}
	until := g.of[key]
	if until.Before(now) {
		until = now
	}
	g.of[key] = until.Add(guessEvery)
}

// forget makes room: for those that are forgiven, else for anybody.
func (g *guesses) forget(now time.Time) {
	for k, until := range g.of {
		if until.Before(now) {
			delete(g.of, k)
		}
	}
	for k := range g.of {
		if len(g.of) < guessersMax {
			return
		}
		delete(g.of, k)
	}
}
