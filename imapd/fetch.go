package imapd

import (
	"errors"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/mail/message"
	"homemail/store"
)

const (
	fetchBatch = 512       // records that one call to the store reads
	seenBatch  = 32        // messages that become \Seen in one commit
	holdMax    = 256 << 10 // a section up to this size is in memory while it is sent
)

// A fetching is a FETCH, RFC 9051 §6.4.5, on its way through a list of messages.
type fetching struct {
	s       *session
	v       *view
	o       *fetchList
	sep     bool  // the response has an item already
	damaged error // of the first message that could not be read
}

// fetch is FETCH. Flags come from the view, what lists show from summaries, all
// else from the messages' records and bodies. A message
// that is damaged does not keep the others from being sent; it makes the answer
// a NO.
func (s *session) fetch(c *call) error {
	set := s.numbers(c)
	o := s.fetchArgs()
	if err := s.end(); err != nil {
		return err
	}
	if err := s.catchUp(); err != nil {
		return err
	}
	o.UID = o.UID || c.uid
	if o.vanished && (!c.uid || !s.on.qresync || o.ChangedSince == 0) { // RFC 7162 §3.2.6
		return wire.SyntaxError("VANISHED needs UID FETCH, CHANGEDSINCE and QRESYNC")
	}
	if o.vanished {
		changes, err := s.changesSince(mail.ModSeq(o.ChangedSince))
		if err != nil {
			return s.refuse(err, "fetch")
		}
		s.vanishedEarlier(&changes, set.(imap.UIDSet))
	}
	f := &fetching{s: s, v: s.view, o: o}
	return s.refuse(f.run(f.v.resolve(set)), "fetch")
}

func (f *fetching) run(list []span) (err error) {
	if f.needsFlags() {
		if err := f.s.load(); err != nil {
			return err
		}
	}
	if f.o.ChangedSince > 0 {
		list = f.v.changedSince(list, mail.ModSeq(f.o.ChangedSince))
	}
	if f.o.part != nil {
		list = windowed(list, f.o.part)
	}
	switch {
	case f.needsRecord():
		err = f.fromRecords(f.v.uidsOf(list))
	case f.needsSummary():
		err = f.fromSummaries(f.v.uidsOf(list))
	default:
		err = f.fromView(list)
	}
	if err == nil {
		err = f.damaged
	}
	return err
}

// windowed picks the messages of a window.
func windowed(list []span, w *window) []span {
	lo, hi := w.of(count(list))
	var b spans
	for _, sp := range list {
		n := sp.hi - sp.lo
		b.add(span{sp.lo + max(lo, 0), sp.lo + min(hi, n)})
		lo, hi = lo-n, hi-n
	}
	return b.list
}

// changedSince picks the messages that changed after some moment, RFC 7162
// §3.1.4.1.
func (v *view) changedSince(list []span, since mail.ModSeq) []span {
	var b spans
	for _, sp := range list {
		for i := sp.lo; i < sp.hi; i++ {
			if v.mod[i] > since {
				b.add(span{i, i + 1})
			}
		}
	}
	return b.list
}

// needsFlags reports whether flags or mod-sequences are told or looked at.
func (f *fetching) needsFlags() bool {
	return f.o.Flags || f.o.ModSeq || f.o.ChangedSince > 0 || f.marksSeen()
}

func (f *fetching) needsRecord() bool { return f.o.body || f.needsBody() }

func (f *fetching) needsBody() bool {
	return len(f.o.sections) > 0 || len(f.o.binary) > 0 || len(f.o.binarySize) > 0
}

