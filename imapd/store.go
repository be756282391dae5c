package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/store"
)

// A flagStore is what a STORE asks for.
type flagStore struct {
	set    imap.NumSet
	c      store.FlagChange
	silent bool
	since  bool // UNCHANGEDSINCE was given, RFC 7162 §3.1.3
}

// numbers reads a set of message numbers, or of UIDs if the command is a UID one.
func (s *session) numbers(c *call) imap.NumSet {
	s.l.SP()
	if c.uid {
		return s.l.UIDSet()
	}
	return s.l.SeqSet()
}

func (s *session) storeArgs(c *call) (f flagStore) {
	f.set = s.numbers(c)
	s.l.SP()
	if s.l.Peek() == '(' {
		s.l.List(func() {
			if s.l.Word() != "UNCHANGEDSINCE" {
				s.l.Fail("Unknown modifier of STORE")
			}
			s.l.SP()
			f.c.UnchangedSince, f.since = mail.ModSeq(s.l.Number64()), true
			s.on.condStore = true
		})
		s.l.SP()
	}
	mode, silent := strings.CutSuffix(s.l.Word(), ".SILENT")
	f.silent = silent
	switch mode {
	case "FLAGS":
		f.c.Mode = store.SetFlags
	case "+FLAGS":
		f.c.Mode = store.AddFlags
	case "-FLAGS":
		f.c.Mode = store.RemoveFlags
	default:
		s.l.Fail("Expected FLAGS")
	}
	s.l.SP()
	f.c.Flags, f.c.Keywords = flagSet(s.flagArgs())
	return f
}

// flagArgs reads flags, with or without parentheses.
func (s *session) flagArgs() (list []string) {
	if s.l.Peek() == '(' {
		s.l.List(func() { list = append(list, s.l.Flag()) })
		return list
	}
	list = append(list, s.l.Flag())
	for s.l.Accept(' ') {
		list = append(list, s.l.Flag())
	}
	return list
}

// store is STORE, RFC 9051 §6.4.6, with the condition of RFC 7162 §3.1.3. Flags
// that another session changed at the same time are told even if .SILENT was
// asked for.
func (s *session) store(c *call) error {
	f := s.storeArgs(c)
	if err := s.end(); err != nil {
		return err
	}
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	if err := s.catchUp(); err != nil {
		return err
	}
	uids := v.uidsOf(v.resolve(f.set))
	if len(uids) == 0 {
		return nil
	}
	if err := s.load(); err != nil {
		return err
	}
	changed, failed, err := s.change(&f, uids)
	if err != nil {
		return s.refuse(err, "store flags")
	}
	for _, e := range changed {
		s.stored(&f, e, c.uid)
	}
	if len(failed) > 0 {
		s.modified(c, failed)
	}
	return s.w.Err()
}

// change changes flags in the store. No message is as old as the mod-sequence
// zero, which the store takes for no condition at all.
func (s *session) change(f *flagStore, uids []mail.UID) (changed []store.Entry, failed []mail.UID, err error) {
	if f.since && f.c.UnchangedSince == 0 {
		return nil, uids, nil
	}
	return s.acct.StoreFlags(s.view.box, uids, f.c)
}

// stored takes up the new state of a message and tells of it.
func (s *session) stored(f *flagStore, e store.Entry, uid bool) {
	v := s.view
	i, ok := v.index(e.UID)
	if !ok {
		return
	}
	was := *v.at(i)
	v.state[i], v.mod[i] = v.flags.of(e.Flags, e.Keywords), e.ModSeq
	quiet := f.silent && as(f.c, was, e)
	if !quiet {
		delete(v.changed, e.UID)
	}
	if i >= v.told || quiet && !s.on.condStore {
		return
	}
	w := s.beginFetch(i, true)
	if !quiet {
		w.Raw("FLAGS ").Raw(v.at(i).text)
	}
	if s.on.condStore { // also if .SILENT, RFC 7162 §3.1.3
		if !quiet {
			w.Byte(' ')
		}
		w.Raw("MODSEQ (").Unsigned(uint64(e.ModSeq)).Byte(')')
	}
	w.Byte(')').End()
}

// modified names the messages that the condition left alone, RFC 7162 §3.1.3.
func (s *session) modified(c *call, failed []mail.UID) {
	b := []byte("MODIFIED ")
	if c.uid || s.on.uidOnly {
		b = wire.AppendSet(b, failed)
	} else {
		var nums []uint32
		for _, uid := range failed {
			if i, ok := s.view.index(uid); ok {
				nums = append(nums, uint32(i+1))
			}
		}
		b = wire.AppendSet(b, nums)
	}
	c.code, c.text = string(b), "Conditional STORE failed"
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
