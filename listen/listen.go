// Package listen opens the doors: it binds every address before any is served
// and lets in no more connections than the limits allow. It never speaks a
// protocol, but for the one line with which a door turns somebody away.
package listen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// A Door is one address to listen on.
type Door struct {
	Name        string // as in config.toml: "smtp"
	Addr        string // "host:port"; port 0 is any free one
	PrivateOnly bool   // turn away whoever is not loopback, private or link-local, or is doubted
	Refusal     string // line for whom the limits turn away; empty where TLS comes first
	Gate        *Gate  // shared by the doors of a protocol
}

// A Listener is an open door. Its connections are counted until they are closed.
type Listener struct {
	net.Listener
	door      Door
	log       *slog.Logger
	refusals  chan struct{} // a place for each goodbye under way
	troubled  bool          // the last Accept failed; only Accept's caller uses it
	closeOnce sync.Once
	closed    chan struct{}
	doubt     func(netip.Addr) bool // nil doubts nobody
}

const (
	refusalTime = time.Second          // to write a goodbye, and to hear the other side go
	maxRefusals = 32                   // goodbyes at once; others are cut without one
	maxPause    = time.Second          // between tries when the system has no descriptors left
	minPause    = 5 * time.Millisecond // doubled with each failure
)

// Bind opens every door, or none. Its error has a line for each that could not
// be opened: which, why, and what to do.
func Bind(ctx context.Context, doors []Door, log *slog.Logger) ([]*Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Landlock's TCP rules do not bind it
	var open []*Listener
	var errs []error
	for _, d := range doors {
		l, err := lc.Listen(ctx, "tcp", d.Addr)
		if err != nil {
			errs = append(errs, explain(d, err))
			continue
		}
		open = append(open, Wrap(l, d, log))
	}
	if len(errs) == 0 {
		return open, nil
	}
	for _, l := range open {
		l.Close()
	}
	return nil, errors.Join(errs...)
}

// Wrap puts a door's rules before a listener that is open already.
func Wrap(l net.Listener, d Door, log *slog.Logger) *Listener {
	if log == nil {
		log = slog.Default()
	}
	if d.Gate == nil {
		d.Gate = NewGate(Limits{})
	}
	return &Listener{Listener: l, door: d, log: log, refusals: make(chan struct{}, maxRefusals), closed: make(chan struct{})}
}

// Door returns what the listener was made from.
func (l *Listener) Door() Door { return l.door }

// Doubt sets how it is known that a private address is that behind which strangers
// come in, so that a PrivateOnly door turns it away. It must be quick, and is set
// before Accept.
func (l *Listener) Doubt(stranger func(netip.Addr) bool) { l.doubt = stranger }

// Close closes the door; connections that are in stay.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept returns the next connection that the limits allow. It fails only once
// the listener is closed or broken for good: a shortage of file descriptors is
// waited for.
func (l *Listener) Accept() (net.Conn, error) {
	for pause := minPause; ; {
		c, err := l.Listener.Accept()
		if err != nil {
			if !passing(err) {
				return nil, err
			}
			l.wait(&pause, err)
			continue
		}
		pause, l.troubled = minPause, false
		if in := l.admit(c); in != nil {
			return in, nil
		}
	}
}

// admit returns the connection counted in, or nil if it is turned away.
func (l *Listener) admit(c net.Conn) net.Conn {
	from := remote(c)
	if l.door.PrivateOnly && (!isPrivate(from) || l.doubt != nil && l.doubt(from)) {
		l.door.Gate.refuse(NotPrivate)
		l.log.Debug("connection refused", "door", l.door.Name, "from", from, "reason", NotPrivate)
		c.Close()
		return nil
	}
	key := peerKey(from)
	if why := l.door.Gate.enter(key, time.Now()); why != accepted {
		l.log.Debug("connection refused", "door", l.door.Name, "from", from, "reason", why)
		l.turnAway(c)
		return nil
	}
	return &conn{Conn: c, leave: func() { l.door.Gate.leave(key) }}
}

// turnAway says the door's line and closes, without holding up Accept.
func (l *Listener) turnAway(c net.Conn) {
	if l.door.Refusal == "" {
		c.Close()
		return
	}
	select {
	case l.refusals <- struct{}{}:
	default:
		c.Close()
		return
	}
	go func() {
		defer func() { <-l.refusals }()
		defer c.Close()
		c.SetDeadline(time.Now().Add(refusalTime))
		if _, err := io.WriteString(c, l.door.Refusal); err != nil {
			return
		}
		// Unread bytes would make the close a reset, which can overtake our line.
		if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			io.CopyN(io.Discard, c, 4096)
		}
	}()
}

// passing reports whether Accept may work again by itself.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *Listener) wait(pause *time.Duration, err error) {
	if !l.troubled {
		l.log.Error("cannot take connections for the moment", "door", l.door.Name, "err", err)
		l.troubled = true
	}
	select {
	case <-time.After(*pause):
	case <-l.closed:
	}
	*pause = min(2**pause, maxPause)
}

func remote(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// A conn leaves the gate when it is closed.
type conn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// NetConn returns the connection that is counted, for those who need its socket.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
