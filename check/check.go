// Package check finds out what a house can do for its mail and what stands in
// the way: a tree of checks of the line, of the names and of the box itself,
// whose results are values with words for the owner, and the way to connect that
// follows from them. It changes nothing, sends no mail, and what it cannot find
// out it says it could not: never good, never bad.
package check

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"homemail/check/probe"
	"homemail/resolver"
)

// A State is the outcome of a check.
type State string

// The states, the best first.
const (
	Good         State = "good"
	Waiting      State = "waiting" // it is being done; nothing is wrong yet
	CouldNotTest State = "could not test"
	Bad          State = "bad"
)

// ExitCode is what a command ends with: 0 good, 1 not known yet, 2 bad.
func (s State) ExitCode() int {
	switch s {
	case Good:
		return 0
	case Bad:
		return 2
	}
	return 1
}

// rank orders states, the worst last.
func (s State) rank() int { return slices.Index([]State{Good, Waiting, CouldNotTest, Bad}, s) }

// A Result is what a check found.
type Result struct {
	Name      string            `json:"name"`
	Title     Text              `json:"title"`
	State     State             `json:"state"`
	Code      string            `json:"code"`   // which of its findings; never translated
	Since     time.Time         `json:"since"`  // it has this state and code
	Tested    time.Time         `json:"tested"` // last
	Means     Text              `json:"means"`
	Do        Text              `json:"do"` // empty if there is nothing to do
	Detail    string            `json:"detail,omitempty"`
	DependsOn []string          `json:"depends_on,omitempty"`
	Needed    bool              `json:"needed"` // by the way the house is connected now
	Data      map[string]string `json:"data,omitempty"`
	Muted     *Mute             `json:"muted,omitempty"` // nil if the owner wants to hear of it
}

// A DNS answers the questions of the checks.
type DNS interface {
	MX(ctx context.Context, domain string) (resolver.Answer[*net.MX], error)
	IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error)
	PTR(ctx context.Context, addr netip.Addr) (resolver.Answer[string], error)
	Validates(ctx context.Context) bool
}

// A Prober sees the house from outside. *probe.Client is one.
type Prober interface {
	Echo(ctx context.Context, network string) (probe.Echo, error)
	Reach(ctx context.Context, network string, ports []uint16) (probe.Report, error)
}

// ErrNoRouter is what Options.Router says where no router is asked, or none is
// there: that is not one that does not answer.
var ErrNoRouter = errors.New("no router is asked")

// A Router is what the router of the house says.
type Router struct {
	Model    string            // "" if it does not say
	External netip.Addr        // its own address to the outside; the zero value if it does not say
	Mapped   map[uint16]uint16 // outer port of each port that is mapped; 0 if it refused
}

// A Certificate is the one in use.
type Certificate struct {
	Leaf    *x509.Certificate // nil if there is none
	Issued  bool              // by an authority, not by ourselves
	Waiting bool              // the first one is being had
	Trouble Text              // why the last try to have one failed, empty if it did not
}

// A Memory keeps results over a restart. *store.Store is one.
type Memory interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
}

// Options say what to check, and how to find out. A nil function is something
// that this house does not have: its check could not test.
type Options struct {
	Host    string          // of the mail server, as it greets
	Domains func() []string // whose mail it is now; nil means nobody's
	Mode    func() Mode     // how the house is connected now; "", and nil, if that is not decided

	DNS    DNS             // has to be there
	Dial   probe.Dial      // nil means net.Dialer
	Probe  Prober          // nil if there is none
	Keys   func() []string // of the certificates in use, as probe.Key has them
	Router func(ctx context.Context) (Router, error)

	Routes    func() (v4, v6 bool, err error) // nil means those of the system
	Addresses func() ([]netip.Addr, error)    // nil means those of the system's interfaces
	Clock     interface{ Why() string }       // package clock
	Disk      func() (free, reserve int64, err error)
	Cert      func() (Certificate, error)
	Queue     func() (waiting int, oldest time.Duration, err error)

	// Changed is told once of each check whose state is another than it was, when
	// a run has ended, in the order of the tree. What was never tested before did
	// not change. It must not run checks, and should be quick; nil means nobody.
	Changed func(old, now Result)

	HTTP   *http.Client // for RDAP; nil means one that goes to the Internet only
	Memory Memory       // nil means to forget at the end
	Log    *slog.Logger // nil means nowhere

	Known *Known // whom to ask outside; nil means those that are built in
}

