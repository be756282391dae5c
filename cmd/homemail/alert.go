package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"homemail/check"
	"homemail/mail"
	"homemail/session"
	"homemail/words"
)

const (
	alertWait = 2 * time.Minute // for more of what has changed, and for what passes by itself
	maxAlerts = 64              // that wait to be told; there are fewer checks
)

// A turn is a check that has another state than it had.
type turn struct{ old, now check.Result }

// alerts tell the owners by mail when something that their mail needs has broken,
// or works again: once for each change, and never that it is still so.
type alerts struct {
	h  *house
	in chan turn
}

func newAlerts(h *house) *alerts { return &alerts{h, make(chan turn, maxAlerts)} }

// changed is told by the line.
func (a *alerts) changed(old, now check.Result) {
	story{a.h.events}.checked(old, now)
	if !now.Needed || now.Muted != nil || (old.State == check.Bad) == (now.State == check.Bad) {
		return
	}
	select {
	case a.in <- turn{old, now}:
	default: // the pages show it
	}
}

// run tells until ctx ends.
func (a *alerts) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case first := <-a.in:
			if list := a.gather(ctx, first); len(list) > 0 && ctx.Err() == nil {
				a.tell(ctx, list)
			}
		}
	}
}

// gather waits for what belongs together. What is as it was before is no news.
func (a *alerts) gather(ctx context.Context, first turn) (list []turn) {
	list = append(list, first)
	end := time.After(alertWait)
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-a.in:
			list = join(list, next)
		case <-end:
			return list
		}
	}
}

// join puts a turn to others, of which at most one is of the same check.
func join(list []turn, next turn) []turn {
	for i, t := range list {
		if t.now.Name != next.now.Name {
			continue
		}
		if t.now = next.now; (t.old.State == check.Bad) == (t.now.State == check.Bad) {
			return append(list[:i], list[i+1:]...)
		}
		list[i] = t
		return list
	}
	return append(list, next)
}

func (a *alerts) tell(ctx context.Context, list []turn) {
	a.mail(ctx, func(lang string) (subject, body string) { return alertWords(list, lang) })
}

// mail sends the owners a mail, each in their language.
func (a *alerts) mail(ctx context.Context, words func(lang string) (subject, body string)) {
	ids, err := session.NewOwners(a.h.store).List()
	if err == nil && len(ids) == 0 {
		if id, ok := a.h.postmaster(); ok {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if err == nil {
			err = a.h.fileNotice(id, words)
		}
	}
	if err == nil && len(ids) > 0 {
		err = a.tellOutside(ctx, ids[0], words)
	}
	if err != nil && a.h.store.Broken() == nil {
		a.h.log.Error("the owner was not told of a change", "err", err)
	}
}

// tellOutside sends the same to the owner's address outside, which may be all
// that still arrives somewhere.
func (a *alerts) tellOutside(_ context.Context, id mail.AccountID, words func(string) (subject, body string)) error {
	to, err := a.h.admin().AlertAddress()
	if err != nil || to == "" || a.h.store.IsLocal(to.Domain()) {
		return err
	}
	account, err := a.h.store.AccountByID(id)
	if err != nil {
		return err
	}
	p, err := account.Profile()
	if err != nil {
		return err
	}
	t := a.h.agent.Begin("", id) // nobody is to answer it, RFC 3834 §3.3
	defer t.Discard()
	if err := t.Rcpt(to, 0); err != nil {
		return fmt.Errorf("to %s: %w", to, err)
	}
	subject, body := words(p.Language)
	var b bytes.Buffer
	if err := a.h.writeNotice(&b, p.Address, to, subject, body); err != nil {
		return err
	}
	if _, err := t.Write(b.Bytes()); err != nil {
		return err
	}
	e := mail.Envelope{Body: mail.Body8Bit, To: []mail.Recipient{{Path: to, Notify: []string{"NEVER"}}}}
	tr := mail.Trace{ID: strings.ToLower(rand.Text()[:15]), Helo: a.h.config.Host(), Protocol: "local", Account: id, Time: time.Now()}
	_, err = t.Commit(e, tr)
	return err
}

// alertWords are what an owner reads.
func alertWords(list []turn, lang string) (subject, body string) {
	say := func(key string, args ...any) string { return words.Say("alert."+key, args...).In(lang) }
	var b strings.Builder
	bad := 0
	for _, t := range list {
		title := t.now.Title.In(lang)
		if t.now.State != check.Bad {
			fmt.Fprintf(&b, "%s\n\n", say("again", "title", title))
			continue
		}
		bad++
		fmt.Fprintf(&b, "%s\n%s\n", title, t.now.Means.In(lang))
		if do := t.now.Do.In(lang); do != "" {
			fmt.Fprintf(&b, "%s\n", say("do", "do", do))
		}
		b.WriteByte('\n')
	}
	b.WriteString(say("foot") + "\n")
	subject = say("subject.good")
	if bad > 0 {
		subject = say("subject.bad", "title", firstBad(list).Title)
	}
	return subject, b.String()
}

func firstBad(list []turn) check.Result {
	for _, t := range list {
		if t.now.State == check.Bad {
			return t.now
		}
	}
	return check.Result{}
}
