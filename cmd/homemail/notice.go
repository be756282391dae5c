package main

import (
	"context"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"homemail/caps"
	"homemail/mail"
	"homemail/queue"
	"homemail/store"
)

// tellOwner files a mail about a paused account in the owner's INBOX, and in
// the account's own if it is another: whoever sits there may know why.
func (h *house) tellOwner(_ context.Context, n caps.Notice) error {
	owner, ok := h.postmaster()
	if !ok {
		return nil
	}
	for _, id := range []mail.AccountID{owner, n.Account} {
		if err := h.fileNotice(id, n.Words); err != nil {
			return err
		}
		if owner == n.Account {
			break
		}
	}
	return nil
}

// fileNotice files a mail from us, whose words are in the account's language.
func (h *house) fileNotice(id mail.AccountID, words func(language string) (subject, body string)) error {
	a, err := h.store.AccountByID(id)
	if err != nil {
		return nil // gone meanwhile
	}
	p, err := a.Profile()
	if err != nil {
		return err
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		return err
	}
	subject, body := words(p.Language)
	sp := h.store.NewSpool()
	defer sp.Discard()
	if err := h.writeNotice(sp, mail.Path("postmaster@"+p.Address.Domain()), p.Address, subject, body); err != nil {
		return err
	}
	now := time.Now()
	_, err = h.store.Deliver(sp, []store.Delivery{{Account: id, Mailbox: inbox.ID, Date: now, Notice: true}})
	return err
}

// writeNotice writes a mail from us.
func (h *house) writeNotice(w io.Writer, from, to mail.Path, subject, body string) error {
	now := time.Now()
	_, err := fmt.Fprintf(w, "From: homemail <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d.notice@%s>\r\n"+
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		from.Wire(), to.Wire(), encodeSubject(subject), now.Format(time.RFC1123Z), now.UnixNano(), h.config.Host())
	if err == nil {
		_, err = io.WriteString(w, strings.ReplaceAll(strings.TrimRight(body, "\n")+"\n", "\n", "\r\n"))
	}
	return err
}

// encodeSubject writes a subject in ASCII, an encoded word a line: RFC 2047 §2
// allows no longer ones.
func encodeSubject(s string) string {
	return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}

// releaseEach is how often mail is looked for that is held for an account that
// may send again: a message that was being taken just then.
const releaseEach = 10 * time.Minute

// releaseResumed lets go what came to be held while its account was let go on.
func (h *house) releaseResumed(ctx context.Context) error {
	tick := time.NewTicker(releaseEach)
	defer tick.Stop()
	for {
		if err := h.releaseHeld(); err != nil && h.store.Broken() == nil {
			h.log.Warn("held mail was not looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (h *house) releaseHeld() error {
	held, err := h.queue.List(queue.Filter{Held: true}, "")
	if err != nil {
		return err
	}
	seen := make(map[mail.AccountID]bool)
	for _, s := range held {
		if seen[s.Account] || !strings.HasPrefix(s.Hold, caps.HoldPrefix) {
			continue
		}
		seen[s.Account] = true
		if paused, err := h.caps.IsPaused(s.Account); err != nil || paused {
			continue
		}
		if _, err := h.queue.ReleaseAccount(s.Account, caps.HoldPrefix); err != nil {
			return err
		}
	}
	return nil
}
