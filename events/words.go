package events

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"homemail/dsn"
	"homemail/mail"
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

// A phrase is the words of a reason: why, and what to do.
type phrase struct{ Why, Todo string }

// A catalog has the words of a language. A {word} is replaced by its value.
type catalog struct {
	What map[Kind]string
	// Variants of What.
	Junk      string // filed under Junk
	Neighbour string // submitted with a device
	NotTaken  string // refused to one of ours
	NoSignIn  string // a sign-in that failed, of a name that exists here
	NotDone   string // a change that failed

	Reasons map[Reason]phrase
	Junks   map[Reason]phrase // why it is junk
	Auth    string            // what was found out about where a message comes from

	Owner  string            // who changed something, if no name is known
	Null   string            // the null sender
	Nobody string            // no recipient is known
	Others string            // {n} more recipients
	Doors  map[string]string // how a sign-in or a change came
	Verbs  map[string]string // operations of an owner
	Joiner string
}

// catalogFor finds the words for a language tag, English if there are none.
func catalogFor(language string) *catalog {
	if primary, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(language, "_", "-")), "-"); primary == "ja" {
		return &japanese
	}
	return &english
}

// Words returns the words for an event in a language.
func (e *Event) Words(language string) Words {
	c := catalogFor(language)
	w := Words{What: c.What[e.Kind]}
	var p phrase
	switch e.Kind {
	case Filed:
		if e.Reason != "" {
			w.What, p = c.Junk, c.Junks[e.Reason]
		} else if e.Auth.DMARC != "" {
			p.Why = c.Auth
		}
	case Submitted:
		if e.Device != "" {
			w.What = c.Neighbour
		}
	case Refused:
		if p = c.Reasons[e.Reason]; p.Why == "" {
			p = c.Reasons[Other]
		}
		if e.Account != 0 {
			w.What = c.NotTaken
		}
	case Relayed, Deferred, Failed:
		return e.remoteWords(language, c)
	case SignInFailed:
		if e.Account != 0 {
			w.What = c.NoSignIn
		}
		p = c.Reasons[e.Reason]
	case Changed:
		if e.Reason == NotDone {
			w.What = c.NotDone
		}
	case Checked:
		w.Why = e.Detail
		if c == &japanese && e.Details != "" {
			w.Why = e.Details
		}
	case Held, Updated:
		w.Why = e.Detail
	}
	fill := e.filler(c)
	w.What = fill(w.What)
	if p.Why != "" {
		w.Why, w.Todo = fill(p.Why), fill(p.Todo)
	}
	return w
}

// remoteWords are those of an attempt to hand a message on: the same that its
// sender reads.
func (e *Event) remoteWords(language string, c *catalog) Words {
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
	return Words{What: e.filler(c)(c.What[e.Kind]), Why: why, Todo: todo}
}

// filler puts an event into words.
func (e *Event) filler(c *catalog) func(string) string {
	from := string(e.From)
	if from == "" {
		from = c.Null
	}
	who := e.Who
	if who == "" {
		who = c.Owner
	}
	door := e.Door
	if name, ok := c.Doors[door]; ok {
		door = name
	}
	what := e.What
	if verb, ok := c.Verbs[what]; ok {
		what = verb
	}
	mailbox := e.Mailbox
	if mailbox == "" {
		mailbox = "INBOX"
	}
	return strings.NewReplacer(
		"{from}", from, "{to}", e.recipients(c), "{remote}", remoteName(e.Remote), "{mailbox}", mailbox, "{device}", e.Device,
		"{domain}", e.Domain, "{who}", who, "{door}", door, "{what}", what, "{count}", strconv.Itoa(e.Count),
		"{auth}", e.Auth.String(), "{detail}", e.Detail, "{next}", clockTime(e.Next), "{said}", strings.ReplaceAll(e.Reply.Text, "\n", " "),
	).Replace
}

func (e *Event) recipients(c *catalog) string {
	const shown = 3
	var names []string
	for _, p := range e.To[:min(len(e.To), shown)] {
		names = append(names, string(p))
	}
	if len(names) == 0 {
		return c.Nobody
	}
	s := strings.Join(names, c.Joiner)
	if more := len(e.To) - len(names) + e.More; more > 0 {
		s += strings.ReplaceAll(c.Others, "{n}", strconv.Itoa(more))
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
