package search

import (
	"bytes"
	"context"
	"slices"

	"homemail/store"
)

// mergeSmall merges segments of about the same size when there are many.
func (k *keeper) mergeSmall(ctx context.Context) error {
	for ctx.Err() == nil {
		from, to := k.cat.crowd()
		if from == to {
			break
		}
		if err := k.merge(ctx, from, to); err != nil {
			return err
		}
	}
	return ctx.Err()
}

const (
	// fanIn is how many segments of a size are merged.
	fanIn = 8
	// smallest is the size below which all segments are small.
	smallest = 256
	// spanMax is the largest segment, by document numbers.
	spanMax = 1 << 18
)

// tier is the order of magnitude of a segment.
func (s *segment) tier() (n int) {
	for size := uint32(smallest); s.span > size; size *= fanIn {
		n++
	}
	return n
}

// crowd finds neighbours to be merged: fanIn of them, none of which is larger
// than the tier that they are merged out of.
func (c *catalog) crowd() (from, to int) {
	for tier := range 8 {
		start, span := 0, uint32(0)
		for i, s := range c.segs {
			if s.tier() > tier || span+s.span > spanMax {
				start, span = i, 0
				if s.tier() > tier {
					start++
					continue
				}
			}
			if span += s.span; i-start+1 == fanIn {
				return start, i + 1
			}
		}
	}
	return 0, 0
}

// rewrite makes segments anew of which so many percent are of messages that are
// gone.
func (k *keeper) rewrite(ctx context.Context, percent int) error {
	live, err := k.live()
	if err != nil {
		return err
	}
	for i := 0; i < len(k.cat.segs) && ctx.Err() == nil; i++ {
		s := k.cat.segs[i]
		there := uint32(0)
		for d := range s.span {
			if live.has(s.first + d) {
				there++
			}
		}
		if dead := int(s.docs) - int(there); dead > 0 && dead*100 >= percent*int(s.docs) {
			n := len(k.cat.segs)
			if err := k.merge(ctx, i, i+1); err != nil {
				return err
			}
			i -= n - len(k.cat.segs)
		}
	}
	return ctx.Err()
}

// live are the documents of messages that are there.
func (k *keeper) live() (bitset, error) {
	live := newBitset(k.cat.nextDoc)
	paths, err := k.a.DerivedPaths("b")
	if err != nil {
		return nil, err
	}
	var places []place
	for _, path := range paths {
		b, err := k.read(path)
		if err != nil {
			return nil, err
		}
		if places, err = decodeBlock(places[:0], b); err != nil {
			return nil, err
		}
		for _, p := range places {
			if p.doc >= k.cat.nextDoc || p.prefix >= k.cat.nextDoc {
				return nil, errDamaged
			}
			live.set(p.doc)
			live.set(p.prefix)
		}
	}
	return live, nil
}

// merge makes one segment of some, without what is of expunged messages. The
// rows of the old ones go with the catalog that no longer has them.
func (k *keeper) merge(ctx context.Context, from, to int) error {
	live, err := k.live()
	if err != nil {
		return err
	}
	old := k.cat.segs[from:to]
	m := &merger{ctx: ctx, get: must(k.read), live: live, put: k.a.PutDerived}
	c := *k.cat
	c.nextSeg++
	s, err := m.merge(old, k.cat.nextSeg)
	if err != nil {
		return err
	}
	c.segs = slices.Clone(k.cat.segs[:from])
	if s.docs > 0 {
		c.segs = append(c.segs, s)
	}
	c.segs = append(c.segs, k.cat.segs[to:]...)
	if err := k.a.PutDerived([]store.DerivedRow{{Path: catalogPath, Value: c.encode()}}); err != nil {
		return err
	}
	k.cat = &c
	for _, s := range old {
		if err := k.a.DropDerived(segmentPath(s.id)); err != nil {
			return err
		}
	}
	if s.docs == 0 {
		return k.a.DropDerived(segmentPath(s.id))
	}
	return nil
}

// A merger makes one segment of several that follow each other.
type merger struct {
	ctx  context.Context // a large merge takes seconds
	get  getter
	live bitset // documents to keep
	put  func([]store.DerivedRow) error
}

// merge merges. What it holds in memory does not grow with the segments.
func (m *merger) merge(list []*segment, id uint32) (*segment, error) {
	last := list[len(list)-1]
	s := &segment{id: id, first: list[0].first, span: last.first + last.span - list[0].first}
	w := &writer{seg: s, put: m.put}
	for z := range zone(zones) {
		if err := m.zone(w, list, z); err != nil {
			return nil, err
		}
		w.endZone()
	}
	keys, err := m.keys(list, s)
	if err != nil {
		return nil, err
	}
	w.keys(keys)
	w.flush()
	return s, w.err
}

// keys are those of the documents that are kept.
func (m *merger) keys(list []*segment, s *segment) ([]docKey, error) {
	out := make([]docKey, s.span)
	for _, from := range list {
		keys, err := from.keys(m.get)
		if err != nil {
			return nil, err
		}
		for i, k := range keys {
			if doc := from.first + uint32(i); k != (docKey{}) && m.live.has(doc) {
				out[doc-s.first] = k
				s.docs++
			}
		}
	}
	return out, nil
}

// zone merges the terms of a zone.
func (m *merger) zone(w *writer, list []*segment, z zone) error {
	var open []*termReader
	for _, s := range list {
		r := &termReader{s: s, get: m.get, z: z}
		more, err := r.next()
		if err != nil {
			return err
		}
		if more {
			open = append(open, r)
		}
	}
	var docs []uint32
	for n := 0; len(open) > 0 && w.err == nil; n++ {
		if n%1024 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		least := open[0].term
		for _, r := range open[1:] {
			if bytes.Compare(r.term, least) < 0 {
				least = r.term
			}
		}
		least = bytes.Clone(least)
		docs = docs[:0]
		rest := open[:0]
		for _, r := range open { // in the order of documents
			if !bytes.Equal(r.term, least) {
				rest = append(rest, r)
				continue
			}
			for _, d := range r.docs {
				if m.live.has(r.s.first + d) {
					docs = append(docs, r.s.first+d-w.seg.first)
				}
			}
			more, err := r.next()
			if err != nil {
				return err
			}
			if more {
				rest = append(rest, r)
			}
		}
		open = rest
		if len(docs) > 0 {
			w.term(least, docs)
		}
	}
	return w.err
}
