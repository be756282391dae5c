//go:build linux

package network

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"homemail/appliance/supervise"
)

// Options say how the box is connected.
type Options struct {
	Log *slog.Logger
	// Client makes the command of the confined process that runs Ask for a card,
	// with the socket at descriptor 3.
	Client func(ctx context.Context, l Link, socket *os.File) (*exec.Cmd, error)
	// Wanted reports whether a card is ours to use. Nil takes those that are
	// hardware.
	Wanted func(Link) bool
	// Fixed is the owner's choice for the first wired card; nil asks by DHCP.
	Fixed *Lease
	// Resolver is the file that tells programs of the name servers.
	Resolver string
	// Changed is told after every change of addresses.
	Changed func()
}

// A Network is the connection of the box.
type Network struct {
	o Options
	k kernel

	mu      sync.Mutex
	clients map[int]*client // by the card's number
}

// A client is one card that is used.
type client struct {
	link  Link
	stop  context.CancelFunc
	done  chan struct{}
	lease *Lease
}

// New returns a Network that does nothing before Run.
func New(o Options) (*Network, error) {
	if o.Wanted == nil {
		o.Wanted = hardware
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	return &Network{o: o, k: k, clients: map[int]*client{}}, k.up(loopback)
}

// loopback is the number of the card that is the machine itself, in every network.
const loopback = 1

// hardware reports whether a card is a thing: bridges and tunnels have no device.
func hardware(l Link) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", l.Name, "device"))
	return err == nil
}

// Run connects every card that has a cable, and lets go of those that have none,
// until ctx ends. The addresses stay: who stops wants to say goodbye.
func (n *Network) Run(ctx context.Context) error {
	again := make(chan struct{}, 1)
	nudge := func() {
		select {
		case again <- struct{}{}:
		default:
		}
	}
	broken := make(chan error, 1)
	go func() { broken <- news(ctx, nudge) }()
	defer n.end()
	for nudge(); ; {
		select {
		case <-ctx.Done():
			return <-broken
		case err := <-broken:
			return err
		case <-again:
			if err := n.look(ctx); err != nil {
				n.o.Log.Warn("the network cards cannot be read", "err", err)
			}
			n.o.Changed()
		}
	}
}

func (n *Network) look(ctx context.Context) error {
	links, err := n.k.links()
	if err != nil {
		return err
	}
	fixed := n.o.Fixed // for the first
	for _, l := range links {
		if !n.o.Wanted(l) {
			continue
		}
		if !l.Up {
			if err := n.k.up(l.Index); err != nil { // the news of it come back to us
				n.o.Log.Warn("a network card cannot be turned on", "card", l.Name, "err", err)
			}
			continue
		}
		if l.Carrier {
			n.start(ctx, l, fixed)
			fixed = nil
		} else {
			n.stop(l.Index)
		}
	}
	for _, i := range n.gone(links) {
		n.stop(i)
	}
	return nil
}

func (n *Network) gone(links []Link) (list []int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.clients {
		if !slices.ContainsFunc(links, func(l Link) bool { return l.Index == i }) {
			list = append(list, i)
		}
	}
	return list
}

func (n *Network) start(ctx context.Context, l Link, fixed *Lease) {
	n.mu.Lock()
	if n.clients[l.Index] != nil {
		n.mu.Unlock()
		return
	}
	ctx, stop := context.WithCancel(ctx)
	c := &client{link: l, stop: stop, done: make(chan struct{})}
	n.clients[l.Index] = c
	n.mu.Unlock()
	n.o.Log.Info("a network card is connected", "card", l.Name, "mac", l.MAC.String())
	go func() {
		defer close(c.done)
		if fixed != nil {
			n.take(c, *fixed)
			<-ctx.Done()
			return
		}
		n.ask(ctx, c)
	}()
}

