package bridge

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"homemail/mail"
)

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
