// Package mdns tells the machines of the house where this one is: its name under
// .local by multicast DNS (RFC 6762), and its web page by DNS-SD (RFC 6763). A
// name is taken only after nobody has objected, so that the second box is
// homemail-2. It answers for its own names and on the networks of the house
// only, asks for nothing but whether a name is free, and keeps nothing that
// others say.
package mdns

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Port is where everybody speaks.
const Port = 5353

// When things are done.
const (
	probes     = 3                      // RFC 6762 §8.1
	probeWait  = 250 * time.Millisecond // §8.1
	deferral   = time.Second            // after another that asked for the name at the same time, §8.2
	announces  = 2                      // §8.3
	announceIn = time.Second            // §8.3
	scanEvery  = 10 * time.Second       // for new networks and addresses
	retry      = time.Minute            // where the port cannot be had
)

// What conflicts may cost, §8.1: after so many in a while, each waits, which
// also makes the while longer.
const (
	conflictMany  = 15
	conflictWhile = 2 * time.Minute
	conflictWait  = 5 * time.Second
	maxNumber     = 99 // of a name; then somebody objects to everything, and we begin again, slowly
)

// A Service is a page or a protocol to be found by its kind.
type Service struct {
	Type string // "_http._tcp"
	Note string // follows our name in what people see, such as " (preparing setup)"
	Port uint16
	TXT  []string // "path=/", RFC 6763 §6
}

// A Link is a network of the house.
type Link struct {
	Index int
	Name  string
	Addrs []netip.Prefix // ours in it
}

// A Conn sends and gets the packets of one version of IP on port 5353, on every
// link that it has joined.
type Conn interface {
	Join(link int) error
	Leave(link int) error
	ReadFrom(b []byte) (n int, from netip.AddrPort, link int, err error)
	// WriteTo sends to everybody on a link if to is zero.
	WriteTo(b []byte, link int, to netip.AddrPort) error
	Close() error
}

// Options are the settings of a Responder.
type Options struct {
	Name     string                       // "homemail" if empty; one label
	Services func() []Service             // what is to be found, asked again from time to time; nil means nothing
	Links    func() ([]Link, error)       // nil means those of the system that look like a house's
	Listen   func(six bool) (Conn, error) // nil means the system's
	Log      *slog.Logger                 // slog.Default() if nil
	Renamed  func(name string)            // is told each name that became ours; may be nil
}

// A Responder answers for our names.
type Responder struct {
	o   Options
	log *slog.Logger

	mu   sync.Mutex
	name string
}

// New returns a Responder. It starts nothing.
func New(o Options) *Responder {
	o.Name = cmp.Or(o.Name, "homemail")
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Services == nil {
		o.Services = func() []Service { return nil }
	}
	if o.Links == nil {
		o.Links = systemLinks
	}
	if o.Listen == nil {
		o.Listen = listen
	}
	return &Responder{o: o, log: o.Log}
}

// Name returns the name that is ours, such as "homemail.local"; "" while there
// is none.
func (r *Responder) Name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.name
}

func (r *Responder) setName(name string) {
	r.mu.Lock()
	was := r.name
	r.name = name
	r.mu.Unlock()
	if name == "" || name == was {
		return
	}
	r.log.Info("name in the house", "name", name)
	if r.o.Renamed != nil {
		r.o.Renamed(name)
	}
}

