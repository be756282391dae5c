package admin

import (
	"context"

	"homemail/mail"
	"homemail/queue"
	"homemail/store"
	"homemail/words"
)

// ListQueue says which messages of the queue to list.
type ListQueue struct {
	Domain   string    `json:"domain"`
	Account  mail.Path `json:"account"`
	Held     bool      `json:"held"`
	Done     bool      `json:"done"` // also those that nobody waits for any more
	Limit    int       `json:"limit"`
	Language string    `json:"language"`
}

// QueueID names a message of the queue, by the id that its 250 told or by its
// number.
type QueueID struct {
	ID       string `json:"id"`
	Reason   string `json:"reason,omitempty"`
	Tell     bool   `json:"tell,omitempty"` // its sender, when it is removed
	Language string `json:"language,omitempty"`
}

// Count tells how many recipients or domains an operation was about.
type Count struct {
	Count int `json:"count"`
}

func (h *House) listQueue(_ context.Context, q ListQueue) ([]queue.Summary, error) {
	f := queue.Filter{Domain: q.Domain, Held: q.Held, Done: q.Done, Limit: q.Limit}
	if q.Account != "" {
		a, err := h.Store.Account(q.Account)
		if err != nil {
			return nil, err
		}
		f.Account = a.ID
	}
	list, err := h.Queue.List(f, q.Language)
	if list == nil {
		list = []queue.Summary{}
	}
	return list, err
}

func (h *House) showQueue(_ context.Context, q QueueID) ([]queue.Detail, error) {
	return h.Queue.Show(q.ID, q.Language)
}

// allMail stands for every message of the queue.
const allMail = "all"

func (h *House) retryQueue(_ context.Context, q QueueID) (Count, error) {
	if q.ID == allMail {
		n, err := h.Queue.RetryDomain("")
		return Count{n}, err
	}
	n, err := h.Queue.Retry(q.ID)
	return some(n, err, words.Because(store.ErrInvalid, "admin.queue.sent"))
}

func (h *House) retryDomain(_ context.Context, q Domain) (Count, error) {
	p, err := mail.ParsePath("x@" + q.Domain)
	if err != nil {
		return Count{}, words.Because(store.ErrInvalid, "admin.no-domain", "domain", q.Domain)
	}
	n, err := h.Queue.RetryDomain(p.Domain())
	return some(n, err, words.Because(store.ErrInvalid, "admin.queue.nothing", "domain", p.Domain()))
}

func (h *House) holdQueue(_ context.Context, q QueueID) (Count, error) {
	if q.Reason == "" {
		q.Reason = "held by the owner"
	}
	n, err := h.Queue.Hold(q.ID, q.Reason)
	return some(n, err, words.Because(store.ErrInvalid, "admin.queue.held"))
}

func (h *House) releaseQueue(_ context.Context, q QueueID) (Count, error) {
	n, err := h.Queue.Release(q.ID)
	return some(n, err, words.Because(store.ErrInvalid, "admin.queue.not-held"))
}

func (h *House) removeQueue(_ context.Context, q QueueID) (Count, error) {
	n, err := h.Queue.Remove(q.ID, q.Tell)
	return some(n, err, words.Because(store.ErrInvalid, "admin.queue.done"))
}

// some is the answer of what was about n, and says why if that is nothing.
func some(n int, err, otherwise error) (Count, error) {
	if err == nil && n == 0 {
		err = otherwise
	}
	return Count{n}, err
}
