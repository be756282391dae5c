package store

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// A need says how much free disk a change asks for: what frees space must
// work when there is hardly any.
type need int

const (
	toGrow   need = iota // mail comes in
	toChange             // flags, settings
	toShrink             // something is removed
)

// A request is one caller's change, waiting for the committer.
type request struct {
	fn    func(*tx) error
	need  need
	lazy  bool // need not be on disk when it is answered: another request of the caller follows
	alone func() error
	done  chan error
	tx    *tx
}

// Limits of a batch: requests that share one flush.
const (
	batchRequests = 128
	batchBytes    = 4 << 20
	// gatherFor is how long a batch waits for messages that are being received
	// at this moment, so that they share its flush.
	gatherFor = time.Millisecond
)

// update runs fn in the committer's goroutine, and returns nil when what fn
// wrote is on disk and every reader sees it. Fn must not block.
func (s *Store) update(n need, fn func(*tx) error) error {
	return s.submit(&request{fn: fn, need: n})
}

func (s *Store) submit(r *request) error {
	s.post(r)
	return <-r.done
}

// post gives a request to the committer, which will answer on its done.
func (s *Store) post(r *request) {
	r.done = make(chan error, 1)
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		r.done <- ErrClosed
		return
	}
	s.requests <- r
}

// exclusive runs fn in the committer's goroutine between two batches.
func (s *Store) exclusive(fn func() error) error {
	return s.submit(&request{alone: fn})
}

// commitLoop is the committer: the only writer of the journal and of Badger.
func (s *Store) commitLoop() {
	defer close(s.committed)
	idle := time.NewTicker(time.Second)
	defer idle.Stop()
	for {
		select {
		case r, ok := <-s.requests:
			if !ok {
				return
			}
			s.commit(s.gather(r))
		case <-idle.C:
			s.quiet()
		}
	}
}

// gather collects what else waits. While other messages are on their way in it
// waits a little for them.
func (s *Store) gather(r *request) []*request {
	list := []*request{r}
	if r.alone != nil {
		return list
	}
	take := func(r *request, ok bool) bool {
		if ok {
			list = append(list, r)
		}
		return ok && r.alone == nil && len(list) < batchRequests
	}
	for more := true; more; {
		select {
		case r, ok := <-s.requests:
			more = take(r, ok)
			continue
		default:
		}
		break
	}
	if last := list[len(list)-1]; last.alone != nil || s.receiving.Load() <= int64(len(list)) {
		return list
	}
	timeout := time.NewTimer(gatherFor)
	defer timeout.Stop()
	for s.receiving.Load() > int64(len(list)) {
		select {
		case r, ok := <-s.requests:
			if !take(r, ok) {
				return list
			}
		case <-timeout.C:
			return list
		}
	}
	return list
}

// commit makes a batch of the requests and answers them all.
func (s *Store) commit(list []*request) {
	if r := list[len(list)-1]; r.alone != nil {
		list = list[:len(list)-1]
		defer func() { r.done <- s.guard(r.alone) }()
	}
	for len(list) > 0 {
		n, err := s.commitSome(list)
		for _, r := range list[:n] {
			if r.tx == nil {
				continue // answered
			}
			if err == nil {
				s.watchers.tell(r.tx.told)
			}
			r.done <- err
		}
		list = list[n:]
	}
}

// commitSome commits requests up to the size of a batch, and tells how many.
func (s *Store) commitSome(list []*request) (n int, err error) {
	if err := s.Broken(); err != nil {
		return s.refuse(list, err), nil
	}
	txn := s.disk.db.NewTransaction(false)
	defer txn.Discard()
	batch := &changes{}
	flush, freed := false, int64(0)
	for n < len(list) && batch.bytes < batchBytes {
		r := list[n]
		n++
		t := &tx{snapshot: snapshot{txn}, store: s, batch: batch}
		if err := s.run(r, t); err != nil {
			r.done <- err
			continue
		}
		r.tx = t
		flush = flush || !r.lazy
		freed += t.freed
		batch.take(&t.own)
	}
	if freed != 0 {
		s.noteGarbage(batch, freed)
	}
	if len(batch.list) == 0 {
		return n, nil
	}
	return n, s.write(batch, flush)
}

func (s *Store) refuse(list []*request, err error) int {
	for _, r := range list {
		r.done <- err
	}
	return len(list)
}

