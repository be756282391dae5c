package events

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"time"
	"unicode/utf8"

	"homemail/mail"
	"homemail/store"
)

// A row is a version, the number of its events, and each event behind its
// length. An event is fields: a tag, a length, that many bytes. Zero fields are
// left out and unknown ones skipped, so that a newer homemail can add some. A
// typical event takes some 120 bytes, a third of what JSON would.
const rowVersion = 1

const (
	rowHead  = 1 + 2                      // the version, and a count below 2^14
	eventMax = store.EventBytes - 16      // bytes of one event, so that a row always has room for one
	textMax  = 300                        // of a field that strangers fill
	toMax    = 10                         // recipients that are named
	rowMax   = store.EventBytes - rowHead // of the events in a row
)

// The tags. They are for ever.
const (
	tAt = iota + 1
	tUnsure
	tKind
	tID
	tMessageID
	tAccount
	tFrom
	tTo
	tMore
	tSubject
	tSize
	tMailbox
	tDoor
	tRemote
	tTLS
	tDevice
	tWho
	tWhat
	tReason
	tDomain
	tCause
	tCode
	tEnhanced
	tSaid
	tNext
	tCount
	tDetail
	tDetails
	tAuth
)

var errRow = errors.New("a row of events is damaged")

// texts are the fields that hold a text, by tag.
func (e *Event) texts() [28]*string {
	return [...]*string{
		tKind - 1: (*string)(&e.Kind), tID - 1: &e.ID, tMessageID - 1: &e.MessageID, tFrom - 1: (*string)(&e.From),
		tSubject - 1: &e.Subject, tMailbox - 1: &e.Mailbox, tDoor - 1: &e.Door, tRemote - 1: &e.Remote, tTLS - 1: &e.TLS,
		tDevice - 1: &e.Device, tWho - 1: &e.Who, tWhat - 1: &e.What, tReason - 1: (*string)(&e.Reason), tDomain - 1: &e.Domain,
		tCause - 1: (*string)(&e.Cause), tEnhanced - 1: &e.Reply.Enhanced, tSaid - 1: &e.Reply.Text,
		tDetail - 1: &e.Detail, tDetails - 1: &e.Details,
	}
}

// appendEvent writes an event's fields.
func appendEvent(b []byte, e *Event) []byte {
	text := func(tag byte, s string) {
		if s != "" {
			b = append(binary.AppendUvarint(append(b, tag), uint64(len(s))), s...)
		}
	}
	number := func(tag byte, n uint64) {
		if n != 0 {
			var v [binary.MaxVarintLen64]byte
			w := binary.PutUvarint(v[:], n)
			b = append(append(b, tag, byte(w)), v[:w]...)
		}
	}
	number(tAt, millis(e.At))
	if e.Unsure {
		number(tUnsure, 1)
	}
	for i, s := range e.texts() {
		if s != nil {
			text(byte(i+1), *s)
		}
	}
	for _, to := range e.To {
		text(tTo, string(to))
	}
	number(tAccount, uint64(e.Account))
	number(tMore, uint64(max(e.More, 0)))
	number(tSize, uint64(max(e.Size, 0)))
	number(tCode, uint64(max(e.Reply.Code, 0)))
	number(tNext, millis(e.Next))
	number(tCount, uint64(max(e.Count, 0)))
	number(tAuth, e.Auth.pack())
	return b
}

// decodeEvent reads what appendEvent wrote.
func decodeEvent(b []byte) (e Event, err error) {
	texts := e.texts()
	for len(b) > 0 {
		tag := b[0]
		n, w := binary.Uvarint(b[1:])
		if w <= 0 || n > uint64(len(b)-1-w) {
			return e, errRow
		}
		v := b[1+w:][:n]
		b = b[1+w+int(n):]
		if i := int(tag) - 1; i >= 0 && i < len(texts) && texts[i] != nil {
			*texts[i] = string(v)
			continue
		}
		if tag == tTo {
			e.To = append(e.To, mail.Path(v))
			continue
		}
		if err := e.number(tag, v); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (e *Event) number(tag byte, v []byte) error {
	if tag > tAuth {
		return nil // of a newer homemail
	}
	n, w := binary.Uvarint(v)
	if w <= 0 {
		return errRow
	}
	switch tag {
	case tAt:
		e.At = fromMillis(n)
	case tUnsure:
		e.Unsure = n != 0
	case tAccount:
		e.Account = mail.AccountID(n)
	case tMore:
		e.More = int(uint32(n))
	case tSize:
		e.Size = int64(n & math.MaxInt64)
	case tCode:
		e.Reply.Code = int(uint16(n))
	case tNext:
		e.Next = fromMillis(n)
	case tCount:
		e.Count = int(uint32(n))
	case tAuth:
		e.Auth = unpackAuth(n)
	}
	return nil
}

// millis is a time of a row: after 1970, 0 if there is none.
func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.UnixMilli(), 1))
}

