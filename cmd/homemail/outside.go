package main

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"homemail/bridge"
	"homemail/caps"
	"homemail/clock"
	"homemail/deliver"
	"homemail/events"
	"homemail/firstboot"
	"homemail/lan"
	"homemail/listen"
	"homemail/mail"
	"homemail/mailauth"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/relay/mtasts"
	"homemail/resolver"
	"homemail/sign"
	"homemail/smtpd"
	"homemail/srs"
	"homemail/store"
	"homemail/web/dash/logring"
)

// A world is what is outside of the house: the DNS, and how to get there. The
// zero world is the real one; try and tests have their own.
type world struct {
	names names
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	port  int                 // of other mail servers; 0 is 25
	allow []netip.Prefix      // private networks that mail may go to
	local func() []netip.Addr // our own addresses; nil asks the system

	// What outlives a house, when settings change.
	code  *firstboot.Code // of the claim; nil makes one
	lines *logring.Ring   // of the log, for the pages; nil for none
	given *listen.Given   // sockets that were opened for us; nil for none
}

// names is what the parts ask the DNS; *resolver.Resolver answers.
type names interface {
	relay.Resolver
	mailauth.Resolver
}

// closed reports whether nobody outside is to be asked anything.
func (w world) closed() bool { return w.names != nil }

// real fills in what the world does not say, from the settings.
func (h *house) real(w world) world {
	if w.names == nil {
		h.dns = resolver.New(resolver.Options{Server: h.config.DNS.Server, Trust: h.config.DNS.Trust, Log: h.log})
		w.names = h.dns
	}
	if w.local == nil {
		w.local = localAddrs
	}
	if nets, err := h.config.Queue.Networks(); err == nil { // Validate has seen it
		w.allow = append(w.allow, nets...)
	}
	return w
}

// policies keeps MTA-STS policies in the store, so that they hold after a
// restart.
type policies struct{ s *store.Store }

func (p policies) Get(name string) ([]byte, error) { return p.s.State("mta-sts/" + name) }
func (p policies) Put(name string, v []byte) error { return p.s.PutState("mta-sts/"+name, v) }

// judge lets smtpd see a Checker's Checks as its own.
type judge struct {
	c    *mailauth.Checker
	host string
}

func (j judge) Begin(ctx context.Context, remote netip.Addr, helo string, from mail.Path) smtpd.Judgement {
	return judgement{j.c.Begin(ctx, mailauth.Origin{Remote: remote, Helo: helo, From: from}), j.host}
}

func (j judge) Forged(value []byte) bool { return mailauth.Forged(value, j.host) }

type judgement struct {
	*mailauth.Check
	host string
}

func (k judgement) Verdict() (mail.Verdict, []byte) {
	v := k.Check.Verdict()
	return v, mailauth.Results(k.host, v)
}

// newJudge makes who judges strangers' mail.
func (h *house) newJudge(w world) judge {
	in := h.config.Inbound
	below := func(domains []string) func(string) bool {
		return func(name string) bool {
			name = strings.ToLower(name)
			return slices.ContainsFunc(domains, func(d string) bool {
				d = strings.ToLower(d)
				return name == d || strings.HasSuffix(name, "."+d)
			})
		}
	}
	return judge{mailauth.New(mailauth.Options{
		Host: h.config.Host(), Resolver: w.names, Clock: h.clock.Trusted, Log: h.log,
		TrustedForwarders: below(in.TrustedForwarders), AllowedLists: below(in.MailingLists),
	}), h.config.Host()}
}

// openOutside reads how mail leaves the house.
func (h *house) openOutside() (err error) {
	if h.clock, err = openClock(h.store); err != nil {
		return err
	}
	h.events = events.New(h.store, events.Options{Log: h.log, Clock: h.clock})
	if h.book, err = outbound.Open(h.store); err != nil {
		return err
	}
	h.keys = outbound.NewKeyring(h.store)
	h.lan = lan.New(h.store, lan.Options{Log: h.log})
	l := h.config.Limits
	h.caps, err = caps.New(h.store, caps.Options{
		PerHour: l.SubmissionsPerHour, PerDay: l.SubmissionsPerDay, NewPerDay: l.NewRecipientsPerDay,
		Log: h.log, Trusted: h.clock.Trusted, Tell: h.tellOwner,
	})
	return err
}

