package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

// An Origin says why a message leaves the house.
type Origin string

// The origins.
const (
	Submitted Origin = "submitted" // somebody of ours wrote it
	Forwarded Origin = "forwarded" // it came in, and an address leads outside
)

// An Outgoing is a message that is to be queued: the bytes of a Spool, or with
// its own Prefix the same bytes for others.
type Outgoing struct {
	Origin   Origin
	Account  mail.AccountID // whose message or forward it is
	Trace    string         // the id that was told when it came in
	Envelope mail.Envelope
	Prefix   []byte // header lines before the stored bytes, each ending in CRLF
	Hold     string // why it is not to be sent yet; "" sends it
}

// An Item is a message of the queue, as it was taken. It never changes.
type Item struct {
	ID       mail.ItemID    `json:"-"`
	Origin   Origin         `json:"origin"`
	Account  mail.AccountID `json:"account"`
	Trace    string         `json:"trace"`
	Envelope mail.Envelope  `json:"envelope"` // without recipients
	Queued   time.Time      `json:"queued"`
	Count    uint32         `json:"count"` // of recipients
	Blob     mail.BlobID    `json:"blob"`
	Hash     []byte         `json:"hash"`
	BlobSize int64          `json:"size"`
	Prefix   []byte         `json:"-"`

	structure []byte
}

// Size is how many bytes leave.
func (it *Item) Size() int64 { return int64(len(it.Prefix)) + it.BlobSize }

// Structure tells what the message looks like. Its offsets count from the
// blob's first byte.
func (it *Item) Structure() (*message.Structure, error) {
	s, err := message.Decode(it.structure)
	if err != nil {
		return nil, fmt.Errorf("%w: structure of queue item %d: %w", ErrCorrupt, it.ID, err)
	}
	return s, nil
}

// An Attempt is one try to hand a message on to a recipient.
type Attempt struct {
	At time.Time `json:"at"`
	mail.Outcome
}

// attemptsMax is how many attempts are kept of a recipient: more than five
// days of the usual schedule.
const attemptsMax = 60

// A RecipientState is where a recipient of the queue stands.
type RecipientState string

// The states. All but Queued are for good.
const (
	Queued  RecipientState = "queued"
	Relayed RecipientState = "relayed"
	Failed  RecipientState = "failed"  // refused for good
	Expired RecipientState = "expired" // not to be had for too long
	Removed RecipientState = "removed" // taken out by the owner
)

// A QueueRecipient is a recipient of an Item.
type QueueRecipient struct {
	Item           mail.ItemID    `json:"-"`
	N              uint32         `json:"-"` // among the recipients of the item
	mail.Recipient                // who
	State          RecipientState `json:"state"`
	Hold           string         `json:"hold,omitempty"` // why it waits for the owner; "" if it does not
	Due            time.Time      `json:"due"`
	Tries          int            `json:"tries"`
	Age            time.Duration  `json:"age"`            // time spent waiting, see clock.Step
	Last           time.Time      `json:"last,omitzero"`  // the last try, or when it was queued
	Delayed        bool           `json:"delayed"`        // the sender was told of the delay
	Attempts       []Attempt      `json:"attempts"`       // the newest last
	Ended          time.Time      `json:"ended,omitzero"` // when State became final
}

// domainHash is the place of a domain in the schedule.
type domainHash [8]byte

func hashDomain(domain string) (h domainHash) {
	sum := sha256.Sum256([]byte(domain))
	copy(h[:], sum[:])
	return h
}

func dueKey(r *QueueRecipient) key {
	h := hashDomain(r.Path.Domain())
	return append(k(tDue), h[:]...).u64(uint64(max(r.Due.UnixMilli(), 0))).item(r.Item).u32(r.N)
}

func (it *Item) encode() ([]byte, error) {
	b, err := json.Marshal(it)
	e := encoder{recordVersion}
	e.bytes(b)
	e.bytes(it.Prefix)
	e.bytes(it.structure)
	return e, err
}

func decodeItem(id mail.ItemID, v []byte) (*Item, error) {
	if len(v) < 1 || v[0] != recordVersion {
		return nil, wrong("queue item %d", id)
	}
	d := decoder{rest: v[1:]}
	it := &Item{}
	if err := json.Unmarshal(d.bytes(), it); err != nil {
		return nil, wrong("queue item %d: %v", id, err)
	}
	it.ID, it.Prefix, it.structure = id, d.bytes(), d.bytes()
	if len(it.Hash) != sha256.Size {
		return nil, wrong("queue item %d", id)
	}
	return it, d.err
}

func getItem(r reader, id mail.ItemID) (*Item, error) {
	v, err := r.get(itemKey(id))
	if err != nil {
		return nil, fmt.Errorf("queue item %d: %w", id, err)
	}
	return decodeItem(id, v)
}

