// Package smtpd is the door through which mail comes in: port 25 for other
// servers (MTA) and ports 587 and 465 for our own people's programs (MSA),
// RFC 5321 and RFC 6409. It knows no accounts and keeps no mail: a Directory
// says who gets what, and a message has been stored for good before its 250 is
// written.
//
// go-smtp speaks the protocol, and its syntax and words are go-smtp's: 502 for
// commands out of order, the hang-up at the fourth that it does not understand,
// what it tolerates around addresses and parameters. It asks a session, which
// decides. Between it and the wire stands a conn, which keeps the time and the
// limits, does TLS, and hands go-smtp nothing that it has not understood itself:
// where commands, messages and chunks end must never be a matter of opinion.
package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
	"homemail/mail/message"
	"homemail/signin"
)

// A Kind says who may use a door.
type Kind int

// The kinds of door.
const (
	MX         Kind = iota // port 25: anybody, for local recipients, without signing in; neighbours for all
	Submission             // ports 587 and 465: people who signed in under TLS, and neighbours
)

func (k Kind) String() string {
	if k == Submission {
		return "submission"
	}
	return "mx"
}

// A Directory knows who gets mail here. Its errors are those of package mail;
// any other is taken for a fault of ours, which passes.
type Directory interface {
	Room(size int64) error                   // mail.ErrNoSpace
	Owns(a mail.AccountID, p mail.Path) bool // whether the account may send as p
	// Begin starts a message after an accepted MAIL. By is who signed in, 0 for
	// a stranger.
	Begin(from mail.Path, by mail.AccountID) Transaction
}

// A Transaction is a message that comes in, from its first recipient to its
// commit. It is used by one goroutine at a time.
type Transaction interface {
	Rcpt(p mail.Path, size int64) error // size is what MAIL declared, 0 if nothing
	io.Writer                           // the message's bytes
	Structure() *message.Structure      // ends the writing
	// Commit stores the message for every recipient or for none. It is on disk
	// when Commit returns; the id is the one to tell the client.
	Commit(e mail.Envelope, t mail.Trace) (id string, err error)
	Unconfirmed() // the connection was lost after the commit: the client may not know
	Discard()     // frees what was not committed; harmless after Commit
}

// A Judge finds out where strangers' messages come from.
type Judge interface {
	// Begin starts with what is known before the message. It does not block.
	Begin(ctx context.Context, remote netip.Addr, helo string, from mail.Path) Judgement
	// Forged reports whether the value of an Authentication-Results field
	// claims to be ours, RFC 8601 §5.
	Forged(value []byte) bool
}

// A Judgement is about one message, whose bytes as they came are written to it.
type Judgement interface {
	io.Writer
	// Verdict ends the writing. Results is the Authentication-Results field.
	Verdict() (v mail.Verdict, results []byte)
	Close() // without a verdict; harmless after one
}

// Users signs people in. SignIn makes one of a *signin.Checker.
type Users interface {
	Mechanisms(tls bool) []string
	SASL(ctx context.Context, at signin.Attempt, mech string) (Exchange, error)
}

// An Exchange is the server's side of a SASL exchange, RFC 4422.
type Exchange interface {
	Next(response []byte) (challenge []byte, done bool, err error)
	Login() Login // after done
}

// Neighbours are machines of the house that may send without signing in, known
// by their addresses. LAN makes them of *lan.Devices.
type Neighbours interface {
	// Neighbour returns who has an address, false if nobody. It is asked for
	// each message. With an error, as with mail.ErrDisabled, nothing is taken
	// from there.
	Neighbour(remote netip.Addr) (Login, bool, error)
}

// A Login is somebody who signed in, or a neighbour.
type Login struct {
	Account mail.AccountID
	Address mail.Path       // the account's
	Device  string          // its name, for the From of what has none
	Rewrite bool            // make the account the author of what has another; else it is refused
	Local   bool            // it may only write to addresses of this house
	Done    <-chan struct{} // closed when the login is no longer good; may be nil
	Close   func()          // may be nil
}

// Limits that are nobody's setting.
const (
	maxLine      = 12288            // octets in a command or SASL line, RFC 4954 §4
	maxDataLine  = 65536            // octets in a line of a message; RFC 5321 has 998, real mail does not
	maxErrors    = 20               // error replies before we hang up, as in Postfix
	maxJunk      = 100              // commands that bring no mail, as in Postfix
	idle         = 5 * time.Minute  // RFC 5321 §4.5.3.2.7
	dataIdle     = 3 * time.Minute  // RFC 5321 §4.5.3.2.5
	untilAuth    = time.Minute      // from the banner to signing in
	untilMail    = 5 * time.Minute  // from the banner to the first MAIL
	handshake    = 30 * time.Second // TLS
	writeTimeout = time.Minute      // a client that does not read its replies
	dataGrace    = time.Minute      // before the pace of DATA is looked at
	minPace      = 500              // octets a second in DATA, on average
	lingerTime   = 2 * time.Second  // for a client to read why we hang up
	lingerBytes  = 8 << 20          // and to stop talking
	drainTime    = 17 * time.Second // for DATA in progress when the server stops, which takes 20 s at most
)

