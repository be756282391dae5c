package search

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"homemail/mail"
	"homemail/store"
)

const (
	// settle is how long new mail waits for more to be indexed with it. Until
	// then a search reads it.
	settle = 2 * time.Second
	// retry is the wait after an error: the disk may be full.
	retry = time.Minute
	// partMessages are read and indexed at once.
	partMessages = 1000
	// deference is how many times as long as a part took the index stands back
	// while mail comes in: that has to be quick, and a search can read.
	deference = 5
	// tidyEvery is how often expunged mail is sought in the index.
	tidyEvery = 24 * time.Hour
)

type boxID struct {
	a mail.AccountID
	m mail.MailboxID
}

// Run makes the index in the background and keeps it up to date. It returns
// nil when ctx ends.
func (x *Index) Run(ctx context.Context) error {
	w := x.store.WatchMail()
	defer w.Close()
	tidied := time.Now()
	for {
		err := x.Update(ctx)
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			x.log.Error("search: the index was not brought up to date", "err", err)
			again = time.After(retry)
		}
		if time.Since(tidied) > tidyEvery && ctx.Err() == nil {
			tidied = time.Now()
			if err := x.tidy(ctx); err != nil && ctx.Err() == nil {
				x.log.Error("search: expunged mail was not removed from the index", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-x.poke:
		case <-w.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
	}
}

// Update brings the index up to date with all mailboxes of all accounts.
func (x *Index) Update(ctx context.Context) error {
	return x.each(ctx, func(k *keeper) error {
		if err := k.mailboxes(ctx); err != nil {
			return err
		}
		return k.mergeSmall(ctx)
	})
}

// tidy removes from the index what is of expunged messages.
func (x *Index) tidy(ctx context.Context) error {
	return x.each(ctx, func(k *keeper) error { return k.rewrite(ctx, 10) })
}

// each calls fn for each account. An index that is damaged is dropped, and made
// anew with the next Update.
func (x *Index) each(ctx context.Context, fn func(*keeper) error) error {
	profiles, err := x.store.Accounts()
	if err != nil {
		return err
	}
	var all error
	for _, p := range profiles {
		a, err := x.store.AccountByID(p.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			err = x.with(a, fn)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errDamaged) || errors.Is(err, store.ErrCorrupt):
			x.log.Error("search: the index is damaged, and is made anew", "account", p.ID, "err", err)
			err = x.Rebuild(a)
		}
		all = errors.Join(all, err)
	}
	return all
}

// with calls fn while nobody else changes the index.
func (x *Index) with(a *store.Account, fn func(*keeper) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := &keeper{x: x, a: a}
	if err := k.load(); err != nil {
		return err
	}
	return fn(k)
}

// distrust notes that an index could not be read.
func (x *Index) distrust(a *store.Account, err error) {
	x.log.Error("search: the index could not be used; the messages are read", "account", a.ID, "err", err)
	if errors.Is(err, errDamaged) || errors.Is(err, store.ErrCorrupt) {
		if err := x.Rebuild(a); err != nil {
			x.log.Error("search: the damaged index was not dropped", "account", a.ID, "err", err)
		}
	}
}

// Rebuild drops an account's index, so that Run makes it anew. Until it has,
// searches read the messages.
func (x *Index) Rebuild(a *store.Account) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.known, func(id boxID, _ mail.ModSeq) bool { return id.a == a.ID })
	err := a.DropDerived("")
	select {
	case x.poke <- struct{}{}:
	default:
	}
	return err
}

// A Progress tells how far the index of an account is.
type Progress struct {
	Messages int   // in all mailboxes
	Indexed  int   // of these, in the index
	Bytes    int64 // that the index takes
}

