package queue

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A memory is a disk for tests whose time is not real.
type memory struct {
	mu      sync.Mutex
	items   map[mail.ItemID]*store.Item
	rows    map[ref]store.QueueRecipient
	news    []string
	ch      chan struct{}
	notices []string // that were filed
	fail    error    // of settle with a notice
	failAll error    // of any settle
	swept   time.Time
	aside   map[store.Place]bool
	damaged map[mail.ItemID]bool
	broken  bool          // reading a profile panics
	ghosts  []store.Place // in the schedule, of who is done
}

func newMemory() *memory {
	return &memory{items: map[mail.ItemID]*store.Item{}, rows: map[ref]store.QueueRecipient{}, ch: make(chan struct{}, 1)}
}

func (m *memory) row(id mail.ItemID, n uint32) store.QueueRecipient {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[ref{id, n}]
}

func (m *memory) all() map[ref]store.QueueRecipient {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows)
}

func (m *memory) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.notices)
}

func (m *memory) sweptBefore() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.swept
}

// add queues a message.
func (m *memory) add(it store.Item, to ...mail.Recipient) mail.ItemID {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	it.ID, it.Count, it.Queued = mail.ItemID(len(m.items)+1), uint32(len(to)), now
	m.items[it.ID] = &it
	for n, r := range to {
		m.rows[ref{it.ID, uint32(n)}] = store.QueueRecipient{Item: it.ID, N: uint32(n), Recipient: r, State: store.Queued, Due: now, Last: now}
		m.news = append(m.news, r.Path.Domain())
	}
	m.tell()
	return it.ID
}

func (m *memory) tell() {
	select {
	case m.ch <- struct{}{}:
	default:
	}
}

func (m *memory) waiting() []store.QueueRecipient {
	var list []store.QueueRecipient
	for _, r := range m.rows {
		if r.State == store.Queued && r.Hold == "" {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b store.QueueRecipient) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Item, b.Item), cmp.Compare(a.N, b.N))
	})
	return list
}

func (m *memory) QueueHeads() (list []store.Head, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]bool{}
	for _, r := range m.waiting() {
		if d := r.Path.Domain(); !seen[d] {
			seen[d] = true
			list = append(list, store.Head{Domain: d, Due: r.Due})
		}
	}
	return list, nil
}

func (m *memory) QueueDue(domain string, after store.Place, n int) (list []store.Place, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.ghosts {
		if after.Item == 0 && !m.aside[p] && len(list) < n {
			list = append(list, p)
		}
	}
	for _, r := range m.waiting() {
		p := store.Place{Due: r.Due, Item: r.Item, N: r.N, Tries: r.Tries}
		behind := cmp.Or(p.Due.Compare(after.Due), cmp.Compare(p.Item, after.Item), cmp.Compare(p.N, after.N)) > 0
		if r.Path.Domain() == domain && (after.Item == 0 || behind) && !m.aside[p] && len(list) < n {
			list = append(list, p)
		}
	}
	return list, nil
}

func (m *memory) QueueNews() (domains []string, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	domains, m.news = m.news, nil
	return domains, false
}

func (m *memory) QueueSize(time.Time) (s store.QueueSize, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Queued = len(m.waiting())
	return s, nil
}

func (m *memory) SetAside(_ string, p store.Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.aside == nil {
		m.aside = map[store.Place]bool{}
	}
	m.aside[p] = true
	return nil
}

func (m *memory) Item(id mail.ItemID) (*store.Item, []*store.QueueRecipient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it := m.items[id]
	if it == nil {
		return nil, nil, store.ErrNotFound
	}
	if m.damaged[id] {
		return nil, nil, store.ErrCorrupt
	}
	var to []*store.QueueRecipient
	for n := range it.Count {
		r := m.rows[ref{id, n}]
		r.Attempts = slices.Clone(r.Attempts)
		to = append(to, &r)
	}
	return it, to, nil
}

func (m *memory) Items(bool, func(*store.Item, []*store.QueueRecipient) bool) error { return nil }
func (m *memory) ItemsOf(string) ([]mail.ItemID, error)                             { return nil, nil }

func (m *memory) ChangeRecipients(ids []mail.ItemID, fn func(*store.QueueRecipient)) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, r := range m.rows {
		if slices.Contains(ids, r.Item) && r.State == store.Queued {
			fn(&r)
			m.rows[at] = r
			m.news = append(m.news, r.Path.Domain())
			n++
		}
	}
	m.tell()
	return n, nil
}

func (m *memory) SweepQueue(before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swept = before
	return nil
}

func (m *memory) watch() (<-chan struct{}, func()) { return m.ch, func() {} }
func (m *memory) open(*store.Item) io.Reader       { return strings.NewReader("Subject: x\r\n\r\nhello\r\n") }
func (m *memory) profile(id mail.AccountID) (store.Profile, error) {
	if m.broken {
		panic("broken")
	}
	return store.Profile{ID: id, Address: "anna@example.test"}, nil
}

func (m *memory) settle(list []*store.QueueRecipient, n *notice) error {
	var b bytes.Buffer
	if n != nil {
		if _, err := n.report.WriteTo(&b); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failAll != nil {
		return m.failAll
	}
	if n != nil && m.fail != nil {
		return m.fail
	}
	for _, r := range list {
		if old := m.rows[ref{r.Item, r.N}]; old.State == store.Queued {
			row := *r
			row.Due = row.Due.Truncate(time.Millisecond)
			m.rows[ref{r.Item, r.N}] = row
		}
	}
	if n != nil {
		m.notices = append(m.notices, b.String())
	}
	return nil
}
