package store

import (
	"sync"

	"homemail/mail"
)

// A watchKey is what can be watched: a mailbox, or with zeros all profiles.
type watchKey struct {
	account mail.AccountID
	mailbox mail.MailboxID
}

// A Watch is told of changes: C gets a value after a commit. One value may
// stand for many commits.
type Watch struct {
	C  <-chan struct{}
	ch chan struct{}
	at watchKey
	of *watchers
}

// Close ends the watch.
func (w *Watch) Close() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.by[w.at], w)
	if len(w.of.by[w.at]) == 0 {
		delete(w.of.by, w.at)
	}
}

type watchers struct {
	mu sync.Mutex
	by map[watchKey]map[*Watch]struct{}
}

func (ws *watchers) add(at watchKey) *Watch {
	ch := make(chan struct{}, 1)
	w := &Watch{C: ch, ch: ch, at: at, of: ws}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.by == nil {
		ws.by = make(map[watchKey]map[*Watch]struct{})
	}
	if ws.by[at] == nil {
		ws.by[at] = make(map[*Watch]struct{})
	}
	ws.by[at][w] = struct{}{}
	return w
}

func (ws *watchers) tell(keys []watchKey) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, at := range keys {
		for w := range ws.by[at] {
			select {
			case w.ch <- struct{}{}:
			default: // already told
			}
		}
	}
}

// Watch watches a mailbox.
func (a *Account) Watch(mbox mail.MailboxID) *Watch {
	return a.s.watchers.add(watchKey{a.ID, mbox})
}

// WatchProfiles watches the profiles of all accounts.
func (s *Store) WatchProfiles() *Watch { return s.watchers.add(watchKey{}) }
