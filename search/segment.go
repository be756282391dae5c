package search

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"homemail/store"
)

// A zone is a part of messages that has terms of its own.
type zone byte

// The zones. Those of single fields have whole values for terms, so that any
// substring of them is found at once.
const (
	inBody    zone = iota
	inHeader       // words of all fields, with their names
	nameZone       // names of fields
	fieldZone      // and on: a zone for each of wholeFields
)

// wholeFields are the fields whose values are terms.
var wholeFields = [...]string{"from", "to", "cc", "bcc", "subject", "message-id", "list-id", "reply-to", "sender"}

const zones = int(fieldZone) + len(wholeFields)

// fieldZoneOf returns the zone of a field.
func fieldZoneOf(name string) (zone, bool) {
	for i, f := range wholeFields {
		if f == name {
			return fieldZone + zone(i), true
		}
	}
	return 0, false
}

// unsure is a term of every zone for documents that must be read to know: they
// have too much for the index. No text has it.
const unsure = "\x01"

// Sizes of the rows that a segment is kept in.
const (
	dictRow = 64 << 10
	postRow = 32 << 10
	putSize = 1 << 20 // of rows written at once
)

// A segment is an index of some documents, which follow each other. It never
// changes; segments are merged into larger ones.
type segment struct {
	id    uint32
	first uint32 // document
	span  uint32 // and how many numbers from there on it has
	docs  uint32 // of these that there are
	bytes int64
	zones [zones]zoneRows
}

// zoneRows say how many rows a zone has: of terms, and of lists, each with the
// number of its first term.
type zoneRows struct {
	dict  uint32
	posts []uint32
}

func (s *segment) encode(b []byte) []byte {
	for _, n := range []uint64{uint64(s.id), uint64(s.first), uint64(s.span), uint64(s.docs), uint64(s.bytes)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, z := range s.zones {
		b = binary.AppendUvarint(b, uint64(z.dict))
		b = binary.AppendUvarint(b, uint64(len(z.posts)))
		last := uint32(0)
		for _, n := range z.posts {
			b = binary.AppendUvarint(b, uint64(n-last))
			last = n
		}
	}
	return b
}

func (s *segment) decode(d *decoder) {
	s.id, s.first, s.span, s.docs, s.bytes = d.u32(), d.u32(), d.u32(), d.u32(), int64(d.uint())
	for i := range s.zones {
		s.zones[i].dict = d.u32()
		n := d.u32()
		if int(n) > len(d.rest) {
			d.bad = true
			return
		}
		last := uint32(0)
		for range n {
			last += d.u32()
			s.zones[i].posts = append(s.zones[i].posts, last)
		}
	}
}

// Paths of rows.
func segmentPath(id uint32) string { return fmt.Sprintf("g%08x", id) }

func (s *segment) row(kind byte, z zone, n uint32) string {
	return fmt.Sprintf("g%08x%c%02x%06x", s.id, kind, byte(z), n)
}

// A decoder reads numbers; bad is set when there is not what there should be.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uint() uint64 {
	n, w := binary.Uvarint(d.rest)
	if w <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[w:]
	return n
}

func (d *decoder) u32() uint32 {
	n := d.uint()
	if n > 1<<32-1 {
		d.bad = true
	}
	return uint32(n)
}

func (d *decoder) err() error {
	if d.bad {
		return errDamaged
	}
	return nil
}

// A writer writes a segment: zones in order, in each the terms in order. Rows
// are in memory until there is enough of them to be put.
type writer struct {
	seg   *segment
	put   func([]store.DerivedRow) error
	rows  []store.DerivedRow
	size  int
	zone  zone
	terms uint32 // in this zone
	first uint32 // the first term of the list row
	dict  []byte
	posts []byte
	err   error
}

// term adds a term with its documents, by number from the segment's first.
func (w *writer) term(term []byte, docs []uint32) {
	if len(w.dict)+len(term)+2 > dictRow {
		w.endDict()
	}
	if len(w.dict) == 0 {
		w.dict = append(w.dict, '\n')
	}
	w.dict = append(append(w.dict, term...), '\n')
	if len(w.posts) == 0 {
		w.first = w.terms
	}
	w.posts = appendList(w.posts, docs, w.seg.span)
	w.terms++
	if len(w.posts) >= postRow {
		w.endPosts()
	}
}

func (w *writer) endDict() {
	if len(w.dict) > 0 {
		z := &w.seg.zones[w.zone]
		w.row(w.seg.row('d', w.zone, z.dict), w.dict)
		z.dict++
		w.dict = nil
	}
}

func (w *writer) endPosts() {
	if len(w.posts) > 0 {
		z := &w.seg.zones[w.zone]
		w.row(w.seg.row('p', w.zone, uint32(len(z.posts))), w.posts)
		z.posts = append(z.posts, w.first)
		w.posts = nil
	}
}

