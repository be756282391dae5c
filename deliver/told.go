package deliver

import (
	"homemail/mail"
	"homemail/mail/message"
	"homemail/store"
)

// A Story is what became of a message at its commit, for who keeps a record.
type Story struct {
	Envelope  mail.Envelope
	Trace     mail.Trace
	Structure *message.Structure
	Size      int64
	By        mail.AccountID // who signed in to send it, 0 for a stranger
	Junk      bool
	Filed     []Filed
	Forwarded []Forwarded // what leaves the house of a stranger's message
	Hold      string      // why what was submitted has to wait; "" if it does not
}

// A Filed is a copy in a mailbox.
type Filed struct {
	Account mail.AccountID
	Address mail.Path // through which the account was reached
	Mailbox string
	Placed  store.Placed
}

// A Forwarded is an address outside that the message goes to.
type Forwarded struct {
	Account mail.AccountID // that forwards; 0 if an alias does
	Via, To mail.Path
}

// tell tells the story of a message that is on disk.
func (t *Transaction) tell(e mail.Envelope, tr mail.Trace, s *message.Structure, junk bool, placed []store.Placed) {
	if t.a.o.Told == nil {
		return
	}
	story := Story{Envelope: e, Trace: tr, Structure: s, By: t.by, Junk: junk, Hold: t.held}
	if t.sp != nil {
		story.Size = t.sp.Size()
	}
	for i, to := range t.kept(junk) {
		story.Filed = append(story.Filed, Filed{to.id, to.address, mailboxName(to, junk), placed[i]})
	}
	if t.by == 0 && !junk {
		for _, d := range t.away {
			story.Forwarded = append(story.Forwarded, Forwarded{d.owner, d.via, d.outside})
		}
	}
	t.a.o.Told(story)
}

func mailboxName(to target, junk bool) string {
	switch {
	case junk:
		return "Junk"
	case to.mailbox == to.who.inbox:
		return "INBOX"
	}
	m, err := to.who.account.MailboxByID(to.mailbox)
	if err != nil {
		return "INBOX" // it went away, and all went to the inbox
	}
	return m.Name
}
