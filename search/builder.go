package search

import (
	"slices"

	"homemail/mail/message"
	"homemail/store"
)

// Limits of what is built in memory before it becomes a segment.
const (
	buildDocs  = 2000     // documents
	buildTerms = 64 << 10 // different terms, of some 100 bytes each
	buildLists = 4 << 20  // entries of lists
	// docTerms is how many different terms a document may have. One with more,
	// a table of random numbers, is read when somebody searches.
	docTerms = 50_000
	// valueMax is the longest value that is a term as a whole.
	valueMax = 512
)

// A builder collects the terms of documents.
type builder struct {
	first  uint32
	keys   []docKey
	zones  [zones]map[string]*termDocs
	terms  int
	listed int
	here   int // terms of this document
	words  func([]byte)
	zone   zone
}

// termDocs are the documents that have a term.
type termDocs struct {
	docs []uint32 // from the builder's first
}

// A docKey names the content that a document has: the bytes of a blob, or those
// of a prefix.
type docKey struct {
	prefix bool
	id     uint64 // a blob's number, or a hash of a prefix
}

func newBuilder(first uint32) *builder {
	b := &builder{first: first}
	for z := range b.zones {
		b.zones[z] = make(map[string]*termDocs)
	}
	b.words = func(term []byte) { b.add(b.zone, term) }
	return b
}

// full reports whether it is time to make a segment.
func (b *builder) full() bool {
	return len(b.keys) >= buildDocs || b.terms >= buildTerms || b.listed >= buildLists
}

// add adds a term to the document at the end.
func (b *builder) add(z zone, term []byte) {
	doc := uint32(len(b.keys) - 1)
	t := b.zones[z][string(term)]
	if t == nil {
		if b.here >= docTerms {
			return
		}
		t = &termDocs{}
		b.zones[z][string(term)] = t
		b.terms++
	}
	if n := len(t.docs); n == 0 || t.docs[n-1] != doc {
		if b.here++; b.here > docTerms {
			return
		}
		t.docs = append(t.docs, doc)
		b.listed++
	}
}

// start starts a document and returns its number.
func (b *builder) start(k docKey) uint32 {
	b.keys = append(b.keys, k)
	b.here = 0
	return b.first + uint32(len(b.keys)) - 1
}

// end ends a document. One that had too many terms, or that could not be read
// to its end, is unsure in all zones.
func (b *builder) end(err error) {
	if b.here < docTerms && err == nil {
		return
	}
	b.here = 0
	for z := range zone(zones) {
		b.add(z, []byte(unsure))
	}
}

// text adds the terms of folded text.
func (b *builder) text(z zone, folded []byte) {
	b.zone = z
	terms(folded, b.words)
}

// field adds a field.
func (b *builder) field(f *field) {
	b.text(inHeader, f.line())
	b.add(nameZone, []byte(f.name))
	if z, ok := fieldZoneOf(f.name); ok {
		if len(f.value) > valueMax {
			b.add(z, []byte(unsure))
			return
		}
		b.add(z, f.value)
	}
}

// message adds the document of a blob.
func (b *builder) message(a *store.Account, m *store.Message) (doc uint32, err error) {
	doc = b.start(docKey{id: uint64(m.Blob)})
	err = b.read(a, m)
	b.end(err)
	return doc, err
}

func (b *builder) read(a *store.Account, m *store.Message) error {
	st, err := m.Structure()
	if err != nil {
		return err
	}
	r := a.Body(m)
	fields, err := readHeader(st, m, r)
	if err != nil {
		return err
	}
	for i := range fields {
		if !fields[i].prefix {
			b.field(&fields[i])
		}
	}
	return readBody(st, m, r, func(folded []byte) error {
		b.text(inBody, folded)
		return nil
	})
}

// prefix adds the document of a message's prefix.
func (b *builder) prefix(m *store.Message, k docKey) (doc uint32, err error) {
	doc = b.start(k)
	fields, err := prefixFields(m)
	for i := range fields {
		b.field(&fields[i])
	}
	b.end(err)
	return doc, err
}

// segment writes what was collected.
func (b *builder) segment(id uint32, put func([]store.DerivedRow) error) (*segment, error) {
	s := &segment{id: id, first: b.first, span: uint32(len(b.keys)), docs: uint32(len(b.keys))}
	w := &writer{seg: s, put: put}
	for z := range b.zones {
		list := make([]string, 0, len(b.zones[z]))
		for term, t := range b.zones[z] {
			if len(t.docs) > 0 {
				list = append(list, term)
			}
		}
		slices.Sort(list)
		for _, term := range list {
			w.term([]byte(term), b.zones[z][term].docs)
		}
		w.endZone()
	}
	w.keys(b.keys)
	w.flush()
	return s, w.err
}

// keyBytes is what a docKey takes: zeros where there is no document.
const keyBytes = 9

// keys writes the keys of the segment's documents.
func (w *writer) keys(list []docKey) {
	const each = dictRow / keyBytes
	n := uint32(0)
	for part := range slices.Chunk(list, each) {
		b := make([]byte, 0, len(part)*keyBytes)
		for _, k := range part {
			kind := byte(0)
			switch {
			case k.prefix:
				kind = 2
			case k.id != 0:
				kind = 1
			}
			b = append(b, kind)
			for shift := 56; shift >= 0; shift -= 8 {
				b = append(b, byte(k.id>>shift))
			}
		}
		w.row(w.seg.row('k', 0, n), b)
		n++
	}
}

// keys reads the keys of the segment's documents.
func (s *segment) keys(get getter) (list []docKey, err error) {
	const each = dictRow / keyBytes
	for n := range (s.span + each - 1) / each {
		b, err := get(s.row('k', 0, n))
		if err != nil {
			return nil, err
		}
		for ; len(b) >= keyBytes; b = b[keyBytes:] {
			k := docKey{prefix: b[0] == 2}
			for _, c := range b[1:keyBytes] {
				k.id = k.id<<8 | uint64(c)
			}
			list = append(list, k)
		}
	}
	if len(list) != int(s.span) {
		return nil, errDamaged
	}
	return list, nil
}

// prefixFields are the fields of a message's prefix.
func prefixFields(m *store.Message) ([]field, error) {
	return fieldsOf(m.Prefix, &message.Envelope{}, len(m.Prefix))
}
