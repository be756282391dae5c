package message

import (
	"encoding/binary"
	"slices"
)

// version begins a record. A Decode knows all that were ever written.
const version = 1

// A cut says how much of a Structure is encoded.
type cut struct {
	text      int  // bytes of each string
	list      int  // members of each list
	params    int  // parameters of each of a part's two fields
	notes     bool // id, description, location, MD5, languages
	envelopes bool // of messages within
	children  bool
}

// cuts are tried in turn until the record fits MaxEncoded; the last always does:
// six lists of ten addresses, and little else.
var cuts = [...]cut{
	{text: maxValue, list: maxAddresses, params: maxParams, notes: true, envelopes: true, children: true},
	{text: 512, list: maxAddresses, params: 4, envelopes: true, children: true},
	{text: 256, list: 10, envelopes: true, children: true},
	{text: 256, list: 10, children: true},
	{text: 256, list: 10},
}

// Bits of a Structure.
const (
	hasJunk = 1 << iota
	hasEight
	hasBad
	hasDelivered
)

// Bits of an Envelope: what follows, in this order.
const (
	hasDate = 1 << iota
	hasTime
	hasSubject
	hasFrom
	hasSender
	senderIsFrom
	hasReplyTo
	replyToIsFrom
	hasTo
	hasCc
	hasBcc
	hasInReplyTo
	hasMessageID
	hasReferences
)

// Bits of a Part: what follows, in this order.
const (
	notPlain = 1 << iota // type and subtype; else text/plain
	hasParams
	hasID
	hasDescription
	not7Bit // encoding
	hasMD5
	hasDisposition
	hasDispParams
	hasLanguage
	hasLocation
	hasEnvelope
	hasChildren
)

// AppendBinary appends a record of s to b, at most MaxEncoded bytes, for
// Decode. It is about s as a Parser makes it: offsets in order, all within the
// limits of this package.
func (s *Structure) AppendBinary(b []byte) []byte {
	start := len(b)
	for _, c := range cuts {
		e := encoder{b: b[:start], cut: c}
		e.structure(s)
		b = e.b
		if len(b)-start <= MaxEncoded {
			break
		}
	}
	return b
}

// An encoder appends numbers as varints. A string is its length and bytes, or
// the number of a word.
type encoder struct {
	b []byte
	cut
}

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }

func (e *encoder) string(s string) {
	if i, ok := wordNumbers[s]; ok {
		e.uint(uint64(i)<<1 | 1)
		return
	}
	s = s[:min(len(s), e.text)]
	e.uint(uint64(len(s)) << 1)
	e.b = append(e.b, s...)
}

func (e *encoder) strings(list []string) {
	list = list[:min(len(list), e.list)]
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.string(s)
	}
}

// A bit is a bit of a mask that is set if something is there.
type bit struct {
	mask uint64
	set  bool
}

// mask appends and returns the bits that are set.
func (e *encoder) mask(bits ...bit) uint64 {
	var m uint64
	for _, b := range bits {
		if b.set {
			m |= b.mask
		}
	}
	e.uint(m)
	return m
}

func (e *encoder) structure(s *Structure) {
	e.b = append(e.b, version)
	m := e.mask(bit{hasJunk, s.Junk}, bit{hasEight, s.EightBit}, bit{hasBad, s.HeaderBad != ""},
		bit{hasDelivered, len(s.Delivered) > 0})
	e.uint(uint64(s.Received))
	e.uint(uint64(s.HasFrom))
	if m&hasBad != 0 {
		e.string(s.HeaderBad)
	}
	if m&hasDelivered != 0 {
		e.strings(s.Delivered)
	}
	e.envelope(&s.Envelope)
	e.part(&s.Root, 0)
}

