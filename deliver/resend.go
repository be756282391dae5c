package deliver

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

// When the connection breaks after a commit and before the client has our 250,
// the client must send the message again (RFC 1047). What was stored that way
// is remembered, so that the very same message from the same network is not
// stored twice. Only messages with a Message-ID count: two alarms of a machine
// that writes none are two alarms. The memory is lost when the program ends;
// then there may be a duplicate, never a loss.
const (
	resendFor  = 5 * 24 * time.Hour // RFC 5321 §4.5.4.1: so long do clients try
	resendsMax = 1000
)

type digest [sha256.Size]byte

// resends are the messages that their senders may not know to be stored.
type resends struct {
	mu   sync.Mutex
	sent map[digest]sent
}

type sent struct {
	id string
	at time.Time
}

// any reports whether there is anything to compare with.
func (r *resends) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent) > 0
}

// take returns the id of a message and forgets it.
func (r *resends) take(d digest) (id string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sent[d]
	delete(r.sent, d)
	return s.id, ok && time.Since(s.at) < resendFor
}

// put remembers a message, forgetting what is too old, or else the oldest.
func (r *resends) put(d digest, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var oldest digest
	first := now
	for k, s := range r.sent {
		if now.Sub(s.at) >= resendFor {
			delete(r.sent, k)
		} else if !s.at.After(first) {
			oldest, first = k, s.at
		}
	}
	if len(r.sent) >= resendsMax {
		delete(r.sent, oldest)
	}
	r.sent[d] = sent{id, now}
}

// A resend is what tells a message that was committed from all others.
type resend struct {
	envelope digest
	id       string
	sum      digest // of its bytes
}

// newResend returns nil for a message that is never taken for another.
func newResend(e mail.Envelope, tr mail.Trace, s *message.Structure) *resend {
	if s.Envelope.MessageID == "" {
		return nil
	}
	to := make([]string, len(e.To))
	for i, r := range e.To {
		to[i] = string(r.Path.Key())
	}
	slices.Sort(to)
	b := append([]byte(network(tr.Remote)), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(tr.Account))
	b = append(append(b, e.From...), 0)
	b = append(b, strings.Join(to, "\x00")...)
	return &resend{envelope: sha256.Sum256(b), id: tr.ID}
}

// network is where a client comes from: it may send again from a neighbour.
func network(a netip.Addr) string {
	bits := 24
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

func (r *resend) key() digest { return sha256.Sum256(append(r.envelope[:], r.sum[:]...)) }

// again reports whether the message was stored before, and as what.
func (t *Transaction) again() (id string, ok bool) {
	if t.resend == nil || t.sum == nil {
		return "", false
	}
	t.sum.Sum(t.resend.sum[:0])
	if id, ok = t.a.resends.take(t.resend.key()); ok {
		t.resend.id = id // should this 250 be lost as well
		t.a.count.resends.Add(1)
	}
	return id, ok
}

// Unconfirmed says that the connection was lost after the commit, before the
// client has shown that it knows of it.
func (t *Transaction) Unconfirmed() {
	r := t.resend
	if r == nil {
		return
	}
	t.a.resends.put(r.key(), r.id)
}
