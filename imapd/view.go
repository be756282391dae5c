package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"homemail/mail"
	"homemail/store"
)

// A view is the selected mailbox as one client knows it: which message has
// which number (RFC 9051 §2.3.1.2), and its flags. It takes up changes when
// they are read and tells them when the client may hear of them: numbers only
// move when an EXPUNGE or EXISTS is written. A message takes eight bytes, so
// that a hundred idle clients cost little.
type view struct {
	box      mail.MailboxID
	watch    *store.Watch
	readOnly bool
	deleted  bool // the mailbox is gone, by this client's own hand

	uids  []mail.UID // ascending; number n is uids[n-1]
	state []uint32   // of each, an index of flags
	told  int        // how many of uids the client knows of
	flags flagStates
	since mail.ModSeq // changes up to here are in the view

	gone    map[mail.UID]struct{} // expunged, client not told
	changed map[mail.UID]struct{} // flags changed, client not told
	saved   []mail.UID            // the result of SEARCH RETURN (SAVE), RFC 5182
}

// A span is a run of messages, by index in the view: from lo up to hi.
type span struct{ lo, hi int }

func newView(box store.Mailbox, list []store.Entry) *view {
	v := &view{
		box: box.ID, since: box.ModSeq, told: len(list),
		uids: make([]mail.UID, len(list)), state: make([]uint32, len(list)),
		gone: make(map[mail.UID]struct{}), changed: make(map[mail.UID]struct{}),
	}
	for i, e := range list {
		v.uids[i], v.state[i] = e.UID, v.flags.of(e.Flags, e.Keywords)
		v.since = max(v.since, e.ModSeq)
	}
	v.flags.fresh = false
	return v
}

// index finds a message.
func (v *view) index(uid mail.UID) (int, bool) { return slices.BinarySearch(v.uids, uid) }

// apply takes up what changed in the mailbox.
func (v *view) apply(c store.Changes) {
	slices.SortFunc(c.Changed, func(a, b store.Entry) int { return int(a.UID) - int(b.UID) })
	for _, e := range c.Changed {
		v.set(e)
	}
	for _, uid := range c.Gone {
		if _, ok := v.index(uid); ok {
			v.gone[uid] = struct{}{}
		}
	}
	v.since = max(v.since, c.ModSeq)
}

// set takes up the state of a message. An unknown UID is a new message if it is
// above all others; else it has gone meanwhile.
func (v *view) set(e store.Entry) {
	i, ok := v.index(e.UID)
	switch {
	case ok:
		if st := v.flags.of(e.Flags, e.Keywords); v.state[i] != st {
			v.state[i] = st
			v.changed[e.UID] = struct{}{}
		}
	case i == len(v.uids):
		v.uids = append(v.uids, e.UID)
		v.state = append(v.state, v.flags.of(e.Flags, e.Keywords))
	}
}

// replace takes up the whole mailbox, when its journal is too short.
func (v *view) replace(list []store.Entry, at mail.ModSeq) {
	there := make([]mail.UID, len(list))
	for i, e := range list {
		there[i] = e.UID
		at = max(at, e.ModSeq)
	}
	c := store.Changes{Changed: list, ModSeq: at}
	for _, uid := range v.uids {
		if _, ok := slices.BinarySearch(there, uid); !ok {
			c.Gone = append(c.Gone, uid)
		}
	}
	v.apply(c)
}

// expunge drops messages and says their numbers, the highest first so that
// each is still right.
func (v *view) expunge(gone map[mail.UID]struct{}, say func(num uint32) error) error {
	var at []int
	for uid := range gone {
		if i, ok := v.index(uid); ok {
			at = append(at, i)
		}
	}
	slices.Sort(at)
	told := v.told
	for _, i := range at {
		if i < v.told {
			told--
		}
	}
	var err error
	for _, i := range slices.Backward(at) {
		if i < v.told && err == nil {
			err = say(uint32(i + 1))
		}
		delete(v.changed, v.uids[i])
		delete(v.gone, v.uids[i])
	}
	v.uids, v.state, v.told = without(v.uids, at), without(v.state, at), told
	return err
}

