package imapd

import (
	"errors"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"homemail/mail"
	"homemail/mail/message"
	"homemail/store"
)

const (
	fetchBatch = 512       // records that one call to the store reads
	seenBatch  = 32        // messages that become \Seen in one commit
	holdMax    = 256 << 10 // a section up to this size is in memory while it is sent
	sizesFew   = 64        // sizes of so many messages are read from their records
)

// A fetch is a FETCH, RFC 9051 §6.4.5, on its way through a list of messages.
type fetch struct {
	s       *session
	v       *view
	w       *imapserver.FetchWriter
	o       *imap.FetchOptions
	damaged error // of the first message that could not be read
}

// Fetch is FETCH. Flags come from the view, sizes of many messages from the
// mailbox's entries, all else from the messages' records and bodies. A message
// that is damaged does not keep the others from being sent; it makes the answer
// a NO.
func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.catchUp(); err != nil {
		return err
	}
	f := &fetch{s: s, v: s.view, w: w, o: o}
	list := f.v.resolve(set)
	var err error
	switch {
	case !f.needsRecord() && !o.RFC822Size:
		err = f.fromView(list)
	case !f.needsRecord() && count(list) > sizesFew:
		err = f.fromEntries(list)
	default:
		err = f.fromRecords(f.v.uidsOf(list))
	}
	if err == nil {
		err = f.damaged
	}
	return s.refuse(err, "fetch")
}

func (f *fetch) needsRecord() bool {
	o := f.o
	return o.Envelope || o.BodyStructure != nil || o.InternalDate || f.needsBody()
}

func (f *fetch) needsBody() bool {
	return len(f.o.BodySection) > 0 || len(f.o.BinarySection) > 0 || len(f.o.BinarySectionSize) > 0
}

func (f *fetch) fromView(list []span) error {
	for _, sp := range list {
		for i := sp.lo; i < sp.hi; i++ {
			m := f.begin(i, false)
			if err := m.Close(); err != nil {
				return errGone
			}
		}
	}
	return nil
}

// fromEntries goes along the spans and the entries at once: both ascend.
func (f *fetch) fromEntries(list []span) error {
	entries, err := f.s.acct.Entries(f.v.box)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	f.damaged = err
	for _, sp := range list {
		for i := sp.lo; i < sp.hi; i++ {
			for len(entries) > 0 && entries[0].UID < f.v.uids[i] {
				entries = entries[1:]
			}
			if len(entries) == 0 || entries[0].UID != f.v.uids[i] {
				continue // expunged by another session
			}
			m := f.begin(i, false)
			m.WriteRFC822Size(entries[0].Size)
			if err := m.Close(); err != nil {
				return errGone
			}
		}
	}
	return nil
}

// errGone ends a command whose client has gone.
var errGone = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeUnavailable, Text: "Connection lost"}

// fromRecords sends batch after batch, so that memory does not grow with the
// mailbox.
func (f *fetch) fromRecords(uids []mail.UID) error {
	n := fetchBatch
	if f.marksSeen() {
		n = seenBatch
	}
	for batch := range slices.Chunk(uids, n) {
		news, err := f.markSeen(batch)
		if err != nil {
			return err
		}
		if err := f.records(batch, func(m *store.Message) error { return f.send(m, news) }); err != nil {
			return err
		}
	}
	return nil
}

// records calls fn for the records of uids, and goes on behind one that is
// damaged.
func (f *fetch) records(uids []mail.UID, fn func(*store.Message) error) error {
	next := uids
	err := f.s.acct.Messages(f.v.box, uids, func(m *store.Message) error {
		if i, ok := slices.BinarySearch(next, m.UID); ok {
			next = next[i+1:]
		}
		return f.survive(m.UID, fn(m))
	})
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	for _, uid := range next {
		m, err := f.s.acct.Message(f.v.box, uid)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			err = fn(m)
		}
		if err := f.survive(uid, err); err != nil {
			return err
		}
	}
	return nil
}

// survive notes that a message is damaged. One that was expunged meanwhile is
// left out.
func (f *fetch) survive(uid mail.UID, err error) error {
	switch {
	case errors.Is(err, store.ErrCorrupt):
		f.s.log.Error("imap: a message is damaged", "mailbox", f.v.box, "uid", uid, "err", err)
		f.damaged = no(imap.ResponseCodeCorruption, "A message is damaged")
	case errors.Is(err, store.ErrNotFound):
	case errors.Is(err, errEncoding):
		f.damaged = no(imap.ResponseCodeUnknownCTE, "A part cannot be decoded")
	default:
		return err
	}
	return nil
}

// marksSeen reports whether what is fetched counts as reading.
func (f *fetch) marksSeen() bool {
	return !f.v.readOnly &&
		(slices.ContainsFunc(f.o.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek }) ||
			slices.ContainsFunc(f.o.BinarySection, func(b *imap.FetchItemBinarySection) bool { return !b.Peek }))
}

