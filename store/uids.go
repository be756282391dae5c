package store

import (
	"encoding/binary"
	"iter"
	"slices"
	"sort"
	"sync"

	"homemail/mail"
)

// UIDs are the UIDs of a mailbox at one moment, ascending, as runs: what a
// session needs to number messages. It does not change.
type UIDs struct {
	runs []uidRun
	size int
}

// A uidRun is UIDs without a gap; before is how many come before it.
type uidRun struct {
	first, last mail.UID
	before      int
}

// Len is how many there are.
func (u *UIDs) Len() int { return u.size }

// Rank returns how many UIDs are below uid, and whether uid is there: its
// sequence number is one more.
func (u *UIDs) Rank(uid mail.UID) (n int, ok bool) {
	i := sort.Search(len(u.runs), func(i int) bool { return u.runs[i].last >= uid })
	if i == len(u.runs) {
		return u.size, false
	}
	r := u.runs[i]
	if uid < r.first {
		return r.before, false
	}
	return r.before + int(uid-r.first), true
}

// At returns the UID of rank n, which must be less than Len.
func (u *UIDs) At(n int) mail.UID {
	i := sort.Search(len(u.runs), func(i int) bool { return u.runs[i].before > n }) - 1
	return u.runs[i].first + mail.UID(n-u.runs[i].before)
}

// All yields all UIDs.
func (u *UIDs) All() iter.Seq[mail.UID] {
	return func(yield func(mail.UID) bool) {
		for _, r := range u.runs {
			for uid := r.first; ; uid++ {
				if !yield(uid) {
					return
				}
				if uid == r.last {
					break
				}
			}
		}
	}
}

// add puts a UID above all others in.
func (u *UIDs) add(uid mail.UID) {
	if n := len(u.runs); n > 0 && u.runs[n-1].last+1 == uid {
		u.runs[n-1].last = uid
	} else {
		u.runs = append(u.runs, uidRun{uid, uid, u.size})
	}
	u.size++
}

// sum is the exclusive or of all UIDs, as the mailbox's row has it.
func (u *UIDs) sum() (x uint32) {
	for _, r := range u.runs {
		x ^= xorTo(uint32(r.last)) ^ xorTo(uint32(r.first)-1)
	}
	return x
}

// xorTo is the exclusive or of all numbers up to n.
func xorTo(n uint32) uint32 {
	return [...]uint32{n, 1, n + 1, 0}[n%4]
}

// without returns u without gone and with new, both ascending; all of new are
// above all of u.
func (u *UIDs) without(gone, new []mail.UID) *UIDs {
	out := &UIDs{runs: make([]uidRun, 0, len(u.runs)+len(gone)+1)}
	keep := func(first, last mail.UID) {
		if first <= last {
			out.runs = append(out.runs, uidRun{first, last, out.size})
			out.size += int(last-first) + 1
		}
	}
	for _, r := range u.runs {
		first := r.first
		for len(gone) > 0 && gone[0] <= r.last {
			if gone[0] >= first {
				keep(first, gone[0]-1)
				first = gone[0] + 1
			}
			gone = gone[1:]
		}
		if first != 0 {
			keep(first, r.last)
		}
	}
	for _, uid := range new {
		out.add(uid)
	}
	return out
}

// uidCache keeps the UIDs of mailboxes that were opened lately. They are checked
// against the mailbox's row, and brought up to date by its history.
type uidCache struct {
	mu    sync.Mutex
	by    map[watchKey]cachedUIDs
	clock int
}

type cachedUIDs struct {
	uids *UIDs
	at   mail.ModSeq
	used int
}

const (
	uidCacheBoxes = 64      // mailboxes
	uidCacheRuns  = 1 << 18 // runs of one mailbox: 4 MiB
)

func (c *uidCache) get(key watchKey) (cachedUIDs, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.by[key]
	if ok {
		c.clock++
		e.used = c.clock
		c.by[key] = e
	}
	return e, ok
}

func (c *uidCache) put(key watchKey, u *UIDs, at mail.ModSeq) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(u.runs) > uidCacheRuns {
		delete(c.by, key)
		return
	}
	if c.by == nil {
		c.by = make(map[watchKey]cachedUIDs)
	}
	c.clock++
	c.by[key] = cachedUIDs{u, at, c.clock}
	if len(c.by) <= uidCacheBoxes {
		return
	}
	oldest := key
	for k, e := range c.by {
		if e.used < c.by[oldest].used {
			oldest = k
		}
	}
	delete(c.by, oldest)
}

// Open returns what a session needs to open a mailbox: its row and its UIDs, of
// one moment. It reads what changed since the mailbox was last opened, not the
// mailbox. ErrCorrupt says that rows are missing; Entries has the others.
func (a *Account) Open(mbox mail.MailboxID) (m Mailbox, u *UIDs, err error) {
	key := watchKey{a.ID, mbox}
	err = a.s.view(func(r reader) error {
		if m, err = getMailbox(r, a.ID, mbox); err != nil {
			return err
		}
		u, err = a.openUIDs(r, key, &m)
		return err
	})
	if err != nil {
		return m, nil, err
	}
	a.s.uids.put(key, u, m.ModSeq)
	return m, u, nil
}

func (a *Account) openUIDs(r reader, key watchKey, m *Mailbox) (*UIDs, error) {
	fits := func(u *UIDs) bool { return u.size == int(m.Messages) && u.sum() == m.uids }
	if whole := (&UIDs{}).upTo(m.UIDNext - 1); m.UIDNext > 0 && fits(whole) {
		return whole, nil // nothing was ever removed
	}
	if old, ok := a.s.uids.get(key); ok && old.at <= m.ModSeq && old.at >= m.since {
		u, err := old.uids.follow(r, a.ID, m.ID, old.at)
		if err != nil {
			return nil, err
		}
		if fits(u) {
			return u, nil
		}
	}
	u := &UIDs{}
	err := r.keys(inMailbox(tFlags, a.ID, m.ID), nil, func(key []byte) (bool, error) {
		u.add(mail.UID(binary.BigEndian.Uint32(key[uidAt:])))
		return true, nil
	})
	if err == nil && !fits(u) {
		err = wrong("mailbox %d has %d messages and should have %d", m.ID, u.size, m.Messages)
	}
	return u, err
}

// upTo is all UIDs up to last.
func (u *UIDs) upTo(last mail.UID) *UIDs {
	if last > 0 {
		u.runs, u.size = []uidRun{{1, last, 0}}, int(last)
	}
	return u
}

// follow brings UIDs up to date by the history.
func (u *UIDs) follow(r reader, a mail.AccountID, mbox mail.MailboxID, since mail.ModSeq) (*UIDs, error) {
	var gone, new []mail.UID
	last := mail.UID(0)
	if n := len(u.runs); n > 0 {
		last = u.runs[n-1].last
	}
	err := r.scan(inMailbox(tChange, a, mbox), inMailbox(tChange, a, mbox).mod(since+1), func(_, v []byte) (bool, error) {
		d := decoder{rest: v}
		switch uid, dead := mail.UID(d.uint()), d.bool(); {
		case dead:
			gone = append(gone, uid)
		case uid > last:
			new = append(new, uid)
		}
		return true, d.err
	})
	if len(gone) == 0 && len(new) == 0 || err != nil {
		return u, err
	}
	slices.Sort(gone)
	slices.Sort(new)
	return u.without(gone, new), nil
}