// without returns list without the elements at the given indices, in place.
func without[T any](list []T, at []int) []T {
	if len(at) == 0 {
		return list
	}
	keep := list[:at[0]]
	for n, i := range at {
		end := len(list)
		if n+1 < len(at) {
			end = at[n+1]
		}
		keep = append(keep, list[i+1:end]...)
	}
	return keep
}

// An updateWriter tells a client of changes; the library's UpdateWriter is one.
type updateWriter interface {
	WriteExpunge(seqNum uint32) error
	WriteNumMessages(n uint32) error
	WriteMailboxFlags(flags []imap.Flag) error
	WriteMessageFlags(seqNum uint32, uid imap.UID, flags []imap.Flag) error
}

// tell tells the client all that it may know now.
func (v *view) tell(w updateWriter, expunge bool) error {
	if expunge && len(v.gone) > 0 {
		if err := v.expunge(v.gone, w.WriteExpunge); err != nil {
			return err
		}
	}
	if len(v.uids) > v.told {
		v.told = len(v.uids)
		if err := w.WriteNumMessages(uint32(v.told)); err != nil {
			return err
		}
	}
	if v.flags.fresh {
		v.flags.fresh = false
		if err := w.WriteMailboxFlags(v.flags.names()); err != nil {
			return err
		}
	}
	if len(v.changed) == 0 {
		return nil
	}
	uids := make([]mail.UID, 0, len(v.changed))
	for uid := range v.changed {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	clear(v.changed)
	for _, uid := range uids {
		i, ok := v.index(uid)
		if _, gone := v.gone[uid]; gone || !ok || i >= v.told {
			continue
		}
		if err := w.WriteMessageFlags(uint32(i+1), imap.UID(uid), v.flags.list(v.state[i])); err != nil {
			return err
		}
	}
	return nil
}

// flagStates holds each combination of flags and keywords once.
type flagStates struct {
	states []flagState
	plain  [32]uint32 // states without keywords, by flags; index+1
	byKey  map[string]uint32
	words  []imap.Flag // all keywords seen
	fresh  bool        // words has some that FLAGS did not name
}

type flagState struct {
	flags    mail.Flags
	keywords []string
	names    []imap.Flag
}

// of returns the number of a combination.
func (f *flagStates) of(flags mail.Flags, keywords []string) uint32 {
	if len(keywords) == 0 && int(flags) < len(f.plain) {
		if n := f.plain[flags]; n > 0 {
			return n - 1
		}
		n := f.add(flags, nil)
		f.plain[flags] = n + 1
		return n
	}
	key := string(rune(flags)) + " " + strings.Join(keywords, " ")
	if n, ok := f.byKey[key]; ok {
		return n
	}
	if f.byKey == nil {
		f.byKey = make(map[string]uint32)
	}
	n := f.add(flags, keywords)
	f.byKey[key] = n
	return n
}

func (f *flagStates) add(flags mail.Flags, keywords []string) uint32 {
	st := flagState{flags: flags, keywords: keywords}
	for _, name := range flags.AppendNames(nil) {
		st.names = append(st.names, imap.Flag(name))
	}
	for _, word := range keywords {
		st.names = append(st.names, imap.Flag(word))
		if !slices.Contains(f.words, imap.Flag(word)) {
			f.words = append(f.words, imap.Flag(word))
			f.fresh = true
		}
	}
	f.states = append(f.states, st)
	return uint32(len(f.states) - 1)
}

func (f *flagStates) list(state uint32) []imap.Flag { return f.states[state].names }

// names are the flags that messages of the mailbox may have.
func (f *flagStates) names() []imap.Flag {
	return append([]imap.Flag{imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagSeen, imap.FlagDraft}, f.words...)
}

// flagSet splits flags into those with a bit and keywords. \Recent cannot be set.
func flagSet(flags []imap.Flag) (bits mail.Flags, keywords []string) {
	for _, name := range flags {
		if bit, ok := mail.ParseFlag(string(name)); ok {
			bits |= bit
		} else if !strings.HasPrefix(string(name), `\`) && !slices.Contains(keywords, string(name)) {
			keywords = append(keywords, string(name))
		}
	}
	return bits, keywords
}
