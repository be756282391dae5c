package deliver

import (
	"slices"
	"strings"

	"homemail/mail"
	"homemail/mail/message"
)

// A Confirmation says that a message is in mailboxes here, to whoever sent it
// and asked to be told, RFC 3461 §4.1.
type Confirmation struct {
	By        mail.AccountID // who signed in to send it
	Envelope  mail.Envelope
	ID        string // the trace's
	Structure *message.Structure
	To        []Confirmed
}

// A Confirmed is a recipient of the envelope whose mail is here, or an alias
// whose members got it, some of them perhaps outside, RFC 3461 §5.2.7.
type Confirmed struct {
	mail.Recipient
	Expanded bool
}

// confirm tells who signed in about recipients with NOTIFY=SUCCESS. Strangers
// are told nothing: anyone can write any reverse-path. What leaves the house is
// the queue's to tell of.
func (t *Transaction) confirm(e mail.Envelope, id string, s *message.Structure) {
	if t.by == 0 || e.From.IsNull() || t.a.o.Confirm == nil {
		return
	}
	var list []Confirmed
	for _, r := range e.To {
		if !slices.ContainsFunc(r.Notify, func(n string) bool { return strings.EqualFold(n, "SUCCESS") }) {
			continue
		}
		here, away := 0, 0
		for _, to := range t.targets {
			if !to.only && to.address.Key() == r.Path.Key() {
				here++
			}
		}
		for _, d := range t.away {
			if d.via.Key() == r.Path.Key() {
				away++
			}
		}
		if here > 0 {
			list = append(list, Confirmed{r, here+away > 1})
		}
	}
	if list != nil {
		t.a.o.Confirm(Confirmation{By: t.by, Envelope: e, ID: id, Structure: s, To: list})
	}
}
