package firstboot

import (
	"maps"
	"slices"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/mail"
)

// An ID names a step. It is in the store: never change one.
type ID string

// The steps, in their order.
const (
	Language   ID = "language"
	Claiming   ID = "claim"
	Start      ID = "start"
	You        ID = "you"
	Address    ID = "address"
	Line       ID = "line"
	Connection ID = "connection"
	DNS        ID = "dns"
	Switch     ID = "switch"
	FirstMail  ID = "firstmail"
	Safe       ID = "safe"
	People     ID = "people"
)

// A Status is how far a step is.
type Status string

// The statuses.
const (
	Todo    Status = "todo"
	Doing   Status = "doing"
	Done    Status = "done"
	Waiting Status = "waiting" // for what Reason says; it goes on by itself
	Skipped Status = "skipped" // do this later, or not needed
	Failed  Status = "failed"  // as Reason says: somebody has to change an answer
)

// A Word is something to tell people: a key of the catalogues, and pairs of a
// place's name and what stands there.
type Word struct {
	Key  string   `json:"key,omitempty"`
	Args []string `json:"args,omitempty"`
}

// Say makes a Word.
func Say(key string, args ...string) Word { return Word{key, args} }

// IsZero reports whether there is nothing to say.
func (w Word) IsZero() bool { return w.Key == "" }

// Answers are what people have answered, by the name of the field.
type Answers map[string]string

// Problems are what is wrong with answers, by the name of the field.
type Problems map[string]Word

// A Kind is what a field takes.
type Kind string

// The kinds of fields.
const (
	Text   Kind = "text"
	Lines  Kind = "lines"
	Secret Kind = "secret" // sealed in the store, never shown again, and dropped after use
	Choice Kind = "choice"
	Yes    Kind = "yes" // "yes" or nothing
	Email  Kind = "email"
)

// A Field is one thing that a step asks for.
type Field struct {
	Name    string   `json:"name"`
	Kind    Kind     `json:"kind"`
	Choices []string `json:"choices,omitempty"`
	Only    string   `json:"only,omitempty"` // "kind=own free": asked for only with these values of another field
	Need    bool     `json:"need,omitempty"`
}

// A Step is what is fixed about a step.
type Step struct {
	ID       ID      `json:"id"`
	Needs    []ID    `json:"needs,omitempty"` // have to be answered first
	Internet bool    `json:"internet,omitempty"`
	MaySkip  bool    `json:"may_skip,omitempty"`
	Fields   []Field `json:"fields,omitempty"`
}

// A View is a step as people see it.
type View struct {
	Step
	Status   Status    `json:"status"`
	Reason   Word      `json:"reason,omitzero"`  // why it waits, failed or is not needed
	Detail   string    `json:"detail,omitempty"` // for the fold-out, and for support
	Since    time.Time `json:"since,omitzero"`
	Next     time.Time `json:"next,omitzero"`     // when a waiting step is tried again
	Answers  Answers   `json:"answers,omitempty"` // without secrets
	Sealed   []string  `json:"sealed,omitempty"`  // fields of secrets that are kept
	Found    Found     `json:"found,omitzero"`
	Problems Problems  `json:"problems,omitempty"` // of the answers that were just given
	Blocked  []ID      `json:"blocked,omitempty"`  // of Needs, those that are not answered
}

// Answered reports whether people need not look at a step before the next.
func (v View) Answered() bool { return v.Status != Todo && v.Status != Failed }

// Overview is all steps, and where to go on.
type Overview struct {
	Steps    []View `json:"steps"`
	Current  ID     `json:"current,omitempty"` // the first that wants an answer; "" if none does
	Finished bool   `json:"finished"`          // every step is done or skipped
	Language string `json:"language,omitempty"`

	// What follows from the answers; empty as long as they are not given.
	Mode   check.Mode `json:"mode,omitempty"`
	Owner  mail.Path  `json:"owner,omitempty"`
	Domain string     `json:"domain,omitempty"`
	Host   string     `json:"host,omitempty"` // the name of the server
}

// An Action is one thing that a step does.
type Action struct {
	Word Word `json:"word"`
	Done bool `json:"done"`
}

// Found is what was found out by itself, of whatever step.
type Found struct {
	At       time.Time         `json:"at,omitzero"`
	Free     int64             `json:"free,omitempty"`   // bytes of the disk
	Owner    mail.Path         `json:"owner,omitempty"`  // whose account was made
	Domain   *admin.DomainLook `json:"domain,omitempty"` // what the DNS says of the one that was answered
	Line     *admin.Line       `json:"line,omitempty"`
	Changes  *admin.Push       `json:"changes,omitempty"` // that will be made once Digest is confirmed
	Digest   string            `json:"digest,omitempty"`  // of Changes
	Done     []admin.Pushed    `json:"done,omitempty"`
	Plan     *admin.DNSPlan    `json:"plan,omitempty"`
	Missing  []dnsplan.Result  `json:"missing,omitempty"` // required records that are not right yet
	MX       *admin.MX         `json:"mx,omitempty"`
	Watching time.Time         `json:"watching,omitzero"` // for the first mail, since
	Arrived  *Letter           `json:"arrived,omitempty"`
	Left     *Letter           `json:"left,omitempty"`
	Codes    bool              `json:"codes,omitempty"`   // recovery codes were made
	Asked    []int             `json:"asked,omitempty"`   // the numbers of those that are to be typed back
	Checked  bool              `json:"checked,omitempty"` // they were
	Made     []mail.Path       `json:"made,omitempty"`    // accounts of the step people
	Invited  []mail.Path       `json:"invited,omitempty"` // those of them that have a first password
	Devices  []string          `json:"devices,omitempty"` // ids of device passwords that were made
}

// merge takes from found what is in it.
func (f *Found) merge(found Found) {
	pick(&f.Free, found.Free)
	pick(&f.Domain, found.Domain)
	pick(&f.Line, found.Line)
	pick(&f.Plan, found.Plan)
	pick(&f.MX, found.MX)
	if found.Plan != nil {
		f.Missing = found.Missing
	}
	f.At = found.At
}

func pick[T comparable](to *T, from T) {
	var zero T
	if from != zero {
		*to = from
	}
}

// with returns the answers with others over them. An empty one takes an answer
// back.
func (a Answers) with(other Answers) Answers {
	out := maps.Clone(a)
	if out == nil {
		out = Answers{}
	}
	for k, v := range other {
		if v == "" {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func (s Step) field(name string) (Field, bool) {
	i := slices.IndexFunc(s.Fields, func(f Field) bool { return f.matches(name) })
	if i < 0 {
		return Field{}, false
	}
	return s.Fields[i], true
}
