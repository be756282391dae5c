package store

import (
	"errors"
	"fmt"
	"time"

	"homemail/mail"
)

// A Batch is what happens in one commit: a message is put into mailboxes and
// into the queue, recipients of the queue are settled, state is written. All of
// it or nothing.
type Batch struct {
	Copies []Delivery        // of the spooled message
	Queue  []Outgoing        // the spooled message leaves the house
	Refile []Refiled         // messages of the queue come into mailboxes
	Settle []*QueueRecipient // recipients as they are from now on
	State  map[string][]byte // paths and what is kept there; nil removes
	// Unless names a path of state: if something is there already the whole
	// batch fails with ErrExists. It makes doing a thing twice impossible.
	Unless string
}

// A Refiled is a message of the queue that is put into a mailbox, as it would
// have left: for whom nobody else has it.
type Refiled struct {
	Item mail.ItemID
	Delivery
}

// Committed tells where the message of a Batch is.
type Committed struct {
	Placed []Placed
	Items  []mail.ItemID
	Hash   [32]byte // SHA-256 of the spooled bytes
}

// Commit does a Batch: all of it is on disk when it returns, or nothing is. The
// spool may be nil if nothing is put anywhere. ErrOverQuota, ErrDiskFull,
// ErrNotFound, ErrExists.
func (s *Store) Commit(sp *Spool, b Batch) (c Committed, err error) {
	if sp == nil {
		if len(b.Copies)+len(b.Queue) > 0 {
			return c, fmt.Errorf("%w: a message without bytes", ErrInvalid)
		}
		return c, s.update(toShrink, func(t *tx) error { return t.batchRows(&b) })
	}
	m, damaged, err := s.finish(sp)
	if err != nil {
		return c, err
	}
	err = s.update(toGrow, func(t *tx) (err error) {
		c = Committed{Hash: m.Hash}
		if m.Blob, err = t.putBlob(sp, m.Hash, damaged); err != nil {
			return err
		}
		for _, d := range b.Copies {
			p, err := t.deliver(m, d)
			if err != nil {
				return err
			}
			c.Placed = append(c.Placed, p)
		}
		now := time.Now()
		for _, o := range b.Queue {
			id, err := t.enqueue(m, o, now)
			if err != nil {
				return err
			}
			c.Items = append(c.Items, id)
		}
		return t.batchRows(&b)
	})
	if err != nil {
		return Committed{}, err
	}
	sp.end()
	s.space.wrote(2 * sp.size)
	s.stats.messages.Add(int64(len(b.Copies)))
	s.stats.bytes.Add(sp.size)
	s.tellQueue(b.domains())
	return c, nil
}

// domains are those that the batch queues mail for.
func (b *Batch) domains() (list []string) {
	for _, o := range b.Queue {
		if o.Hold != "" {
			continue
		}
		for _, to := range o.Envelope.To {
			list = append(list, to.Path.Domain())
		}
	}
	return list
}

// Deliver puts a message into mailboxes: all in one commit, on disk when it
// returns, or none. ErrOverQuota, ErrDiskFull, ErrNotFound.
func (s *Store) Deliver(sp *Spool, list []Delivery) ([]Placed, error) {
	c, err := s.Commit(sp, Batch{Copies: list})
	return c.Placed, err
}

// finish ends a spool: what there is to know about its bytes.
func (s *Store) finish(sp *Spool) (m Message, damaged badChunks, err error) {
	if err := errors.Join(sp.err, sp.wait()); err != nil {
		sp.err = err
		return m, damaged, err
	}
	if sp.ended {
		return m, damaged, fmt.Errorf("%w: the message was delivered already", ErrInvalid)
	}
	if err := s.Room(sp.size); err != nil {
		return m, damaged, err
	}
	st := sp.Structure()
	m.structure = st.AppendBinary(nil)
	m.shown = newShown(st, sp.start())
	sp.hash.Sum(m.Hash[:0])
	m.BlobSize = sp.size
	return m, s.badChunks(m.Hash), nil
}

// batchRows does the part of a Batch that needs no message.
func (t *tx) batchRows(b *Batch) error {
	if b.Unless != "" {
		if there, err := t.has(stateKey(b.Unless)); err != nil || there {
			return errors.Join(err, fmt.Errorf("%s: %w", b.Unless, ErrExists))
		}
	}
	for _, r := range b.Refile { // before what settles it lets the bytes go
		if err := t.refile(r); err != nil {
			return err
		}
	}
	for _, r := range b.Settle {
		if err := t.settle(r); err != nil {
			return err
		}
	}
	for path, v := range b.State {
		t.putState(path, v)
	}
	return nil
}

func (t *tx) refile(r Refiled) error {
	it, err := getItem(t, r.Item)
	if err != nil {
		return err
	}
	r.Prefix = it.Prefix
	_, err = t.deliver(Message{Hash: [32]byte(it.Hash), Blob: it.Blob, BlobSize: it.BlobSize, structure: it.structure}, r.Delivery)
	return err
}
