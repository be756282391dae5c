package mdns

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/net/dns/dnsmessage"
)

// Limits of a packet.
const (
	maxPacket    = 9000 // RFC 6762 §17
	maxQuestions = 64
	maxRecords   = 256
	maxWaiting   = 64 // packets; what comes while so many wait is lost, as packets are
)

// A packet is one that came in.
type packet struct {
	conn Conn
	link int
	from netip.AddrPort
	m    message
}

// A question as it was asked.
type question struct {
	name  string
	typ   dnsmessage.Type
	alone bool // by somebody who wants the answer for himself, §5.4
	raw   dnsmessage.Question
}

// A message is what we read of one.
type message struct {
	id        uint16
	response  bool
	questions []question
	answers   []record // of a response also the additional records
	authority []record
}

var errMessage = errors.New("not a message of multicast DNS")

// parse reads a message.
func parse(b []byte) (m message, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return m, err
	}
	if len(b) > maxPacket || h.OpCode != 0 || h.RCode != 0 { // §18.3, §18.11
		return m, errMessage
	}
	m.id, m.response = h.ID, h.Response
	for {
		q, err := p.Question()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return m, err
		}
		if len(m.questions) == maxQuestions {
			return m, errMessage
		}
		if c := q.Class &^ classFlush; c == dnsmessage.ClassINET || c == dnsmessage.ClassANY {
			m.questions = append(m.questions, question{q.Name.String(), q.Type, q.Class&classFlush != 0, q})
		}
	}
	if m.answers, err = section(&p, p.AnswerHeader, p.SkipAnswer); err != nil {
		return m, err
	}
	if m.authority, err = section(&p, p.AuthorityHeader, p.SkipAuthority); err != nil || !m.response {
		return m, err
	}
	more, err := section(&p, p.AdditionalHeader, p.SkipAdditional)
	m.answers = append(m.answers, more...)
	return m, err
}

func section(p *dnsmessage.Parser, header func() (dnsmessage.ResourceHeader, error), skip func() error) (list []record, err error) {
	for n := 0; ; n++ {
		h, err := header()
		if err == dnsmessage.ErrSectionDone {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if n == maxRecords {
			return nil, errMessage
		}
		if h.Class&^classFlush != dnsmessage.ClassINET {
			if err := skip(); err != nil {
				return nil, err
			}
			continue
		}
		r := record{name: h.Name.String(), typ: h.Type, unique: h.Class&classFlush != 0, ttl: h.TTL}
		if h.Type == dnsmessage.TypePTR { // the only one of ours whose name others compress
			ptr, err := p.PTRResource()
			if err != nil {
				return nil, err
			}
			r.data = wire(ptr.PTR.String())
		} else {
			raw, err := p.UnknownResource()
			if err != nil {
				return nil, err
			}
			r.data = raw.Data
		}
		list = append(list, r)
	}
}

// pack writes a message. Ours always fit; if a name does not, there is none.
func pack(h dnsmessage.Header, questions []dnsmessage.Question, sections [3][]record, flush bool) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, 1024), h)
	b.EnableCompression()
	b.StartQuestions()
	for _, q := range questions {
		if b.Question(q) != nil {
			return nil
		}
	}
	for i, start := range []func() error{b.StartAnswers, b.StartAuthorities, b.StartAdditionals} {
		start()
		for _, r := range sections[i] {
			name, err := dnsmessage.NewName(r.name)
			class := dnsmessage.ClassINET
			if r.unique && flush {
				class |= classFlush
			}
			if err != nil || b.UnknownResource(dnsmessage.ResourceHeader{Name: name, Type: r.typ, Class: class, TTL: r.ttl}, dnsmessage.UnknownResource{Type: r.typ, Data: r.data}) != nil {
				return nil
			}
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// probeMessage asks whether anybody has one of the names that are to be ours
// alone, and says what we would say of them (§8.2). The answer is to go to
// everybody: one that came to this machine alone could go to another program
// on the same port.
func probeMessage(set []record) []byte {
	var questions []dnsmessage.Question
	var unique []record
	for _, r := range set {
		if !r.unique {
			continue
		}
		unique = append(unique, r)
		name, err := dnsmessage.NewName(r.name)
		q := dnsmessage.Question{Name: name, Type: dnsmessage.TypeALL, Class: dnsmessage.ClassINET}
		if err == nil && !slices.Contains(questions, q) {
			questions = append(questions, q)
		}
	}
	return pack(dnsmessage.Header{}, questions, [3][]record{1: unique}, false)
}

func responseMessage(answers, more []record) []byte {
	if len(answers) == 0 {
		return nil
	}
	return pack(dnsmessage.Header{Response: true, Authoritative: true}, nil, [3][]record{0: answers, 2: more}, true)
}

// legacyMessage answers somebody who asked as one asks a name server, §6.7.
func legacyMessage(m message, answers, more []record) []byte {
	var questions []dnsmessage.Question
	for _, q := range m.questions {
		q.raw.Class &^= classFlush
		questions = append(questions, q.raw)
	}
	answers, more = slices.Clone(answers), slices.Clone(more)
	for _, list := range [][]record{answers, more} {
		for i := range list {
			list[i].ttl = min(list[i].ttl, legacyTTL)
		}
	}
	return pack(dnsmessage.Header{ID: m.id, Response: true, Authoritative: true}, questions, [3][]record{0: answers, 2: more}, false)
}

// read passes on what comes in until the port is closed.
func (s *server) read(ctx context.Context, c Conn) {
	buf := make([]byte, maxPacket+1)
	for {
		n, from, link, err := c.ReadFrom(buf)
		if err != nil {
			if ctx.Err() == nil {
				s.broken <- err
			}
			return
		}
		m, err := parse(bytes.Clone(buf[:n]))
		if err != nil {
			continue // strangers' bytes: nothing to tell anybody
		}
		select {
		case s.in <- packet{c, link, from, m}:
		default:
		}
	}
}
