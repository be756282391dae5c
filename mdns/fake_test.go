package mdns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A medium is a house's network without a network: what is sent on a link comes
// to everybody who has joined it, the sender too.
type medium struct {
	mu    sync.Mutex
	conns []*tap
	log   []heard
}

type heard struct {
	at   time.Time
	from netip.AddrPort
	to   netip.AddrPort
	link int
	b    []byte
}

// A tap is one machine's port 5353.
type tap struct {
	m      *medium
	own    map[int]netip.Addr // by link
	port   uint16
	joined map[int]bool
	in     chan heard
	closed chan struct{}
	once   sync.Once
}

func (m *medium) tap(own map[int]netip.Addr, port uint16) *tap {
	c := &tap{m: m, own: own, port: port, joined: map[int]bool{}, in: make(chan heard, 1000), closed: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = append(m.conns, c)
	return c
}

func (c *tap) Join(link int) error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.joined[link] = true
	return nil
}
func (c *tap) Leave(link int) error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	delete(c.joined, link)
	return nil
}
func (c *tap) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.conns = slices.DeleteFunc(c.m.conns, func(o *tap) bool { return o == c })
	return nil
}

func (c *tap) ReadFrom(b []byte) (int, netip.AddrPort, int, error) {
	select {
	case h := <-c.in:
		return copy(b, h.b), h.from, h.link, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, 0, net.ErrClosed
	}
}

func (c *tap) WriteTo(b []byte, link int, to netip.AddrPort) error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	h := heard{time.Now(), netip.AddrPortFrom(c.own[link], c.port), to, link, slices.Clone(b)}
	c.m.log = append(c.m.log, h)
	for _, o := range c.m.conns {
		if !to.IsValid() && o.joined[link] || to.IsValid() && to == netip.AddrPortFrom(o.own[link], o.port) {
			select {
			case o.in <- h:
			default:
			}
		}
	}
	return nil
}

// take returns what was sent since the last time.
func (m *medium) take() []heard {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log
	m.log = nil
	return l
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var web = []Service{{Type: "_http._tcp", Note: " (preparing setup)", Port: 80, TXT: []string{"path=/"}}, {Type: "_https._tcp", Port: 443}}

// box starts a Responder with an address on link 1.
func (m *medium) box(t *testing.T, change func(o *Options), addrs ...string) (*Responder, context.CancelFunc) {
	t.Helper()
	l := Link{Index: 1, Name: "eth0"}
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, prefix(a))
	}
	o := Options{Log: slog.New(slog.DiscardHandler), Services: func() []Service { return web },
		Links: func() ([]Link, error) { return []Link{l}, nil },
		Listen: func(six bool) (Conn, error) {
			if six {
				return nil, net.ErrClosed
			}
			return m.tap(map[int]netip.Addr{1: l.Addrs[0].Addr(), 2: netip.MustParseAddr("10.0.0.5")}, Port), nil
		}}
	if change != nil {
		change(&o)
	}
	r := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return r, func() { cancel(); <-done }
}

// other is a machine that a test speaks for.
func (m *medium) other(port uint16) *tap {
	c := m.tap(map[int]netip.Addr{1: netip.MustParseAddr("192.168.1.99"), 2: netip.MustParseAddr("10.0.0.99")}, port)
	c.Join(1)
	c.Join(2)
	return c
}

// ask sends a question and returns the messages that came within a second and a
// half.
func (c *tap) ask(name string, typ dnsmessage.Type, class dnsmessage.Class, knows ...record) (list []message) {
	c.m.take()
	q := dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: typ, Class: class}
	c.drain()
	c.WriteTo(pack(dnsmessage.Header{ID: 77}, []dnsmessage.Question{q}, [3][]record{0: knows}, false), 1, netip.AddrPort{})
	time.Sleep(500 * time.Millisecond)
	synctest.Wait()
	for _, h := range c.drain() {
		if m, err := parse(h.b); err == nil && m.response {
			list = append(list, m)
		}
	}
	return list
}

func (c *tap) drain() (list []heard) {
	for {
		select {
		case h := <-c.in:
			list = append(list, h)
		default:
			return list
		}
	}
}
