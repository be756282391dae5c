// Package publish changes DNS records at the company that hosts a zone. It
// reads what is there, says exactly what will change, and then does that and
// nothing else. What is not ours stays. The MX, which moves the mail, is a step
// of its own. Credentials are given to it; it keeps none.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"

	"homemail/dnsplan"
)

// timeout is for all that one call asks of a provider: some allow a request in
// a few seconds, and a plan has some twenty records.
const timeout = 3 * time.Minute

// A Provider is where a zone's records are kept. Those of Open keep to what
// libdns says of these methods to the letter, which not all do: SetRecords
// leaves alone all but the sets that it is given, and within these the records
// that stay; DeleteRecords removes only what is given exactly. Their
// AppendRecords and DeleteRecords also answer ACME's DNS-01.
type Provider interface {
	libdns.RecordGetter
	libdns.RecordAppender
	libdns.RecordSetter
	libdns.RecordDeleter
}

// A Zone is one zone at its provider.
type Zone struct {
	Name     string // in A-labels, without a final dot: "example.org"
	Provider Provider
	Turn     Turn // held while it is changed
}

// A Store keeps what the MX was; *store.Store is one. An error of State that is
// Options.NotFound says that there is nothing.
type Store interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
}

// Options are the settings of a Publisher.
type Options struct {
	Store    Store
	NotFound error // of Store: store.ErrNotFound
	Log      *slog.Logger
}

// A Publisher plans and makes changes. Its methods may be called at the same
// time; changes of one zone wait for each other by its Turn.
type Publisher struct{ o Options }

// New returns a Publisher.
func New(o Options) *Publisher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Publisher{o}
}

// A Step is one change, of all records of one name and type.
type Step struct {
	dnsplan.Change
	Was []string `json:"was,omitempty"` // all that stood there when it was planned, of others too
}

// after are all values that stand there once the step is done.
func (s Step) after() []string { return append(slices.Clone(s.Keep), s.Change.Add...) }

// Changes are what has to be done so that a zone is as planned. They are plain
// values: what a person was shown may be kept, and applied later.
type Changes struct {
	Zone  string `json:"zone"`
	Steps []Step `json:"steps,omitempty"` // of Apply, in this order: what is added first, then what is replaced, then what goes
	MX    []Step `json:"mx,omitempty"`    // of SwitchMX

	// ByHand are those where a thing of others is in the way: Why says what.
	ByHand []dnsplan.Result `json:"by_hand,omitempty"`

	// Elsewhere are records of other zones, such as the leave for reports that
	// another domain has to give.
	Elsewhere []dnsplan.Record `json:"elsewhere,omitempty"`

	// Unable are records of types that the provider does not have.
	Unable []dnsplan.Record `json:"unable,omitempty"`
}

// None reports whether nothing has to be done.
func (c Changes) None() bool { return len(c.Steps)+len(c.MX) == 0 }

// String shows the changes as people read them, a line for each value.
func (c Changes) String() string {
	var b strings.Builder
	for _, s := range c.Steps {
		b.WriteString(s.String())
	}
	for _, s := range c.MX {
		b.WriteString(s.String())
	}
	return b.String()
}

// ErrZone is a zone that cannot be read as it should.
var ErrZone = errors.New("the zone cannot be read")

// Plan reads a zone and returns what has to change in it. It changes nothing:
// it is the dry run.
func (p *Publisher) Plan(ctx context.Context, z Zone, records []dnsplan.Record) (Changes, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	z.Name = canonical(z.Name)
	now, err := read(ctx, z)
	if err != nil {
		return Changes{}, err
	}
	c := Changes{Zone: z.Name}
	var mine []dnsplan.Record
	for _, r := range records {
		switch l, ok := z.Provider.(interface{ lacks(rtype string) bool }); {
		case !now.holds(r.Name):
			c.Elsewhere = append(c.Elsewhere, r)
		case ok && l.lacks(r.Type):
			c.Unable = append(c.Unable, r)
		default:
			mine = append(mine, r)
		}
	}
	results := compare(ctx, now, mine)
	for _, r := range results {
		if r.ByHand && r.State != dnsplan.Correct {
			c.ByHand = append(c.ByHand, r)
		}
	}
	for _, ch := range dnsplan.Diff(results) {
		s := now.step(ch)
		if ch.Type == "MX" {
			c.MX = append(c.MX, s)
		} else {
			c.Steps = append(c.Steps, s)
		}
	}
	slices.SortStableFunc(c.Steps, func(a, b Step) int { return order[a.Action] - order[b.Action] })
	return c, nil
}

// order lets a zone be no worse than before wherever a plan is broken off.
var order = map[dnsplan.Action]int{dnsplan.Add: 0, dnsplan.Replace: 1, dnsplan.Remove: 2}

// step completes a change by what is there, so that Keep is all that stays.
func (s *snapshot) step(ch dnsplan.Change) Step {
	was := s.values(ch.Name, ch.Type)
	var keep []string
	for _, v := range was {
		if !slices.Contains(ch.Del, v) {
			keep = append(keep, v)
		}
	}
	ch.Keep = keep
	ch.Add = slices.DeleteFunc(slices.Clone(ch.Add), func(v string) bool { return slices.Contains(keep, v) })
	if len(keep) > 0 { // one set has one TTL (RFC 2181 §5.2), and this one is others' too
		ch.TTL = s.ttl(ch.Name, ch.Type)
	}
	return Step{Change: ch, Was: was}
}

// read reads all of a zone.
func read(ctx context.Context, z Zone) (*snapshot, error) {
	list, err := z.Provider.GetRecords(ctx, z.Name+".")
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrZone, z.Name, err)
	}
	return newSnapshot(z.Name, list), nil
}

// compare judges a zone as its own servers would be judged.
func compare(ctx context.Context, now *snapshot, records []dnsplan.Record) []dnsplan.Result {
	return dnsplan.NewComparer(dnsplan.Options{DNS: now, Private: true}).Compare(ctx, records)
}
