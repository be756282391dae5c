package events

import "sync"

// watchMax is how many events wait for a watcher: who is slower misses some and
// asks Find.
const watchMax = 256

// A Watch tells of new events once they are written.
type Watch struct {
	C    <-chan Event
	c    chan Event
	l    *Log
	once sync.Once
}

// Watch watches for new events.
func (l *Log) Watch() *Watch {
	w := &Watch{c: make(chan Event, watchMax), l: l}
	w.C = w.c
	if l == nil {
		return w
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[w] = struct{}{}
	return w
}

// Close ends the watch, and closes C.
func (w *Watch) Close() {
	w.once.Do(func() {
		if w.l != nil {
			w.l.mu.Lock()
			defer w.l.mu.Unlock()
			delete(w.l.watchers, w)
		}
		close(w.c)
	})
}

func (l *Log) tell(list []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watchers {
		for _, e := range list {
			select {
			case w.c <- e:
			default:
			}
		}
	}
}