// Options are the settings of a door.
type Options struct {
	Kind      Kind
	Host      string // our name, in the banner and in Received
	Directory Directory
	Users     Users // Submission only
	Judge     Judge // MX only; nil takes everything as it is
	// Neighbours may send at either door as if they had signed in, in the clear
	// too; nil is nobody.
	Neighbours Neighbours
	TLS        *tls.Config // nil: no STARTTLS
	// ImplicitTLS makes the door speak TLS from the first byte (port 465), for
	// a listener that does not do so itself.
	ImplicitTLS bool
	Log         *slog.Logger // slog.Default() if nil
	// Told is told of each refusal, before the client is. It must not wait for
	// anything. It may be nil.
	Told func(Refusal)

	MaxSize        int64 // octets in a message, 50 MiB if 0
	MaxRecipients  int   // of a message, 100 if 0
	UnknownPerHour int   // RCPTs for nobody from one address, 20 if 0, no limit if negative
	RcptPerHour    int   // of an account, no limit if 0
	RcptPerDay     int   // of an account, no limit if 0
}

// A Server is one door. It is safe for concurrent use; Serve may be called for
// several listeners.
type Server struct {
	o       Options
	log     *slog.Logger
	faults  *log.Logger // go-smtp's
	count   counters
	unknown *window[string]
	hourly  *window[mail.AccountID]
	daily   *window[mail.AccountID]
}

// New makes a door with the given options. It starts nothing.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxSize == 0 {
		o.MaxSize = 50 << 20
	}
	if o.MaxRecipients == 0 {
		o.MaxRecipients = 100
	}
	if o.UnknownPerHour == 0 {
		o.UnknownPerHour = 20
	}
	door := o.Log.With("door", o.Kind.String())
	return &Server{
		o: o, log: door, faults: slog.NewLogLogger(door.Handler(), slog.LevelError),
		unknown: newWindow[string](o.UnknownPerHour, time.Hour),
		hourly:  newWindow[mail.AccountID](o.RcptPerHour, time.Hour),
		daily:   newWindow[mail.AccountID](o.RcptPerDay, 24*time.Hour),
	}
}

// Serve answers the connections of l until ctx ends. Then it closes l, says 421
// to those who wait, gives messages that are coming in 20 s, and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	set := &connSet{conns: make(map[*conn]struct{})}
	err := s.accept(ctx, l, set)
	set.stop(drainTime)
	return err
}

// accept serves each connection in a goroutine of its own until l fails.
func (s *Server) accept(ctx context.Context, l net.Listener, set *connSet) error {
	var wait time.Duration
	for {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("smtpd: accepting: %w", err)
			}
			// Out of file descriptors, or a connection that died in the queue: it passes.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("cannot accept; trying again", "err", err, "wait", wait)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			continue
		}
		wait = 0
		c := newConn(s, nc)
		set.add(c)
		set.wg.Go(func() {
			defer set.remove(c)
			s.serve(ctx, c)
		})
	}
}

// protocol makes the go-smtp that speaks with c. Each connection has its own:
// it costs next to nothing and ends with it.
func (s *Server) protocol(c *conn) *smtp.Server {
	p := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return c.session, nil }))
	p.Domain = s.o.Host
	p.ErrorLog = s.faults
	p.MaxRecipients = s.o.MaxRecipients
	p.MaxMessageBytes = s.o.MaxSize + 1 // it refuses what has just this size
	p.MaxLineLength = 0                 // conn counts
	p.AllowInsecureAuth = c.tls != nil  // it cannot see the TLS below conn
	p.EnableSMTPUTF8 = true
	p.EnableREQUIRETLS = c.tls != nil // RFC 8689 §2
	p.EnableBINARYMIME = true
	p.EnableDSN = true
	return p
}

// serve is the life of a connection. A panic ends this connection only.
func (s *Server) serve(ctx context.Context, c *conn) {
	s.count.connections.Add(1)
	defer c.close()
	defer c.guard()
	c.serve(ctx)
}

// A connSet is the connections of a listener, so that they can be told to end.
type connSet struct {
	mu    sync.Mutex
	wg    sync.WaitGroup
	conns map[*conn]struct{}
}

func (t *connSet) add(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns[c] = struct{}{}
}

func (t *connSet) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// each calls fn for every connection, outside the lock.
func (t *connSet) each(fn func(*conn)) {
	t.mu.Lock()
	all := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		fn(c)
	}
}

// stop ends all connections: at once, or after patience for those in DATA.
func (t *connSet) stop(patience time.Duration) {
	t.each(func(c *conn) { c.end(stopping, false) })
	late := time.AfterFunc(patience, func() {
		t.each(func(c *conn) { c.end(stopping, true) })
	})
	defer late.Stop()
	t.wg.Wait()
}
