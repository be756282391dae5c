package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// fullEvery is how often all messages of a mailbox are listed during a visit,
// and not only those that are new: to forget notes, to delete what is due.
const fullEvery = 6 * time.Hour

var errNoFolder = errors.New("the mailbox cannot be opened")

// An imapConn is a connection to an IMAP server that knows us.
type imapConn struct {
	w    *wire
	c    *imapclient.Client
	o    Options
	stop func()
	caps imap.CapSet
	news chan struct{} // the server told of a new message
	// broken says that a body could not be read. Then the client's reader ends
	// by itself, and must not be met in the same literal again.
	broken bool
}

// dialIMAP connects and signs in.
func (b *Bridge) dialIMAP(ctx context.Context, a Account, password string) (*imapConn, error) {
	w, stop, err := b.dial(ctx, a, helloIMAP)
	if err != nil {
		return nil, err
	}
	greeting := ""
	if a.TLS != Implicit { // it came before TLS and is not believed
		greeting = "* OK TLS\r\n"
	}
	i := newIMAPConn(w, greeting, stop, b.o)
	if err := i.signIn(a, password); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// newIMAPConn speaks IMAP over a connection on which a greeting came already, or
// none.
func newIMAPConn(w *wire, greeting string, stop func(), o Options) *imapConn {
	i := &imapConn{w: w, o: o, stop: stop, news: make(chan struct{}, 1)}
	conn := sifted{w, io.MultiReader(strings.NewReader(greeting), &sieve{r: w})}
	i.c = imapclient.New(conn, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages == nil {
				return
			}
			select {
			case i.news <- struct{}{}:
			default: // already told
			}
		}},
	})
	return i
}

// sifted is a connection that is read through a sieve.
type sifted struct {
	*wire
	r io.Reader
}

func (s sifted) Read(p []byte) (int, error) { return s.r.Read(p) }

// signIn gives name and password, by SASL where the server can (RFC 4616), so
// that they may hold any characters.
func (i *imapConn) signIn(a Account, password string) error {
	if err := i.c.WaitGreeting(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	if i.c.State() != imap.ConnStateNotAuthenticated { // whose mail would it be?
		return fmt.Errorf("%w: it greeted with PREAUTH", errProtocol)
	}
	i.w.allow()
	caps := i.c.Caps()
	var err error
	switch {
	case caps == nil:
		return fmt.Errorf("%w: it does not tell its capabilities", errProtocol)
	case caps.Has(imap.AuthCap(sasl.Plain)):
		err = i.c.Authenticate(sasl.NewPlainClient("", a.User, password))
	case caps.Has(imap.CapLoginDisabled):
		return fmt.Errorf("%w: it takes no password at all", errRefused)
	default:
		err = i.c.Login(a.User, password).Wait()
	}
	if err != nil {
		return signInError(err)
	}
	i.w.allow()
	i.caps, err = i.c.Capability().Wait() // c.Caps may still have those from before
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	return nil
}

// signInError tells a refused password from a server that has no time, RFC 5530.
func signInError(err error) error {
	var no *imap.Error
	if !errors.As(err, &no) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	switch no.Code {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeInUse, imap.ResponseCodeLimit, imap.ResponseCodeServerBug:
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

func (i *imapConn) close() {
	i.stop() // first: the client waits for its reader
	i.c.Close()
}

// logout says goodbye to a server that works.
func (i *imapConn) logout() {
	if i.c.State() != imap.ConnStateLogout {
		i.c.Logout().Wait()
	}
	i.close()
}

// open selects a mailbox: to read only, unless messages are to be deleted.
func (i *imapConn) open(name string, readOnly bool) (*imapBox, error) {
	i.w.allow()
	data, err := i.c.Select(name, &imap.SelectOptions{ReadOnly: readOnly}).Wait()
	var no *imap.Error
	if errors.As(err, &no) {
		return nil, fmt.Errorf("%w: %s: %w", errNoFolder, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	if data.UIDValidity == 0 {
		return nil, fmt.Errorf("%w: no UIDVALIDITY", errNoUIDs)
	}
	return &imapBox{imapConn: i, validity: data.UIDValidity, exists: data.NumMessages}, nil
}

// visitIMAP fetches all there is, and then what comes as it comes, until
// something goes wrong.
func (v *visitor) visitIMAP(ctx context.Context, password string) error {
	i, err := v.b.dialIMAP(ctx, v.a, password)
	if err != nil {
		return err
	}
	defer i.close()
	var list []*transfer
	for _, f := range v.a.folders() {
		list = append(list, &transfer{v: v, f: f})
	}
	for {
		trouble, err := i.round(list)
		if err != nil {
			return err
		}
		v.healthy()
		v.b.well(v.a, Listening, trouble)
		if err := i.idle(ctx, v.knock); err != nil {
			return err
		}
	}
}

// round fetches what is new in all mailboxes, and leaves the first one open.
// Trouble is what is wrong with one mailbox alone.
func (i *imapConn) round(list []*transfer) (trouble, err error) {
	first := list[0]
	if len(list) > 1 {
		list = append(slices.Clip(list), first)
	}
	for _, t := range list {
		if len(list) > 1 || t.open == nil {
			x, err := i.open(t.f.there, t.v.a.KeepDays < 0)
			if errors.Is(err, errNoFolder) && t != first {
				trouble = err
				continue
			}
			if err != nil {
				return nil, err
			}
			if t.open != nil {
				x.last = t.open.last
			}
			t.open = x
		}
		if err := t.run(t.open, t.again || time.Since(t.full) > fullEvery); err != nil {
			return nil, err
		}
		if t.trouble != nil {
			trouble = t.trouble
		}
	}
	return trouble, nil
}

// idle waits until the server tells of a message (RFC 2177) or it is time to
// look again.
func (i *imapConn) idle(ctx context.Context, knock <-chan struct{}) error {
	i.w.allow()
	if !i.caps.Has(imap.CapIdle) && !i.caps.Has(imap.CapIMAP4rev2) {
		i.w.expect(i.o.Poll + i.o.Stall)
		defer i.w.expect(i.o.Stall)
		return i.pause(ctx, i.o.Poll, knock)
	}
	cmd, err := i.c.Idle()
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	i.w.expect(i.o.Idle + i.o.Stall)
	err = i.pause(ctx, i.o.Idle, knock)
	i.w.expect(i.o.Stall)
	if end := errors.Join(cmd.Close(), cmd.Wait()); end != nil && err == nil {
		err = fmt.Errorf("%w: %w", errLost, end)
	}
	return err
}

// pause waits for news, for an owner who does not want to wait, or for a time.
func (i *imapConn) pause(ctx context.Context, d time.Duration, knock <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-i.c.Closed():
		return errLost
	case <-i.news:
	case <-knock:
	case <-timer.C:
	}
	return nil
}
