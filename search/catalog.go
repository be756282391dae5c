package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"homemail/mail"
	"homemail/store"
)

// version begins a catalog. An index of another version is made anew.
const version = 1

// A catalog is what there is of an account's index.
type catalog struct {
	nextDoc uint32 // documents begin at 1
	nextSeg uint32
	maxBlob uint64 // the highest that has a document, or had
	segs    []*segment
}

const catalogPath = "c"

func (c *catalog) encode() []byte {
	b := []byte{version}
	for _, n := range []uint64{uint64(c.nextDoc), uint64(c.nextSeg), c.maxBlob, uint64(len(c.segs))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range c.segs {
		b = s.encode(b)
	}
	return b
}

// readCatalog returns nil if there is no index.
func readCatalog(get getter) (*catalog, error) {
	b, err := get(catalogPath)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeCatalog(b)
}

func decodeCatalog(b []byte) (*catalog, error) {
	if len(b) == 0 || b[0] != version {
		return nil, errDamaged
	}
	d := &decoder{rest: b[1:]}
	c := &catalog{nextDoc: d.u32(), nextSeg: d.u32(), maxBlob: d.uint()}
	next := uint32(1)
	for range min(d.uint(), uint64(len(d.rest))) {
		s := &segment{}
		s.decode(d)
		if d.bad || s.first < next || s.span > docsMax || s.first+s.span > c.nextDoc {
			return nil, errDamaged
		}
		next = s.first + s.span
		c.segs = append(c.segs, s)
	}
	if c.nextDoc == 0 || c.nextDoc > docsMax {
		return nil, errDamaged
	}
	return c, d.err()
}

// docsMax bounds the documents that an account ever had. Then its index is made
// anew, which numbers them again.
const docsMax = 1 << 28

// find looks for documents by their content. It sets those that it finds.
func (c *catalog) find(get getter, want map[docKey]uint32) error {
	if len(want) == 0 {
		return nil
	}
	for _, s := range c.segs {
		keys, err := s.keys(must(get))
		if err != nil {
			return err
		}
		for i, k := range keys {
			if _, ok := want[k]; ok && k != (docKey{}) {
				want[k] = s.first + uint32(i)
			}
		}
	}
	return nil
}

func (c *catalog) bytes() (n int64) {
	for _, s := range c.segs {
		n += s.bytes
	}
	return n
}

// A place is a message of a mailbox and its documents; that of the prefix is 0
// if it has none.
type place struct {
	uid         mail.UID
	doc, prefix uint32
}

// Places are kept in blocks of so many UIDs.
const blockBits = 12

func blockOf(uid mail.UID) uint32 { return uint32(uid) >> blockBits }

func blockPath(m mail.MailboxID, n uint32) string { return fmt.Sprintf("b%08x%05x", uint32(m), n) }
func statePath(m mail.MailboxID) string           { return fmt.Sprintf("s%08x", uint32(m)) }

func encodeBlock(list []place) []byte {
	var b []byte
	var last place
	for _, p := range list {
		b = binary.AppendUvarint(b, uint64(p.uid-last.uid))
		b = binary.AppendVarint(b, int64(p.doc)-int64(last.doc))
		if p.prefix == 0 {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, zigzag(int64(p.prefix)-int64(p.doc))+1)
		}
		last = p
	}
	return b
}