// Progress tells how far the index of an account is.
func (x *Index) Progress(a *store.Account) (p Progress, err error) {
	boxes, err := a.Mailboxes()
	if err != nil {
		return p, err
	}
	err = a.ViewDerived(func(get func(string) ([]byte, error)) error {
		c, err := readCatalog(get)
		if c == nil || err != nil {
			return err
		}
		p.Bytes = c.bytes()
		for _, m := range boxes {
			s, err := readState(get, m.ID)
			if err != nil {
				return err
			}
			p.Indexed += int(s.count)
		}
		return nil
	})
	for _, m := range boxes {
		p.Messages += int(m.Messages)
	}
	p.Indexed = min(p.Indexed, p.Messages)
	return p, err
}

// A keeper changes the index of an account.
type keeper struct {
	x   *Index
	a   *store.Account
	cat *catalog
}

// load reads the catalog, or begins an index.
func (k *keeper) load() error {
	err := k.view(func(get getter) (err error) {
		k.cat, err = readCatalog(get)
		return err
	})
	if err != nil || k.cat != nil {
		return err
	}
	k.cat = &catalog{nextDoc: 1, nextSeg: 1}
	return k.a.DropDerived("")
}

func (k *keeper) view(fn func(getter) error) error {
	return k.a.ViewDerived(func(get func(string) ([]byte, error)) error { return fn(get) })
}

// read reads a row of the moment.
func (k *keeper) read(path string) (v []byte, err error) {
	err = k.view(func(get getter) error {
		v, err = get(path)
		return err
	})
	return v, err
}

// mailboxes indexes what is new in the account's mailboxes, and forgets those
// that are gone.
func (k *keeper) mailboxes(ctx context.Context) error {
	boxes, err := k.a.Mailboxes()
	if err != nil {
		return err
	}
	there := map[mail.MailboxID]bool{}
	for _, m := range boxes {
		there[m.ID] = true
		id := boxID{k.a.ID, m.ID}
		if k.x.known[id] == m.ModSeq {
			continue
		}
		err := k.mailbox(ctx, m)
		if errors.Is(err, store.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		k.x.known[id] = m.ModSeq
	}
	return k.forget(there)
}

// forget removes what is kept of mailboxes that are gone, and rows that a merge
// or a crash left.
func (k *keeper) forget(there map[mail.MailboxID]bool) error {
	states, err := k.a.DerivedPaths("s")
	if err != nil {
		return err
	}
	for _, path := range states {
		n, err := strconv.ParseUint(path[1:], 16, 32)
		if err == nil && there[mail.MailboxID(n)] {
			continue
		}
		if err := errors.Join(k.a.DropDerived("b"+path[1:]), k.a.DropDerived(path)); err != nil {
			return err
		}
	}
	return nil
}

// mailbox indexes what is new in a mailbox.
func (k *keeper) mailbox(ctx context.Context, m store.Mailbox) error {
	var st boxState
	err := k.view(func(get getter) (err error) {
		st, err = readState(get, m.ID)
		return err
	})
	if err != nil {
		return err
	}
	in := &intake{k: k, box: m.ID, st: st}
	var gone, fresh []mail.UID
	if st.at == 0 || st.validity != m.UIDValidity {
		in.st = boxState{validity: m.UIDValidity}
		fresh, err = in.compare(&gone)
	} else {
		gone, fresh, err = in.changes(&m)
	}
	if err != nil {
		return err
	}
	if err := in.remove(gone); err != nil {
		return err
	}
	for part := range slices.Chunk(fresh, partMessages) {
		start, before := time.Now(), k.x.store.Stats().Messages
		if err := errors.Join(ctx.Err(), in.part(part)); err != nil {
			return err
		}
		if err := k.mergeSmall(ctx); err != nil {
			return err
		}
		k.standBack(ctx, time.Since(start), k.x.store.Stats().Messages-before)
	}
	if len(fresh)+len(gone) == 0 && st.at != 0 && m.ModSeq-st.at < 10_000 {
		return nil // only flags changed: the state can wait
	}
	in.st.at = m.ModSeq
	return k.a.PutDerived([]store.DerivedRow{{Path: statePath(m.ID), Value: in.st.encode()}})
}

// standBack waits while mail comes in.
func (k *keeper) standBack(ctx context.Context, took time.Duration, came int64) {
	if came == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(deference * took):
	}
}

