package queue

import (
	"errors"
	"time"

	"homemail/clock"
	"homemail/dsn"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
)

// A Filter says which messages to list. Zero values leave nothing out.
type Filter struct {
	Domain  string         // to which some recipient is
	Account mail.AccountID // whose it is
	Held    bool           // only what is held
	Done    bool           // also what nobody waits for any more
	After   mail.ItemID    // go on after this one
	Limit   int            // at most so many; 0 is no limit
}

// A Summary is a message of the queue in a line.
type Summary struct {
	Number  mail.ItemID    `json:"number"`
	ID      string         `json:"id"` // as the 250 told it
	Origin  store.Origin   `json:"origin"`
	Account mail.AccountID `json:"account"`
	From    mail.Path      `json:"from"`
	To      []mail.Path    `json:"to"` // the first few that wait, or of all if none does
	Size    int64          `json:"size"`
	Queued  time.Time      `json:"queued"`
	Age     time.Duration  `json:"age_ns"`
	Waiting int            `json:"waiting"` // recipients
	Held    int            `json:"held"`    // of them
	Done    int            `json:"done"`
	Next    time.Time      `json:"next,omitzero"`  // when one is tried next
	Hold    string         `json:"hold,omitempty"` // why the first is held
	Why     string         `json:"why,omitempty"`  // in words, of the first that waits
}

// toShown is how many recipients a Summary names.
const toShown = 5

// A Detail is all that is known about a message of the queue.
type Detail struct {
	Summary
	Recipients []Recipient `json:"recipients"`
}

// A Recipient is where a recipient of a message stands.
type Recipient struct {
	To     mail.Path            `json:"to"`
	Notify []string             `json:"notify,omitempty"`
	State  store.RecipientState `json:"state"`
	Hold   string               `json:"hold,omitempty"`
	Next   time.Time            `json:"next,omitzero"`
	Ended  time.Time            `json:"ended,omitzero"`
	Count  int                  `json:"tries"`
	Age    time.Duration        `json:"age_ns"`
	Tries  []Try                `json:"attempts"`
}

// A Try is one attempt, in the server's words and in plain ones.
type Try struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"` // what happened
	Why     string    `json:"why,omitempty"`
	Todo    string    `json:"todo,omitempty"` // what to do
	Untried bool      `json:"untried,omitempty"`
	mail.Outcome
}

// List returns messages, oldest first, with words in a language.
func (q *Queue) List(f Filter, language string) (list []Summary, err error) {
	err = q.disk.Items(f.Done, func(it *store.Item, to []*store.QueueRecipient) bool {
		if it.ID <= f.After || f.Account != 0 && it.Account != f.Account {
			return true
		}
		if s := summarize(it, to, language); (!f.Held || s.Held > 0) && (f.Domain == "" || isTo(to, f.Domain)) {
			list = append(list, s)
		}
		return f.Limit == 0 || len(list) < f.Limit
	})
	return list, err
}

func isTo(to []*store.QueueRecipient, domain string) bool {
	for _, r := range to {
		if r.Path.Domain() == domain {
			return true
		}
	}
	return false
}

func summarize(it *store.Item, to []*store.QueueRecipient, language string) Summary {
	s := Summary{
		Number: it.ID, ID: it.Trace, Origin: it.Origin, Account: it.Account, From: it.Envelope.From,
		Size: it.Size(), Queued: it.Queued,
	}
	for _, r := range to {
		if r.State != store.Queued {
			s.Done++
			continue
		}
		if s.Waiting++; len(s.To) < toShown {
			s.To = append(s.To, r.Path)
		}
		s.Age = max(s.Age, r.Age+clock.Step(r.Last, time.Now(), r.Due.Sub(r.Last)))
		if n := len(r.Attempts); n > 0 && s.Why == "" {
			_, s.Why, _ = dsn.Words(language, r.Attempts[n-1].Outcome, r.Path)
		}
		switch {
		case r.Hold != "":
			if s.Held++; s.Hold == "" {
				s.Hold = held(r.Hold, language)
			}
		case s.Next.IsZero() || r.Due.Before(s.Next):
			s.Next = r.Due
		}
	}
	if s.Waiting == 0 {
		for _, r := range to[:min(len(to), toShown)] {
			s.To = append(s.To, r.Path)
		}
	}
	return s
}

// Show returns what is known about the messages that an id stands for.
func (q *Queue) Show(id, language string) (list []Detail, err error) {
	ids, err := q.find(id)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		it, to, err := q.disk.Item(id)
		if errors.Is(err, store.ErrNotFound) {
			continue // forgotten just now
		}
		if err != nil {
			return nil, err
		}
		d := Detail{Summary: summarize(it, to, language)}
		for _, r := range to {
			d.Recipients = append(d.Recipients, detail(r, language))
		}
		list = append(list, d)
	}
	return list, nil
}

// held is why a message is held, in a language. It is kept in English, and what an
// owner typed as it was typed.
func held(reason, language string) string { return words.Recall("queue.hold.", reason).In(language) }

func detail(r *store.QueueRecipient, language string) Recipient {
	d := Recipient{To: r.Path, Notify: r.Notify, State: r.State, Hold: held(r.Hold, language), Ended: r.Ended, Count: r.Tries, Age: r.Age}
	if r.State == store.Queued && r.Hold == "" {
		d.Next = r.Due
	}
	for i, a := range r.Attempts {
		o := a.Outcome
		if i == len(r.Attempts)-1 && (r.State == store.Failed || r.State == store.Expired) {
			o.Fate = mail.Permanent // there will be no other
		}
		t := Try{At: a.At, Untried: a.Untried, Outcome: a.Outcome}
		t.What, t.Why, t.Todo = dsn.Words(language, o, r.Path)
		d.Tries = append(d.Tries, t)
	}
	return d
}