// completeKeys sees each day that every domain has keys to sign with, and does
// not keep old ones for ever. Which domains there are it is told at once.
func (h *house) completeKeys(ctx context.Context) error {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	changed := h.store.WatchDomains()
	defer changed.Close()
	for {
		if err := h.keys.Complete(ctx, h.clock.Trusted()); err != nil && h.store.Broken() == nil {
			h.log.Error("mail of some domains leaves without a signature", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-changed.C:
		}
	}
}

// clockPath is where the newest time is kept that the clock ever showed.
const clockPath = "clock"

// openClock makes the clock, which needs to know when we were here last.
func openClock(s *store.Store) (*clock.Clock, error) {
	o := clock.Options{Built: built()}
	v, err := s.State(clockPath)
	switch {
	case err == nil && len(v) == 8:
		o.Saved = time.Unix(int64(binary.BigEndian.Uint64(v)), 0)
	case err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt): // it is written anew soon
		return nil, err
	}
	return clock.New(o), nil
}

// saveClock writes down what time it is, for the next start.
func (h *house) saveClock(ctx context.Context) error {
	const each = 5 * time.Minute
	tick := time.NewTicker(each)
	defer tick.Stop()
	for {
		if at, ok := h.clock.Save(); ok {
			if err := h.store.PutState(clockPath, binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))); err != nil && h.store.Broken() == nil {
				h.log.Warn("the time was not saved", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// built is when the program was built from a commit, zero if nobody knows.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, s.Value)
			return t
		}
	}
	return time.Time{}
}

// localAddrs are this computer's own addresses: an MX that points at them leads
// in a circle.
func localAddrs() (list []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		slog.Debug("cannot list our addresses", "err", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list
}

// buildOutside makes the parts that send mail.
func (h *house) buildOutside(w world) {
	h.reports = h.newReports()
	h.relay = h.newRelay(w)
	h.queue = h.newQueue()
	h.bridge = bridge.New(h.store, bridge.Options{Log: h.log, MaxMessage: int64(h.config.Limits.MessageSize), ClockIsRight: h.clock.Trusted, Dial: w.dialName, Told: story{h.events}.fetched})
}

const (
	dialTime   = 20 * time.Second // for one address
	dialsTried = 8                // of a name that has more: somebody waits
)

// dialName connects to a host by its name, which is asked for like all others:
// the system may ask somebody else than the settings say. IPv6 goes first, and
// what cannot be reached costs no more than the next one.
func (w world) dialName(ctx context.Context, network, hostport string) (conn net.Conn, err error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, err := w.names.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	dial := w.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTime}).DialContext
	}
	err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	for _, a := range addrs[:min(len(addrs), dialsTried)] {
		if conn, err = dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil || ctx.Err() != nil {
			break
		}
	}
	return conn, err
}

// newRelay makes what sends mail.
func (h *house) newRelay(w world) *relay.Relay {
	return relay.New(relay.Options{
		Host: h.config.Host(), Resolver: w.names, Routes: h.book.Routes, Dial: w.dial, Port: w.port, Allow: w.allow,
		Policy: mtasts.New(mtasts.Options{
			LookupTXT: w.names.LookupTXT, LookupNetIP: w.names.LookupNetIP, Dial: w.dial,
			State: policies{h.store}, Allow: w.allow, Log: h.log,
		}),
		Local: w.local, PerHop: h.config.Queue.PerHop, Log: h.log,
	})
}

// outside is how mail leaves, for deliver.
func (h *house) outside() (deliver.Outside, error) {
	key, err := outbound.Secret(h.store, "srs")
	if err != nil {
		return deliver.Outside{}, err
	}
	rewriter, err := srs.New(srs.Options{Secrets: [][]byte{key}, ClockTrusted: h.clock.Trusted})
	if err != nil {
		return deliver.Outside{}, err
	}
	stamps := stamps{h: h, signer: sign.New(sign.Options{Keys: h.keys, ClockTrusted: h.clock.Trusted})}
	return deliver.Outside{
		Open: h.book.Way, Sign: stamps.sign, Seal: stamps.seal,
		Rewrite: rewriter.Forward, Reverse: rewriter.Reverse, Hold: h.caps.Hold,
	}, nil
}

// newQueue makes what holds mail until it has left.
func (h *house) newQueue() *queue.Queue {
	c := h.config.Queue
	return queue.New(queue.Options{
		Store: h.store, Transport: h.relay, Clock: h.clock, Log: h.log, Host: h.config.Host(),
		Postmaster: h.postmaster, Steps: c.Retry.Durations(), GiveUp: time.Duration(c.GiveUp), DelayNotice: time.Duration(c.Notice),
		Concurrency: c.Concurrency, PerHop: c.PerHop, Told: story{h.events}.attempted,
	})
}

// postmaster is the oldest account in use: whoever set this up.
func (h *house) postmaster() (mail.AccountID, bool) {
	list, err := h.store.Accounts()
	if err != nil {
		return 0, false
	}
	for _, p := range list {
		if !p.Disabled {
			return p.ID, true
		}
	}
	return 0, false
}
