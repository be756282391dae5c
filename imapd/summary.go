package imapd

import (
	"errors"
	"slices"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Besides is what is told of a message that is neither in the view nor in its
// record.
type besides struct {
	email   string
	thread  string
	preview string
}

// needsSummary reports whether anything is asked for that the view has not.
func (f *fetching) needsSummary() bool {
	o := f.o
	return o.Envelope || o.BodyStructure != nil || o.InternalDate || o.RFC822Size || o.saveDate || o.email || o.thread || o.preview
}

// fromSummaries sends what was rendered when the messages came.
func (f *fetching) fromSummaries(uids []mail.UID) error {
	for batch := range slices.Chunk(uids, fetchBatch) {
		previews, err := f.previews(batch)
		if err != nil {
			return err
		}
		if err := f.summaries(batch, func(m *store.Summary) error {
			return f.sendSummary(m, previews[m.UID])
		}); err != nil {
			return err
		}
	}
	return nil
}

// summaries calls fn for the summaries of uids, and goes on behind one that is
// damaged.
func (f *fetching) summaries(uids []mail.UID, fn func(*store.Summary) error) error {
	next := uids
	err := f.s.acct.Summaries(f.v.box, uids, func(m *store.Summary) error {
		if i, ok := slices.BinarySearch(next, m.UID); ok {
			next = next[i+1:]
		}
		return fn(m)
	})
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	for i := range next {
		err := f.s.acct.Summaries(f.v.box, next[i:i+1], fn)
		if err := f.survive(next[i], err); err != nil {
			return err
		}
	}
	return nil
}

// sendSummary writes one message. One that is too large to be kept rendered is
// rendered now.
func (f *fetching) sendSummary(m *store.Summary, preview string) error {
	i, ok := f.v.index(m.UID)
	if !ok {
		return nil
	}
	if len(m.Structure) == 0 && (f.o.Envelope || f.o.BodyStructure != nil) {
		r, err := f.s.acct.Message(f.v.box, m.UID)
		if err != nil {
			return f.survive(m.UID, err)
		}
		return f.survive(m.UID, f.send(r, nil, besides{m.Email.String(), m.Thread.String(), preview}))
	}
	f.begin(i, false)
	f.dates(m.Date, m.Saved, m.Size)
	if f.o.Envelope {
		f.item("ENVELOPE ").RawBytes(m.Envelope)
	}
	if f.o.BodyStructure != nil {
		f.item("BODYSTRUCTURE ").RawBytes(m.Structure)
	}
	if f.o.email || f.o.thread || f.o.preview {
		f.ids(besides{m.Email.String(), m.Thread.String(), preview})
	}
	if f.end() != nil {
		return errGone
	}
	return nil
}

// dates writes what every message has.
func (f *fetching) dates(internal, saved time.Time, size int64) {
	if f.o.InternalDate {
		f.item("INTERNALDATE ").DateTime(internal)
	}
	if f.o.saveDate {
		f.item("SAVEDATE ").DateTime(saved)
	}
	if f.o.RFC822Size {
		f.item("RFC822.SIZE ").Number(size)
	}
}

// ids writes what is kept beside.
func (f *fetching) ids(by besides) {
	if f.o.email {
		f.item("EMAILID (").Raw(by.email).Byte(')')
	}
	if f.o.thread {
		if w := f.item("THREADID "); by.thread == "" {
			w.Raw("NIL")
		} else {
			w.Byte('(').Raw(by.thread).Byte(')')
		}
	}
	if f.o.preview {
		f.item("PREVIEW ").String(by.preview)
	}
}

// previews reads the previews of messages, RFC 8970, if they are asked for.
func (f *fetching) previews(uids []mail.UID) (map[mail.UID]string, error) {
	if !f.o.preview {
		return nil, nil
	}
	list := make(map[mail.UID]string, len(uids))
	err := f.s.acct.SortKeys(f.v.box, uids, func(k *store.SortKeys) error {
		list[k.UID] = string(k.Preview)
		return nil
	})
	if errors.Is(err, store.ErrCorrupt) { // the message itself says so
		err = nil
	}
	return list, err
}

// beside reads what neither the view nor the records have.
func (f *fetching) beside(uids []mail.UID) (map[mail.UID]besides, error) {
	if !f.o.email && !f.o.thread && !f.o.preview {
		return nil, nil
	}
	previews, err := f.previews(uids)
	if err != nil {
		return nil, err
	}
	list := make(map[mail.UID]besides, len(uids))
	err = f.summaries(uids, func(m *store.Summary) error {
		list[m.UID] = besides{m.Email.String(), m.Thread.String(), previews[m.UID]}
		return nil
	})
	return list, err
}