const millisMax = 1 << 47 // the year 6429: what is after it is damage

func fromMillis(n uint64) time.Time {
	if n == 0 || n > millisMax {
		return time.Time{}
	}
	return time.UnixMilli(int64(n)).UTC()
}

// A packer fills rows with events.
type packer struct {
	rows  []store.EventRow
	count int // of events in the last row
}

// add appends an event as it is in a row. Numbers have to follow each other,
// or a row begins.
func (p *packer) add(seq uint64, event []byte) {
	n := len(p.rows) - 1
	size := len(binary.AppendUvarint(nil, uint64(len(event)))) + len(event)
	if n < 0 || p.rows[n].First+uint64(p.count) != seq || len(p.rows[n].Bytes)+size > rowMax {
		p.rows = append(p.rows, store.EventRow{First: seq, Bytes: append(make([]byte, 0, store.EventBytes), rowVersion, 0, 0)})
		n, p.count = n+1, 0
	}
	r := &p.rows[n]
	r.Bytes = append(binary.AppendUvarint(r.Bytes, uint64(len(event))), event...)
	p.count++
	binary.BigEndian.PutUint16(r.Bytes[1:], uint16(p.count))
}

// split gives fn the events of a row, as they are in it, in order.
func split(row []byte, fn func(i int, event []byte)) error {
	if len(row) < rowHead || row[0] != rowVersion {
		return errRow
	}
	n := int(binary.BigEndian.Uint16(row[1:]))
	rest := row[rowHead:]
	for i := range n {
		size, w := binary.Uvarint(rest)
		if w <= 0 || size > uint64(len(rest)-w) {
			return errRow
		}
		fn(i, rest[w:][:size])
		rest = rest[w+int(size):]
	}
	if len(rest) > 0 {
		return errRow
	}
	return nil
}

// decodeRow gives fn the events of a row whose first has a number. What is
// damaged is left out.
func decodeRow(first uint64, row []byte, fn func(Event)) {
	_ = split(row, func(i int, b []byte) {
		if e, err := decodeEvent(b); err == nil {
			e.Seq = first + uint64(i)
			fn(e)
		}
	})
}

// countOf is how many events a row has.
func countOf(row []byte) uint64 {
	if len(row) < rowHead || row[0] != rowVersion {
		return 1 // at least, or the row would not be there
	}
	return uint64(binary.BigEndian.Uint16(row[1:]))
}

// fit cuts an event to what a row can hold, and appends it as it is in a row to
// an empty buffer.
func fit(b []byte, e *Event) []byte {
	for _, s := range e.texts() {
		if s != nil {
			*s = cut(*s, textMax)
		}
	}
	e.From = keyOf(e.From)
	if n := len(e.To); n > toMax {
		e.More += n - toMax
		e.To = e.To[:toMax]
	}
	to := make([]mail.Path, len(e.To))
	for i, p := range e.To {
		to[i] = mail.Path(cut(string(keyOf(p)), textMax))
	}
	e.To = to
	b = appendEvent(b, e)
	for len(b) > eventMax {
		e.shorten()
		b = appendEvent(b[:0], e)
	}
	return b
}

// keyOf is the key form of a path, without the work if it has that already, as
// nearly all have.
func keyOf(p mail.Path) mail.Path {
	for i := range len(p) {
		if c := p[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '@' && c != '.' && c != '-' && c != '+' && c != '_' {
			return slowKey(p)
		}
	}
	return p
}

// slowKey leaves alone what is no path: an author's address may be anything.
func slowKey(p mail.Path) mail.Path {
	q, err := mail.ParsePath(string(p))
	if err != nil {
		return p
	}
	return q.Key()
}

// shorten takes away what is missed least. Called again and again it ends with
// a short event.
func (e *Event) shorten() {
	if n := len(e.To); n > 1 {
		e.More += n - n/2
		e.To = e.To[:n/2]
		return
	}
	longest := &e.Reply.Text
	for _, s := range e.texts() {
		if s != nil && s != &e.ID && len(*s) > len(*longest) {
			longest = s
		}
	}
	*longest = cut(*longest, len(*longest)/2)
}

// cut shortens a text to so many bytes, between its runes, and makes it valid.
func cut(s string, most int) string {
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	if utf8.ValidString(s) {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s), []byte("?")))
}