// Run answers until ctx is done, and then says goodbye. It returns nil: that the
// port cannot be had is logged, and tried again.
func (r *Responder) Run(ctx context.Context) error {
	said := ""
	number := 1
	for {
		err := r.serve(ctx, &number)
		r.setName("")
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			r.log.Warn("names in the house are not answered", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}

// serve opens the port and answers until something breaks. The number is that of
// the name, and is kept: a box should not change its name without need.
func (r *Responder) serve(ctx context.Context, number *int) error {
	s := &server{Responder: r, number: number, in: make(chan packet, maxWaiting), broken: make(chan error, 2),
		sets: map[int][]record{}, links: map[int]Link{}, sent: map[sentKey]time.Time{}}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var errs []error
	for i, six := range []bool{false, true} {
		c, err := r.o.Listen(six)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer c.Close() // before Wait: it ends the reader
		s.conns[i] = c
		wg.Go(func() { s.read(ctx, c) })
	}
	if len(errs) == len(s.conns) {
		return errors.Join(errs...)
	}
	defer s.goodbye()
	return s.loop(ctx)
}

// loop does everything but reading, so that there is one who knows what is so.
func (s *server) loop(ctx context.Context) error {
	s.scan()
	scan := time.NewTicker(scanEvery)
	defer scan.Stop()
	for {
		var due <-chan time.Time
		var t *time.Timer
		if at := s.next(); !at.IsZero() {
			t = time.NewTimer(time.Until(at))
			due = t.C
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.broken:
			return err
		case p := <-s.in:
			s.take(p)
		case <-scan.C:
			s.scan()
		case <-due:
			s.step()
			s.answerDue()
		}
		if t != nil {
			t.Stop()
		}
	}
}

// A phase is how far a name is ours.
type phase int

const (
	idle      phase = iota // there is no link
	probing                // asking whether anybody has it
	announced              // it is ours; some announcements may be left
)

// A server is the work of one time that the port is open.
type server struct {
	*Responder
	number *int
	conns  [2]Conn // IPv4, IPv6
	in     chan packet
	broken chan error

	links map[int]Link
	sets  map[int][]record // by link

	phase     phase
	count     int       // of probes or announcements sent
	at        time.Time // of the next; zero if none
	conflicts []time.Time
	pending   []pending
	sent      map[sentKey]time.Time
	unicasts  budget
}

// label is the name that we try, without .local.
func (s *server) label() string {
	if *s.number == 1 {
		return s.o.Name
	}
	return s.o.Name + "-" + strconv.Itoa(*s.number)
}

// next is when something is due.
func (s *server) next() time.Time {
	at := s.at
	for _, p := range s.pending {
		if at.IsZero() || p.at.Before(at) {
			at = p.at
		}
	}
	return at
}

// probe begins to ask whether the names are free, after a while that is not the
// same for all who were switched on together (§8.1).
func (s *server) probe(after time.Duration) {
	s.phase, s.count = probing, 0
	s.at = time.Now().Add(after + rand.N(probeWait))
	s.pending = nil
}

// step sends the next probe or announcement.
func (s *server) step() {
	now := time.Now()
	if s.at.IsZero() || now.Before(s.at) {
		return
	}
	switch {
	case s.phase == probing && s.count < probes:
		for i := range s.links {
			s.send(i, probeMessage(s.sets[i]))
		}
		s.count++
		s.at = now.Add(probeWait)
		return
	case s.phase == probing:
		s.phase, s.count = announced, 0
		s.setName(s.label() + ".local")
	}
	for i := range s.links {
		s.multicast(i, s.sets[i], nil)
	}
	if s.count++; s.count < announces {
		s.at = now.Add(announceIn)
	} else {
		s.at = time.Time{}
	}
}

// multicast sends records to a whole link by both versions of IP.
func (s *server) multicast(link int, answers, more []record) {
	b := responseMessage(answers, more)
	for i, c := range s.conns {
		if c == nil {
			continue
		}
		s.note(link, i, answers)
		s.write(c, b, link, netip.AddrPort{})
	}
}

// send sends a packet to a whole link by both versions of IP.
func (s *server) send(link int, b []byte) {
	for _, c := range s.conns {
		if c != nil {
			s.write(c, b, link, netip.AddrPort{})
		}
	}
}

func (s *server) write(c Conn, b []byte, link int, to netip.AddrPort) {
	if len(b) == 0 {
		return
	}
	if err := c.WriteTo(b, link, to); err != nil { // a link without IPv6, or that is going down
		s.log.Debug("mdns", "link", s.links[link].Name, "err", err)
	}
}

// conflict gives the name up, or asks for it again if it was ours: whoever has
// it by right will say so (§9).
func (s *server) conflict(with string, from netip.AddrPort) {
	now := time.Now()
	s.conflicts = append(s.conflicts, now)
	if len(s.conflicts) > conflictMany {
		s.conflicts = s.conflicts[1:]
	}
	wait := time.Duration(0)
	if len(s.conflicts) == conflictMany && now.Sub(s.conflicts[0]) < conflictWhile {
		wait = conflictWait
	}
	if s.phase == announced {
		s.log.Info("another machine uses our name", "name", with, "from", from.Addr())
		s.setName("")
		s.probe(wait)
		return
	}
	s.log.Info("a name is taken", "name", with, "by", from.Addr())
	if *s.number++; *s.number > maxNumber {
		*s.number, wait = 1, retry
	}
	s.rebuild()
	s.probe(wait)
}

// goodbye takes everything back, §10.1.
func (s *server) goodbye() {
	if s.phase != announced {
		return
	}
	for i := range s.links {
		s.multicast(i, gone(s.sets[i]), nil)
	}
}