// run runs a request's function if there is space for what it wants.
func (s *Store) run(r *request, t *tx) error {
	if err := s.space.allow(r.need); err != nil {
		return err
	}
	return s.guard(func() error { return r.fn(t) })
}

// guard turns a panic into an error: one bad request must not end the house.
func (s *Store) guard(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("a change to the store failed", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return fn()
}

// write puts a batch into the journal, on disk, and then into Badger.
func (s *Store) write(batch *changes, flush bool) error {
	key := settingKey("journal")
	seq := encoder{}
	seq.uint(s.journal.seq + 1)
	batch.set(key, seal(key, seq))
	frame := s.journal.begin()
	for _, c := range batch.list {
		frame = appendChange(frame, c)
	}
	segments := len(s.journal.sealed)
	if _, err := s.journal.put(frame, flush); err != nil {
		s.breakDown(err)
		return s.Broken()
	}
	s.applied = s.journal.seq
	if flush {
		s.stats.flushes.Add(1)
	}
	if err := s.disk.apply(batch.list); err != nil {
		s.breakDown(err)
		return s.Broken()
	}
	s.stats.commits.Add(1)
	s.stats.journal.Store(s.journal.bytes())
	if len(s.journal.sealed) > segments {
		s.relieve()
	}
	return s.Broken() // Badger may have logged an error instead of returning it
}

// relieve releases what the journal no longer needs to keep. Should it hold
// too much, Badger is reopened, which moves its memtables into tables.
func (s *Store) relieve() {
	if s.Broken() != nil {
		return
	}
	s.disk.beginSync()
	s.disk.trim()
	oldest, newest := s.disk.memtables()
	s.journal.seal(newest)
	if err := s.release(oldest); err != nil {
		s.breakDown(err)
		return
	}
	// A check or a collection of garbage may read for long, and whoever waits to
	// reopen keeps all other readers out: better let the journal grow a while.
	if n := s.journal.bytes(); n <= s.options.JournalMax || n <= 2*s.options.JournalMax && s.disk.busy() {
		return
	}
	start := time.Now()
	if err := s.checkpoint(); err != nil {
		s.breakDown(err)
		return
	}
	s.log.Debug("journal checkpoint", "ms", time.Since(start).Milliseconds())
}

// checkpoint moves everything from the memtables into tables.
func (s *Store) checkpoint() error {
	if err := s.Broken(); err != nil {
		return err // Badger would write, and what it wrote before is in doubt
	}
	_, newest := s.disk.memtables()
	s.journal.seal(newest)
	if err := s.disk.reopen(); err != nil {
		return err
	}
	oldest, _ := s.disk.memtables()
	return s.release(oldest)
}

// release drops the segments whose changes are in no memtable from oldest on:
// they are in tables, which Badger flushed; their bodies are flushed now.
func (s *Store) release(oldest uint64) error {
	done := func(g *segment) bool { return g.mem != 0 && g.mem < oldest }
	if len(s.journal.sealed) == 0 || !done(s.journal.sealed[0]) {
		return nil
	}
	if err := s.disk.syncBodies(); err != nil {
		return err
	}
	// The system tells of a failed flush once. If Badger was told, ours
	// succeeded, and only the journal has those bodies.
	if err := s.Broken(); err != nil {
		return err
	}
	return s.journal.release(done)
}

// quiet runs while nothing is to be done.
func (s *Store) quiet() {
	if s.Broken() != nil {
		return
	}
	if err := s.journal.note(); err != nil {
		s.breakDown(err)
	}
	// Nothing can have changed since the last look without a commit.
	if n := s.stats.commits.Load(); len(s.journal.sealed) > 0 && n != s.relieved {
		s.relieved = n
		s.relieve()
	}
}

// breakDown is called at the first error of the disk. What a failed flush left
// behind is unknown, so nothing is acknowledged from here on.
func (s *Store) breakDown(err error) {
	if !errors.Is(err, ErrBroken) {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("the disk failed; nothing more is accepted", "err", err)
		close(s.brokenCh)
	}
}

// Broken returns why nothing is accepted any more, nil as long as all is well.
func (s *Store) Broken() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// BrokenDown is closed when the disk fails. The process should end then and
// start anew, which verifies what is there.
func (s *Store) BrokenDown() <-chan struct{} { return s.brokenCh }

// view runs fn in a snapshot. It must not be nested, nor wait for a client.
func (s *Store) view(fn func(reader) error) error {
	return s.disk.read(func(txn *badger.Txn) error { return fn(snapshot{txn}) })
}
