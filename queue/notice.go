package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"time"

	"golang.org/x/text/encoding/htmlindex"

	"homemail/dsn"
	"homemail/mail"
	"homemail/store"
)

const (
	maxHeader  = 256 << 10 // of a message, as the door takes it
	maxSubject = 1000      // octets that are decoded
)

// notice makes what is told about recipients of a message; nil if there is
// nobody to tell, which is logged.
func (q *Queue) notice(it *store.Item, t telling, list []*store.QueueRecipient) (*notice, error) {
	if t == silence {
		return nil, nil
	}
	account, to := it.Account, it.Envelope.From
	if to.IsNull() && it.Origin == store.Submitted || account == 0 { // nobody gets a bounce of a bounce, RFC 5321 §6.1
		q.log.Warn("a message can neither be sent nor returned", "id", it.Trace, "from", it.Envelope.From, "item", it.ID)
		var ok bool
		if account, ok = q.o.Postmaster(); !ok {
			return nil, nil
		}
		to = ""
	}
	p, err := q.disk.profile(account)
	if errors.Is(err, store.ErrNotFound) {
		q.log.Warn("the account that should be told is gone", "id", it.Trace, "account", account)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if it.Origin != store.Submitted || to.IsNull() { // not the stranger who wrote it: that would be backscatter
		to = p.Address
	}
	r, err := dsn.New(q.describe(it, t, list, to, p.Language))
	if err != nil { // trying again would not mend it
		q.log.Error("the sender cannot be told", "id", it.Trace, "err", err)
		return nil, nil
	}
	n := &notice{account: account, report: r}
	if t == failure && it.Origin == store.Forwarded && list[0].State != store.Removed {
		n.whole, n.keeper, err = q.onlyHere(it, account)
	}
	return n, err
}

// onlyHere returns a forwarded message and who is to have it, if it was not
// filed in a mailbox when it came: the account that forwards keeps no copies, or
// an alias led outside. What the far end has refused would be lost.
func (q *Queue) onlyHere(it *store.Item, told mail.AccountID) (mail.ItemID, mail.AccountID, error) {
	if it.Account == 0 {
		return it.ID, told, nil
	}
	p, err := q.disk.profile(it.Account)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return it.ID, told, nil
	case err != nil:
		return 0, 0, err
	case !p.ForwardOnly && bytes.Contains(it.Prefix, []byte("Delivered-To: "+p.Address.Wire()+"\r\n")):
		return 0, 0, nil
	}
	return it.ID, it.Account, nil
}

// describe collects what a DSN says.
func (q *Queue) describe(it *store.Item, t telling, list []*store.QueueRecipient, to mail.Path, language string) dsn.Report {
	now := time.Now()
	r := dsn.Report{
		Kind: t.kind(), Host: q.o.Host, ID: fmt.Sprintf("%s-%d-%d", it.Trace, it.ID, list[0].N), Language: language, To: to,
		EnvelopeID: it.Envelope.EnvelopeID, Arrived: it.Queued, Return: it.Envelope.Return, Size: it.Size(), EightBit: true, Now: now,
	}
	if it.Origin != store.Submitted {
		r.EnvelopeID, r.Return = "", "HDRS" // were the stranger's to ask for; who forwards has a copy, see onlyHere
	}
	if s, err := it.Structure(); err == nil {
		size := min(int64(len(it.Prefix))+s.Root.BodyAt, maxHeader)
		r.Header, _ = io.ReadAll(io.LimitReader(q.disk.open(it), size)) // what can be read of it
		r.Subject = subject(s.Envelope.Subject)
	}
	if t == failure {
		r.Message = q.disk.open(it)
	}
	for _, rc := range list {
		d := dsn.Recipient{Path: rc.Path, Original: rc.Original, Tries: rc.Tries, LastTry: rc.Last}
		if n := len(rc.Attempts); n > 0 {
			d.Outcome = rc.Attempts[n-1].Outcome
		}
		if t == delay {
			d.WillRetryUntil = now.Add(max(q.o.GiveUp-rc.Age, 0))
		}
		r.Recipients = append(r.Recipients, d)
	}
	return r
}

// subject decodes a Subject, RFC 2047; as it is if that cannot be done.
func subject(s string) string {
	s = s[:min(len(s), maxSubject)]
	words := mime.WordDecoder{CharsetReader: func(charset string, in io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(in), nil
	}}
	decoded, err := words.DecodeHeader(s)
	if err != nil {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(decoded), []byte("\ufffd")))
}