// ask runs the client of DHCP.
func (n *Network) ask(ctx context.Context, c *client) {
	var socket *os.File
	defer func() { socket.Close() }() // nil is no harm
	s := &supervise.Service{
		Name: "dhcp on " + c.link.Name, Stop: time.Second, Log: n.o.Log,
		Start: func(ctx context.Context) (_ *exec.Cmd, err error) {
			socket.Close() // of the client before
			if socket, err = OpenPackets(c.link.Index); err != nil {
				return nil, err
			}
			return n.o.Client(ctx, c.link, socket)
		},
		Told: func(line string) error {
			if line == "gone" {
				n.lose(c)
				return nil
			}
			l, err := ParseLease(line)
			if err != nil {
				return err
			}
			n.take(c, l)
			return nil
		},
	}
	if err := s.Run(ctx); err != nil {
		n.o.Log.Warn("no address by DHCP", "card", c.link.Name, "err", err)
	}
}

// take gives the card its address, instead of the one that it had.
func (n *Network) take(c *client, l Lease) {
	n.mu.Lock()
	old := c.lease
	c.lease = &l
	n.mu.Unlock()
	if old != nil && old.Address != l.Address {
		n.failed("remove", c, n.k.remove(c.link.Index, *old))
	}
	if old == nil || old.Address != l.Address {
		n.o.Log.Info("the box has an address", "card", c.link.Name, "address", l.Address, "router", l.Router, "for", l.For)
	}
	n.failed("add", c, n.k.add(c.link.Index, l))
	n.changed()
}

// lose takes it away: it may be somebody else's by now.
func (n *Network) lose(c *client) {
	n.mu.Lock()
	old := c.lease
	c.lease = nil
	n.mu.Unlock()
	if old == nil {
		return
	}
	n.o.Log.Warn("the box has lost its address", "card", c.link.Name, "address", old.Address)
	n.failed("remove", c, n.k.remove(c.link.Index, *old))
	n.changed()
}

func (n *Network) failed(what string, c *client, err error) {
	if err != nil {
		n.o.Log.Warn("the kernel refused an address", "do", what, "card", c.link.Name, "err", err)
	}
}

func (n *Network) stop(index int) {
	n.mu.Lock()
	c := n.clients[index]
	delete(n.clients, index)
	n.mu.Unlock()
	if c == nil {
		return
	}
	c.stop()
	<-c.done
	n.lose(c)
}

// end returns when all clients have ended: one that outlived us would go on
// asking, for nobody.
func (n *Network) end() {
	n.mu.Lock()
	clients := slices.Collect(maps.Values(n.clients))
	n.mu.Unlock()
	for _, c := range clients {
		c.stop()
	}
	for _, c := range clients {
		<-c.done
	}
}

// Leases are those in force, by the numbers of their cards.
func (n *Network) Leases() (list []Lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, i := range sorted(n.clients) {
		if l := n.clients[i].lease; l != nil {
			list = append(list, *l)
		}
	}
	return list
}

func sorted(m map[int]*client) (list []int) {
	for i := range m {
		list = append(list, i)
	}
	slices.Sort(list)
	return list
}

// changed writes the name servers down and tells of the change.
func (n *Network) changed() {
	if n.o.Resolver != "" {
		if err := replace(n.o.Resolver, Resolver(n.Leases())); err != nil {
			n.o.Log.Warn("the name servers were not written", "err", err)
		}
	}
	n.o.Changed()
}

// replace writes a file of /run, which is in memory: there is nothing to sync.
func replace(name, text string) error {
	return errors.Join(os.WriteFile(name+".new", []byte(text), 0o644), os.Rename(name+".new", name))
}

// ParseLink reads the words of a Link's number and address, for the process that
// runs Ask.
func ParseLink(index, mac string) (l Link, err error) {
	if l.Index, err = strconv.Atoi(index); err != nil {
		return l, err
	}
	l.MAC, err = net.ParseMAC(mac)
	return l, err
}

// Fixed makes a lease of what an owner wrote.
func Fixed(address, router string, dns []string) (*Lease, error) {
	p, err := netip.ParsePrefix(address)
	if err != nil {
		return nil, err
	}
	l := &Lease{Address: p}
	if router != "" {
		if l.Router, err = netip.ParseAddr(router); err != nil {
			return nil, err
		}
	}
	for _, d := range dns {
		a, err := netip.ParseAddr(d)
		if err != nil {
			return nil, err
		}
		l.DNS = append(l.DNS, a)
	}
	if l.DNS == nil && l.Router.IsValid() {
		l.DNS = []netip.Addr{l.Router}
	}
	return l, l.check()
}
