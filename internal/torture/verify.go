package torture

import (
	"fmt"
	"slices"
)

// Verify holds a state against the ledger. It returns every difference that
// no unanswered operation explains, and takes the state for what is there now.
func (l *Ledger) Verify(st State) (wrong []string) {
	l.Died()
	v := &verifier{l: l, st: st, wrong: l.wrong, now: map[boxKey]*BoxNow{}}
	l.wrong = nil
	for _, f := range st.Findings {
		v.bad("finding: %s", f)
	}
	for i := range st.Boxes {
		v.now[st.Boxes[i].key()] = &st.Boxes[i]
	}
	for key, b := range l.boxes {
		v.box(b, v.now[key])
	}
	for key, now := range v.now {
		if l.boxes[key] == nil {
			v.newBox(now)
		}
	}
	v.queue()
	v.whole()
	v.profiles()
	v.adopt()
	slices.Sort(v.wrong)
	return v.wrong
}

type verifier struct {
	l     *Ledger
	st    State
	now   map[boxKey]*BoxNow
	wrong []string
}

func (v *verifier) bad(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// unsure returns the operation of a kind on a mailbox that may have been done.
func (v *verifier) unsure(b boxKey, uid uint32, kinds ...string) *pending {
	for _, p := range v.l.unsure {
		if slices.Contains(kinds, p.Kind) && p.Box.key() == b && (uid == 0 || slices.Contains(p.UIDs, uid)) {
			return p
		}
	}
	return nil
}

func (v *verifier) box(b *box, now *BoxNow) {
	if now == nil {
		if v.unsure(b.key(), 0, Delete) == nil {
			v.bad("LOST: mailbox %s %q with %d messages", b.Account, b.Name, len(b.messages))
		}
		return
	}
	if p := v.unsure(b.key(), 0, Rename); now.Name != b.Name && (p == nil || p.Name != now.Name) {
		v.bad("mailbox %s %q is called %q", b.Account, b.Name, now.Name)
	}
	if now.UIDNext <= b.high {
		v.bad("%s %s: UIDNEXT %d, and %d was given out", b.Account, b.Name, now.UIDNext, b.high)
	}
	if now.ModSeq < b.mod {
		v.bad("%s %s: HIGHESTMODSEQ %d, and %d was told", b.Account, b.Name, now.ModSeq, b.mod)
	}
	found := map[uint32]*MessageNow{}
	last := uint32(0)
	for i := range now.Messages {
		m := &now.Messages[i]
		found[m.UID] = m
		if m.UID <= last || m.UID >= now.UIDNext {
			v.bad("%s %s: UID %d after %d, UIDNEXT %d", b.Account, b.Name, m.UID, last, now.UIDNext)
		}
		last = m.UID
	}
	for uid, m := range b.messages {
		v.message(b, uid, m, found[uid])
	}
	v.added(b, now)
}

// message judges a message that was acknowledged.
func (v *verifier) message(b *box, uid uint32, m *message, now *MessageNow) {
	where := fmt.Sprintf("%s %s: message %d", b.Account, b.Name, uid)
	gone := v.unsure(b.key(), uid, Expunge, Move)
	if now == nil {
		if gone == nil {
			v.bad("LOST: %s", where)
			return
		}
		gone.seen++
		return
	}
	if gone != nil {
		gone.spare++
	}
	if now.Err != "" {
		v.bad("LOST: %s: %s", where, now.Err)
		return
	}
	if now.SHA != m.sha || m.prefix != "" && now.Prefix != m.prefix {
		v.bad("WRONG BYTES: %s", where)
	}
	if now.ModSeq < m.mod {
		v.bad("%s: MODSEQ %d, and %d was told", where, now.ModSeq, m.mod)
	}
	if slices.Equal(now.Flags, m.flags) {
		return
	}
	p := v.unsure(b.key(), uid, SetFlags, AddFlags, DelFlags, Expunge)
	if p == nil || !slices.Equal(now.Flags, changed(p.Op, m.flags)) {
		v.bad("%s has flags %v and should have %v", where, now.Flags, m.flags)
	}
}

// added judges the messages that the ledger does not know by UID.
func (v *verifier) added(b *box, now *BoxNow) {
	waiting := slices.Clone(b.unplaced)
	for i := range now.Messages {
		m := &now.Messages[i]
		if b.messages[m.UID] != nil {
			continue
		}
		where := fmt.Sprintf("%s %s: message %d", b.Account, b.Name, m.UID)
		if _, was := b.bound[m.UID]; was {
			v.bad("CAME BACK: %s", where)
			continue
		}
		if m.Err != "" {
			v.bad("%s: %s", where, m.Err)
			continue
		}
		if i := slices.IndexFunc(waiting, func(x *message) bool { return x.sha == m.SHA }); i >= 0 {
			waiting = slices.Delete(waiting, i, i+1)
			continue
		}
		if !v.explained(b.key(), m) {
			v.bad("%s came from nowhere", where)
		}
	}
	for _, m := range waiting {
		v.bad("LOST: %s %s: a message that was acknowledged: %.12s", b.Account, b.Name, m.sha)
	}
}

// explained finds the unanswered operation that made a message.
func (v *verifier) explained(b boxKey, m *MessageNow) bool {
	for _, p := range v.l.unsure {
		if !slices.ContainsFunc(p.To, func(to Box) bool { return to.key() == b }) {
			continue
		}
		switch p.Kind {
		case Deliver, Append, Enqueue, Settle, Fetch:
			if p.SHA == m.SHA && (p.Prefix == "" || p.Prefix == m.Prefix) && len(p.found) < len(p.To) {
				p.found = append(p.found, nil)
				return true
			}
		case Copy, Move:
			i := slices.IndexFunc(p.from, func(x *message) bool {
				return x != nil && x.sha == m.SHA && (x.prefix == "" || x.prefix == m.Prefix)
			})
			if i >= 0 {
				p.found = append(p.found, p.from[i])
				p.from = slices.Delete(p.from, i, i+1)
				return true
			}
		}
	}
	return false
}

// newBox judges a mailbox that the ledger does not know.
func (v *verifier) newBox(now *BoxNow) {
	if v.l.gone[now.key()] {
		v.bad("CAME BACK: mailbox %s %q", now.Account, now.Name)
		return
	}
	for _, p := range v.l.unsure {
		if p.Kind == Create && p.Box.Account == now.Account && p.Name == now.Name {
			return
		}
	}
	v.bad("mailbox %s %q came from nowhere", now.Account, now.Name)
}

// twin reports whether another unanswered operation may have made a message with
// the same bytes: some are the same each time, and then nobody can tell which of
// the two did.
func (v *verifier) twin(p *pending) bool {
	for sha := range p.brings() {
		for _, q := range v.l.unsure {
			if q != p && q.brings()[sha] {
				return true
			}
		}
	}
	return false
}

// brings returns the messages that an operation adds to mailboxes, unless they
// are told apart by what stands before them.
func (p *pending) brings() map[string]bool {
	set := map[string]bool{}
	switch p.Kind {
	case Deliver, Append:
		if p.Prefix == "" {
			set[p.SHA] = true
		}
	case Copy, Move:
		for _, list := range [][]*message{p.from, p.found} {
			for _, m := range list {
				if m != nil && m.prefix == "" {
					set[m.sha] = true
				}
			}
		}
	}
	return set
}

// whole makes sure that an unanswered operation was done as a whole or not at all.
func (v *verifier) whole() {
	for _, p := range v.l.unsure {
		made := len(p.found)
		if v.twin(p) {
			continue
		}
		switch p.Kind {
		case Deliver, Append:
			if made != 0 && made != len(p.To) {
				v.bad("HALF: %s reached %d of %d mailboxes", p.Kind, made, len(p.To))
			}
		case Enqueue, Settle, Fetch:
			v.wholeBatch(p)
		case Copy, Expunge, Move:
			if made != 0 && len(p.from) != 0 || p.seen != 0 && p.spare != 0 || p.Kind == Move && (made != 0) != (p.seen != 0) {
				v.bad("HALF: %s made %d of %d, removed %d", p.Kind, made, len(p.UIDs), p.seen)
			}
		}
	}
}

func (v *verifier) profiles() {
	for account, workers := range v.l.profiles {
		for w, want := range workers {
			got := v.st.Profiles[account][w]
			may := slices.ContainsFunc(v.l.unsure, func(p *pending) bool {
				return p.Kind == Profile && p.Box.Account == account && fmt.Sprint(p.Worker) == w && p.Name == got
			})
			if got != want && !may {
				v.bad("LOST: profile of %s: worker %s wrote %q, and it says %q", account, w, want, got)
			}
		}
	}
}

func (v *verifier) adopt() {
	l := v.l
	l.unsure = nil
	l.queue.adopt(v.st)
	l.profiles = v.st.Profiles
	for key := range l.boxes {
		if v.now[key] == nil {
			delete(l.boxes, key)
			l.gone[key] = true
		}
	}
	for key, now := range v.now {
		if l.boxes[key] == nil {
			l.boxes[key] = newBox(now.Box)
		}
		l.adopt(l.boxes[key], *now)
	}
}
