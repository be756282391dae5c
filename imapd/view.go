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
// move when an EXPUNGE or EXISTS is written. Flags are read when something needs
// them, so that opening a mailbox does not read it.
type view struct {
	box      mail.MailboxID
	watch    *store.Watch
	again    bool // the watch was emptied, and the mailbox not read
	readOnly bool
	deleted  bool // the mailbox is gone, by this client's own hand

	uidNext mail.UID    // when it was opened
	uids    []mail.UID  // ascending; number n is uids[n-1]
	told    int         // how many of uids the client knows of
	since   mail.ModSeq // changes up to here are in the view
	flags   flagStates
	loaded  bool          // there are state and mod
	state   []uint32      // of each of uids, an index of flags
	mod     []mail.ModSeq // of each of uids

	gone    map[mail.UID]struct{} // expunged, client not told
	changed map[mail.UID]flagsAt  // flags changed, client not told
	saved   []mail.UID            // the result of SEARCH RETURN (SAVE), RFC 5182
}

// A flagsAt is flags as they were at a moment.
type flagsAt struct {
	state uint32
	mod   mail.ModSeq
}

// A span is a run of messages, by index in the view: from lo up to hi.
type span struct{ lo, hi int }

// newView returns a view of a mailbox whose messages are known.
func newView(box store.Mailbox, list []store.Entry) *view {
	uids := make([]mail.UID, len(list))
	for i, e := range list {
		uids[i] = e.UID
	}
	v := openView(box, uids)
	for _, e := range list {
		v.since = max(v.since, e.ModSeq)
	}
	v.load(list)
	v.flags.fresh = false
	return v
}

// openView returns a view of a mailbox that was not read.
func openView(box store.Mailbox, uids []mail.UID) *view {
	return &view{
		box: box.ID, since: box.ModSeq, uidNext: box.UIDNext, told: len(uids), uids: uids,
		flags: flagStates{words: slices.Clone(box.Keywords)},
	}
}

// load takes up the flags of all messages. What changed since the view was
// opened is for the client to hear of, as if it were a change.
func (v *view) load(list []store.Entry) {
	v.loaded = true
	v.flags.of(0, nil) // is state 0, of what cannot be read
	v.state, v.mod = make([]uint32, len(v.uids)), make([]mail.ModSeq, len(v.uids))
	i := 0
	for _, e := range list {
		for i < len(v.uids) && v.uids[i] < e.UID {
			i++
		}
		if i == len(v.uids) {
			v.set(e)
			continue
		}
		if v.uids[i] != e.UID {
			continue
		}
		v.state[i], v.mod[i] = v.flags.of(e.Flags, e.Keywords), e.ModSeq
		if e.ModSeq > v.since {
			v.change(e.UID, flagsAt{v.state[i], e.ModSeq})
		}
	}
}

// change notes that the client has to hear of a message's flags.
func (v *view) change(uid mail.UID, f flagsAt) {
	if v.changed == nil {
		v.changed = make(map[mail.UID]flagsAt)
	}
	v.changed[uid] = f
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
		if _, ok := v.index(uid); !ok {
			continue
		}
		if v.gone == nil {
			v.gone = make(map[mail.UID]struct{})
		}
		v.gone[uid] = struct{}{}
	}
	v.since = max(v.since, c.ModSeq)
}

// set takes up the state of a message. An unknown UID is a new message if it is
// above all others; else it has gone meanwhile.
func (v *view) set(e store.Entry) {
	i, ok := v.index(e.UID)
	if !ok && i < len(v.uids) {
		return
	}
	f := flagsAt{v.flags.of(e.Flags, e.Keywords), e.ModSeq}
	switch {
	case !ok:
		v.uids = append(v.uids, e.UID)
		if v.loaded {
			v.state, v.mod = append(v.state, f.state), append(v.mod, f.mod)
		}
	case v.loaded && v.state[i] == f.state:
		v.mod[i] = max(v.mod[i], f.mod)
	case v.loaded:
		v.state[i], v.mod[i] = f.state, f.mod
		v.change(e.UID, f)
	default:
		v.change(e.UID, f)
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
	v.uids = without(v.uids, at)
	if v.loaded {
		v.state, v.mod = without(v.state, at), without(v.mod, at)
	}
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
