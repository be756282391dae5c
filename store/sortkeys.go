package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"homemail/mail"
	"homemail/mail/message"
	texts "homemail/mail/text"
)

// SortKeys are what SORT compares, RFC 5256 §3 and RFC 5957, what THREAD links
// by, and the preview. Texts are folded. Those that Account.SortKeys passes are
// valid during the call.
type SortKeys struct {
	UID         mail.UID
	Sent        time.Time // the Date field, in its zone; the internal date if it makes no sense
	Dated       bool      // the Date field made sense
	Subject     []byte    // the base subject
	Reply       bool      // the subject was that of a reply or forward
	From        []byte    // local part of the first address
	To          []byte
	Cc          []byte
	DisplayFrom []byte   // name of the first address, or the address
	DisplayTo   []byte   //
	ID          uint64   // hash of the Message-ID; 0 if there is none
	References  []uint64 // hashes of References or In-Reply-To, the oldest first
	Preview     []byte   // RFC 8970; not folded
}

// Bounds of what is kept of a message to sort by.
const (
	subjectKey     = 200 // bytes
	addressKey     = 64
	referencesKept = 32 // the first and the newest
)

// keysOf makes the keys of an envelope.
func keysOf(e *message.Envelope) *SortKeys {
	k := &SortKeys{ID: messageID(e.MessageID)}
	k.Sent, k.Dated = e.Time, !e.Time.IsZero()
	base, reply := texts.BaseSubject(texts.Words(e.Subject))
	k.Subject, k.Reply = foldedKey(base, subjectKey), reply
	k.From, k.DisplayFrom = addressKeys(e.From)
	k.To, k.DisplayTo = addressKeys(e.To)
	k.Cc, _ = addressKeys(e.Cc)
	for _, id := range e.References {
		if h := messageID(id); h != 0 {
			k.References = append(k.References, h)
		}
	}
	if up := messageID(e.InReplyTo); len(k.References) == 0 && up != 0 {
		k.References = []uint64{up}
	}
	if n := len(k.References); n > referencesKept {
		k.References = slices.Delete(k.References, 1, 1+n-referencesKept)
	}
	return k
}

// foldedKey folds and shortens what is compared.
func foldedKey(s string, most int) []byte {
	b := texts.Fold(nil, []byte(s[:min(len(s), 4*most)]))
	return b[:min(len(b), most)]
}

func addressKeys(list []message.Address) (local, display []byte) {
	if len(list) == 0 {
		return nil, nil
	}
	a := list[0]
	name := texts.Words(a.Name)
	if name == "" && a.Host != "" {
		name = a.Mailbox + "@" + a.Host
	}
	return foldedKey(a.Mailbox, addressKey), foldedKey(name, addressKey)
}

func (k *SortKeys) encode() []byte {
	e := make(encoder, 0, 512)
	e = append(e, shownVersion)
	_, offset := k.Sent.Zone()
	e.int(k.Sent.Unix())
	e.int(int64(offset / 60))
	e.bool(k.Dated)
	e.bool(k.Reply)
	for _, b := range [][]byte{k.Subject, k.From, k.To, k.Cc, k.DisplayFrom, k.DisplayTo, k.Preview} {
		e.bytes(b)
	}
	e = binary.BigEndian.AppendUint64(e, k.ID)
	for _, id := range k.References {
		e = binary.BigEndian.AppendUint64(e, id)
	}
	return e
}

// decode reads a row into k, whose texts are parts of v then.
func (k *SortKeys) decode(v []byte) error {
	if len(v) < 1 || v[0] != shownVersion {
		return wrong("sort keys of message %d", k.UID)
	}
	d := decoder{rest: v[1:]}
	sent, minutes := time.Unix(d.int(), 0).UTC(), d.int()
	k.Dated, k.Reply = d.bool(), d.bool()
	k.Sent = time.Time{}
	switch {
	case !k.Dated:
	case minutes == 0:
		k.Sent = sent
	case -24*60 < minutes && minutes < 24*60:
		k.Sent = sent.In(time.FixedZone("", int(minutes)*60))
	default:
		return wrong("sort keys of message %d", k.UID)
	}
	for _, b := range []*[]byte{&k.Subject, &k.From, &k.To, &k.Cc, &k.DisplayFrom, &k.DisplayTo, &k.Preview} {
		*b = d.bytes()
	}
	if d.err != nil {
		return d.err
	}
	if len(d.rest) < 8 || len(d.rest)%8 != 0 {
		return wrong("sort keys of message %d", k.UID)
	}
	k.ID = binary.BigEndian.Uint64(d.rest)
	k.References = k.References[:0]
	for rest := d.rest[8:]; len(rest) > 0; rest = rest[8:] {
		k.References = append(k.References, binary.BigEndian.Uint64(rest))
	}
	return nil
}

// SortKeys gives fn the keys of those messages that exist, in the order of uids,
// which ascend. Fn runs outside of any transaction. A message that is damaged
// ends it with ErrCorrupt.
func (a *Account) SortKeys(mbox mail.MailboxID, uids []mail.UID, fn func(*SortKeys) error) error {
	w := rowWalk{table: tSortKeys, account: a.ID, mailbox: mbox, shown: func(sh *shown, _ *Message) []byte { return sh.keys }}
	var k SortKeys
	return w.each(a, uids, func(uid mail.UID, v []byte) error {
		k.UID = uid
		if err := k.decode(v); err != nil {
			return fmt.Errorf("message %d: %w", uid, err)
		}
		if !k.Dated { // RFC 5256 §2.2
			m, err := a.Message(mbox, uid)
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			k.Sent = m.Date
		}
		return fn(&k)
	})
}
