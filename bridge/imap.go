package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"homemail/mail"
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

// An imapBox is a selected mailbox.
type imapBox struct {
	*imapConn
	validity uint32
	exists   uint32   // messages when it was opened
	last     imap.UID // the highest that was listed
}

func (x *imapBox) scope() string { return fmt.Sprintf("%08x", x.validity) }

func uidKey(u imap.UID) string { return fmt.Sprintf("%08x", uint32(u)) }

func uidSet(keys []string) (set imap.UIDSet) {
	for _, k := range keys {
		if n, err := strconv.ParseUint(k, 16, 32); err == nil {
			set.AddNum(imap.UID(n))
		}
	}
	return set
}

// list asks by sequence number when all are wanted, and for some at a time: no
// number changes from one FETCH to the next (RFC 3501 §7.4.1).
func (x *imapBox) list(all bool, fn func(string) error) error {
	if !all {
		return x.uids(imap.UIDSet{{Start: x.last + 1}}, fn)
	}
	x.w.allow()
	if err := x.c.Noop().Wait(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	m := x.c.Mailbox()
	if m == nil {
		return fmt.Errorf("%w: it closed the mailbox", errProtocol)
	}
	n := m.NumMessages
	if n > listedMax {
		return fmt.Errorf("%w: %d", errTooMany, n)
	}
	x.last = 0
	for from := uint32(1); from <= n; from += listSize {
		if err := x.uids(imap.SeqSet{{Start: from, Stop: min(from+listSize-1, n)}}, fn); err != nil {
			return err
		}
	}
	return nil
}

// listSize is how many UIDs one FETCH asks for. The client keeps account of the
// answers, in a time that is the square of their number if they come in disorder.
const listSize = 10_000

// uids calls fn for each UID of a set that is there.
func (x *imapBox) uids(set imap.NumSet, fn func(string) error) error {
	count := 0
	return x.each(set, &imap.FetchOptions{UID: true}, func(m *imapclient.FetchMessageData) error {
		if count++; count > listSize {
			return fmt.Errorf("%w: many new messages; all are listed anew", errLost)
		}
		uid := imap.UID(0)
		for it := m.Next(); it != nil; it = m.Next() {
			if u, ok := it.(imapclient.FetchItemDataUID); ok {
				uid = u.UID
			}
		}
		if uid == 0 || x.last != 0 && uid <= x.last && set.Dynamic() { // "n:*" always has an answer
			return nil
		}
		x.last = max(x.last, uid)
		return fn(uidKey(uid))
	})
}

// each does a FETCH and calls fn for each message of its answer. After an error
// the connection is of no use: what is left of the answer is in the way.
func (x *imapBox) each(set imap.NumSet, o *imap.FetchOptions, fn func(*imapclient.FetchMessageData) error) error {
	x.w.allow()
	cmd := x.c.Fetch(set, o)
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		x.w.allow()
		if err := fn(m); err != nil {
			x.stop()
			if !x.broken {
				cmd.Close()
			}
			return err
		}
	}
	err := cmd.Close()
	var no *imap.Error
	if errors.As(err, &no) { // some of the messages; the caller sees which
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// fetch asks what there is to know about the messages first: a body that is too
// large is not asked for.
func (x *imapBox) fetch(keys []string, file func(remote, io.Reader) error) error {
	about := make(map[imap.UID]remote, len(keys))
	o := &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true}
	err := x.each(uidSet(keys), o, func(m *imapclient.FetchMessageData) error {
		uid, r := describe(m)
		r.key = uidKey(uid)
		about[uid] = r
		return nil
	})
	if err != nil {
		return err
	}
	var set imap.UIDSet
	for uid, r := range about {
		if r.size <= x.o.MaxMessage {
			set.AddNum(uid)
		} else if err := file(r, nil); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	o = &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}
	return x.each(set, o, func(m *imapclient.FetchMessageData) error { return x.body(m, about, file) })
}

// describe reads what a FETCH answer says about a message.
func describe(m *imapclient.FetchMessageData) (uid imap.UID, r remote) {
	for it := m.Next(); it != nil; it = m.Next() {
		switch it := it.(type) {
		case imapclient.FetchItemDataUID:
			uid = it.UID
		case imapclient.FetchItemDataFlags:
			r.flags, r.keywords = flagsOf(it.Flags)
		case imapclient.FetchItemDataInternalDate:
			r.date = it.Time
		case imapclient.FetchItemDataRFC822Size:
			r.size = it.Size
		}
	}
	return uid, r
}

// body hands on the message of a FETCH answer.
func (x *imapBox) body(m *imapclient.FetchMessageData, about map[imap.UID]remote, file func(remote, io.Reader) error) error {
	uid := imap.UID(0)
	for it := m.Next(); it != nil; it = m.Next() {
		switch it := it.(type) {
		case imapclient.FetchItemDataUID:
			uid = it.UID
		case imapclient.FetchItemDataBodySection:
			r, asked := about[uid]
			if it.Literal == nil || !asked {
				continue
			}
			delete(about, uid)
			lied := it.Literal.Size() > x.o.MaxMessage
			if lied {
				r.size = it.Literal.Size()
			}
			if err := file(r, &whole{x, it.Literal, it.Literal.Size()}); err != nil {
				return err
			}
			if lied {
				return fmt.Errorf("%w, and was said to be small", errTooLarge)
			}
		}
	}
	return nil
}

// whole reads a literal, and notices when the connection ends within it: the
// IMAP client reports that as the literal's end.
type whole struct {
	x    *imapBox
	r    io.Reader
	left int64
}

func (w *whole) Read(p []byte) (int, error) {
	w.x.w.allow()
	n, err := w.r.Read(p)
	w.left -= int64(n)
	if err != nil && w.left > 0 {
		w.x.broken = true
		err = fmt.Errorf("%w: %d bytes of a message are missing: %w", errLost, w.left, err)
	}
	return n, err
}

// remove marks messages as deleted, and where it can be said which (RFC 4315)
// removes them for good. Else they wait, with their note, until somebody
// expunges the mailbox: we do not delete what others have marked.
func (x *imapBox) remove(keys []string) error {
	set := uidSet(keys)
	x.w.allow()
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := x.c.Store(set, deleted, nil).Close(); err != nil {
		return deleteError(err)
	}
	if !x.caps.Has(imap.CapUIDPlus) && !x.caps.Has(imap.CapIMAP4rev2) {
		return nil
	}
	x.w.allow()
	if err := x.c.UIDExpunge(set).Close(); err != nil {
		return deleteError(err)
	}
	return nil
}

// deleteError tells a server that does not let us from one that is gone.
func deleteError(err error) error {
	var no *imap.Error
	if errors.As(err, &no) {
		return fmt.Errorf("%w: %w", errDelete, err)
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

const (
	keywordsMax = 30 // of a message; what mail programs set are some five
	keywordMax  = 64 // characters of one
)

// flagsOf returns what is kept of a message's flags. \Deleted is not: whoever
// set it has not said that the copy here is to go.
func flagsOf(list []imap.Flag) (flags mail.Flags, words []string) {
	for _, f := range list {
		if known, ok := mail.ParseFlag(string(f)); ok {
			flags |= known &^ mail.Deleted
			continue
		}
		if len(words) < keywordsMax && isKeyword(string(f)) && !slices.Contains(words, string(f)) {
			words = append(words, string(f))
		}
	}
	return flags, words
}

// isKeyword reports whether s is a flag-keyword, RFC 3501 §9.
func isKeyword(s string) bool {
	return s != "" && len(s) <= keywordMax && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
	})
}