func (f *fetching) fromView(list []span) error {
	for _, sp := range list {
		for i := sp.lo; i < sp.hi; i++ {
			f.begin(i, false)
			if f.end() != nil {
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
func (f *fetching) fromRecords(uids []mail.UID) error {
	n := fetchBatch
	if f.marksSeen() {
		n = seenBatch
	}
	for batch := range slices.Chunk(uids, n) {
		news, err := f.markSeen(batch)
		if err != nil {
			return err
		}
		beside, err := f.beside(batch)
		if err != nil {
			return err
		}
		if err := f.records(batch, func(m *store.Message) error { return f.send(m, news, beside[m.UID]) }); err != nil {
			return err
		}
	}
	return nil
}

// records calls fn for the records of uids, and goes on behind one that is
// damaged.
func (f *fetching) records(uids []mail.UID, fn func(*store.Message) error) error {
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
func (f *fetching) survive(uid mail.UID, err error) error {
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
func (f *fetching) marksSeen() bool {
	return !f.v.readOnly &&
		(slices.ContainsFunc(f.o.sections, func(b section) bool { return !b.Peek }) ||
			slices.ContainsFunc(f.o.binary, func(b binaryItem) bool { return !b.peek }))
}

// markSeen sets \Seen on those of uids that do not have it, on disk before
// anything is sent, and returns them. Mail can be read when the disk is full;
// then it stays unread.
func (f *fetching) markSeen(uids []mail.UID) (map[mail.UID]bool, error) {
	if !f.marksSeen() {
		return nil, nil
	}
	var unseen []mail.UID
	for _, uid := range uids {
		if i, ok := f.v.index(uid); ok && !f.v.at(i).flags.Has(mail.Seen) {
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
			f.v.state[i], f.v.mod[i] = f.v.flags.of(e.Flags, e.Keywords), e.ModSeq
			news[e.UID] = true
		}
	}
	return news, nil
}

// begin begins a response with what the view knows. Flags that have just
// changed are told with their mod-sequence, RFC 7162 §3.1.
func (f *fetching) begin(i int, flags bool) {
	f.sep = false
	f.s.beginFetch(i, false)
	if f.o.UID && !f.s.on.uidOnly {
		f.item("UID ").Unsigned(uint64(f.v.uids[i]))
	}
	if f.o.Flags || flags {
		f.item("FLAGS ").Raw(f.v.at(i).text)
	}
	if f.o.ModSeq || flags && f.s.on.condStore {
		f.item("MODSEQ (").Unsigned(uint64(f.v.mod[i])).Byte(')')
	}
}

// item begins an item.
func (f *fetching) item(name string) *wire.Writer {
	if f.sep {
		f.s.w.Byte(' ')
	}
	f.sep = true
	return f.s.w.Raw(name)
}

func (f *fetching) end() error { return f.s.w.Byte(')').End() }

// send writes one message. Everything is read, or at least checked, before the
// first byte is sent: the size of a literal cannot be taken back.
func (f *fetching) send(m *store.Message, news map[mail.UID]bool, by besides) error {
	i, ok := f.v.index(m.UID)
	if !ok {
		return nil
	}
	st, err := m.Structure()
	if err != nil {
		return err
	}
	items, err := f.items(m, st)
	if err != nil {
		return err
	}
	f.begin(i, news[m.UID])
	f.dates(m.Date, m.Saved, m.Size)
	f.structure(st)
	f.ids(by)
	for _, it := range items {
		if err := f.write(it); err != nil {
			if f.s.w.Err() == nil {
				f.s.log.Error("imap: a message cannot be sent to its end", "mailbox", f.v.box, "uid", m.UID, "err", err)
			}
			f.s.g.kill() // in the middle of a literal: nothing else can be said
			return errGone
		}
	}
	if f.end() != nil {
		return errGone
	}
	return nil
}

// structure writes what the record has to be read for.
func (f *fetching) structure(st *message.Structure) {
	if f.o.Envelope {
		f.item("ENVELOPE ").Append(st.Envelope.AppendEnvelope)
	}
	if f.o.body {
		f.item("BODY ").Append(func(b []byte) []byte { return st.Root.AppendStructure(b, false) })
	}
	if f.o.BodyStructure != nil {
		f.item("BODYSTRUCTURE ").Append(func(b []byte) []byte { return st.Root.AppendStructure(b, true) })
	}
}

// A sending is a section that was found: bytes, or with size only their number.
type sending struct {
	name    string
	src     source
	literal bool
	binary  bool
}

// write writes a section.
func (f *fetching) write(it sending) error {
	w := f.item(it.name).Byte(' ')
	if !it.literal {
		w.Number(it.src.size)
		return nil
	}
	w.Literal(it.src.size, it.binary)
	return it.src.copyTo(w)
}

// items prepares the sections that were asked for.
func (f *fetching) items(m *store.Message, st *message.Structure) (list []sending, err error) {
	body := f.s.acct.Body(m)
	l := layout{&st.Root, int64(len(m.Prefix)), m.Size}
	for i := range f.o.sections {
		o := &f.o.sections[i]
		src, err := f.bodySection(body, l, &o.FetchItemBodySection)
		if err != nil {
			return nil, err
		}
		list = append(list, sending{name: o.name, src: src, literal: true})
	}
	for _, o := range f.o.binary {
		src, err := binarySection(body, l, o.part)
		if err != nil {
			return nil, err
		}
		list = append(list, sending{name: o.name, src: src.partial(o.partial), literal: true, binary: true})
	}
	for _, o := range f.o.binarySize {
		src, err := binarySection(body, l, o.part)
		if err != nil {
			return nil, err
		}
		list = append(list, sending{name: o.name, src: src})
	}
	return list, nil
}

// A source is bytes whose number is known.
type source struct {
	size int64
	skip int64 // bytes of open's reader to be left out
	open func() io.Reader
	mem  []byte // all of it, if that is in memory
}

// copyTo writes the bytes, as many as were announced or not all: then with an
// error.
func (s source) copyTo(w *wire.Writer) error {
	if s.mem != nil {
		w.RawBytes(s.mem[s.skip : s.skip+s.size])
		return nil
	}
	r := s.open()
	if _, err := io.CopyN(io.Discard, r, s.skip); err != nil {
		return err
	}
	n, err := w.ReadFrom(io.LimitReader(r, s.size))
	if err == nil && n != s.size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s source) partial(p *imap.SectionPartial) source {
	r := region{0, s.size}.partial(p)
	s.skip, s.size = s.skip+r.at, r.size()
	return s
}

// bodySection finds BODY[...] and checks that it can be read.
func (f *fetching) bodySection(body io.ReaderAt, l layout, o *imap.FetchItemBodySection) (source, error) {
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
		b := make([]byte, where.size())
		n, err := body.ReadAt(b, where.at)
		if err == io.EOF || err == nil {
			err = nil
			if n < len(b) {
				err = store.ErrCorrupt
			}
		}
		return held(b), err
	}
	n, err := io.Copy(io.Discard, section())
	if err == nil && n != where.size() {
		err = store.ErrCorrupt
	}
	return source{size: where.size(), open: section}, err
}
