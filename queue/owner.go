package queue

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
	"homemail/store"
)

// What the owner does with the queue. A message is named by the id of the 250
// that took it, or by its number. One id may stand for several messages: a
// message that two addresses forward is one for each. What is being sent at
// this moment is not interrupted.

// find returns the numbers of the messages that an id stands for.
func (q *Queue) find(id string) ([]mail.ItemID, error) {
	if n, err := strconv.ParseUint(id, 10, 32); err == nil {
		if _, _, err := q.disk.Item(mail.ItemID(n)); err != nil {
			return nil, fmt.Errorf("message %s of the queue: %w", id, err)
		}
		return []mail.ItemID{mail.ItemID(n)}, nil
	}
	ids, err := q.disk.ItemsOf(id)
	if err == nil && len(ids) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("message %s of the queue: %w", id, err)
	}
	return ids, nil
}

// Retry has a message tried now, whatever the schedule says, and tells how many
// recipients that is. Held ones stay held.
func (q *Queue) Retry(id string) (int, error) {
	ids, err := q.find(id)
	if err != nil {
		return 0, err
	}
	n, now := 0, time.Now()
	var hops []string
	_, err = q.disk.ChangeRecipients(ids, func(r *store.QueueRecipient) {
		if r.Hold == "" {
			n++
			r.Due = now
			hops = append(hops, q.hopOf(r))
		}
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range hops {
		q.plan.pardon(h)
	}
	return n, err
}

// RetryDomain has all mail to a domain tried now; "" is mail to all. It tells
// how many domains that are.
func (q *Queue) RetryDomain(domain string) (int, error) { return q.again(domain, everything) }

// Rerouted has what waits because its way was closed tried now: the ways out have
// changed. What a server put off waits on.
func (q *Queue) Rerouted() error {
	_, err := q.again("", whatWaited)
	return err
}

func (q *Queue) again(domain string, r reach) (int, error) {
	heads, err := q.disk.QueueHeads()
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.kick()
	n, now := 0, time.Now()
	for _, h := range heads {
		if domain != "" && h.Domain != domain {
			continue
		}
		n++
		q.plan.later(h.Domain, now, now)
		d := q.plan.domains[h.Domain]
		d.next = max(d.next, r)
		q.plan.pardon(d.hop)
		q.plan.pardon(q.o.Transport.Hop("", h.Domain, 0))
	}
	return n, nil
}

// pardon forgets that a hop could not be reached.
func (p *plan) pardon(name string) {
	if h := p.hops[name]; h != nil {
		h.until, h.fails, h.doubts = time.Time{}, 0, 0
	}
}

// Hold keeps a message until it is released, and tells how many recipients
// that is.
func (q *Queue) Hold(id, reason string) (int, error) {
	ids, err := q.find(id)
	if err != nil {
		return 0, err
	}
	return q.hold(ids, reason)
}

func (q *Queue) hold(ids []mail.ItemID, reason string) (n int, err error) {
	if reason == "" {
		reason = "held"
	}
	_, err = q.disk.ChangeRecipients(ids, func(r *store.QueueRecipient) {
		if r.Hold == "" {
			r.Hold = reason
			n++
		}
	})
	return n, err
}

// Release lets a message go on that was held. The time that it was held does
// not count towards giving up.
func (q *Queue) Release(id string) (int, error) {
	ids, err := q.find(id)
	if err != nil {
		return 0, err
	}
	return q.letGo(ids, "")
}

func (q *Queue) letGo(ids []mail.ItemID, reason string) (n int, err error) {
	now := time.Now()
	_, err = q.disk.ChangeRecipients(ids, func(r *store.QueueRecipient) {
		if r.Hold != "" && strings.HasPrefix(r.Hold, reason) {
			r.Hold, r.Due, r.Last = "", now, now
			n++
		}
	})
	return n, err
}

// HoldAccount holds everything that an account wrote and that has not left.
func (q *Queue) HoldAccount(account mail.AccountID, reason string) (int, error) {
	ids, err := q.written(account)
	if err != nil {
		return 0, err
	}
	return q.hold(ids, reason)
}

// ReleaseAccount lets go, of what an account wrote, what was held for a reason
// that begins with these words.
func (q *Queue) ReleaseAccount(account mail.AccountID, reason string) (int, error) {
	ids, err := q.written(account)
	if err != nil {
		return 0, err
	}
	return q.letGo(ids, reason)
}

func (q *Queue) written(account mail.AccountID) (ids []mail.ItemID, err error) {
	err = q.disk.Items(false, func(it *store.Item, _ []*store.QueueRecipient) bool {
		if it.Origin == store.Submitted && it.Account == account {
			ids = append(ids, it.ID)
		}
		return true
	})
	return ids, err
}

// ErrBusy says that some of a message is being sent right now.
var ErrBusy = errors.New("it is being sent at this moment")

// Remove takes a message out of the queue, and tells how many recipients that
// is. With tell its sender gets a DSN that says so. ErrBusy if some recipients
// had to be left alone.
func (q *Queue) Remove(id string, tell bool) (n int, err error) {
	ids, err := q.find(id)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		removed, err := q.remove(id, tell)
		if n += removed; err != nil {
			return n, fmt.Errorf("message %d of the queue: %w", id, err)
		}
	}
	return n, nil
}

func (q *Queue) remove(id mail.ItemID, tell bool) (int, error) {
	it, to, err := q.disk.Item(id)
	if err != nil {
		return 0, err
	}
	claimed, busy := q.claimAll(it, to)
	defer func() { q.release(it, claimed) }()
	if _, to, err = q.disk.Item(id); err != nil { // what is claimed does not change any more
		return 0, err
	}
	now := time.Now()
	var list, told []*store.QueueRecipient
	for _, r := range to {
		if i := indexOf(claimed, r.N); i < 0 || r.State != store.Queued {
			continue
		}
		r.State, r.Ended = store.Removed, now
		r.Attempts = append(r.Attempts, store.Attempt{At: now, Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseRemoved}})
		if tell && q.tell(it, r, failure) == failure {
			told = append(told, r)
		} else {
			list = append(list, r)
		}
	}
	if err := q.settleRemoved(it, list, told); err != nil {
		return 0, err
	}
	if busy {
		return len(list) + len(told), ErrBusy
	}
	return len(list) + len(told), nil
}

func (q *Queue) settleRemoved(it *store.Item, list, told []*store.QueueRecipient) error {
	if len(list) > 0 {
		if err := q.disk.settle(list, nil); err != nil {
			return err
		}
	}
	if len(told) > 0 {
		n, err := q.notice(it, failure, told)
		if err == nil {
			err = q.disk.settle(told, n)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range slices.Concat(list, told) {
		q.log.Info("removed from the queue", "id", it.Trace, "to", r.Path)
		q.o.Told(it, r, "")
	}
	return nil
}

// claimAll claims the queued recipients of a message that nobody works on.
func (q *Queue) claimAll(it *store.Item, to []*store.QueueRecipient) (mine []*store.QueueRecipient, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range to {
		switch {
		case r.State != store.Queued:
		case q.plan.claim(ref{it.ID, r.N}):
			mine = append(mine, r)
		default:
			busy = true
		}
	}
	return mine, busy
}
