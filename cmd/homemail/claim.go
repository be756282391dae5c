package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"homemail/admin"
	"homemail/config"
	"homemail/events"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/store"
)

// newSetup makes what sets a house up, and its claim by the code of this start.
func newSetup(a *admin.House, s *store.Store, code *firstboot.Code, o firstboot.Options) (*firstboot.Engine, error) {
	taken := func(context.Context) (bool, error) {
		list, err := s.Accounts() // there is no owner without an account
		return len(list) > 0, err
	}
	o.House, o.State, o.Claim = a, s, firstboot.NewClaim(code, s, taken, localSubnets)
	o.Post = firstPost{a.Events, s}
	return firstboot.New(o)
}

// newCode makes the code of this start: the one that the owner of a box without a
// screen has set beforehand, or one of chance.
func newCode(to console, log *slog.Logger) (*firstboot.Code, error) {
	preset := ""
	if to.dir != "" {
		f, err := firstboot.ReadFile(filepath.Join(to.dir, "homemail.toml"))
		switch {
		case err == nil:
			preset = f.Claim
		case !errors.Is(err, fs.ErrNotExist):
			log.Warn("homemail.toml cannot be used", "err", err)
		}
	}
	code, err := firstboot.NewCode(preset)
	if err != nil && preset != "" {
		log.Warn("the code in homemail.toml cannot be used", "err", err)
		code, err = firstboot.NewCode("")
	}
	if err != nil || !to.plug {
		return code, err
	}
	box, ok := firstboot.ReadBox()
	if !ok {
		log.Warn("this computer does not tell when it was started; the house cannot be claimed by its plug")
		return code, nil
	}
	code.Plug(box)
	return code, nil
}

// localSubnets are the networks of the house that this computer is in itself: at a
// provider's it has neighbours in its own, who are no more at home than the world.
func localSubnets() (list []netip.Prefix) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil // then only this computer itself may claim the house
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits())
		if homely(p) {
			list = append(list, p)
		}
	}
	return list
}

// homely reports whether a network is that of a house: private, or of IPv6 a single
// network of 64 bits.
func homely(p netip.Prefix) bool {
	a := p.Addr()
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return p.Bits() > 0
	}
	return a.Is6() && p.Bits() >= 64
}

// greeting is what a house shows that is nobody's yet; ok is false if it is
// somebody's.
func greeting(ctx context.Context, claim *firstboot.Claim, c config.Config, name, fingerprint string) (g firstboot.Greeting, ok bool) {
	code := claim.Code(ctx)
	g = firstboot.Greeting{Code: code, Name: name, Addresses: localAddrs(), Fingerprint: fingerprint}
	for _, a := range c.Listen.HTTPS {
		host, port, err := net.SplitHostPort(a)
		n, bad := strconv.Atoi(port)
		if err != nil || bad != nil {
			continue
		}
		g.Port = n
		if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() { // it is found nowhere else
			g.Name, g.Addresses = "", []netip.Addr{ip}
		}
		break
	}
	return g, code != ""
}

// firstPost sees the first letters among what has happened.
type firstPost struct {
	log   *events.Log
	store *store.Store
}

// looked is how many events of one kind are looked at: those since somebody has
// waited for the first mail.
const looked = 20

func (p firstPost) Arrived(_ context.Context, to mail.Path, since time.Time) (*firstboot.Letter, error) {
	return p.newest(to, since, []events.Kind{events.Filed, events.Fetched}, func(e events.Event) bool {
		return !e.From.IsNull() && !p.store.IsLocal(e.From.Domain())
	})
}

func (p firstPost) Left(_ context.Context, from mail.Path, since time.Time) (*firstboot.Letter, error) {
	return p.newest(from, since, []events.Kind{events.Relayed}, func(e events.Event) bool { return !e.From.IsNull() })
}

func (p firstPost) newest(of mail.Path, since time.Time, kinds []events.Kind, fits func(events.Event) bool) (*firstboot.Letter, error) {
	a, err := p.store.Account(of)
	if err != nil {
		return nil, err
	}
	page, err := p.log.Find(events.Query{Kinds: kinds, Account: a.ID, Since: since}, looked, 0)
	for _, e := range page.Events {
		if fits(e) {
			l := &firstboot.Letter{
				At: e.At, From: e.From, Subject: e.Subject, ID: e.ID, TLS: e.TLS != "" || e.Kind == events.Fetched, Junk: e.Reason != "",
				SPF: string(e.Auth.SPF), DKIM: string(e.Auth.DKIM), DMARC: string(e.Auth.DMARC),
			}
			if len(e.To) > 0 {
				l.To = e.To[0]
			}
			return l, err
		}
	}
	return nil, err
}