// markSeen sets \Seen on those of uids that do not have it, on disk before
// anything is sent, and returns them. Mail can be read when the disk is full;
// then it stays unread.
func (f *fetch) markSeen(uids []mail.UID) (map[mail.UID]bool, error) {
	if !f.marksSeen() {
		return nil, nil
	}
	var unseen []mail.UID
	for _, uid := range uids {
		if i, ok := f.v.index(uid); ok && !f.v.flags.states[f.v.state[i]].flags.Has(mail.Seen) {
			unseen = append(unseen, uid)
		}
	}
	if len(unseen) == 0 {
		return nil, nil
	}
	changed, _, err := f.s.acct.StoreFlags(f.v.box, unseen, store.FlagChange{Mode: store.AddFlags, Flags: mail.Seen})
	if err != nil {
		f.s.log.Warn("imap: a message that was read stays unseen", "mailbox", f.v.box, "err", err)
		return nil, nil
	}
	news := make(map[mail.UID]bool, len(changed))
	for _, e := range changed {
		if i, ok := f.v.index(e.UID); ok {
			f.v.state[i] = f.v.flags.of(e.Flags, e.Keywords)
			news[e.UID] = true
		}
	}
	return news, nil
}

// begin begins a response with what the view knows.
func (f *fetch) begin(i int, flags bool) *imapserver.FetchResponseWriter {
	m := f.w.CreateMessage(uint32(i + 1))
	if f.o.UID {
		m.WriteUID(imap.UID(f.v.uids[i]))
	}
	if f.o.Flags || flags {
		m.WriteFlags(f.v.flags.list(f.v.state[i]))
	}
	return m
}

// send writes one message. Everything is read, or at least checked, before the
// first byte is sent: the size of a literal cannot be taken back.
func (f *fetch) send(m *store.Message, news map[mail.UID]bool) error {
	i, ok := f.v.index(m.UID)
	if !ok {
		return nil
	}
	var st *message.Structure
	if f.o.Envelope || f.o.BodyStructure != nil || f.needsBody() {
		var err error
		if st, err = m.Structure(); err != nil {
			return err
		}
	}
	items, err := f.items(m, st)
	if err != nil {
		return err
	}
	w := f.begin(i, news[m.UID])
	if f.o.InternalDate {
		w.WriteInternalDate(m.Date)
	}
	if f.o.RFC822Size {
		w.WriteRFC822Size(m.Size)
	}
	if f.o.Envelope {
		w.WriteEnvelope(envelope(&st.Envelope))
	}
	if f.o.BodyStructure != nil {
		w.WriteBodyStructure(bodyStructure(&st.Root))
	}
	for _, it := range items {
		if err := it(w); err != nil {
			f.s.g.kill() // in the middle of a literal: nothing else can be said
			w.Close()
			return errGone
		}
	}
	if w.Close() != nil {
		return errGone
	}
	return nil
}

// An item writes a section.
type item func(*imapserver.FetchResponseWriter) error

// items prepares the sections that were asked for.
func (f *fetch) items(m *store.Message, st *message.Structure) (list []item, err error) {
	if !f.needsBody() {
		return nil, nil
	}
	body := f.s.acct.Body(m)
	l := layout{&st.Root, int64(len(m.Prefix)), m.Size}
	for _, o := range f.o.BodySection {
		src, err := f.bodySection(body, l, o)
		if err != nil {
			return nil, err
		}
		list = append(list, func(w *imapserver.FetchResponseWriter) error {
			return src.copyTo(w.WriteBodySection(o, src.size))
		})
	}
	for _, o := range f.o.BinarySection {
		src, err := binarySection(body, l, o.Part)
		if err != nil {
			return nil, err
		}
		src = src.partial(o.Partial)
		list = append(list, func(w *imapserver.FetchResponseWriter) error {
			return src.copyTo(w.WriteBinarySection(o, src.size))
		})
	}
	for _, o := range f.o.BinarySectionSize {
		src, err := binarySection(body, l, o.Part)
		if err != nil {
			return nil, err
		}
		list = append(list, func(w *imapserver.FetchResponseWriter) error {
			w.WriteBinarySectionSize(o, uint32(src.size))
			return nil
		})
	}
	return list, nil
}

// A source is bytes whose number is known.
type source struct {
	size int64
	skip int64 // bytes of open's reader to be left out
	open func() io.Reader
}

func (s source) copyTo(w io.WriteCloser) error {
	r := s.open()
	_, err := io.CopyN(io.Discard, r, s.skip)
	if err == nil {
		_, err = io.CopyN(w, r, s.size)
	}
	return errors.Join(err, w.Close())
}

func (s source) partial(p *imap.SectionPartial) source {
	r := region{0, s.size}.partial(p)
	s.skip, s.size = s.skip+r.at, r.size()
	return s
}

// bodySection finds BODY[...] and checks that it can be read.
func (f *fetch) bodySection(body io.ReaderAt, l layout, o *imap.FetchItemBodySection) (source, error) {
	where := l.section(o)
	if len(o.HeaderFields) > 0 || len(o.HeaderFieldsNot) > 0 {
		header, err := readHeader(body, where)
		if err != nil {
			return source{}, err
		}
		names, not := o.HeaderFields, false
		if len(names) == 0 {
			names, not = o.HeaderFieldsNot, true
		}
		return held(headerFields(header, names, not)).partial(o.Partial), nil
	}
	where = where.partial(o.Partial)
	section := func() io.Reader { return io.NewSectionReader(body, where.at, where.size()) }
	if where.size() <= holdMax {
		b, err := io.ReadAll(section())
		if err == nil && int64(len(b)) != where.size() {
			err = store.ErrCorrupt
		}
		return held(b), err
	}
	n, err := io.Copy(io.Discard, section())
	if err == nil && n != where.size() {
		err = store.ErrCorrupt
	}
	return source{size: where.size(), open: section}, err
}
