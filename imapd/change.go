package imapd

import (
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"homemail/mail"
	"homemail/store"
)

// Append is APPEND, RFC 9051 §6.3.12. The message goes from the connection
// into the spool; OK means that it is on disk.
func (s *session) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	s.g.upload(true)
	defer s.g.upload(false)
	box, err := s.destination(name)
	if err != nil {
		return nil, err
	}
	if r.Size() == 0 { // RFC 3502 §6.3.11: the client has changed its mind
		return nil, no(imap.ResponseCodeCannot, "An empty message is not saved")
	}
	if err := s.s.o.Store.Room(r.Size()); err != nil {
		return nil, s.refuse(err, "append")
	}
	sp := s.s.o.Store.NewSpool()
	defer sp.Discard()
	if _, err := io.Copy(sp, io.LimitReader(r, r.Size())); err != nil {
		return nil, s.refuse(err, "append")
	}
	if sp.Size() != r.Size() {
		return nil, io.ErrUnexpectedEOF // the connection has gone
	}
	d := store.Delivery{Account: s.acct.ID, Mailbox: box.ID, Date: o.Time}
	d.Flags, d.Keywords = flagSet(o.Flags)
	placed, err := s.s.o.Store.Deliver(sp, []store.Delivery{d})
	if err != nil {
		return nil, s.refuse(err, "append")
	}
	return &imap.AppendData{UIDValidity: placed[0].UIDValidity, UID: imap.UID(placed[0].UID)}, nil
}

var flagModes = map[imap.StoreFlagsOp]store.FlagMode{
	imap.StoreFlagsSet: store.SetFlags, imap.StoreFlagsAdd: store.AddFlags, imap.StoreFlagsDel: store.RemoveFlags,
}

// Store is STORE, RFC 9051 §6.4.6. Flags that another session changed at the
// same time are told even if .SILENT was asked for.
func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, f *imap.StoreFlags, _ *imap.StoreOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	if err := s.catchUp(); err != nil {
		return err
	}
	uids := v.uidsOf(v.resolve(set))
	if len(uids) == 0 {
		return nil
	}
	c := store.FlagChange{Mode: flagModes[f.Op]}
	c.Flags, c.Keywords = flagSet(f.Flags)
	changed, _, err := s.acct.StoreFlags(v.box, uids, c)
	if err != nil {
		return s.refuse(err, "store flags")
	}
	for _, e := range changed {
		i, ok := v.index(e.UID)
		if !ok {
			continue
		}
		was := v.flags.states[v.state[i]]
		v.state[i] = v.flags.of(e.Flags, e.Keywords)
		if f.Silent && as(c, was, e) {
			continue
		}
		delete(v.changed, e.UID)
		m := w.CreateMessage(uint32(i + 1))
		m.WriteUID(imap.UID(e.UID))
		m.WriteFlags(v.flags.list(v.state[i]))
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
}

// as reports whether c makes e out of what the client knew.
func as(c store.FlagChange, was flagState, e store.Entry) bool {
	flags, words := c.Flags, c.Keywords
	switch c.Mode {
	case store.AddFlags:
		flags |= was.flags
		words = append(slices.Clone(was.keywords), words...)
	case store.RemoveFlags:
		flags = was.flags &^ flags
		words = slices.DeleteFunc(slices.Clone(was.keywords), func(w string) bool {
			return slices.ContainsFunc(c.Keywords, func(x string) bool { return strings.EqualFold(w, x) })
		})
	}
	if flags != e.Flags {
		return false
	}
	for _, w := range words {
		if !slices.Contains(e.Keywords, w) {
			return false
		}
	}
	for _, w := range e.Keywords {
		if !slices.Contains(words, w) {
			return false
		}
	}
	return true
}

// Copy is COPY, RFC 9051 §6.4.7: all or nothing.
func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	box, err := s.destination(dest)
	if err != nil {
		return nil, err
	}
	v := s.view
	pairs, err := s.acct.Copy(v.box, v.uidsOf(v.resolve(set)), box.ID)
	if err != nil {
		return nil, s.refuse(err, "copy")
	}
	return copyData(box, pairs), nil
}

// copyData is what COPYUID tells, RFC 4315 §3; nil if nothing was copied, as
// the library cannot write empty sets.
func copyData(box store.Mailbox, pairs []store.Pair) *imap.CopyData {
	if len(pairs) == 0 {
		return nil
	}
	from, to := make([]mail.UID, len(pairs)), make([]mail.UID, len(pairs))
	for i, p := range pairs {
		from[i], to[i] = p.From, p.To
	}
	return &imap.CopyData{UIDValidity: box.UIDValidity, SourceUIDs: uidSet(from), DestUIDs: uidSet(to)}
}

// Move is MOVE, RFC 6851 and RFC 9051 §6.4.8: one commit.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	box, err := s.destination(dest)
	if err != nil {
		return err
	}
	pairs, err := s.acct.Move(v.box, v.uidsOf(v.resolve(set)), box.ID)
	if err != nil {
		return s.refuse(err, "move")
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := w.WriteCopyData(copyData(box, pairs)); err != nil {
		return err
	}
	gone := make(map[mail.UID]struct{}, len(pairs))
	for _, p := range pairs {
		gone[p.From] = struct{}{}
	}
	return v.expunge(gone, w.WriteExpunge)
}

// Expunge is EXPUNGE, UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9) and the half of
// CLOSE that removes messages, which has no writer and no error if read-only.
func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	if v.readOnly {
		if *w == (imapserver.ExpungeWriter{}) {
			return nil
		}
		return errReadOnly
	}
	if err := s.catchUp(); err != nil {
		return err
	}
	all := []span{{0, v.told}}
	if uids != nil {
		all = v.resolve(*uids)
	}
	var doomed []mail.UID
	for _, sp := range all {
		for i := sp.lo; i < sp.hi; i++ {
			if v.flags.states[v.state[i]].flags.Has(mail.Deleted) {
				doomed = append(doomed, v.uids[i])
			}
		}
	}
	if len(doomed) == 0 {
		return nil
	}
	list, err := s.acct.Expunge(v.box, doomed)
	if err != nil {
		return s.refuse(err, "expunge")
	}
	gone := make(map[mail.UID]struct{}, len(list))
	for _, uid := range list {
		gone[uid] = struct{}{}
	}
	return v.expunge(gone, w.WriteExpunge)
}
