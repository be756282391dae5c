package main

import (
	"fmt"
	"mime"
	"time"

	"homemail/deliver"
	"homemail/dsn"
	"homemail/mail"
	"homemail/store"
)

// confirm files a report in the sender's INBOX about recipients here whose mail
// is in their mailboxes. The message has been taken: if this fails, it is no
// reason to have it sent again.
func (h *house) confirm(c deliver.Confirmation) {
	if err := h.fileConfirmation(c); err != nil && h.store.Broken() == nil {
		h.log.Warn("a sender who had asked was not told that a message was delivered", "id", c.ID, "account", c.By, "err", err)
	}
}

func (h *house) fileConfirmation(c deliver.Confirmation) error {
	a, err := h.store.AccountByID(c.By)
	if err != nil {
		return err
	}
	p, err := a.Profile()
	if err != nil {
		return err
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		return err
	}
	now, m := time.Now(), c.Structure.Envelope
	report := dsn.Report{
		Kind: dsn.Success, Host: h.config.Host(), ID: c.ID, Language: p.Language, To: c.Envelope.From,
		EnvelopeID: c.Envelope.EnvelopeID, Arrived: now, Now: now, Subject: m.Subject, Return: "HDRS", EightBit: true,
		Header: fmt.Appendf(nil, "Date: %s\r\nSubject: %s\r\nMessage-ID: %s\r\n", m.Date, m.Subject, m.MessageID),
	}
	if s, err := new(mime.WordDecoder).DecodeHeader(m.Subject); err == nil {
		report.Subject = s
	}
	for _, r := range c.To {
		report.Recipients = append(report.Recipients, dsn.Recipient{
			Path: r.Path, Original: r.Original, Expanded: r.Expanded, Tries: 1, LastTry: now,
			Outcome: mail.Outcome{Fate: mail.Delivered},
		})
	}
	r, err := dsn.New(report)
	if err != nil {
		return err
	}
	sp := h.store.NewSpool()
	defer sp.Discard()
	if _, err := r.WriteTo(sp); err != nil {
		return err
	}
	_, err = h.store.Deliver(sp, []store.Delivery{{Account: c.By, Mailbox: inbox.ID, Date: now, Notice: true}})
	return err
}
