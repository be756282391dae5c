package bridge

import (
	"context"
	"errors"
	"slices"
)

// A Report is what a trial sign-in found.
type Report struct {
	Messages int      // in the mailbox that is fetched first
	Folders  []string // IMAP: the mailboxes there
	Junk     string   // IMAP: which of them is for junk, if the server says so
	Instant  bool     // the server tells of new mail at once (IDLE)
	Deletes  bool     // messages can be deleted one by one
}

// reportMax is how many mailboxes a Report names.
const reportMax = 1000

// Check signs in with settings and a password that are not kept yet, looks, and
// changes nothing. Explain has the words for its error. An empty password is
// the one that is kept for the account's ID.
func (b *Bridge) Check(ctx context.Context, a Account, password string) (r Report, err error) {
	a.fill()
	if err := a.check(); err != nil {
		return r, err
	}
	if password == "" {
		if password, err = b.password(a.ID); err != nil {
			return r, err
		}
	}
	if err := checkPassword(password); err != nil {
		return r, err
	}
	if a.Kind == POP3 {
		return b.checkPOP3(ctx, a, password)
	}
	return b.checkIMAP(ctx, a, password)
}

func (b *Bridge) checkPOP3(ctx context.Context, a Account, password string) (r Report, err error) {
	p, stop, err := b.dialPOP3(ctx, a, password)
	if err != nil {
		return r, err
	}
	defer stop()
	r.Deletes = true
	err = (&popBox{popConn: p}).list(true, func(string) error {
		r.Messages++
		return nil
	})
	if err == nil {
		_, err = p.do("QUIT")
	}
	return r, err
}

func (b *Bridge) checkIMAP(ctx context.Context, a Account, password string) (r Report, err error) {
	i, err := b.dialIMAP(ctx, a, password)
	if err != nil {
		return r, err
	}
	defer i.close()
	if err := i.look(&r); err != nil {
		return r, err
	}
	for n, f := range a.folders() {
		x, err := i.open(f.there, true)
		if err != nil {
			return r, err
		}
		if n == 0 {
			r.Messages = int(x.exists)
		}
	}
	i.logout()
	return r, nil
}

// look lists the mailboxes there.
func (i *imapConn) look(r *Report) error {
	r.Instant = i.caps.Has("IDLE") || i.caps.Has("IMAP4rev2")
	r.Deletes = i.caps.Has("UIDPLUS") || i.caps.Has("IMAP4rev2")
	i.w.allow()
	cmd := i.c.List("", "*", nil)
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		i.w.allow()
		if len(r.Folders) >= reportMax {
			i.stop()
			cmd.Close()
			return errTooMany
		}
		if slices.Contains(m.Attrs, "\\Noselect") {
			continue
		}
		r.Folders = append(r.Folders, m.Mailbox)
		if slices.Contains(m.Attrs, "\\Junk") { // RFC 6154
			r.Junk = m.Mailbox
		}
	}
	if err := cmd.Close(); err != nil {
		return errors.Join(errLost, err)
	}
	return nil
}