func (e *encoder) envelope(v *Envelope) {
	sender, reply := slices.Equal(v.Sender, v.From), slices.Equal(v.ReplyTo, v.From)
	m := e.mask(bit{hasDate, v.Date != ""}, bit{hasTime, !v.Time.IsZero()}, bit{hasSubject, v.Subject != ""},
		bit{hasFrom, len(v.From) > 0}, bit{hasSender, !sender && len(v.Sender) > 0}, bit{senderIsFrom, sender && len(v.From) > 0},
		bit{hasReplyTo, !reply && len(v.ReplyTo) > 0}, bit{replyToIsFrom, reply && len(v.From) > 0}, bit{hasTo, len(v.To) > 0}, bit{hasCc, len(v.Cc) > 0},
		bit{hasBcc, len(v.Bcc) > 0}, bit{hasInReplyTo, v.InReplyTo != ""}, bit{hasMessageID, v.MessageID != ""},
		bit{hasReferences, len(v.References) > 0})
	if m&hasDate != 0 {
		e.string(v.Date)
	}
	if m&hasTime != 0 {
		_, offset := v.Time.Zone()
		e.b = binary.AppendVarint(e.b, v.Time.Unix())
		e.b = binary.AppendVarint(e.b, int64(offset/60))
	}
	if m&hasSubject != 0 {
		e.string(v.Subject)
	}
	for _, l := range v.lists() {
		if m&l.bit != 0 {
			e.addresses(*l.list)
		}
	}
	if m&hasInReplyTo != 0 {
		e.string(v.InReplyTo)
	}
	if m&hasMessageID != 0 {
		e.string(v.MessageID)
	}
	if m&hasReferences != 0 {
		e.strings(v.References)
	}
}

// An addressList is a list of an Envelope and its bit.
type addressList struct {
	bit  uint64
	list *[]Address
}

func (v *Envelope) lists() [6]addressList {
	return [...]addressList{{hasFrom, &v.From}, {hasSender, &v.Sender}, {hasReplyTo, &v.ReplyTo},
		{hasTo, &v.To}, {hasCc, &v.Cc}, {hasBcc, &v.Bcc}}
}

func (e *encoder) addresses(list []Address) {
	list = list[:min(len(list), e.list)]
	e.uint(uint64(len(list)))
	for _, a := range list {
		e.string(a.Name)
		e.string(a.Mailbox)
		e.string(a.Host)
	}
}

// part appends a part. Offsets are distances from the one before; at is the
// first.
func (e *encoder) part(p *Part, at int64) {
	children := e.children && len(p.Children) > 0
	m := e.mask(bit{notPlain, p.Type != "text" || p.Subtype != "plain"}, bit{hasParams, e.params > 0 && len(p.Params) > 0},
		bit{hasID, e.notes && p.ID != ""}, bit{hasDescription, e.notes && p.Description != ""},
		bit{not7Bit, p.Encoding != "7bit"}, bit{hasMD5, e.notes && p.MD5 != ""},
		bit{hasDisposition, p.Disposition != ""}, bit{hasDispParams, e.params > 0 && len(p.DispParams) > 0},
		bit{hasLanguage, e.notes && len(p.Language) > 0}, bit{hasLocation, e.notes && p.Location != ""},
		bit{hasEnvelope, e.children && p.Envelope != nil}, bit{hasChildren, children})
	e.uint(uint64(p.HeaderAt - at))
	e.uint(uint64(p.BodyAt - p.HeaderAt))
	e.uint(uint64(p.End - p.BodyAt))
	e.uint(uint64(p.Lines))
	for _, f := range p.texts() {
		if m&f.bit != 0 {
			e.string(*f.text)
		}
	}
	if m&hasParams != 0 {
		e.paramList(p.Params)
	}
	if m&hasDispParams != 0 {
		e.paramList(p.DispParams)
	}
	if m&hasLanguage != 0 {
		e.strings(p.Language)
	}
	if m&hasEnvelope != 0 {
		if e.envelopes {
			e.envelope(p.Envelope)
		} else {
			e.envelope(new(Envelope))
		}
	}
	if m&hasChildren != 0 {
		e.uint(uint64(len(p.Children)))
		at = p.BodyAt
		for i := range p.Children {
			e.part(&p.Children[i], at)
			at = p.Children[i].End
		}
	}
}

// A partText is a string of a Part and its bit.
type partText struct {
	bit  uint64
	text *string
}

func (p *Part) texts() [8]partText {
	return [...]partText{{notPlain, &p.Type}, {notPlain, &p.Subtype}, {hasID, &p.ID}, {hasDescription, &p.Description},
		{not7Bit, &p.Encoding}, {hasMD5, &p.MD5}, {hasDisposition, &p.Disposition}, {hasLocation, &p.Location}}
}

func (e *encoder) paramList(params []Param) {
	params = params[:min(len(params), e.params)]
	e.uint(uint64(len(params)))
	for _, p := range params {
		e.string(p.Name)
		e.string(p.Value)
	}
}
