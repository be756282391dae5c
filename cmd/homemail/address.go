package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"homemail/address"
	"homemail/admin"
	"homemail/check/probe"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/store"
	"homemail/zones"
)

// addressOptions are who knows the house's public addresses, and what to do when
// they change. Each may be nil.
type addressOptions struct {
	local  func() []netip.Addr                                                                  // of this computer; nil asks the system
	router func() netip.Addr                                                                    // that the router says it has outside; the zero Addr if it does not say
	echo   func(ctx context.Context) (netip.Addr, error)                                        // from where a server outside sees us
	ipv6   func() bool                                                                          // it was proven that mail comes in over IPv6
	retest func(ctx context.Context)                                                            // the line, after a change
	plan   func(ctx context.Context, zone string, addrs []netip.Addr) ([]dnsplan.Record, error) // nil is the house's
}

// addressOptions are those of a house with a router and a line, either of which
// may be nil.
func (h *house) addressOptions(l *line) (o addressOptions) {
	o.router = func() netip.Addr {
		if h.router == nil {
			return netip.Addr{}
		}
		return h.router.State().External
	}
	if l == nil {
		return o
	}
	if l.client != nil {
		e := &echoes{ask: l.echo}
		o.echo = e.find
	}
	o.ipv6 = l.ipv6
	o.retest = l.retest
	return o
}

// echoEach is how often friends are asked from where they see us: they do it as
// a favour.
const echoEach = 15 * time.Minute

// echoes are what friends outside said last.
type echoes struct {
	ask  func(ctx context.Context, network string) (probe.Echo, error)
	at   time.Time
	addr netip.Addr
	err  error
}

// find is of one Watcher alone, which asks for one thing at a time.
func (e *echoes) find(ctx context.Context) (netip.Addr, error) {
	if !e.at.IsZero() && time.Since(e.at).Abs() < echoEach {
		return e.addr, e.err
	}
	said, err := e.ask(ctx, "tcp4")
	if ctx.Err() != nil {
		return netip.Addr{}, ctx.Err()
	}
	if errors.Is(err, probe.ErrNone) {
		return netip.Addr{}, err // nobody was asked
	}
	e.at, e.addr, e.err = time.Now(), said.Address.Unmap(), err
	return e.addr, e.err
}

// An addressWatch notices new public addresses and has the DNS follow, where its
// owner wants that.
type addressWatch struct {
	h     *house
	o     addressOptions
	zones *zones.Book
	quiet *publish.Publisher // the Watcher says in one line what has changed

	mu sync.Mutex
	w  *address.Watcher
}

// newAddressWatch makes what watches the addresses; a house in a world of its own
// has none, and gets nil.
func (h *house) newAddressWatch(o addressOptions) *addressWatch {
	if h.dns == nil {
		return nil
	}
	if o.local == nil {
		o.local = steadyAddrs
	}
	if o.plan == nil {
		o.plan = func(ctx context.Context, zone string, addrs []netip.Addr) ([]dnsplan.Record, error) {
			return h.admin().ZoneRecords(ctx, zone, addrs)
		}
	}
	a := &addressWatch{
		h: h, o: o, zones: zones.New(h.store, nil),
		quiet: publish.New(publish.Options{Store: h.store, NotFound: store.ErrNotFound}),
	}
	if err := a.build(); err != nil {
		h.log.Error("the DNS does not follow the house's address for now", "err", err)
	}
	return a
}

// publishing is what the owner's operations need to change the DNS.
func (a *addressWatch) publishing() *admin.Publishing {
	p := &admin.Publishing{
		Zones: a.zones, Updaters: a.Status, IPv6: a.o.ipv6, Local: a.o.local,
		Publisher: publish.New(publish.Options{Store: a.h.store, NotFound: store.ErrNotFound, Log: a.h.log}),
	}
	if !a.h.started.IsZero() { // else nobody has looked lately
		p.Addresses = a.Now
	}
	return p
}

// build makes a Watcher with the updaters that the Book has now.
func (a *addressWatch) build() error {
	updaters, err := a.updaters()
	if err != nil {
		return err
	}
	o := address.Options{Sources: a.sources(), Updaters: updaters, Store: a.h.store, NotFound: store.ErrNotFound, Log: a.h.log}
	if a.o.retest != nil {
		o.Retest = func(ctx context.Context, _, _ address.Addrs) { a.o.retest(ctx) }
	}
	w, err := address.New(o)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.w = w
	return nil
}

func (a *addressWatch) watcher() *address.Watcher {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.w
}

// Now are the addresses as last settled.
func (a *addressWatch) Now() address.Addrs {
	if w := a.watcher(); w != nil {
		return w.Now()
	}
	return address.Addrs{}
}

// Status is how each place stands that is told the addresses.
func (a *addressWatch) Status() []address.Status {
	if w := a.watcher(); w != nil {
		return w.Status()
	}
	return nil
}

// Kick has it look at once, since somebody knows that something has changed.
func (a *addressWatch) Kick() {
	if w := a.watcher(); w != nil {
		w.Kick()
	}
}

const (
	interfacesEach = 10 * time.Second // a look at our own interfaces costs nothing
	buildAgain     = time.Minute      // if the store could not be read
)

// run watches until ctx ends. When the Book changes it begins anew.
func (a *addressWatch) run(ctx context.Context) error {
	changed := a.zones.Watch()
	defer changed.Close()
	for ctx.Err() == nil {
		again := make(<-chan time.Time)
		if err := a.build(); err != nil {
			if a.h.store.Broken() == nil {
				a.h.log.Error("the DNS does not follow the house's address for now", "err", err)
			}
			again = time.After(buildAgain)
		}
		a.turn(ctx, changed.C, again)
	}
	return nil
}

