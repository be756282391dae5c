package search

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"homemail/mail"
	"homemail/store"
)

// An intake brings the index of a mailbox up to date.
type intake struct {
	k   *keeper
	box mail.MailboxID
	st  boxState
}

// changes returns what happened since the state: messages that are gone, and
// new ones.
func (in *intake) changes(m *store.Mailbox) (gone, fresh []mail.UID, err error) {
	c, err := in.k.a.Changes(in.box, in.st.at)
	if err != nil {
		return nil, nil, err
	}
	if c.Whole {
		fresh, err = in.compare(&gone)
		return gone, fresh, err
	}
	for _, e := range c.Changed {
		if e.UID > in.st.last {
			fresh = append(fresh, e.UID)
		}
	}
	for _, uid := range c.Gone {
		if uid <= in.st.last {
			gone = append(gone, uid)
		}
	}
	return gone, fresh, nil
}

// compare compares all places with all messages.
func (in *intake) compare(gone *[]mail.UID) (fresh []mail.UID, err error) {
	_, uids, err := in.k.a.Open(in.box)
	if err != nil {
		return nil, err
	}
	var have []mail.UID
	paths, err := in.k.a.DerivedPaths(blockPath(in.box, 0)[:9])
	if err != nil {
		return nil, err
	}
	in.st.count = 0
	for _, path := range paths {
		b, err := in.k.read(path)
		if err != nil {
			return nil, err
		}
		places, err := decodeBlock(nil, b)
		if err != nil {
			return nil, err
		}
		in.st.count += uint32(len(places))
		for _, p := range places {
			have = append(have, p.uid)
		}
	}
	for uid := range uids.All() {
		for len(have) > 0 && have[0] < uid {
			*gone, have = append(*gone, have[0]), have[1:]
		}
		if len(have) > 0 && have[0] == uid {
			have = have[1:]
			continue
		}
		fresh = append(fresh, uid)
	}
	*gone = append(*gone, have...)
	return fresh, nil
}

// remove removes the places of messages that are gone.
func (in *intake) remove(gone []mail.UID) error {
	if len(gone) == 0 {
		return nil
	}
	var rows []store.DerivedRow
	for len(gone) > 0 {
		n := blockOf(gone[0])
		end := slices.IndexFunc(gone, func(uid mail.UID) bool { return blockOf(uid) != n })
		if end < 0 {
			end = len(gone)
		}
		var places []place
		err := in.k.view(func(get getter) (err error) {
			places, err = readBlock(get, in.box, n, nil)
			return err
		})
		if err != nil {
			return err
		}
		before := len(places)
		part := gone[:end]
		places = slices.DeleteFunc(places, func(p place) bool {
			_, dead := slices.BinarySearch(part, p.uid)
			return dead
		})
		in.st.count -= uint32(min(before-len(places), int(in.st.count)))
		rows = append(rows, blockRow(in.box, n, places))
		gone = gone[end:]
	}
	return in.k.a.PutDerived(rows)
}

func blockRow(box mail.MailboxID, n uint32, places []place) store.DerivedRow {
	row := store.DerivedRow{Path: blockPath(box, n)}
	if len(places) > 0 {
		row.Value = encodeBlock(places)
	}
	return row
}

// part indexes some messages, which ascend.
func (in *intake) part(uids []mail.UID) error {
	list, err := in.records(uids)
	if err != nil {
		return err
	}
	docs := map[docKey]uint32{} // of content that was seen before, 0 if it was not
	for _, m := range list {
		if uint64(m.Blob) <= in.k.cat.maxBlob {
			docs[blobKey(m)] = 0
			if len(m.Prefix) > 0 {
				docs[prefixKey(m)] = 0
			}
		}
	}
	err = in.k.view(func(get getter) error { return in.k.cat.find(get, docs) })
	if err != nil {
		return err
	}
	b := newBuilder(in.k.cat.nextDoc)
	var places []place
	for _, m := range list {
		p, err := in.message(b, m, docs)
		if errors.Is(err, store.ErrNotFound) {
			continue // expunged meanwhile
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) { // damage: a search reads it, and tells
			return err
		}
		places = append(places, p)
		if b.full() {
			if err := in.commit(b, places); err != nil {
				return err
			}
			b, places = newBuilder(in.k.cat.nextDoc), nil
		}
	}
	if n := len(uids); n > 0 {
		in.st.last = max(in.st.last, uids[n-1])
	}
	return in.commit(b, places)
}

