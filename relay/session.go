package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"homemail/mail"
	"homemail/relay/client"
)

var errNoSTARTTLS = errors.New("the server offers no STARTTLS")

// A session is a connection that is ready for MAIL.
type session struct {
	conn   *client.Conn
	addr   netip.AddrPort
	key    string // of the security that it has
	remote string // for people: "mx.example.org [192.0.2.1]:25"
	tls    string
	since  time.Time
	until  time.Time // when it has waited long enough
	used   int       // transactions
	good   bool      // for another one
}

// open connects to one address of a host. If TLS does not work and nobody
// demands it, mail goes without, on a new connection: that is what "may" means,
// and what all others do.
func (r *Relay) open(ctx context.Context, p *plan, h *host, addr netip.Addr, sec *security) (*session, error) {
	s := &session{
		addr: netip.AddrPortFrom(addr, p.port), key: sec.key(),
		remote: fmt.Sprintf("%s [%s]:%d", h.name, addr, p.port), since: time.Now(),
	}
	s.remote = strings.TrimPrefix(s.remote, " ")
	tried, err := r.connect(ctx, s, sec, p.smarthost, sec.level > none)
	if err == nil || !tried || sec.level != may || ctx.Err() != nil {
		return s, err
	}
	r.log.Info("TLS failed, going on without", "host", h.name, "addr", s.addr, "err", err)
	_, err = r.connect(ctx, s, sec, p.smarthost, false)
	return s, err
}

// connect opens a connection and brings it as far as MAIL. It reports whether
// TLS was tried.
func (r *Relay) connect(ctx context.Context, s *session, sec *security, smart *Smarthost, withTLS bool) (tried bool, err error) {
	var how string
	config := sec.config(r.o.Roots, &how)
	nc, err := r.dial(ctx, s.addr)
	if err != nil {
		return false, err
	}
	if sec.implicit {
		s.conn, err = client.NewTLS(ctx, nc, r.o.Host, config)
	} else {
		s.conn, err = client.New(ctx, nc, r.o.Host)
	}
	if err != nil {
		return sec.implicit, needsTLS(sec, err)
	}
	defer func() {
		if err != nil {
			s.conn.Quit()
		}
	}()
	if err = s.conn.Hello(ctx); err != nil {
		return false, err
	}
	if withTLS && !sec.implicit {
		if tried = s.conn.Offers("STARTTLS"); tried {
			if err = s.conn.StartTLS(ctx, config); err == nil {
				err = s.conn.Hello(ctx)
			}
		} else if sec.level > may {
			err = &client.Error{Cause: mail.CauseTLS, Doing: "after EHLO", Err: errNoSTARTTLS}
		}
		if err != nil {
			return tried, needsTLS(sec, err)
		}
	}
	s.tls = describe(s.conn.TLS(), how)
	if sec.testing && how == "" {
		r.log.Warn("MTA-STS in testing mode would refuse the certificate", "host", sec.name, "tls", s.tls)
	}
	if sec.required && !s.conn.Offers("REQUIRETLS") {
		err = blocked(mail.Permanent, mail.CauseNeedsTLS, "5.7.30", "the sender demands REQUIRETLS; the server has none")
		return tried, err
	}
	if smart != nil && smart.User != "" {
		err = r.login(ctx, s.conn, smart)
	}
	s.good = err == nil
	return tried, err
}

// needsTLS makes an error permanent that says for sure that a server cannot do
// what REQUIRETLS demands, RFC 8689 §4.2.1.
func needsTLS(sec *security, err error) error {
	var e *client.Error
	if !errors.As(err, &e) || e.Cause != mail.CauseTLS || sec.level < encrypt {
		return err
	}
	if sec.required && (errors.Is(err, errNoSTARTTLS) || errors.As(err, new(*certError))) {
		return blocked(mail.Permanent, mail.CauseNeedsTLS, "5.7.30", "the sender demands REQUIRETLS: "+err.Error())
	}
	if sec.by != "" {
		return blocked(mail.Temporary, mail.CauseTLS, "4.7.5", fmt.Sprintf("%s demands TLS: %v", sec.by, err))
	}
	return err
}

// dial opens a TCP connection.
func (r *Relay) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.ConnectTimeout)
	defer cancel()
	nc, err := r.o.Dial(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &client.Error{Cause: mail.CauseConnect, Doing: "connecting", Err: err}
	}
	return nc, nil
}

// reuse reports whether a connection that waited may serve a plan: to a host
// that is still in it, with the security that is demanded now.
func (r *Relay) reuse(ctx context.Context, p *plan, s *session, required bool) bool {
	for i := range p.hosts {
		h := &p.hosts[i]
		for _, a := range h.addrs {
			if netip.AddrPortFrom(a, p.port) != s.addr {
				continue
			}
			sec, err := r.secure(ctx, p, h, required)
			if err == nil && sec.key() == s.key {
				return true
			}
		}
	}
	return false
}
