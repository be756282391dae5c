package queue

import (
	"io"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A disk is what the queue needs of a store.
type disk interface {
	QueueHeads() ([]store.Head, error)
	QueueDue(domain string, after store.Place, n int) ([]store.Place, error)
	QueueNews() (domains []string, all bool)
	QueueSize(now time.Time) (store.QueueSize, error)
	SetAside(domain string, p store.Place) error
	Item(id mail.ItemID) (*store.Item, []*store.QueueRecipient, error)
	Items(done bool, fn func(*store.Item, []*store.QueueRecipient) bool) error
	ItemsOf(trace string) ([]mail.ItemID, error)
	ChangeRecipients(ids []mail.ItemID, fn func(*store.QueueRecipient)) (int, error)
	SweepQueue(before time.Time) error

	// watch returns what tells of news, and a function that ends it.
	watch() (news <-chan struct{}, stop func())
	open(it *store.Item) io.Reader
	// profile returns what is known of an account; store.ErrNotFound.
	profile(id mail.AccountID) (store.Profile, error)
	// settle writes recipients as they are from now on, and in the same commit
	// files a notice if there is one.
	settle(list []*store.QueueRecipient, n *notice) error
}

// A notice is a message to an account about mail of its.
type notice struct {
	account mail.AccountID
	report  io.WriterTo
	whole   mail.ItemID    // a message that is filed too, since nobody else has it; 0 if none is
	keeper  mail.AccountID // for whom
}

// onDisk is the store as the queue needs it.
type onDisk struct{ *store.Store }

func (d onDisk) watch() (<-chan struct{}, func()) {
	w := d.WatchQueue()
	return w.C, w.Close
}

func (d onDisk) open(it *store.Item) io.Reader { return d.ItemBody(it) }

func (d onDisk) profile(id mail.AccountID) (store.Profile, error) {
	a, err := d.AccountByID(id)
	if err != nil {
		return store.Profile{}, err
	}
	return a.Profile()
}

func (d onDisk) settle(list []*store.QueueRecipient, n *notice) error {
	b := store.Batch{Settle: list}
	if n == nil {
		_, err := d.Commit(nil, b)
		return err
	}
	a, err := d.AccountByID(n.account)
	if err != nil {
		return err
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		return err
	}
	sp := d.NewSpool()
	defer sp.Discard()
	if _, err := n.report.WriteTo(sp); err != nil {
		return err
	}
	b.Copies = []store.Delivery{{Account: n.account, Mailbox: inbox.ID, Notice: true, Prefix: []byte("Return-Path: <>\r\n")}} // RFC 5321 §4.4
	if n.whole != 0 {
		if b.Refile, err = d.refiled(n); err != nil {
			return err
		}
	}
	_, err = d.Commit(sp, b)
	return err
}

// refiled is the message of a notice for the INBOX of its keeper.
func (d onDisk) refiled(n *notice) ([]store.Refiled, error) {
	a, err := d.AccountByID(n.keeper)
	if err != nil {
		return nil, err
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		return nil, err
	}
	return []store.Refiled{{Item: n.whole, Delivery: store.Delivery{Account: n.keeper, Mailbox: inbox.ID, Notice: true}}}, nil
}