// endZone goes on to the next zone.
func (w *writer) endZone() {
	w.endDict()
	w.endPosts()
	w.zone++
	w.terms = 0
}

func (w *writer) row(path string, v []byte) {
	w.rows = append(w.rows, store.DerivedRow{Path: path, Value: v})
	w.size += len(v)
	w.seg.bytes += int64(len(v))
	if w.size >= putSize {
		w.flush()
	}
}

func (w *writer) flush() {
	if w.err == nil && len(w.rows) > 0 {
		w.err = w.put(w.rows)
	}
	w.rows, w.size = nil, 0
}

// A getter reads rows of one moment.
type getter func(path string) ([]byte, error)

// must reads rows that have to be there.
func must(get getter) getter {
	return func(path string) ([]byte, error) {
		v, err := get(path)
		if errors.Is(err, store.ErrNotFound) {
			err = errDamaged
		}
		return v, err
	}
}

// match sets the documents of a zone that have a term for the probe.
func (s *segment) match(get getter, z zone, p probe, hits bitset) error {
	want := make([]byte, 0, len(p.text)+2)
	if p.start {
		want = append(want, '\n')
	}
	want = append(want, p.text...)
	if p.end {
		want = append(want, '\n')
	}
	var found []uint32
	term := uint32(0)
	for n := range s.zones[z].dict {
		dict, err := get(s.row('d', z, n))
		if err != nil {
			return err
		}
		if len(dict) < 2 || dict[0] != '\n' || dict[len(dict)-1] != '\n' {
			return errDamaged
		}
		found, term = findTerms(dict, want, term, found)
	}
	return s.lists(get, z, found, hits)
}

// findTerms appends the numbers of the terms of a row that hold want, which may
// have the line end on either side of a term, and is not empty. term is the number of the first.
func findTerms(dict, want []byte, term uint32, found []uint32) ([]uint32, uint32) {
	at := 0 // the line end before the term of that number
	for {
		i := bytes.Index(dict[at:], want)
		if i < 0 {
			break
		}
		if want[0] == '\n' {
			i++
		}
		term += uint32(bytes.Count(dict[at:at+i], []byte{'\n'})) - 1
		found = append(found, term)
		at += i
		at += bytes.IndexByte(dict[at:], '\n')
		term++
	}
	return found, term + uint32(bytes.Count(dict[at:], []byte{'\n'})) - 1
}

// lists sets the documents of terms, whose numbers ascend.
func (s *segment) lists(get getter, z zone, found []uint32, hits bitset) error {
	starts := s.zones[z].posts
	for n := 0; n < len(starts) && len(found) > 0; n++ {
		if n+1 < len(starts) && found[0] >= starts[n+1] {
			continue
		}
		b, err := get(s.row('p', z, uint32(n)))
		if err != nil {
			return err
		}
		for term := starts[n]; len(found) > 0 && (n+1 == len(starts) || found[0] < starts[n+1]); term++ {
			list, isBits, rest, err := cutList(b)
			if err != nil {
				return err
			}
			b = rest
			if term != found[0] {
				continue
			}
			found = found[1:]
			if err := eachDoc(list, isBits, s.span, func(d uint32) { hits.set(s.first + d) }); err != nil {
				return err
			}
		}
	}
	if len(found) > 0 {
		return errDamaged
	}
	return nil
}

// A termReader reads the terms of a zone in order, with their documents.
type termReader struct {
	s           *segment
	get         getter
	z           zone
	dict, posts []byte
	nDict       uint32
	nPosts      int
	term        []byte
	docs        []uint32 // from the segment's first
}

// next reads the next term; false at the end.
func (r *termReader) next() (bool, error) {
	var err error
	if len(r.dict) <= 1 {
		if r.nDict == r.s.zones[r.z].dict {
			return false, nil
		}
		if r.dict, err = r.get(r.s.row('d', r.z, r.nDict)); err != nil {
			return false, err
		}
		r.nDict++
	}
	if len(r.posts) == 0 {
		if r.nPosts == len(r.s.zones[r.z].posts) {
			return false, errDamaged
		}
		if r.posts, err = r.get(r.s.row('p', r.z, uint32(r.nPosts))); err != nil {
			return false, err
		}
		r.nPosts++
	}
	end := -1
	if len(r.dict) > 1 {
		end = bytes.IndexByte(r.dict[1:], '\n')
	}
	if end < 0 {
		return false, errDamaged
	}
	r.term, r.dict = r.dict[1:1+end], r.dict[1+end:]
	list, isBits, rest, err := cutList(r.posts)
	if err != nil {
		return false, err
	}
	r.posts, r.docs = rest, r.docs[:0]
	return true, eachDoc(list, isBits, r.s.span, func(d uint32) { r.docs = append(r.docs, d) })
}
