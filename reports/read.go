package reports

import (
	"context"
	"errors"
	"time"

	"homemail/mail"
	"homemail/store"
)

// read reads what is new in all mailboxes.
func (r *Reader) read(ctx context.Context) {
	for at, c := range r.cursors {
		a, err := r.s.AccountByID(at.account)
		if err == nil {
			err = r.mailbox(ctx, a, at.mailbox, c)
		}
		if !errors.Is(err, store.ErrNotFound) { // removed a moment ago
			r.warn("reports are not read now", err, "account", at.account)
		}
	}
}

// mailbox reads what is new in a mailbox. After an error it goes on from the
// same message the next time.
func (r *Reader) mailbox(ctx context.Context, a *store.Account, id mail.MailboxID, c *cursor) error {
	m, err := a.MailboxByID(id)
	if err != nil || c.Validity == m.UIDValidity && c.ModSeq == m.ModSeq {
		return err
	}
	if c.Validity != m.UIDValidity {
		*c = cursor{Validity: m.UIDValidity}
	}
	list, err := news(a, id, c)
	if err != nil {
		return err
	}
	for _, uid := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		msg, err := a.Message(id, uid)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrCorrupt): // the store says so itself
		case err != nil:
			return err
		default:
			if err := r.message(a, msg); err != nil {
				return err
			}
		}
		c.UID = uid
	}
	c.ModSeq = m.ModSeq
	return nil
}

// news returns the messages that came into a mailbox since it was read.
func news(a *store.Account, id mail.MailboxID, c *cursor) (uids []mail.UID, err error) {
	var list []store.Entry
	whole := c.ModSeq == 0
	if !whole {
		changes, err := a.Changes(id, c.ModSeq)
		if err != nil {
			return nil, err
		}
		list, whole = changes.Changed, changes.Whole
	}
	if whole {
		if list, err = a.Entries(id); err != nil && !errors.Is(err, store.ErrCorrupt) {
			return nil, err
		}
	}
	for _, e := range list {
		if e.UID > c.UID {
			uids = append(uids, e.UID)
		}
	}
	if c.UID == 0 && len(uids) > maxFirst {
		uids = uids[len(uids)-maxFirst:]
	}
	return uids, nil
}

// message looks at one message. What is wrong with it is counted and logged
// here, once: an error is the store's.
func (r *Reader) message(a *store.Account, m *store.Message) error {
	if time.Since(m.Date) > keepIDs {
		return nil
	}
	s, err := m.Structure()
	if err != nil {
		return nil // a record from elsewhere; the mail is as readable as ever
	}
	from := readPrefix(m.Prefix, r.o.Host)
	parts := find(s, r.b.addressed(from.to))
	if len(parts) == 0 {
		return nil
	}
	log := r.o.Log.With("account", a.ID, "mailbox", m.Mailbox, "uid", m.UID)
	who := from.reporter(s.Envelope.From)
	if who == "" {
		r.b.odd.unproven.Add(1)
		log.Info("what looks like a report is not proven to come from anybody, and is left alone")
		return nil
	}
	body := a.Body(m)
	for _, p := range parts {
		packed, err := content(body, int64(len(m.Prefix)), p)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			return nil
		}
		var report any
		if err == nil {
			report, err = Parse(packed)
		}
		if err != nil {
			r.b.odd.unread.Add(1)
			log.Info("what looks like a report was not understood, and is left alone", "reporter", who, "err", err)
			continue
		}
		switch err := r.b.Take(report, who); {
		case err == nil:
			log.Info("a report was counted", "reporter", who)
		case errors.Is(err, ErrTwice): // also after a crash
		case errors.Is(err, ErrForeign), errors.Is(err, ErrOld), errors.Is(err, ErrFull):
			r.b.odd.foreign.Add(1)
			log.Info("a report was left alone", "reporter", who, "err", err)
		default:
			return err
		}
	}
	return nil
}
