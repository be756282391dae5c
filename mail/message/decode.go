package message

import (
	"encoding/binary"
	"errors"
)

// ErrRecord is what Decode says of bytes that AppendBinary did not write.
var ErrRecord = errors.New("message structure: record is damaged")

// Decode reads what AppendBinary wrote. Whatever b is, the result is within
// the limits of this package: offsets in order, children within parents.
func Decode(b []byte) (*Structure, error) {
	if len(b) == 0 || len(b) > MaxEncoded || b[0] != version {
		return nil, ErrRecord
	}
	d := decoder{rest: string(b[1:]), addresses: maxAddresses, parts: maxParts - 1} // the root
	s := new(Structure)
	d.structure(s)
	if d.bad || d.rest != "" {
		return nil, ErrRecord
	}
	return s, nil
}

// A decoder reads from one string, of which all strings it returns are parts.
type decoder struct {
	rest             string
	bad              bool
	addresses, parts int // that may still come
}

func (d *decoder) fail() { d.bad, d.rest = true, "" }

func (d *decoder) uint() uint64 {
	var head [binary.MaxVarintLen64]byte
	n, size := binary.Uvarint(head[:copy(head[:], d.rest)])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) int() int64 {
	u := d.uint()
	return int64(u>>1) ^ -int64(u&1)
}

// offset reads a distance from at.
func (d *decoder) offset(at int64) int64 {
	n := int64(d.uint())
	if n < 0 || at+n < at {
		d.fail()
		return at
	}
	return at + n
}

// count reads the length of a list whose members take a byte or more each.
func (d *decoder) count(most int) int {
	n := d.uint()
	if n > uint64(most) || n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.uint()
	if n&1 != 0 {
		if n>>1 >= uint64(len(words)) {
			d.fail()
			return ""
		}
		return words[n>>1]
	}
	if n >>= 1; n > maxValue || n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) strings(most int) []string {
	n := d.count(most)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string()
	}
	return list
}

func (d *decoder) structure(s *Structure) {
	m := d.uint()
	s.Junk, s.EightBit = m&hasJunk != 0, m&hasEight != 0
	s.Received, s.HasFrom = d.number(), d.number()
	if m&hasBad != 0 {
		s.HeaderBad = d.string()
	}
	if m&hasDelivered != 0 {
		s.Delivered = d.strings(maxDelivered)
	}
	d.envelope(&s.Envelope)
	d.part(&s.Root, 0, 1)
}

// number reads a number of fields: each takes two bytes of a header at least.
func (d *decoder) number() int {
	n := d.uint()
	if n > maxHeader {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) envelope(v *Envelope) {
	m := d.uint()
	if m&hasDate != 0 {
		v.Date = d.string()
	}
	if m&hasTime != 0 {
		unix, minutes := d.int(), d.int()
		if minutes <= -24*60 || minutes >= 24*60 {
			d.fail()
		}
		v.Time = inZone(unix, int(minutes)*60)
	}
	if m&hasSubject != 0 {
		v.Subject = d.string()
	}
	for _, l := range v.lists() {
		if m&l.bit != 0 {
			*l.list = d.addressList()
		}
	}
	if m&senderIsFrom != 0 {
		v.Sender = v.From
	}
	if m&replyToIsFrom != 0 {
		v.ReplyTo = v.From
	}
	if m&hasInReplyTo != 0 {
		v.InReplyTo = d.string()
	}
	if m&hasMessageID != 0 {
		v.MessageID = d.string()
	}
	if m&hasReferences != 0 {
		v.References = d.strings(maxReferences)
	}
}

func (d *decoder) addressList() []Address {
	n := d.count(d.addresses)
	if n == 0 {
		return nil
	}
	d.addresses -= n
	list := make([]Address, n)
	for i := range list {
		list[i] = Address{d.string(), d.string(), d.string()}
	}
	return list
}

func (d *decoder) part(p *Part, at int64, depth int) {
	m := d.uint()
	p.HeaderAt = d.offset(at)
	p.BodyAt = d.offset(p.HeaderAt)
	p.End = d.offset(p.BodyAt)
	p.Lines = d.offset(0)
	p.Type, p.Subtype, p.Encoding = "text", "plain", "7bit"
	for _, f := range p.texts() {
		if m&f.bit != 0 {
			*f.text = d.string()
		}
	}
	if m&hasParams != 0 {
		p.Params = d.paramList()
	}
	if m&hasDispParams != 0 {
		p.DispParams = d.paramList()
	}
	if m&hasLanguage != 0 {
		p.Language = d.strings(maxLanguages)
	}
	if m&hasEnvelope != 0 {
		p.Envelope = new(Envelope)
		d.envelope(p.Envelope)
	}
	if m&hasChildren != 0 {
		d.children(p, depth+1)
	}
}

func (d *decoder) children(p *Part, depth int) {
	n := d.count(d.parts)
	if n == 0 || depth > maxDepth {
		d.fail()
		return
	}
	d.parts -= n
	p.Children = make([]Part, n)
	at := p.BodyAt
	for i := range p.Children {
		c := &p.Children[i]
		d.part(c, at, depth)
		at = c.End
	}
	if at > p.End {
		d.fail()
	}
}

func (d *decoder) paramList() []Param {
	n := d.count(maxParams)
	if n == 0 {
		return nil
	}
	list := make([]Param, n)
	for i := range list {
		list[i] = Param{d.string(), d.string()}
	}
	return list
}
