package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"homemail/admin"
	"homemail/events"
	"homemail/store"
	"homemail/update"
	"homemail/update/agent"
	"homemail/words"
)

// newsEach is how often PID 1 is asked how it stands with updates.
const newsEach = time.Minute

// toldUpdatesPath has what the owner was told of, so that it is said once, also
// after a restart.
const toldUpdatesPath = "update/told"

// toldUpdates is what was told last.
type toldUpdates struct {
	Ready update.Version `json:"ready,omitempty"`
	To    update.Version `json:"to,omitempty"`
	Stage update.Stage   `json:"stage,omitempty"`
	At    time.Time      `json:"at,omitzero"`
}

// updateNews tells owners when an update waits for them, was installed, or the
// box went back: once for each change.
type updateNews struct {
	status func(context.Context) (agent.Status, error)
	memory agent.Memory
	log    *slog.Logger
	note   func(events.Event)
	mail   func(ctx context.Context, words func(lang string) (subject, body string))
}

func newUpdateNews(h *house) *updateNews {
	return &updateNews{h.update.Status, h.store, h.log, h.events.Add, h.alerts.mail}
}

// run tells until ctx ends. Where there is no box nothing is ever told.
func (n *updateNews) run(ctx context.Context) error {
	tick := time.NewTicker(newsEach)
	defer tick.Stop()
	for {
		s, err := n.status(ctx)
		if err == nil && s.State == agent.NoBox {
			return nil
		}
		if err == nil { // else the light says that it is not known
			err = n.look(ctx, s)
		}
		if err != nil && ctx.Err() == nil {
			n.log.Debug("what is new of updates is not known", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look tells what is new. It is noted as told first: of two mails a minute, for
// as long as a disk takes no note, nobody would be glad.
func (n *updateNews) look(ctx context.Context, s agent.Status) error {
	told, err := n.told()
	if err != nil {
		return err
	}
	var news []news
	if p := s.Last; p != nil && (p.Stage == update.Good || p.Stage == update.Back) && (p.To != told.To || p.Stage != told.Stage || !p.At.Equal(told.At)) {
		told.To, told.Stage, told.At = p.To, p.Stage, p.At
		news = append(news, became(p))
	}
	if o := s.Offer; o != nil && s.State == agent.Ready && !s.Settings.Auto && o.Version != told.Ready {
		told.Ready = o.Version
		news = append(news, waits(o, s.Version))
	}
	if len(news) == 0 {
		return nil
	}
	b, err := json.Marshal(told)
	if err == nil {
		err = n.memory.PutState(toldUpdatesPath, b)
	}
	if err != nil {
		return err
	}
	for _, one := range news {
		n.note(one.event)
		n.mail(ctx, one.words)
	}
	return nil
}

func (n *updateNews) told() (t toldUpdates, err error) {
	b, err := n.memory.State(toldUpdatesPath)
	if errors.Is(err, store.ErrNotFound) {
		return t, nil
	}
	if err == nil && json.Unmarshal(b, &t) != nil {
		t = toldUpdates{} // what nobody can read is told again
	}
	return t, err
}

// A news is a change of what an owner knows of updates.
type news struct {
	event events.Event
	words func(lang string) (subject, body string)
}

func became(p *agent.Past) news {
	kind, why := "good", words.Text{}
	e := events.Event{Kind: events.Updated, What: string(p.To), Detail: p.Notes.EN, Details: p.Notes.JA}
	if p.Stage == update.Back {
		kind, why = "back", admin.WentBack(*p)
		e.Reason, e.Detail, e.Details = events.WentBack, why.EN, why.JA
	}
	return news{e, updateMail(kind, p.From, p.To, why, p.Notes)}
}

func waits(o *agent.Offer, now update.Version) news {
	e := events.Event{Kind: events.Updated, Reason: events.Ready, What: string(o.Version), Detail: o.Notes.EN, Details: o.Notes.JA}
	return news{e, updateMail("ready", now, o.Version, words.Text{}, o.Notes)}
}

// mailWidth is that of a line of a mail, RFC 5322 §2.1.1; one of a manifest's
// notes may be a whole paragraph.
const mailWidth = 76

// updateMail are the words of a mail to the owner.
func updateMail(kind string, from, to update.Version, why words.Text, notes update.Notes) func(lang string) (subject, body string) {
	return func(lang string) (subject, body string) {
		say := func(key string) string {
			return words.Say("alert.update."+key, "from", from, "to", to, "why", why.In(lang)).In(lang)
		}
		var b strings.Builder
		line := func(text string) { b.WriteString(strings.Join(wrap(text, mailWidth), "\n") + "\n") }
		line(say(kind))
		if text := (words.Text{EN: notes.EN, JA: notes.JA}).In(lang); text != "" && kind != "back" {
			b.WriteString("\n" + say("new") + "\n")
			for text := range strings.Lines(text) {
				line(strings.TrimSpace(text))
			}
		}
		b.WriteString("\n")
		line(say("foot"))
		return say("subject." + kind), b.String()
	}
}