func decodeRecipient(key, v []byte) (*QueueRecipient, error) {
	p := parse(key)
	r := &QueueRecipient{}
	if err := json.Unmarshal(v, r); err != nil {
		return nil, wrong("recipient %x of the queue: %v", key, err)
	}
	r.Item, r.N = mail.ItemID(p.u32()), p.u32()
	if !p.ok {
		return nil, wrong("recipient %x of the queue", key)
	}
	return r, nil
}

// putRecipient writes a recipient's row and its place in the schedule. The
// caller has removed the old ones.
func (t *tx) putRecipient(r *QueueRecipient) error {
	if n := len(r.Attempts) - attemptsMax; n > 0 {
		r.Attempts = r.Attempts[n:]
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if r.State != Queued {
		t.put(doneKey(r.Item, r.N), b)
		return nil
	}
	t.put(pendingKey(r.Item, r.N), b)
	if r.Hold == "" {
		t.put(dueKey(r), []byte(r.Path.Domain()))
	}
	return nil
}

// enqueue puts a message with the given blob into the queue.
func (t *tx) enqueue(m Message, o Outgoing, now time.Time) (mail.ItemID, error) {
	n, err := t.next("item")
	if err != nil {
		return 0, err
	}
	it := &Item{
		ID: mail.ItemID(n), Origin: o.Origin, Account: o.Account, Trace: o.Trace, Envelope: o.Envelope,
		Queued: now, Count: uint32(len(o.Envelope.To)), Blob: m.Blob, Hash: m.Hash[:], BlobSize: m.BlobSize, Prefix: o.Prefix, structure: m.structure,
	}
	it.Envelope.To = nil
	b, err := it.encode()
	if err != nil {
		return 0, err
	}
	t.put(itemKey(it.ID), b)
	t.put(itemReference(it), nil)
	for i, to := range o.Envelope.To {
		r := &QueueRecipient{Item: it.ID, N: uint32(i), Recipient: to, State: Queued, Hold: o.Hold, Due: now, Last: now}
		if err := t.putRecipient(r); err != nil {
			return 0, err
		}
	}
	t.tell(watchKey{mailbox: queueMailbox})
	return it.ID, nil
}

// queueMailbox stands for the queue among what can be watched.
const queueMailbox = 1

// itemReference is the item's claim on its blob: that of a message in a mailbox
// that is nobody's.
func itemReference(it *Item) key { return referenceKey(it.Blob, 0, 0, mail.UID(it.ID)) }

// settle writes what became of a recipient. One that is not queued any more is
// left alone.
func (t *tx) settle(r *QueueRecipient) error {
	key := pendingKey(r.Item, r.N)
	v, err := t.get(key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := decodeRecipient(key, v)
	if err != nil {
		return err
	}
	t.del(dueKey(old))
	if r.State != Queued {
		t.del(key)
	}
	if err := t.putRecipient(r); err != nil || r.State == Queued {
		return err
	}
	return t.endItem(r.Item)
}

// endItem gives up an item's bytes when nobody waits for them any more.
func (t *tx) endItem(id mail.ItemID) error {
	it, err := getItem(t, id)
	if err != nil {
		return err
	}
	for n := range it.Count {
		if waiting, err := t.has(pendingKey(id, n)); err != nil || waiting {
			return err
		}
	}
	t.del(itemReference(it))
	return t.dropUnreferenced(map[mail.BlobID]droppedBlob{it.Blob: {[32]byte(it.Hash), it.BlobSize}})
}

// A Head is a domain that mail waits for, and when the first of it is due.
type Head struct {
	Domain string
	Due    time.Time
}

// QueueHeads returns the domains that mail waits for, held mail aside.
func (s *Store) QueueHeads() (list []Head, err error) {
	err = s.view(func(r reader) error {
		from := []byte{tDue}
		for from != nil {
			at := from
			from = nil
			err := r.scan([]byte{tDue}, at, func(key, v []byte) (bool, error) {
				p := parse(key)
				h := p.u64()
				list = append(list, Head{Domain: string(v), Due: time.UnixMilli(int64(p.u64()))})
				if h < 1<<64-1 {
					from = k(tDue).u64(h + 1)
				}
				return false, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// QueueDue returns the first recipients of a domain by when they are due, at
// most n. Those that cannot be read are set aside, which is logged: one damaged
// row must not hold up what comes after it.
func (s *Store) QueueDue(domain string, n int) (list []*QueueRecipient, err error) {
	h := hashDomain(domain)
	var damaged [][]byte
	err = s.view(func(r reader) error {
		return r.keys(append(k(tDue), h[:]...), nil, func(key []byte) (bool, error) {
			rcpt, err := scheduled(r, key)
			switch {
			case errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound):
				s.log.Error("a recipient of the queue cannot be read and is set aside", "err", err)
				damaged = append(damaged, append([]byte{}, key...))
			case err != nil:
				return false, err
			default:
				list = append(list, rcpt)
			}
			return len(list) < n, nil
		})
	})
	if len(damaged) > 0 && err == nil {
		err = s.update(toShrink, func(t *tx) error {
			for _, key := range damaged {
				t.del(key)
			}
			return nil
		})
	}
	return list, err
}

// scheduled reads the recipient that a row of the schedule is about.
func scheduled(r reader, due []byte) (*QueueRecipient, error) {
	p := parse(due)
	p.u64()
	p.u64()
	id, n := mail.ItemID(p.u32()), p.u32()
	v, err := r.get(pendingKey(id, n))
	if err != nil {
		return nil, fmt.Errorf("recipient %d of queue item %d: %w", n, id, err)
	}
	return decodeRecipient(pendingKey(id, n), v)
}

// Item returns a message of the queue with its recipients, those that are done
// included.
func (s *Store) Item(id mail.ItemID) (it *Item, to []*QueueRecipient, err error) {
	err = s.view(func(r reader) error {
		if it, err = getItem(r, id); err != nil {
			return err
		}
		to, err = recipientsOf(r, id)
		return err
	})
	return it, to, err
}

func recipientsOf(r reader, id mail.ItemID) (list []*QueueRecipient, err error) {
	seen := make(map[uint32]bool)
	for _, table := range []byte{tDone, tPending} { // what is done counts, should both be there
		err := r.scan(k(table).item(id), nil, func(key, v []byte) (bool, error) {
			rcpt, err := decodeRecipient(key, v)
			if err == nil && !seen[rcpt.N] {
				seen[rcpt.N] = true
				list = append(list, rcpt)
			}
			return true, err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Items gives fn the messages of the queue, oldest first, until it returns
// false; with done also those that nobody waits for any more. Fn runs outside
// of any transaction.
func (s *Store) Items(done bool, fn func(*Item, []*QueueRecipient) bool) error {
	const batch = 64
	from := key{tItem}
	for {
		var ids []mail.ItemID
		err := s.view(func(r reader) error {
			return r.keys([]byte{tItem}, from, func(key []byte) (bool, error) {
				ids = append(ids, mail.ItemID(parse(key).u32()))
				return len(ids) < batch, nil
			})
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			it, to, err := s.Item(id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if (done || waits(to)) && !fn(it, to) {
				return nil
			}
		}
		last := ids[len(ids)-1]
		if last == 1<<32-1 {
			return nil
		}
		from = itemKey(last + 1)
	}
}

func waits(to []*QueueRecipient) bool {
	for _, r := range to {
		if r.State == Queued {
			return true
		}
	}
	return false
}

// ItemBody returns the bytes of a message of the queue.
func (s *Store) ItemBody(it *Item) *Body {
	return (&Account{s: s}).Body(&Message{UID: mail.UID(it.ID), Blob: it.Blob, BlobSize: it.BlobSize, Size: it.Size(), Prefix: it.Prefix})
}

// ChangeRecipients lets the owner change the recipients of an item that are
// still queued: their Due, their Hold, or their State.
func (s *Store) ChangeRecipients(id mail.ItemID, fn func(*QueueRecipient)) error {
	return s.update(toShrink, func(t *tx) error {
		if _, err := getItem(t, id); err != nil {
			return err
		}
		list, err := recipientsOf(t, id)
		if err != nil {
			return err
		}
		for _, r := range list {
			if r.State != Queued {
				continue
			}
			fn(r)
			if err := t.settle(r); err != nil {
				return err
			}
		}
		t.tell(watchKey{mailbox: queueMailbox})
		return nil
	})
}

// SweepQueue forgets recipients that were done before a moment, and items that
// have none left.
func (s *Store) SweepQueue(before time.Time) error {
	var old [][]byte
	err := s.view(func(r reader) error {
		return r.scan([]byte{tDone}, nil, func(key, v []byte) (bool, error) {
			rcpt, err := decodeRecipient(key, v)
			if err == nil && rcpt.Ended.Before(before) {
				old = append(old, append([]byte{}, key...))
			}
			return len(old) < sweepMax, nil // a damaged row stays, and a check tells
		})
	})
	if err != nil || len(old) == 0 {
		return err
	}
	return s.update(toShrink, func(t *tx) error {
		for _, key := range old {
			id := mail.ItemID(binary.BigEndian.Uint32(key[1:]))
			t.del(key)
			left, err := recipientsOf(t, id)
			if err != nil {
				return err
			}
			if len(left) == 0 {
				t.del(itemKey(id))
			}
		}
		return nil
	})
}

// sweepMax is how many rows one SweepQueue removes, in one commit.
const sweepMax = 10_000

// WatchQueue watches for messages that are new in the queue, or changed by the
// owner.
func (s *Store) WatchQueue() *Watch { return s.watchers.add(watchKey{mailbox: queueMailbox}) }
