package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	oneTry   = 2 * time.Second
	allTries = 20 * time.Second // for one question, over all servers
	rounds   = 4                // the last one without EDNS, for what drops it on the way

	udpSize   = 1232 // that we ask for: no fragments, which could be forged (DNS flag day 2020)
	udpBuffer = 4096 // that we can take
	maxStrays = 100  // datagrams in one try that are no answer to us
	maxAsking = 128  // questions at the same time, each with a socket: half of what 256 files allow
)

var (
	errStray   = errors.New("not an answer to what was asked")
	errGarbage = errors.New("answer makes no sense")
	errTooMany = fmt.Errorf("answer has more than %d records", maxRecords)
)

// exchange asks the servers in turn until one knows.
//
// Servers we do not trust are not asked any more once one that we trust has
// failed or is late: who can forge answers, but not signatures, would otherwise
// only have to make the validator fail (RFC 7672 §2.1: "bogus" is an error). It
// is another thing if none is running.
func (r *Resolver) exchange(ctx context.Context, q question) reply {
	last := reply{name: q.name, ttl: silentFor, err: temporary("no name server", q, "", false)}
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		last.err = temporary("too many questions at once", q, "", true)
		return last
	}
	held := false
	list := r.servers.order()
	for round := range rounds {
		failed := false
		for _, sv := range list {
			if held && !sv.trusted {
				continue
			}
			rep, err := r.try(ctx, sv, q, round < rounds-1)
			switch {
			case err == nil && (rep.err == nil || rep.err.IsNotFound):
				r.servers.answered(sv)
				return rep
			case err == nil:
				last, failed = rep, true
			case ctx.Err() == nil && isTimeout(err):
				r.servers.silent(sv)
				fallthrough
			default:
				if !failed {
					last.err = temporary(err.Error(), q, sv.addr, isTimeout(err))
				}
			}
			held = held || sv.trusted && !errors.Is(err, syscall.ECONNREFUSED)
			if ctx.Err() != nil {
				return last
			}
		}
		if failed {
			break // asking the same server again would bring the same
		}
	}
	return last
}

// try asks one server, over TCP if the answer is too long for UDP, and without
// EDNS if the server does not know that (RFC 6891 §7).
func (r *Resolver) try(ctx context.Context, sv server, q question, edns bool) (reply, error) {
	m, size, err := r.send(ctx, "udp", sv, q, edns)
	if err == nil && edns && !m.Truncated && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeBadVers) {
		edns = false
		m, size, err = r.send(ctx, "udp", sv, q, edns)
	}
	if err == nil && m.Truncated {
		m, size, err = r.send(ctx, "tcp", sv, q, edns)
	}
	switch {
	case errors.Is(err, errTooMany):
		return reply{name: q.name, ttl: failedFor, err: temporary(err.Error(), q, sv.addr, false)}, nil
	case err != nil:
		return reply{}, err
	}
	if q.direct && !m.Authoritative && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
		return reply{name: q.name, err: temporary(textLame, q, sv.addr, false)}, nil
	}
	m.AuthenticatedData = m.AuthenticatedData && sv.trusted
	return read(m, q, sv.addr, size), nil
}

// send asks one question over one connection of its own: over UDP the source
// port is random then, beside the id, and both are what keeps forgers out.
func (r *Resolver) send(ctx context.Context, network string, sv server, q question, edns bool) (*dns.Msg, int, error) {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	query := newQuery(q, edns)
	query.RecursionDesired = !q.direct
	wire, err := query.Pack()
	if err != nil {
		return nil, 0, err
	}
	conn, err := r.dial(ctx, network, sv.addr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, 0, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })() // a caller that goes away
	if network == "tcp" {
		return sendTCP(conn, query, wire)
	}
	return sendUDP(conn, query, wire)
}

func newQuery(q question, edns bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.qtype)
	m.AuthenticatedData = true // "tell me", RFC 6840 §5.7
	if edns {
		m.SetEdns0(udpSize, true)
	}
	return m
}

func sendUDP(conn net.Conn, query *dns.Msg, wire []byte) (*dns.Msg, int, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, 0, err
	}
	buf := make([]byte, udpBuffer)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, 0, err
		}
		m, err := parse(buf[:n], query)
		if err == errStray {
			continue // forged, or late: ours may still come
		}
		return m, n, err
	}
	return nil, 0, errStray
}

func sendTCP(conn net.Conn, query *dns.Msg, wire []byte) (*dns.Msg, int, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, 0, err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, 0, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, 0, err
	}
	m, err := parse(buf, query)
	if err == nil && m.Truncated {
		err = errGarbage // there is no larger one than TCP's
	}
	return m, len(buf), err
}

// parse reads an answer to a query. It looks at the twelve bytes of the header
// (RFC 1035 §4.1.1) before it spends anything on the rest.
func parse(wire []byte, query *dns.Msg) (*dns.Msg, error) {
	if len(wire) < 12 || binary.BigEndian.Uint16(wire) != query.Id || wire[2]&0x80 == 0 {
		return nil, errStray
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(wire[at:])) }
	if count(4) > 1 || count(6)+count(8)+count(10) > maxRecords {
		return nil, errTooMany
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		if truncated := wire[2]&0x02 != 0; truncated && sameQuestion(m, query) {
			m.Truncated = true // cut in the middle of a record
			return m, nil
		}
		return nil, fmt.Errorf("%w: %v", errGarbage, err)
	}
	if len(m.Question) == 0 && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return m, nil // some say FORMERR with nothing but a header
	}
	if !sameQuestion(m, query) {
		return nil, errStray
	}
	return m, nil
}

func sameQuestion(m, query *dns.Msg) bool {
	if len(m.Question) != 1 {
		return false
	}
	a, b := m.Question[0], query.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}
