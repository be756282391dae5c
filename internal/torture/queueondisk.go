package torture

import (
	"errors"
	"slices"
	"time"

	"homemail/mail"
	"homemail/store"
)

// queue does an operation on the queue or on notes.
func (d *StoreDriver) queue(op *Op, body []byte) (r Result, err error) {
	switch op.Kind {
	case Sweep:
		return r, d.Store.SweepQueue(time.UnixMilli(op.At))
	case Hold, Release, Remove:
		return r, d.owner(op)
	}
	var b store.Batch
	if b.Copies, err = d.deliveries(op); err != nil {
		return r, err
	}
	switch op.Kind {
	case Enqueue:
		err = d.outgoing(op, &b)
	case Settle:
		err = d.settled(op, &b)
	case Fetch:
		b.Unless, b.State = op.Name, map[string][]byte{op.Name: []byte(op.Prefix)}
	case Forget:
		b.State = map[string][]byte{op.Name: nil}
	}
	if err != nil {
		return r, err
	}
	var sp *store.Spool
	if op.SHA != "" {
		if sp, err = d.spool(body); err != nil {
			return r, err
		}
		defer sp.Discard()
	}
	c, err := d.Store.Commit(sp, b)
	r = placedIn(op, c.Placed)
	if len(c.Items) == 1 {
		r.Item = uint32(c.Items[0])
	}
	return r, err
}

func (d *StoreDriver) outgoing(op *Op, b *store.Batch) error {
	a, err := d.Store.Account(mail.Path(op.Box.Account))
	if err != nil {
		return err
	}
	o := store.Outgoing{Origin: store.Submitted, Account: a.ID, Trace: op.Name, Prefix: []byte(op.Prefix), Hold: op.Rcpts[0].Hold}
	o.Envelope.From = mail.Path(op.Box.Account)
	for _, r := range op.Rcpts {
		o.Envelope.To = append(o.Envelope.To, mail.Recipient{Path: mail.Path(r.Path)})
	}
	b.Queue = []store.Outgoing{o}
	return nil
}

// settled takes recipients to where they stand, even those that are forgotten.
func (d *StoreDriver) settled(op *Op, b *store.Batch) error {
	_, list, err := d.Store.Item(mail.ItemID(op.Item))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for _, want := range op.Rcpts {
		r := &store.QueueRecipient{Item: mail.ItemID(op.Item), N: want.N, Recipient: mail.Recipient{Path: mail.Path(want.Path)}}
		if i := slices.IndexFunc(list, func(r *store.QueueRecipient) bool { return r.N == want.N }); i >= 0 {
			r = list[i]
		}
		r.State, r.Due, r.Tries, r.Ended = store.RecipientState(want.State), time.UnixMilli(want.Due), want.Tries, time.Time{}
		if want.Ended != 0 {
			r.Ended = time.UnixMilli(want.Ended)
		}
		r.Attempts = append(r.Attempts, store.Attempt{At: time.UnixMilli(op.At), Outcome: mail.Outcome{Fate: mail.Temporary, Reply: mail.Reply{Code: 451, Text: "tortured"}}})
		b.Settle = append(b.Settle, r)
	}
	for i := range b.Copies {
		b.Copies[i].Notice = true
	}
	return nil
}

// owner does what the owner may.
func (d *StoreDriver) owner(op *Op) error {
	_, err := d.Store.ChangeRecipients([]mail.ItemID{mail.ItemID(op.Item)}, func(r *store.QueueRecipient) {
		switch op.Kind {
		case Hold:
			r.Hold = op.Name
		case Release:
			r.Hold, r.Due = "", time.UnixMilli(op.At)
		case Remove:
			r.State, r.Ended = store.Removed, time.UnixMilli(op.At)
		}
	})
	return err
}

// readQueue reads the queue, its schedule and the notes.
func (st *State) readQueue(s *store.Store, find func(string, ...any)) {
	type place struct {
		item mail.ItemID
		n    uint32
	}
	due := map[place]int64{} // who has to be in the schedule
	err := s.Items(true, func(it *store.Item, to []*store.QueueRecipient) bool {
		x := ItemNow{ID: uint32(it.ID), Trace: it.Trace}
		for _, r := range to {
			x.To = append(x.To, rcptNow(r))
			if r.State == store.Queued && r.Hold == "" {
				due[place{r.Item, r.N}] = r.Due.UnixMilli()
			}
		}
		if x.waits() {
			x.read(s, it, find)
		}
		st.Queue = append(st.Queue, x)
		return true
	})
	if err != nil {
		find("queue: %v", err)
	}
	heads, err := s.QueueHeads()
	if err != nil {
		find("queue: %v", err)
	}
	for _, h := range heads {
		var after store.Place
		for {
			list, err := s.QueueDue(h.Domain, after, 100)
			if err != nil {
				find("queue: %s: %v", h.Domain, err)
			}
			for _, p := range list {
				if at, ok := due[place{p.Item, p.N}]; !ok || at != p.Due.UnixMilli() {
					find("queue: the schedule has recipient %d of item %d at %v", p.N, p.Item, p.Due)
				}
				delete(due, place{p.Item, p.N})
				after = p
			}
			if len(list) < 100 {
				break
			}
		}
	}
	for p := range due {
		find("queue: recipient %d of item %d is not in the schedule", p.n, p.item)
	}
	st.Notes = map[string]string{}
	err = s.States(notePrefix, func(path string, v []byte) bool {
		st.Notes[path] = string(v)
		return true
	})
	if err != nil {
		find("notes: %v", err)
	}
}

func rcptNow(r *store.QueueRecipient) Rcpt {
	x := Rcpt{N: r.N, Path: string(r.Path), State: string(r.State), Hold: r.Hold, Due: r.Due.UnixMilli(), Tries: r.Tries}
	if !r.Ended.IsZero() {
		x.Ended = r.Ended.UnixMilli()
	}
	return x
}

// read reads the bytes of an item.
func (it *ItemNow) read(s *store.Store, from *store.Item, find func(string, ...any)) {
	m := MessageNow{}
	if err := m.read(s.ItemBody(from)); err != nil {
		it.Err = err.Error()
		if !errors.Is(err, store.ErrNotFound) { // that would be silence
			find("queue: item %d: %v", it.ID, err)
		}
	}
	it.SHA, it.Prefix, it.size = m.SHA, m.Prefix, m.size
}