// turn runs the Watcher that there is, until something is to be different.
func (a *addressWatch) turn(ctx context.Context, changed <-chan struct{}, again <-chan time.Time) {
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	if w := a.watcher(); w != nil {
		parts.Go(func() { w.Run(ctx) }) // which ends with ctx alone
	}
	look := time.NewTicker(interfacesEach)
	defer look.Stop()
	for before := a.o.local(); ; {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			return
		case <-again:
			return
		case <-look.C:
			if now := a.o.local(); !slices.Equal(now, before) {
				before = now
				a.Kick()
			}
		}
	}
}

// errSilent says that the router tells no address.
var errSilent = errors.New("the router does not say")

// sources are who knows our addresses, the surest first.
func (a *addressWatch) sources() []address.Source {
	list := []address.Source{{Name: "this computer", Find: func(context.Context) ([]netip.Addr, error) { return a.o.local(), nil }}}
	if a.o.router != nil {
		list = append(list, address.Source{Name: "the router", V4Only: true, Find: func(context.Context) ([]netip.Addr, error) {
			if addr := a.o.router(); addr.IsValid() {
				return []netip.Addr{addr}, nil
			}
			return nil, errSilent
		}})
	}
	if a.o.echo != nil {
		list = append(list, address.Source{Name: "a server outside", V4Only: true, Find: a.echoed})
	}
	return list
}

// errShared says that an address is of many houses: nothing comes in there.
var errShared = errors.New("the router itself has no public address")

// echoed is the IPv4 address that a server outside sees; an IPv6 address is this
// computer's own. Where the router itself has a private one, what is seen is not
// ours alone.
func (a *addressWatch) echoed(ctx context.Context) ([]netip.Addr, error) {
	if a.o.router != nil {
		if r := a.o.router().Unmap(); r.IsValid() && (inside(r) || carrier.Contains(r)) {
			return nil, errShared
		}
	}
	addr, err := a.o.echo(ctx)
	if err != nil {
		return nil, err
	}
	return []netip.Addr{addr}, nil
}

// carrier is where routers are that share an address, RFC 6598.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// updaters are the places to be told, as the Book has them.
func (a *addressWatch) updaters() (list []address.Updater, err error) {
	zoned, err := a.zones.Zones()
	if err != nil {
		return nil, err
	}
	for _, z := range zoned {
		if !z.Follow || z.Trouble != "" {
			continue
		}
		var u address.Updater
		if open, err := a.zones.Open(z); err != nil {
			u = closed{"zone " + z.Name, err}
		} else {
			u = &address.Records{Zone: open, Publisher: a.quiet, Plan: func(ctx context.Context, addrs []netip.Addr) ([]dnsplan.Record, error) {
				return a.o.plan(ctx, z.Name, addrs)
			}}
		}
		list = append(list, following{u, z.Set, func() { a.h.dns.Flush(z.Name) }})
	}
	names, err := a.zones.Names()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.Trouble != "" {
			continue
		}
		d, err := a.zones.Dyndns(n)
		d.Agent = "homemail/" + version()
		var u address.Updater = d
		if err != nil {
			u = closed{d.Name(), err}
		}
		list = append(list, following{u, n.Set, func() { a.h.dns.Flush(n.Host) }})
	}
	return list, nil
}

// following is an updater whose owner last set it at a time. What the DNS said
// before it was used is forgotten.
type following struct {
	address.Updater
	set    time.Time
	forget func()
}

func (f following) Version() string { return f.set.Format(time.RFC3339Nano) }

func (f following) Update(ctx context.Context, was []address.Addrs, now address.Addrs) error {
	defer f.forget()
	return f.Updater.Update(ctx, was, now)
}

// closed stands for an updater whose credentials cannot be read. The key that
// they need may come back with a restart.
type closed struct {
	name string
	err  error
}

func (c closed) Name() string                           { return c.name }
func (c closed) Limits() address.Limits                 { return address.Limits{} }
func (c closed) Part(addrs address.Addrs) address.Addrs { return addrs }
func (c closed) Update(context.Context, []address.Addrs, address.Addrs) error {
	return &address.Later{Err: c.err, Wait: time.Hour}
}

// steadyAddrs are this computer's addresses, without those of IPv6 that come and
// go by design.
func steadyAddrs() []netip.Addr {
	passing := map[netip.Addr]bool{}
	if f, err := os.Open("/proc/net/if_inet6"); err == nil {
		defer f.Close()
		passing = readPassing(f)
	}
	return slices.DeleteFunc(localAddrs(), func(a netip.Addr) bool { return passing[a] })
}

const (
	maxInterfaces = 1 << 20 // bytes of a table that has some 50 for each address

	// Flags of an address, linux/if_addr.h: temporary (RFC 8981), a duplicate,
	// deprecated, tentative (RFC 4862).
	passingFlags = 0x01 | 0x08 | 0x20 | 0x40
)

// readPassing reads proc_net_if_inet6 of Linux: the address, the interface's
// number, the prefix' length, the scope, flags and the interface's name.
func readPassing(r io.Reader) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for s := bufio.NewScanner(io.LimitReader(r, maxInterfaces)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 6 {
			continue
		}
		b, err := hex.DecodeString(f[0])
		addr, ok := netip.AddrFromSlice(b)
		flags, bad := strconv.ParseUint(f[4], 16, 32)
		if err == nil && ok && addr.Is6() && bad == nil && flags&passingFlags != 0 {
			out[addr] = true
		}
	}
	return out
}
