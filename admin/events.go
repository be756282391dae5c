package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"homemail/events"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
)

// FindEvents says which events to find; what is zero leaves nothing out.
type FindEvents struct {
	Kinds     []events.Kind    `json:"kinds,omitempty"`
	Direction events.Direction `json:"direction,omitempty"`
	Account   mail.Path        `json:"account,omitempty"` // whose events
	Address   string           `json:"address,omitempty"` // of the sender or a recipient, or a part of it
	From      string           `json:"from,omitempty"`
	To        string           `json:"to,omitempty"`
	Subject   string           `json:"subject,omitempty"`
	Text      string           `json:"text,omitempty"`
	Since     time.Time        `json:"since,omitzero"`
	Until     time.Time        `json:"until,omitzero"`
	Limit     int              `json:"limit,omitempty"`
	Before    uint64           `json:"before,omitempty"` // go on before this number
	After     uint64           `json:"after,omitempty"`  // only events with higher numbers
	Language  string           `json:"language,omitempty"`
}

// Event is an event with its words.
type Event struct {
	events.Event
	Words events.Words `json:"words"`
}

// Events are an answer to FindEvents, the newest first.
type Events struct {
	Events []Event `json:"events"`
	Next   uint64  `json:"next,omitempty"` // where to go on, 0 if everything was looked at
}

// TraceEvents names a message by the id that its 250 told.
type TraceEvents struct {
	ID       string    `json:"id"`
	Account  mail.Path `json:"account,omitempty"` // what this person may see of it
	Language string    `json:"language,omitempty"`
}

// Way is what became of one message, the oldest event first.
type Way struct {
	ID     string  `json:"id"`
	Events []Event `json:"events"`
}

// Ways are an answer to FindEvents by message, the newest first.
type Ways struct {
	Ways []Way  `json:"ways"`
	Next uint64 `json:"next,omitempty"`
}

// eventOperations are about what happened.
func eventOperations() map[string]operation {
	return map[string]operation{
		"events.find":  op((*House).findEvents),
		"events.trace": op((*House).traceEvents),
		"events.where": op((*House).whereEvents),
		"events.stats": op((*House).eventStats),
	}
}

func (h *House) query(q *FindEvents) (events.Query, error) {
	out := events.Query{
		Kinds: q.Kinds, Direction: q.Direction, Address: q.Address, From: q.From, To: q.To,
		Subject: q.Subject, Text: q.Text, Since: q.Since, Until: q.Until, After: q.After,
	}
	for _, k := range q.Kinds {
		if !slices.Contains(events.Kinds(), k) {
			return out, words.Because(store.ErrInvalid, "admin.no-kind", "kind", k, "kinds", events.Kinds())
		}
	}
	id, err := h.accountID(q.Account)
	out.Account = id
	return out, err
}

// accountID is the number of an account, 0 if none is named.
func (h *House) accountID(address mail.Path) (mail.AccountID, error) {
	if address == "" {
		return 0, nil
	}
	a, err := h.Store.Account(address)
	if err != nil {
		return 0, err
	}
	return a.ID, nil
}

func (h *House) findEvents(_ context.Context, q FindEvents) (Events, error) {
	query, err := h.query(&q)
	if err != nil {
		return Events{}, err
	}
	p, err := h.Events.Find(query, q.Limit, q.Before)
	return Events{inWords(p.Events, q.Language), p.Next}, err
}

func (h *House) traceEvents(_ context.Context, q TraceEvents) (Way, error) {
	id, err := h.accountID(q.Account)
	if err != nil {
		return Way{}, err
	}
	list, err := h.Events.Trace(q.ID, id)
	if err == nil && len(list) == 0 {
		err = words.Because(store.ErrNotFound, "admin.no-message", "id", q.ID)
	}
	return Way{q.ID, inWords(list, q.Language)}, err
}

func (h *House) whereEvents(_ context.Context, q FindEvents) (Ways, error) {
	query, err := h.query(&q)
	if err != nil {
		return Ways{}, err
	}
	list, next, err := h.Events.Where(query, q.Limit, q.Before)
	out := Ways{Ways: []Way{}, Next: next}
	for _, w := range list {
		out.Ways = append(out.Ways, Way{w.ID, inWords(w.Events, q.Language)})
	}
	return out, err
}

func (h *House) eventStats(context.Context, Empty) (events.Stats, error) {
	return h.Events.Stats(), nil
}

func inWords(list []events.Event, language string) []Event {
	out := make([]Event, len(list))
	for i := range list {
		out[i] = Event{list[i], list[i].Words(language)}
	}
	return out
}

// An Actor is who asks for an operation, and through which face.
type Actor struct {
	Door   string // "cli", "web", "api", "wizard"
	Who    string // a name or an address; "" is the owner
	Remote string // where from; "" is this computer
}

type actorKey struct{}

// WithActor says who asks for what is done with a context. Without it it is the
// owner at the command line.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// reading are operations that change nothing, besides those whose names end in
// one of these words.
var (
	reading      = []string{"update.status", "status", "overview", "check", "maintain", "line.check", "password.verify", "domain.look", "bridge.fetch"}
	readingWords = []string{"list", "show", "plan", "presets", "test", "find", "trace", "where", "stats", "mine", "restore-plan"}
)

func changes(operation string) bool {
	if slices.Contains(reading, operation) {
		return false
	}
	_, verb, _ := strings.Cut(operation, ".")
	return !slices.Contains(readingWords, verb)
}

// audit notes what an owner did.
func (h *House) audit(ctx context.Context, operation string, request json.RawMessage, err error) {
	if h.Events == nil || !changes(operation) {
		return
	}
	by, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		by.Door = "cli"
	}
	e := events.Event{Kind: events.Changed, What: operation, Door: by.Door, Who: by.Who, Remote: by.Remote, Detail: harmless(request)}
	if err != nil {
		e.Reason = events.NotDone
	}
	h.Events.Add(e)
}

// shown are the fields of a request that an audit may show: never all but the
// secret ones, as the next secret would be forgotten.
var shown = []string{
	"address", "name", "domain", "zone", "id", "service", "provider", "device", "for", "to", "from", "way", "smarthost", "host", "mode",
	"reason", "forward", "only", "disabled", "quota", "keep_days", "language", "policy", "local", "trust", "follow", "tell", "directory",
}

// harmless is what a request is about, without its secrets.
func harmless(request json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(request, &fields) != nil {
		return ""
	}
	var words []string
	for _, name := range shown {
		var v any
		if json.Unmarshal(fields[name], &v) != nil || v == nil || v == "" || v == 0.0 {
			continue
		}
		text, ok := v.(string)
		if !ok {
			text = fmt.Sprint(v)
			if _, list := v.([]any); !list {
				text = name + " " + text
			}
		}
		words = append(words, strings.Trim(text, "[]"))
	}
	return strings.Join(words, ", ")
}
