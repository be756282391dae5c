// Package address notices that the house has new public addresses and has the
// DNS follow: records at their provider, and names of dyndns2 services. It
// takes what others find out about addresses; it opens no connection but to
// those services.
package address

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	lookEvery = 5 * time.Minute  // what a TTL of five minutes deserves
	settle    = 30 * time.Second // a new address has to stay this long: lines flap when they come up
	gone      = 30 * time.Minute // and one that is not seen any more be away this long
	findTime  = time.Minute      // for all sources
	doTime    = 5 * time.Minute  // for one updater
	farAway   = 36 * time.Hour   // no try is further off; what says so was written with another clock
)

// retry is how long to wait after the n-th failed update, if the updater says
// nothing better.
var retry = [...]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour}

// Addrs are the public addresses of the house, the zero Addr for none.
type Addrs struct{ V4, V6 netip.Addr }

// List are the addresses that there are.
func (a Addrs) List() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{a.V4, a.V6}, func(a netip.Addr) bool { return !a.IsValid() })
}

func (a Addrs) String() string {
	var out []string
	for _, addr := range a.List() {
		out = append(out, addr.String())
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, " and ")
}

// A Source is one way to find the public addresses: the box's own interfaces,
// the router, a server outside that says from where we come. No error and no
// address means that there is none.
type Source struct {
	Name   string
	V4Only bool // it knows nothing of IPv6, so that its failure says nothing about that
	Find   func(ctx context.Context) ([]netip.Addr, error)
}

// Limits are how often an updater may be used, and has to be.
type Limits struct {
	Least   time.Duration // between two updates
	Refresh time.Duration // without an update the name is lost after a while; 0 for never
}

// An Updater makes one place know the addresses.
type Updater interface {
	Name() string // what is kept about it is kept by its name
	Limits() Limits
	Part(a Addrs) Addrs // that it publishes

	// Update publishes addresses. What was published before is one of was, of
	// which the zero Addrs says that it may be anything; was is empty if that is
	// not known, and only now if it is to be done once more. An error that is a
	// *Later says when to try again; one that is a *Stopped ends all tries until
	// somebody has changed the settings.
	Update(ctx context.Context, was []Addrs, now Addrs) error
}

// A Versioned updater has settings that its owner can change: with another
// version it is tried again though it was stopped.
type Versioned interface {
	Updater
	Version() string
}

// Later is an error that says when to try again.
type Later struct {
	Err  error
	Wait time.Duration
}

func (e *Later) Error() string { return e.Err.Error() }
func (e *Later) Unwrap() error { return e.Err }

// Stopped is an error that no other try will mend.
type Stopped struct{ Err error }

func (e *Stopped) Error() string { return e.Err.Error() }
func (e *Stopped) Unwrap() error { return e.Err }

// public reports whether the world can reach an address.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == "" && !shared.Contains(a)
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598, of CGNAT

// found is what all sources together say of one family.
type found struct {
	list  []netip.Addr // of the first source that has one
	known bool         // one source at least has answered, and none without one has failed
}

// find asks the sources. Each family is taken from the first that has it.
func find(ctx context.Context, sources []Source) (v4, v6 found) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	failed4, failed6 := false, false
	for _, s := range sources {
		list, err := s.Find(ctx)
		if err != nil {
			failed4, failed6 = true, failed6 || !s.V4Only
			continue
		}
		v4.known, v6.known = true, v6.known || !s.V4Only
		for _, a := range list {
			if a = a.Unmap(); !public(a) {
				continue
			}
			f := &v6
			if a.Is4() {
				f = &v4
			}
			f.list = append(f.list, a)
		}
		if len(v4.list) > 0 && len(v6.list) > 0 {
			break
		}
	}
	v4.known = v4.known && (!failed4 || len(v4.list) > 0)
	v6.known = v6.known && (!failed6 || len(v6.list) > 0)
	return v4, v6
}

// next is the address after another: the same for as long as it is there, as
// an interface may have several.
func (f found) next(now netip.Addr) netip.Addr {
	switch {
	case !f.known || slices.Contains(f.list, now):
		return now
	case len(f.list) == 0:
		return netip.Addr{}
	}
	return f.list[0]
}
