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
		return b.list
	case imap.SeqSet:
		var b spans
		for _, r := range set {
			b.add(v.seqSpan(int(r.Start), int(r.Stop)))
		}
		return b.list
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

// spans gathers spans. The library sorts a set, but for "*" at its end.
type spans struct{ list []span }

func (b *spans) add(s span) {
	if n := len(b.list); n > 0 {
		last := &b.list[n-1]
		s.lo = max(s.lo, last.lo)
		if s.lo <= last.hi {
			last.hi = max(last.hi, s.hi)
			return
		}
	}
	if s.lo < s.hi {
		b.list = append(b.list, s)
	}
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

// uidSet makes a set of ascending UIDs.
func uidSet(uids []mail.UID) imap.UIDSet {
	set := imap.UIDSet{}
	for _, u := range uids {
		uid := imap.UID(u)
		if n := len(set); n > 0 && set[n-1].Stop+1 == uid {
			set[n-1].Stop = uid
			continue
		}
		set = append(set, imap.UIDRange{Start: uid, Stop: uid})
	}
	return set
}
