package imapd

import (
	"slices"
	"strings"

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
	again    bool // the watch was emptied, and the mailbox not read
	readOnly bool
	deleted  bool // the mailbox is gone, by this client's own hand

	uids  []mail.UID    // ascending; number n is uids[n-1]
	state []uint32      // of each, an index of flags
	mod   []mail.ModSeq // of each
	told  int           // how many of uids the client knows of
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
		uids: make([]mail.UID, len(list)), state: make([]uint32, len(list)), mod: make([]mail.ModSeq, len(list)),
		gone: make(map[mail.UID]struct{}), changed: make(map[mail.UID]struct{}),
	}
	for i, e := range list {
		v.uids[i], v.state[i], v.mod[i] = e.UID, v.flags.of(e.Flags, e.Keywords), e.ModSeq
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
		v.mod[i] = max(v.mod[i], e.ModSeq)
		if st := v.flags.of(e.Flags, e.Keywords); v.state[i] != st {
			v.state[i] = st
			v.changed[e.UID] = struct{}{}
		}
	case i == len(v.uids):
		v.uids = append(v.uids, e.UID)
		v.state = append(v.state, v.flags.of(e.Flags, e.Keywords))
		v.mod = append(v.mod, e.ModSeq)
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

// expunge drops messages. It returns the UIDs of those that the client knew,
// ascending, and the numbers that they had.
func (v *view) expunge(gone map[mail.UID]struct{}) (uids []mail.UID, nums []uint32) {
	at := make([]int, 0, len(gone))
	for uid := range gone {
		if i, ok := v.index(uid); ok {
			at = append(at, i)
		}
	}
	slices.Sort(at)
	for _, i := range at {
		uid := v.uids[i]
		if i < v.told {
			uids, nums = append(uids, uid), append(nums, uint32(i+1))
		}
		delete(v.changed, uid)
		delete(v.gone, uid)
	}
	v.uids, v.state, v.mod = without(v.uids, at), without(v.state, at), without(v.mod, at)
	v.told -= len(nums)
	return uids, nums
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

// flagStates holds each combination of flags and keywords once.
type flagStates struct {
	states []flagState
	plain  [32]uint32 // states without keywords, by flags; index+1
	byKey  map[string]uint32
	words  []string // all keywords seen
	fresh  bool     // words has some that FLAGS did not name
}

type flagState struct {
	flags    mail.Flags
	keywords []string
	text     string // as FETCH shows them, in parentheses
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
	st.text = "(" + strings.Join(append(flags.AppendNames(nil), keywords...), " ") + ")"
	for _, word := range keywords {
		if !slices.Contains(f.words, word) {
			f.words = append(f.words, word)
			f.fresh = true
		}
	}
	f.states = append(f.states, st)
	return uint32(len(f.states) - 1)
}

// names are the flags that messages of the mailbox may have.
func (f *flagStates) names() string {
	return strings.Join(append([]string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}, f.words...), " ")
}

// at is the state of message number i+1.
func (v *view) at(i int) *flagState { return &v.flags.states[v.state[i]] }

// has reports whether the flags of a state hold one with a name.
func (st *flagState) has(name string) bool {
	if bit, ok := mail.ParseFlag(name); ok {
		return st.flags.Has(bit)
	}
	return slices.ContainsFunc(st.keywords, func(w string) bool { return strings.EqualFold(w, name) })
}

// flagSet splits flags into those with a bit and keywords. \Recent cannot be set.
func flagSet(flags []string) (bits mail.Flags, keywords []string) {
	for _, name := range flags {
		if bit, ok := mail.ParseFlag(name); ok {
			bits |= bit
		} else if !strings.HasPrefix(name, `\`) && !slices.Contains(keywords, name) {
			keywords = append(keywords, name)
		}
	}
	return bits, keywords
}