// mergeSmall merges segments of about the same size when there are many.
func (k *keeper) mergeSmall(ctx context.Context) error {
	for ctx.Err() == nil {
		from, to := k.cat.crowd()
		if from == to {
			break
		}
		if err := k.merge(from, to); err != nil {
			return err
		}
	}
	return ctx.Err()
}

const (
	// fanIn is how many segments of a size are merged.
	fanIn = 8
	// smallest is the size below which all segments are small.
	smallest = 256
	// spanMax is the largest segment, by document numbers.
	spanMax = 1 << 18
)

// tier is the order of magnitude of a segment.
func (s *segment) tier() (n int) {
	for size := uint32(smallest); s.span > size; size *= fanIn {
		n++
	}
	return n
}

// crowd finds neighbours to be merged: fanIn of them, none of which is larger
// than the tier that they are merged out of.
func (c *catalog) crowd() (from, to int) {
	for tier := range 8 {
		start, span := 0, uint32(0)
		for i, s := range c.segs {
			if s.tier() > tier || span+s.span > spanMax {
				start, span = i, 0
				if s.tier() > tier {
					start++
					continue
				}
			}
			if span += s.span; i-start+1 == fanIn {
				return start, i + 1
			}
		}
	}
	return 0, 0
}

// rewrite makes segments anew of which so many percent are of messages that are
// gone.
func (k *keeper) rewrite(ctx context.Context, percent int) error {
	live, err := k.live()
	if err != nil {
		return err
	}
	for i := 0; i < len(k.cat.segs) && ctx.Err() == nil; i++ {
		s := k.cat.segs[i]
		there := uint32(0)
		for d := range s.span {
			if live.has(s.first + d) {
				there++
			}
		}
		if dead := int(s.docs) - int(there); dead > 0 && dead*100 >= percent*int(s.docs) {
			n := len(k.cat.segs)
			if err := k.merge(i, i+1); err != nil {
				return err
			}
			i -= n - len(k.cat.segs)
		}
	}
	return ctx.Err()
}

// live are the documents of messages that are there.
func (k *keeper) live() (bitset, error) {
	live := newBitset(k.cat.nextDoc)
	paths, err := k.a.DerivedPaths("b")
	if err != nil {
		return nil, err
	}
	var places []place
	for _, path := range paths {
		b, err := k.read(path)
		if err != nil {
			return nil, err
		}
		if places, err = decodeBlock(places[:0], b); err != nil {
			return nil, err
		}
		for _, p := range places {
			if p.doc >= k.cat.nextDoc || p.prefix >= k.cat.nextDoc {
				return nil, errDamaged
			}
			live.set(p.doc)
			live.set(p.prefix)
		}
	}
	return live, nil
}

// merge makes one segment of some, without what is of expunged messages. The
// rows of the old ones go with the catalog that no longer has them.
func (k *keeper) merge(from, to int) error {
	live, err := k.live()
	if err != nil {
		return err
	}
	old := k.cat.segs[from:to]
	m := &merger{get: k.read, live: live, put: k.a.PutDerived}
	c := *k.cat
	c.nextSeg++
	s, err := m.merge(old, k.cat.nextSeg)
	if err != nil {
		return err
	}
	c.segs = slices.Clone(k.cat.segs[:from])
	if s.docs > 0 {
		c.segs = append(c.segs, s)
	}
	c.segs = append(c.segs, k.cat.segs[to:]...)
	if err := k.a.PutDerived([]store.DerivedRow{{Path: catalogPath, Value: c.encode()}}); err != nil {
		return err
	}
	k.cat = &c
	for _, s := range old {
		if err := k.a.DropDerived(segmentPath(s.id)); err != nil {
			return err
		}
	}
	if s.docs == 0 {
		return k.a.DropDerived(segmentPath(s.id))
	}
	return nil
}
