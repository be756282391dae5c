package events

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"homemail/dsn"
	"homemail/mail"
	"homemail/words"
)

// Words tell an event: what happened, why, and what there is to do; "" if there
// is nothing to say.
type Words struct {
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	Todo string `json:"todo,omitempty"`
}

// String is all of it.
func (w Words) String() string {
	return strings.TrimSpace(strings.Join([]string{w.What, w.Why, w.Todo}, " "))
}

// A phrase names the words of a reason: why, and with ".todo" what to do. They
// stand in the catalogue of the house under "events.".
type phrase string

// reasonWords are those of a reason, or if it has none those of Other.
func reasonWords(group string, r Reason) phrase {
	if p := phrase(group + "." + string(r)); p.known() {
		return p
	}
	return phrase(group + "." + string(Other))
}

func (p phrase) known() bool { return words.House().Has("events." + string(p)) }

// Words returns the words for an event in a language.
func (e *Event) Words(language string) Words {
	what, why := phrase("what."+string(e.Kind)), phrase("")
	detail := ""
	switch e.Kind {
	case Filed:
		if e.Reason != "" {
			what, why = "what.junk", phrase("junk."+string(e.Reason))
		} else if e.Auth.DMARC != "" {
			why = "auth"
		}
	case Submitted:
		if e.Device != "" {
			what = "what.neighbour"
		}
	case Refused:
		why = reasonWords("reason", e.Reason)
		if e.Account != 0 {
			what = "what.not-taken"
		}
	case Relayed, Deferred, Failed:
		return e.remoteWords(language)
	case SignInFailed:
		if e.Account != 0 {
			what = "what.no-sign-in"
		}
		why = phrase("reason." + string(e.Reason))
	case Changed:
		if e.Reason == NotDone {
			what = "what.not-done"
		}
	case Checked, Updated:
		switch e.Reason {
		case Ready:
			what = "what.update-ready"
		case WentBack:
			what = "what.update-back"
		}
		detail = e.Detail
		if words.For(language) == words.Japanese && e.Details != "" {
			detail = e.Details
		}
	case Held:
		detail = words.Recall("queue.hold.", e.Detail).In(language)
	}
	say := e.sayer(language)
	return Words{What: say(what), Why: cmp.Or(say(why), detail), Todo: say(why + ".todo")}
}

// remoteWords are those of an attempt to hand a message on: the same that its
// sender reads.
func (e *Event) remoteWords(language string) Words {
	to := mail.Path("")
	if len(e.To) > 0 {
		to = e.To[0]
	}
	o := mail.Outcome{Cause: e.Cause, Reply: e.Reply, Remote: e.Remote, Fate: mail.Temporary}
	switch e.Kind {
	case Relayed:
		o.Fate = mail.Relayed
	case Failed:
		o.Fate = mail.Permanent
	}
	_, why, todo := dsn.Words(language, o, to)
	return Words{What: e.sayer(language)(phrase("what." + string(e.Kind))), Why: why, Todo: todo}
}

// sayer puts an event into words; "" if there are none.
func (e *Event) sayer(language string) func(phrase) string {
	args := []any{
		"from", orSay(string(e.From), "null"), "to", e.recipients(language), "remote", remoteName(e.Remote), "mailbox", cmp.Or(e.Mailbox, "INBOX"), "device", e.Device,
		"domain", e.Domain, "who", orSay(e.Who, "owner"), "door", named("door.", e.Door), "what", named("verb.", e.What), "count", e.Count,
		"auth", e.Auth.String(), "detail", e.Detail, "next", clockTime(e.Next), "said", strings.ReplaceAll(e.Reply.Text, "\n", " "),
	}
	return func(p phrase) string {
		if !p.known() {
			return ""
		}
		return words.Say("events."+string(p), args...).In(language)
	}
}

// orSay is a name, or what to call who has none.
func orSay(name, key string) any {
	if name != "" {
		return name
	}
	return words.Say("events." + key)
}

// named is what people call something that programs call by a name.
func named(group, name string) any {
	if p := phrase(group + name); p.known() {
		return words.Say("events." + string(p))
	}
	return name
}

func (e *Event) recipients(language string) string {
	const shown = 3
	var names []string
	for _, p := range e.To[:min(len(e.To), shown)] {
		names = append(names, string(p))
	}
	if len(names) == 0 {
		return words.Say("events.nobody").In(language)
	}
	s := strings.Join(names, words.Say("events.joiner").In(language))
	if more := len(e.To) - len(names) + e.More; more > 0 {
		s += words.Say("events.others", "n", more).In(language)
	}
	return s
}

// remoteName is a remote server without its port, as people know one.
func remoteName(remote string) string {
	if _, err := netip.ParseAddr(remote); err == nil {
		return remote
	}
	name, _, _ := strings.Cut(remote, " ")
	return name
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("15:04")
}
