package mdns

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// What answering may cost.
const (
	maxPending  = 32          // answers that wait
	gap         = time.Second // between two times that a record goes to everybody, RFC 6762 §6
	defence     = probeWait   // the same when somebody else is about to take the name
	perSecond   = 20          // answers to single machines: nobody is to be flooded through us
	delayLeast  = 20 * time.Millisecond
	delaySpread = 100 * time.Millisecond // for what others may answer too, §6
)

// A pending is an answer to a whole link that waits.
type pending struct {
	at            time.Time
	conn          Conn
	link          int
	answers, more []record
}

// A sentKey is a record on a link by one version of IP.
type sentKey struct {
	link, conn int
	name       string
	typ        dnsmessage.Type
	data       string
}

// A budget allows perSecond things in each second.
type budget struct {
	second time.Time
	used   int
}

func (b *budget) take() bool {
	if now := time.Now(); now.Sub(b.second) >= time.Second {
		b.second, b.used = now, 0
	}
	b.used++
	return b.used <= perSecond
}

func (s *server) family(c Conn) int { return slices.Index(s.conns[:], c) }

func key(link, conn int, r record) sentKey {
	return sentKey{link, conn, r.name, r.typ, string(r.data)}
}

// note remembers what went to everybody.
func (s *server) note(link, conn int, list []record) {
	now := time.Now()
	if len(s.sent) > 4*maxLinks*maxServices*maxAddrs { // names and addresses that were once
		clear(s.sent)
	}
	for _, r := range list {
		s.sent[key(link, conn, r)] = now
	}
}

// take deals with a packet.
func (s *server) take(p packet) {
	l, ok := s.links[p.link]
	if !ok || !near(p.from.Addr(), l) {
		return // §11: from elsewhere, or by a network that is not of the house
	}
	switch {
	case p.m.response && p.from.Port() == Port: // §6: from another port it is none
		s.hearResponse(p)
	case !p.m.response && s.phase == probing:
		s.hearProbe(p)
	case !p.m.response && s.phase == announced:
		s.answer(p)
	}
}

// near reports whether an address is in the same network.
func near(a netip.Addr, l Link) bool {
	a = a.Unmap().WithZone("")
	return a.Is6() && a.IsLinkLocalUnicast() || slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool {
		return netip.PrefixFrom(p.Addr().Unmap().WithZone(""), p.Bits()).Masked().Contains(a)
	})
}

// ours reports whether a record is one that we say ourselves, on any link: two
// of them may be the same cable.
func (s *server) ours(r record) bool {
	for _, set := range s.sets {
		if slices.ContainsFunc(set, r.equal) {
			return true
		}
	}
	return false
}

// claimed reports whether a name is to be ours alone.
func (s *server) claimed(name string) bool {
	for _, set := range s.sets {
		if slices.ContainsFunc(set, func(r record) bool { return r.unique && r.is(name) }) {
			return true
		}
	}
	return false
}

// hearResponse looks whether another machine has one of our names.
func (s *server) hearResponse(p packet) {
	if s.phase == idle {
		return
	}
	for _, r := range p.m.answers {
		if r.ttl == 0 || r.typ == typeNSEC || !s.claimed(r.name) || s.ours(r) {
			continue // our own words come back to us
		}
		if s.phase == announced && !s.says(r.name, r.typ) {
			continue // §9: a conflict is about the same type
		}
		s.conflict(r.name, p.from)
		return
	}
}

func (s *server) says(name string, t dnsmessage.Type) bool {
	for _, set := range s.sets {
		if slices.ContainsFunc(set, func(r record) bool { return r.typ == t && r.is(name) }) {
			return true
		}
	}
	return false
}

// hearProbe decides who goes first when two ask for a name at the same time:
// the one whose records come later (§8.2).
func (s *server) hearProbe(p packet) {
	var theirs, mine []record
	foreign := false
	for _, r := range p.m.authority {
		if s.claimed(r.name) {
			theirs = append(theirs, r)
			foreign = foreign || !s.ours(r)
		}
	}
	if !foreign {
		return
	}
	for _, r := range s.sets[p.link] {
		if r.unique && slices.ContainsFunc(theirs, func(o record) bool { return o.is(r.name) }) {
			mine = append(mine, r)
		}
	}
	if slices.CompareFunc(sorted(mine), sorted(theirs), compare) < 0 {
		s.probe(deferral)
	}
}

func sorted(list []record) []record {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return list
}

// compare is the order of §8.2.1; the class is always the same.
func compare(a, b record) int {
	return cmp.Or(cmp.Compare(a.typ, b.typ), bytes.Compare(a.data, b.data))
}

// answer answers a query.
func (s *server) answer(p packet) {
	var list, more []record
	alone, shared := len(p.m.questions) > 0, false
	for _, q := range p.m.questions {
		a, m := answers(q, s.sets[p.link])
		for _, r := range a {
			if !known(r, p.m.answers) && !slices.ContainsFunc(list, r.equal) {
				list = append(list, r)
				shared = shared || !r.unique
			}
		}
		more = append(more, m...)
		alone = alone && q.alone
	}
	if len(list) == 0 {
		return
	}
	more = without(more, list)
	if p.from.Port() != Port {
		if s.unicasts.take() {
			s.write(p.conn, legacyMessage(p.m, list, dedup(more)), p.link, p.from)
		}
		return
	}
	wait := gap
	if len(p.m.authority) > 0 {
		wait = defence // §6: it must come in time
	}
	fresh := s.unsent(p, list, wait)
	switch {
	case alone && len(fresh) == 0: // everybody has just heard it, but not he
		if s.unicasts.take() {
			s.write(p.conn, responseMessage(list, dedup(more)), p.link, p.from)
		}
		return
	case len(fresh) == 0 || len(s.pending) == maxPending:
		return
	}
	at := time.Now()
	if shared {
		at = at.Add(delayLeast + rand.N(delaySpread))
	}
	s.pending = append(s.pending, pending{at, p.conn, p.link, fresh, more})
	s.answerDue()
}

// unsent are the records that did not go to everybody just now.
func (s *server) unsent(p packet, list []record, wait time.Duration) (fresh []record) {
	for _, r := range list {
		if time.Since(s.sent[key(p.link, s.family(p.conn), r)]) >= wait {
			fresh = append(fresh, r)
		}
	}
	return fresh
}

// known reports whether who asks has the record already, §7.1.
func known(r record, answers []record) bool {
	return slices.ContainsFunc(answers, func(o record) bool { return o.ttl >= r.ttl/2 && r.equal(o) })
}

// answerDue sends the answers whose time has come.
func (s *server) answerDue() {
	now := time.Now()
	var later []pending
	for _, p := range s.pending {
		if p.at.After(now) {
			later = append(later, p)
			continue
		}
		// Several may have asked the same while it waited.
		list := s.unsent(packet{conn: p.conn, link: p.link}, p.answers, delaySpread)
		if len(list) == 0 {
			continue
		}
		s.note(p.link, s.family(p.conn), list)
		s.write(p.conn, responseMessage(list, dedup(p.more)), p.link, netip.AddrPort{})
	}
	s.pending = later
}

func dedup(list []record) (out []record) {
	for _, r := range list {
		if !slices.ContainsFunc(out, r.equal) {
			out = append(out, r)
		}
	}
	return out
}
