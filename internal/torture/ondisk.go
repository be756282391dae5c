package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"homemail/mail"
	"homemail/store"
)

// A StoreDriver does operations on a store in this process.
type StoreDriver struct {
	Store *store.Store
	mu    sync.Mutex
	ids   map[uint32]place // by UIDVALIDITY
}

type place struct {
	a  *store.Account
	id mail.MailboxID
}

// find returns a mailbox as the store names it.
func (d *StoreDriver) find(b Box) (place, error) {
	d.mu.Lock()
	p, ok := d.ids[b.Validity]
	d.mu.Unlock()
	if ok {
		return p, nil
	}
	a, err := d.Store.Account(mail.Path(b.Account))
	if err != nil {
		return p, err
	}
	m, err := a.Mailbox(b.Name)
	if err != nil {
		return p, err
	}
	if m.UIDValidity != b.Validity {
		return p, fmt.Errorf("%s has UIDVALIDITY %d, not %d", b.Name, m.UIDValidity, b.Validity)
	}
	p = place{a, m.ID}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil {
		d.ids = make(map[uint32]place)
	}
	d.ids[b.Validity] = p
	return p, nil
}

// Do does an operation.
func (d *StoreDriver) Do(op *Op, body []byte) (r Result, err error) {
	switch op.Kind {
	case Deliver, Append:
		r, err = d.put(op, body)
	case Create, Rename, Delete, Profile:
		r, err = d.account(op)
	case Enqueue, Settle, Hold, Release, Remove, Sweep, Fetch, Forget:
		r, err = d.queue(op, body)
	case Maintain:
		err = d.Store.Maintain(context.Background())
	default:
		r, err = d.change(op)
	}
	for _, refusal := range []error{store.ErrDiskFull, store.ErrOverQuota, store.ErrNotFound, store.ErrExists, store.ErrInvalid} {
		if errors.Is(err, refusal) && !errors.Is(err, store.ErrBroken) {
			return r, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return r, err
}

func (d *StoreDriver) put(op *Op, body []byte) (r Result, err error) {
	list, err := d.deliveries(op)
	if err != nil {
		return r, err
	}
	sp, err := d.spool(body)
	if err != nil {
		return r, err
	}
	defer sp.Discard()
	placed, err := d.Store.Deliver(sp, list)
	return placedIn(op, placed), err
}

// deliveries are the copies that an operation makes.
func (d *StoreDriver) deliveries(op *Op) (list []store.Delivery, err error) {
	flags, keywords := splitFlags(op.Flags)
	for _, b := range op.To {
		p, err := d.find(b)
		if err != nil {
			return nil, err
		}
		list = append(list, store.Delivery{Account: p.a.ID, Mailbox: p.id, Flags: flags, Keywords: keywords, Prefix: []byte(op.Prefix)})
	}
	return list, nil
}

func (d *StoreDriver) spool(body []byte) (*store.Spool, error) {
	sp := d.Store.NewSpool()
	for part := range slices.Chunk(body, 32<<10) {
		if _, err := sp.Write(part); err != nil {
			sp.Discard()
			return nil, err
		}
	}
	return sp, nil
}

func placedIn(op *Op, placed []store.Placed) (r Result) {
	for i, p := range placed {
		r.Placed = append(r.Placed, Placed{Box: op.To[i], UID: uint32(p.UID), ModSeq: uint64(p.ModSeq)})
	}
	return r
}

func (d *StoreDriver) account(op *Op) (r Result, err error) {
	a, err := d.Store.Account(mail.Path(op.Box.Account))
	if err != nil {
		return r, err
	}
	switch op.Kind {
	case Create:
		m, err := a.Create(op.Name, mail.NoUse)
		r.Box = Box{Account: op.Box.Account, Validity: m.UIDValidity, Name: m.Name}
		return r, err
	case Rename:
		return r, a.Rename(op.Box.Name, op.Name)
	case Delete:
		return r, a.Delete(op.Box.Name)
	}
	return r, a.Update(func(p *store.Profile) error {
		p.Devices = slices.DeleteFunc(p.Devices, func(v store.Device) bool { return v.ID == fmt.Sprint(op.Worker) })
		p.Devices = append(p.Devices, store.Device{ID: fmt.Sprint(op.Worker), Name: op.Name})
		return nil
	})
}

func (d *StoreDriver) change(op *Op) (r Result, err error) {
	from, err := d.find(op.Box)
	if err != nil {
		return r, err
	}
	uids := make([]mail.UID, len(op.UIDs))
	for i, u := range op.UIDs {
		uids[i] = mail.UID(u)
	}
	switch op.Kind {
	case Expunge:
		gone, err := from.a.Expunge(from.id, uids)
		for _, u := range gone {
			r.Gone = append(r.Gone, uint32(u))
		}
		return r, err
	case Copy, Move:
		to, err := d.find(op.To[0])
		if err != nil {
			return r, err
		}
		do := from.a.Copy
		if op.Kind == Move {
			do = from.a.Move
		}
		pairs, err := do(from.id, uids, to.id)
		for _, p := range pairs {
			r.Placed = append(r.Placed, Placed{Box: op.To[0], From: uint32(p.From), UID: uint32(p.To)})
		}
		return r, err
	}
	c := store.FlagChange{Mode: map[string]store.FlagMode{SetFlags: store.SetFlags, AddFlags: store.AddFlags, DelFlags: store.RemoveFlags}[op.Kind]}
	c.Flags, c.Keywords = splitFlags(op.Flags)
	changed, _, err := from.a.StoreFlags(from.id, uids, c)
	for _, e := range changed {
		r.Changed = append(r.Changed, Placed{UID: uint32(e.UID), ModSeq: uint64(e.ModSeq)})
	}
	return r, err
}

func splitFlags(names []string) (f mail.Flags, keywords []string) {
	for _, n := range names {
		if bit, ok := mail.ParseFlag(n); ok {
			f |= bit
		} else {
			keywords = append(keywords, n)
		}
	}
	return f, keywords
}