func zigzag(n int64) uint64   { return uint64(n)<<1 ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// decodeBlock appends the places of a block.
func decodeBlock(list []place, b []byte) ([]place, error) {
	d := &decoder{rest: b}
	var last place
	for len(d.rest) > 0 {
		p := place{uid: last.uid + mail.UID(d.u32())}
		p.doc = uint32(int64(last.doc) + unzigzag(d.uint()))
		if n := d.uint(); n > 0 {
			p.prefix = uint32(int64(p.doc) + unzigzag(n-1))
		}
		if d.bad || p.uid <= last.uid || p.doc >= docsMax || p.prefix >= docsMax {
			return nil, errDamaged
		}
		list = append(list, p)
		last = p
	}
	return list, nil
}

// readBlock returns the places of a block, none if there is no row.
func readBlock(get getter, m mail.MailboxID, n uint32, list []place) ([]place, error) {
	b, err := get(blockPath(m, n))
	if errors.Is(err, store.ErrNotFound) {
		return list, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeBlock(list, b)
}

// A boxState says up to where a mailbox is in the index.
type boxState struct {
	at       mail.ModSeq
	validity uint32
	last     mail.UID // the highest that was looked at
	count    uint32   // places
}

func (s *boxState) encode() []byte {
	b := []byte{version}
	for _, n := range []uint64{uint64(s.at), uint64(s.validity), uint64(s.last), uint64(s.count)} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// readState returns a state of zeros if there is none.
func readState(get getter, m mail.MailboxID) (s boxState, err error) {
	b, err := get(statePath(m))
	if errors.Is(err, store.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if len(b) == 0 || b[0] != version {
		return s, errDamaged
	}
	d := &decoder{rest: b[1:]}
	s = boxState{mail.ModSeq(d.uint()), d.u32(), mail.UID(d.u32()), d.u32()}
	return s, d.err()
}

// sets makes what the index has of a key: documents that surely fit, and those
// that must be read to know.
func (c *catalog) sets(get getter, k Key, want []byte) (sure, maybe bitset, err error) {
	sure, maybe = newBitset(c.nextDoc), newBitset(c.nextDoc)
	l := &lookup{c: c, get: must(get)}
	switch {
	case k.Where == InBody:
		l.substring(inBody, want, sure, maybe)
	case k.Where == InText:
		l.substring(inBody, want, sure, maybe)
		l.substring(inHeader, want, sure, maybe)
	default:
		l.field(k.Field, want, sure, maybe)
	}
	return sure, maybe, l.err
}

// A lookup looks terms up in all segments.
type lookup struct {
	c   *catalog
	get getter
	err error
}

// probe sets the documents that have a term for p.
func (l *lookup) probe(z zone, p probe, hits bitset) {
	for _, s := range l.c.segs {
		if l.err == nil {
			l.err = s.match(l.get, z, p, hits)
		}
	}
}

// all sets the documents for which all probes find a term.
func (l *lookup) all(z zone, probes []probe, hits bitset) {
	var both bitset
	for _, p := range probes {
		some := newBitset(l.c.nextDoc)
		l.probe(z, p, some)
		if both == nil {
			both = some
		} else {
			both.and(some)
		}
	}
	hits.or(both)
}

// substring looks for text within the words of a zone.
func (l *lookup) substring(z zone, want []byte, sure, maybe bitset) {
	p := planFor(want)
	switch {
	case p.sure:
		l.probe(z, p.probes[0], sure)
	case len(p.probes) == 0:
		for i := range maybe {
			maybe[i] = ^uint64(0)
		}
		return
	default:
		l.all(z, p.probes, maybe)
	}
	l.probe(z, probe{[]byte(unsure), true, true}, maybe)
}

// field looks for text in the fields of a name, which is in lower case.
func (l *lookup) field(name string, want []byte, sure, maybe bitset) {
	named := probe{[]byte(name), true, true}
	if len(want) == 0 {
		l.probe(nameZone, named, sure)
		l.probe(nameZone, probe{[]byte(unsure), true, true}, maybe)
		return
	}
	if z, ok := fieldZoneOf(name); ok {
		l.probe(z, probe{text: want}, sure)
		l.probe(z, probe{[]byte(unsure), true, true}, maybe)
		return
	}
	with := newBitset(l.c.nextDoc)
	l.probe(nameZone, named, with)
	l.substring(inHeader, want, maybe, maybe)
	maybe.and(with)
	l.probe(nameZone, probe{[]byte(unsure), true, true}, maybe)
}

// lookupIn splits messages of a mailbox into those that fit a key and those
// that must be read, because the index is not sure or does not have them yet.
func lookupIn(get getter, mbox mail.MailboxID, k Key, want []byte, among []mail.UID) (hits, open []mail.UID, err error) {
	c, err := readCatalog(get)
	if c == nil || err != nil {
		return nil, among, err
	}
	sure, maybe, err := c.sets(get, k, want)
	if err != nil {
		return nil, among, err
	}
	var places []place
	for rest := among; len(rest) > 0; {
		n := blockOf(rest[0])
		end := len(rest)
		if n < blockOf(1<<32-1) {
			end, _ = slices.BinarySearch(rest, mail.UID(n+1)<<blockBits)
		}
		if places, err = readBlock(get, mbox, n, places[:0]); err != nil {
			return nil, among, err
		}
		at := places
		for _, uid := range rest[:end] {
			for len(at) > 0 && at[0].uid < uid {
				at = at[1:]
			}
			switch {
			case len(at) == 0 || at[0].uid != uid:
				open = append(open, uid)
			case sure.has(at[0].doc) || sure.has(at[0].prefix):
				hits = append(hits, uid)
			case maybe.has(at[0].doc) || maybe.has(at[0].prefix):
				open = append(open, uid)
			}
		}
		rest = rest[end:]
	}
	return hits, open, nil
}