// records reads the records of messages, and passes over the damaged.
func (in *intake) records(uids []mail.UID) (list []*store.Message, err error) {
	keep := func(m *store.Message) error {
		list = append(list, m)
		return nil
	}
	err = in.k.a.Messages(in.box, uids, keep)
	if !errors.Is(err, store.ErrCorrupt) {
		return list, err
	}
	list = nil
	for _, uid := range uids {
		m, err := in.k.a.Message(in.box, uid)
		switch {
		case err == nil:
			keep(m)
		case !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return list, nil
}

// message finds or makes the documents of a message.
func (in *intake) message(b *builder, m *store.Message, docs map[docKey]uint32) (p place, err error) {
	p.uid = m.UID
	key := blobKey(m)
	if p.doc = docs[key]; p.doc == 0 {
		if p.doc, err = b.message(in.k.a, m); errors.Is(err, store.ErrNotFound) {
			return p, err
		}
		docs[key] = p.doc
	}
	if len(m.Prefix) == 0 {
		return p, err
	}
	key = prefixKey(m)
	if p.prefix = docs[key]; p.prefix == 0 {
		var prefixErr error
		p.prefix, prefixErr = b.prefix(m, key)
		err = errors.Join(err, prefixErr)
		docs[key] = p.prefix
	}
	return p, err
}

func blobKey(m *store.Message) docKey { return docKey{id: uint64(m.Blob)} }

func prefixKey(m *store.Message) docKey {
	h := sha256.Sum256(m.Prefix)
	return docKey{prefix: true, id: binary.BigEndian.Uint64(h[:])}
}

// commit writes what was built: first the segment, then the rows that make it
// count.
func (in *intake) commit(b *builder, places []place) error {
	k := in.k
	c := *k.cat
	if len(b.keys) > 0 {
		s, err := b.segment(c.nextSeg, k.a.PutDerived)
		if err != nil {
			return err
		}
		c.nextSeg++
		c.nextDoc += s.span
		c.segs = append(slices.Clone(c.segs), s)
		for _, key := range b.keys {
			if !key.prefix {
				c.maxBlob = max(c.maxBlob, key.id)
			}
		}
	}
	if c.nextDoc >= docsMax {
		return errDamaged // begin anew, which numbers documents again
	}
	rows := []store.DerivedRow{{Path: catalogPath, Value: c.encode()}}
	for len(places) > 0 {
		n := blockOf(places[0].uid)
		end := slices.IndexFunc(places, func(p place) bool { return blockOf(p.uid) != n })
		if end < 0 {
			end = len(places)
		}
		row, err := in.add(n, places[:end])
		if err != nil {
			return err
		}
		rows = append(rows, row)
		places = places[end:]
	}
	rows = append(rows, store.DerivedRow{Path: statePath(in.box), Value: in.st.encode()})
	if err := k.a.PutDerived(rows); err != nil {
		return err
	}
	k.cat = &c
	return nil
}

// add adds places to a block.
func (in *intake) add(n uint32, fresh []place) (row store.DerivedRow, err error) {
	var places []place
	err = in.k.view(func(get getter) (err error) {
		places, err = readBlock(get, in.box, n, nil)
		return err
	})
	if err != nil {
		return row, err
	}
	had := len(places)
	places = slices.DeleteFunc(places, func(p place) bool { // those that are known better now
		_, again := slices.BinarySearchFunc(fresh, p.uid, func(f place, uid mail.UID) int { return cmp.Compare(f.uid, uid) })
		return again
	})
	places = append(places, fresh...)
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.uid, b.uid) })
	in.st.count += uint32(len(places) - had)
	return blockRow(in.box, n, places), nil
}
