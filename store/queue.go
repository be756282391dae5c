package store

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	Bounced   Origin = "bounced"   // what was forwarded came back, and goes to its sender
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
	// Untried says that it was not made: the Outcome is that of another message
	// shortly before, which would have been this one's too.
	Untried bool `json:"untried,omitempty"`
}

// attemptsMax is how many attempts are kept of a recipient: more than five
// days of the usual schedule.
const attemptsMax = 60

// Of all but the newest attempts so many bytes of a server's words are kept: a
// row is written at each try, and a server may say a lot.
const (
	attemptsWhole = 3
	attemptText   = 200
)

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
	N              uint32         `json:"-"`              // among the recipients of the item
	From           mail.Path      `json:"from,omitempty"` // the reverse-path, if it is one of ours
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

// A Place is where a recipient stands in the schedule of its domain. Places are
// ordered by Due, Item and N.
type Place struct {
	Due   time.Time // in milliseconds
	Item  mail.ItemID
	N     uint32
	Tries int       // as in QueueRecipient, at most PlaceTries
	From  mail.Path // as in QueueRecipient
}

// PlaceTries is how far a Place counts: it has a byte for it.
const PlaceTries = 255

func (p Place) key(domain string) key {
	h := hashDomain(domain)
	return append(k(tDue), h[:]...).u64(uint64(max(p.Due.UnixMilli(), 0))).item(p.Item).u32(p.N)
}

func dueKey(r *QueueRecipient) key {
	return Place{Due: r.Due, Item: r.Item, N: r.N}.key(r.Path.Domain())
}

// dueRow is what the schedule says beside the key: enough to choose a next hop
// without reading the recipient.
func dueRow(r *QueueRecipient) []byte {
	row := append([]byte{byte(min(r.Tries, PlaceTries))}, r.Path.Domain()...)
	if r.From != "" {
		row = append(append(row, 0), r.From...)
	}
	return row
}

func decodePlace(key, v []byte) (domain string, p Place, err error) {
	r := parse(key)
	r.u64()
	p.Due, p.Item, p.N = time.UnixMilli(int64(r.u64())), mail.ItemID(r.u32()), r.u32()
	if !r.ok || len(v) < 1 {
		return "", p, wrong("place %x of the queue's schedule", key)
	}
	p.Tries = int(v[0])
	domain, from, _ := strings.Cut(string(v[1:]), "\x00")
	p.From = mail.Path(from)
	return domain, p, nil
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
	for i := range len(r.Attempts) - attemptsWhole {
		if t := &r.Attempts[i].Reply.Text; len(*t) > attemptText {
			*t = strings.ToValidUTF8((*t)[:attemptText], "") + "..."
		}
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
		t.put(dueKey(r), dueRow(r))
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
		if o.Origin == Submitted {
			r.From = o.Envelope.From
		}
		if err := t.putRecipient(r); err != nil {
			return 0, err
		}
	}
	return it.ID, nil
}

// itemReference is the item's claim on its blob: that of a message in a mailbox
// that is nobody's.
func itemReference(it *Item) key { return referenceKey(it.Blob, 0, 0, mail.UID(it.ID)) }

// settle writes what became of a recipient. One that is not queued any more is
// left alone.
func (t *tx) settle(r *QueueRecipient) error {
	old, err := t.takePending(r.Item, r.N)
	if old == nil {
		return err
	}
	if r.State == Queued {
		r.Hold = old.Hold // the owner may have changed it during the attempt
	}
	return t.putSettled(r)
}

// takePending removes a recipient that is queued and its place in the
// schedule, and returns it; nil if there is none.
func (t *tx) takePending(id mail.ItemID, n uint32) (*QueueRecipient, error) {
	key := pendingKey(id, n)
	v, err := t.get(key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	old := &QueueRecipient{}
	if err == nil {
		old, err = decodeRecipient(key, v)
	}
	switch {
	case errors.Is(err, ErrCorrupt): // damaged since it was read: what is known now is better
		t.store.log.Error("a recipient of the queue is written anew", "err", err)
		old = &QueueRecipient{Item: id, N: n}
	case err != nil:
		return nil, err
	default:
		t.del(dueKey(old))
	}
	t.del(key)
	return old, nil
}

func (t *tx) putSettled(r *QueueRecipient) error {
	if err := t.putRecipient(r); err != nil || r.State == Queued {
		return err
	}
	return t.endItem(r.Item)
}

// endItem gives up an item's bytes when nobody waits for them any more. A
// recipient that cannot be read waits: it may be mended.
func (t *tx) endItem(id mail.ItemID) error {
	it, err := getItem(t, id)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
		t.store.log.Error("a message of the queue cannot be let go", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	for n := range it.Count {
		waiting, err := t.has(pendingKey(id, n))
		if waiting || errors.Is(err, ErrCorrupt) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	t.del(itemReference(it))
	return t.dropUnreferenced(map[mail.BlobID]droppedBlob{it.Blob: {[32]byte(it.Hash), it.BlobSize}})
}
