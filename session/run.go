package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

const (
	recheckEvery = 2 * time.Second // requests that last: they end within 5 s of their session
	flushEvery   = seenStep
	sweepEvery   = time.Hour
)

// Run ends the requests of sessions that ended, notes when sessions were used,
// and sweeps what is over, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	profiles := m.store.WatchProfiles()
	defer profiles.Close()
	recheck, flush, sweep := time.NewTicker(recheckEvery), time.NewTicker(flushEvery), time.NewTicker(sweepEvery)
	defer recheck.Stop()
	defer flush.Stop()
	defer sweep.Stop()
	for {
		next := m.recheck
		select {
		case <-ctx.Done():
			return safely(m.flush)
		case <-profiles.C:
		case <-recheck.C:
		case <-flush.C:
			next = m.flush
		case <-sweep.C:
			next = m.sweep
		}
		if err := safely(next); err != nil {
			m.o.Log.Error("cannot look after the web's sessions; trying again", "err", err)
		}
	}
}

// safely makes an error of a bug: it may cost what is looked after here for a
// while, and not the mail.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a bug: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// recheck ends the requests of sessions that are over. Somebody else may have
// ended them: the command line on the same store.
func (m *Manager) recheck() error {
	m.mu.Lock()
	hashes := make([]string, 0, len(m.live))
	for hash := range m.live {
		hashes = append(hashes, hash)
	}
	m.mu.Unlock()
	var errs error
	for _, hash := range hashes {
		over, err := m.over(hash)
		errs = errors.Join(errs, err)
		if over {
			m.mu.Lock()
			m.cut(hash) // which cancels contexts, and calls nobody else
			m.mu.Unlock()
		}
	}
	return errs
}

func (m *Manager) over(hash string) (bool, error) {
	r, err := m.row(hash)
	if err != nil || r == nil {
		return err == nil, err
	}
	s, err := m.check(hash, *r)
	return err == nil && s == nil, err
}

// flush writes down when sessions were used, and the clock.
func (m *Manager) flush() error {
	m.mu.Lock()
	seen := m.seen
	m.seen = make(map[string]sight)
	m.mu.Unlock()
	errs := m.steady.Save()
	for hash, at := range seen {
		errs = errors.Join(errs, m.store.UpdateState(sessionPath+hash, func(old []byte) ([]byte, error) {
			var r row
			if json.Unmarshal(old, &r) != nil || r.Seen > at.at {
				return old, nil
			}
			r.Seen, r.SeenWall, r.Remote = at.at, at.wall, at.remote
			return json.Marshal(r)
		}))
	}
	return errs
}

// sweep removes sessions that are over, and what is kept of accounts that are
// gone.
func (m *Manager) sweep() error {
	errs := m.flush()
	var gone []string
	err := m.each(func(hash string, r *row) {
		if r == nil {
			gone = append(gone, sessionPath+hash)
			return
		}
		s, err := m.check(hash, *r)
		if errs = errors.Join(errs, err); err == nil && s == nil {
			gone = append(gone, sessionPath+hash)
		}
	})
	errs = errors.Join(errs, err)
	for _, prefix := range []string{generationPath, factorsPath} {
		errs = errors.Join(errs, m.store.States(prefix, func(path string, _ []byte) bool {
			id, err := strconv.ParseUint(strings.TrimPrefix(path, prefix), 10, 32)
			p, perr := profile(m.store, mail.AccountID(id))
			if err != nil || perr == nil && p.ID == 0 { // numbers are never given twice
				gone = append(gone, path)
			}
			return true
		}))
	}
	for _, path := range gone {
		errs = errors.Join(errs, m.store.PutState(path, nil))
	}
	return errs
}
