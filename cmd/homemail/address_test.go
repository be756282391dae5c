package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"homemail/address"
	"homemail/check/probe"
	"homemail/resolver"
	"homemail/store"
	"homemail/zones"
)

func TestReadPassing(t *testing.T) {
	got := readPassing(strings.NewReader(`20010db8000000000000000000000001 02 40 00 80     eth0
20010db8000000000000000000000002 02 40 00 01     eth0
20010db8000000000000000000000003 02 40 00 20     eth0
fe800000000000000000000000000001 02 40 20 40     eth0
nonsense 02 40 20 40 eth0
20010db8 02 40 20 40 eth0
20010db8000000000000000000000004 02
`))
	var list []string
	for a := range got {
		list = append(list, a.String())
	}
	slices.Sort(list)
	if s := strings.Join(list, " "); s != "2001:db8::2 2001:db8::3 fe80::1" {
		t.Error(s)
	}
}

// FuzzReadPassing holds that only what stands in the table is passing.
func FuzzReadPassing(f *testing.F) {
	f.Add("20010db8000000000000000000000002 02 40 00 01     eth0\n")
	f.Add("::1 1 1 1 1 1\n\n")
	f.Fuzz(func(t *testing.T, table string) {
		for a := range readPassing(strings.NewReader(table)) {
			if !strings.Contains(strings.ToLower(table), fmt.Sprintf("%x", a.AsSlice())) {
				t.Errorf("%s is not in %q", a, table)
			}
		}
	})
}

// A shared address of the line's is none of the house's.
func TestEchoBehindSharedAddress(t *testing.T) {
	seen := netip.MustParseAddr("203.0.113.1")
	for router, shared := range map[string]bool{"100.64.3.4": true, "192.168.1.1": true, "203.0.113.1": false, "": false} {
		var r netip.Addr
		if router != "" {
			r = netip.MustParseAddr(router)
		}
		a := addressWatch{o: addressOptions{
			router: func() netip.Addr { return r },
			echo:   func(context.Context) (netip.Addr, error) { return seen, nil },
		}}
		if list, err := a.echoed(t.Context()); errors.Is(err, errShared) != shared || slices.Contains(list, seen) == shared {
			t.Errorf("router %q: %v %v", router, list, err)
		}
	}
}

// Friends are asked seldom.
func TestEchoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, away, here := 0, errors.New("away"), netip.MustParseAddr("203.0.113.1")
		e := &echoes{ask: func(_ context.Context, network string) (probe.Echo, error) {
			if asked++; network != "tcp4" || asked > 1 {
				return probe.Echo{}, away
			}
			return probe.Echo{Address: here}, nil
		}}
		for range 3 {
			if got, err := e.find(t.Context()); err != nil || got != here || asked != 1 {
				t.Errorf("%v %v, asked %d times", got, err, asked)
			}
		}
		time.Sleep(echoEach)
		if got, err := e.find(t.Context()); !errors.Is(err, away) || asked != 2 {
			t.Errorf("%v %v, asked %d times", got, err, asked)
		}
	})
}

// places are who is told, by name, as the house has them now.
func places(a *addressWatch) string {
	var list []string
	for _, s := range a.Status() {
		list = append(list, s.Name)
	}
	return strings.Join(list, ", ")
}

// The places that are told follow the Book, without a restart; with a lost
// secrets.key they stay, say what to do, and hold up nobody.
func TestAddressWatchFollowsBook(t *testing.T) {
	dir := t.TempDir()
	here := netip.MustParseAddr("203.0.113.1")
	inside := func(use func(*store.Store, *addressWatch)) {
		t.Helper()
		log := slog.New(slog.DiscardHandler)
		s, err := store.Open(dir, store.Options{Log: log, Reserve: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		h := &house{store: s, log: log, dns: resolver.New(resolver.Options{Server: "127.0.0.1:1"})}
		a := h.newAddressWatch(addressOptions{local: func() []netip.Addr { return []netip.Addr{here} }})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.run(ctx) })
		use(s, a)
		stop()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	inside(func(_ *store.Store, a *addressWatch) {
		if got := places(a); got != "" {
			t.Errorf("at first: %s", got)
		}
		if err := errors.Join(
			a.zones.SetZone(zones.Zone{Name: "example.org", Provider: "desec"}, map[string]string{"token": "s3cret"}),
			a.zones.SetName(zones.Name{Host: "home.example", Service: "dynu", User: "me"}, "s3cret"),
		); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the name alone", func() bool { return places(a) == "dyndns dynu home.example" })
		if err := a.zones.Follow("example.org", true); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the zone too", func() bool { return places(a) == "zone example.org, dyndns dynu home.example" })
	})
	if err := os.Remove(filepath.Join(dir, "secrets.key")); err != nil {
		t.Fatal(err)
	}
	inside(func(_ *store.Store, a *addressWatch) {
		if got := places(a); got != "zone example.org, dyndns dynu home.example" {
			t.Errorf("without the key: %s", got)
		}
		list, err := a.updaters()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list {
			var later *address.Later
			if err := u.Update(t.Context(), nil, address.Addrs{V4: here}); !errors.As(err, &later) || !errors.Is(err, zones.ErrSealed) {
				t.Errorf("%s: %v", u.Name(), err)
			}
		}
	})
	if h := (&house{}); h.newAddressWatch(addressOptions{}) != nil {
		t.Error("a house in a world of its own watches addresses")
	}
}