// A Checker runs checks and keeps what they found. Its methods may be called at
// the same time.
type Checker struct {
	o     Options
	known Known
	steps []step
	turn  chan struct{} // holds one while checks run

	mu      sync.Mutex
	last    map[string]Result
	running map[string]bool
	changes map[string][2]Result // of this run: what was, and what is
	muted   map[string]Mute
}

// New returns a Checker with what its memory holds. It asks nobody anything.
func New(o Options) *Checker {
	if o.Domains == nil {
		o.Domains = func() []string { return nil }
	}
	if o.Mode == nil {
		o.Mode = func() Mode { return "" }
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Routes == nil {
		o.Routes = routes
	}
	if o.Addresses == nil {
		o.Addresses = addresses
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Checker{o: o, known: builtIn, steps: steps, turn: make(chan struct{}, 1), last: make(map[string]Result), running: make(map[string]bool), changes: make(map[string][2]Result), muted: make(map[string]Mute)}
	if o.Known != nil {
		c.known = *o.Known
	}
	if o.HTTP == nil {
		c.o.HTTP = c.outside()
	}
	c.load()
	c.loadMuted()
	return c
}

// Results returns what is known of every check, in the order of the tree. What
// was never tested is CouldNotTest.
func (c *Checker) Results() []Result {
	mode := c.o.Mode()
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Result, 0, len(c.steps))
	for _, s := range c.steps {
		r, ok := c.last[s.name]
		if !ok {
			r = c.result(s, found{code: codeNever})
		}
		r.Needed, r.Muted = mode.matters(r), c.mute(r)
		list = append(list, r)
	}
	return list
}

// Hides returns the address that strangers seem to come from, if it was found that
// they look like people of the house; see Visitors. It is quick.
func (c *Checker) Hides() (netip.Addr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.last[Visitors]
	a, _ := netip.ParseAddr(r.Data["address"])
	return a, r.State == Bad
}

// Worst is the worst state of what is needed, and not muted.
func Worst(list []Result) State {
	worst := Good
	for _, r := range list {
		if r.Needed && r.Muted == nil && r.State.rank() > worst.rank() {
			worst = r.State
		}
	}
	return worst
}

const statePath = "check/results"

// maxKept bounds what is read back: some thirty results of one kilobyte.
const maxKept = 256 << 10

// load fetches what an earlier run knew. Words are made anew: they may have
// changed with the program.
func (c *Checker) load() {
	if c.o.Memory == nil {
		return
	}
	b, err := c.o.Memory.State(statePath)
	if err != nil || len(b) > maxKept {
		return // nothing is kept yet, or nothing can be had: then since is from now on
	}
	var kept []Result
	if err := json.Unmarshal(b, &kept); err != nil {
		c.o.Log.Warn("earlier results of checks cannot be read", "err", err)
		return
	}
	for _, k := range kept {
		if s := c.step(k.Name); s != nil && s.knows(k.Code) {
			r := c.result(*s, found{code: k.Code, detail: k.Detail, data: k.Data})
			r.Since, r.Tested = k.Since, k.Tested
			c.last[k.Name] = r
		}
	}
}

// save keeps the results. A failure costs only since when they are so.
func (c *Checker) save() {
	if c.o.Memory == nil {
		return
	}
	b, err := json.Marshal(c.Results())
	if err == nil {
		err = c.o.Memory.PutState(statePath, b)
	}
	if err != nil {
		c.o.Log.Warn("results of checks cannot be kept", "err", err)
	}
}

// found is what a check says: which of its findings, and what belongs to it.
type found struct {
	code   string
	detail string            // technical, for support
	data   map[string]string // also fills the places of the words
}

// result puts a finding into words.
func (c *Checker) result(s step, f found) Result {
	finding := s.finding(f.code)
	if finding == "" { // a mistake of ours must not look like one of the line
		f.detail = fmt.Sprintf("no words for %s.%s: %s", s.name, f.code, f.detail)
		f.code = codeCrash
		finding = s.finding(f.code)
	}
	return Result{
		Name: s.name, Title: s.title(), State: states[finding], Code: f.code,
		Means: means(finding, f.data), Do: do(finding, f.data),
		Detail: f.detail, DependsOn: s.needs, Data: f.data,
	}
}
