package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"homemail/mail"
)

// resolve finds the messages of a set among those that the client knows of.
// The spans are ascending and do not overlap. The work grows with the set and
// the logarithm of the mailbox.
func (v *view) resolve(set imap.NumSet) []span {
	switch set := set.(type) {
	case imap.UIDSet:
		if imap.IsSearchRes(set) {
			return v.spansOf(v.saved)
		}
		var b spans
		for _, r := range set {
			b.add(v.uidSpan(mail.UID(r.Start), mail.UID(r.Stop)))
		}
		return b.sorted()
	case imap.SeqSet:
		var b spans
		for _, r := range set {
			b.add(v.seqSpan(int(r.Start), int(r.Stop)))
		}
		return b.sorted()
	}
	return nil
}

// seqSpan is the messages numbered start:stop, where 0 is "*": the last
// message, so that n:* has it also when n is higher, RFC 9051 §9 seq-range.
func (v *view) seqSpan(start, stop int) span {
	if stop == 0 {
		stop = v.told
		if start == 0 || start > stop {
			start = stop
		}
	}
	return span{max(start, 1) - 1, min(stop, v.told)}
}

func (v *view) uidSpan(start, stop mail.UID) span {
	known := v.uids[:v.told]
	if len(known) == 0 {
		return span{}
	}
	if last := known[len(known)-1]; stop == 0 {
		stop = last
		if start == 0 || start > stop {
			start = stop
		}
	}
	lo, _ := slices.BinarySearch(known, start)
	hi, there := slices.BinarySearch(known, stop)
	if there {
		hi++
	}
	return span{lo, hi}
}

// spansOf are the messages that are still there of ascending uids.
func (v *view) spansOf(uids []mail.UID) []span {
	var b spans
	for _, uid := range uids {
		if i, ok := v.index(uid); ok && i < v.told {
			b.add(span{i, i + 1})
		}
	}
	return b.list
}

// spans gathers spans.
type spans struct{ list []span }

// add appends a span, or lengthens the last one.
func (b *spans) add(s span) {
	if s.lo >= s.hi {
		return
	}
	if n := len(b.list); n > 0 && b.list[n-1].lo <= s.lo && s.lo <= b.list[n-1].hi {
		b.list[n-1].hi = max(b.list[n-1].hi, s.hi)
		return
	}
	b.list = append(b.list, s)
}

// sorted puts spans in order, where they may overlap: a client may name
// messages in any order, and twice.
func (b *spans) sorted() []span {
	slices.SortFunc(b.list, func(x, y span) int { return x.lo - y.lo })
	var out spans
	for _, s := range b.list {
		out.add(s)
	}
	return out.list
}

func count(list []span) (n int) {
	for _, s := range list {
		n += s.hi - s.lo
	}
	return n
}

func contains(list []span, i int) bool {
	_, ok := slices.BinarySearchFunc(list, i, func(s span, i int) int {
		switch {
		case s.hi <= i:
			return -1
		case s.lo > i:
			return 1
		}
		return 0
	})
	return ok
}

// uidsOf are the UIDs of spans.
func (v *view) uidsOf(list []span) []mail.UID {
	uids := make([]mail.UID, 0, count(list))
	for _, s := range list {
		uids = append(uids, v.uids[s.lo:s.hi]...)
	}
	return uids
}
