package dnsplan

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"homemail/resolver"
	"homemail/words"
)

const (
	allTime = 45 * time.Second // for one comparison, with every server silent
	atOnce  = 8                // records that are looked for at the same time
)

// DNS is what a Comparer asks; *resolver.Resolver is one.
type DNS interface {
	Records(ctx context.Context, name, rtype string) (resolver.Answer[string], error)
	Ask(ctx context.Context, at netip.AddrPort, name, rtype string) (resolver.Answer[string], error)
	IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error)
	Flush(name string)
}

// Public is a recursive resolver that others use.
type Public struct {
	Name string // "the DNS of this network", "1.1.1.1"
	DNS  interface {
		Records(ctx context.Context, name, rtype string) (resolver.Answer[string], error)
		Flush(name string)
	}
}

// A Store keeps since when things are as they are; *store.Store is one.
type Store interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
}

// Options are the settings of a Comparer.
type Options struct {
	DNS    DNS      // finds the zones' servers and asks them
	Public []Public // asked once these have it; nil means DNS
	Store  Store    // nil: since when is forgotten at the end
	Log    *slog.Logger

	// Private says that name servers in private networks are asked, too: for a
	// test, or a house that has its own DNS.
	Private bool
}

// A Comparer looks which records are there. Its methods may be called at the
// same time.
type Comparer struct {
	o   Options
	mu  sync.Mutex
	age map[string]age // by record; nil until it is read
}

// NewComparer returns a Comparer. It asks nothing by itself.
func NewComparer(o Options) *Comparer {
	if o.Public == nil {
		o.Public = []Public{{"DNS", o.DNS}}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Comparer{o: o}
}

// A View is what one server shows.
type View struct {
	Server string   `json:"server"`
	State  State    `json:"state"`
	Now    []string `json:"now,omitempty"`
	Err    string   `json:"error,omitempty"` // with CouldNotAsk
}

// A Result is how a record is found to be.
type Result struct {
	Record Record    `json:"record"`
	State  State     `json:"state"`
	Now    []string  `json:"now,omitempty"`    // those of its kind that are there
	Should []string  `json:"should,omitempty"` // as it should be: as planned, with what is there and others need
	Wrong  []string  `json:"wrong,omitempty"`  // what has to go
	Keep   []string  `json:"keep,omitempty"`   // others' values of this name and type, which stay
	Why    Text      `json:"why,omitzero"`     // in one sentence, where it is not correct
	Since  time.Time `json:"since,omitzero"`

	Zone      string   `json:"zone,omitempty"`      // "" if there is none
	Servers   []View   `json:"servers,omitempty"`   // the zone's own
	Public    []View   `json:"public,omitempty"`    // asked once the zone's own have it; else empty, and they remember nothing wrong
	Spreading bool     `json:"spreading,omitempty"` // some of the zone's own servers have it, others not yet
	ByHand    bool     `json:"by_hand,omitempty"`   // what is in the way is not ours: a person has to remove it
	SPF       SPFCount `json:"spf,omitzero"`
}

// Compare looks at each record: at the zone's own servers, all of them, and if
// these agree at public ones. Where none of a zone's servers can be asked, what
// public ones say has to do.
func (c *Comparer) Compare(ctx context.Context, records []Record) []Result {
	ctx, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	r := c.newRun()
	results := make([]Result, len(records))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, rec := range records {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = r.one(ctx, rec, records)
		})
	}
	wg.Wait()
	c.stamp(results)
	return results
}

func (c *Comparer) newRun() *run {
	return &run{c: c, zones: map[string]*pending{}, dead: map[netip.AddrPort]bool{}}
}

// asker asks for the records of one type at a name, at one server.
type asker func(name, rtype string) (resolver.Answer[string], error)

func (r *run) one(ctx context.Context, rec Record, plan []Record) Result {
	z := r.zone(ctx, rec.Name)
	if errors.Is(z.err, ErrNoZone) {
		return Result{Record: rec, State: NotSeen, Should: rec.Values, Why: words.Say("dnsplan.why.no-domain").Text()}
	}
	res := Result{Record: rec, Zone: z.name, Should: rec.Values}
	verdicts := make([]verdict, len(z.servers))
	res.Servers = make([]View, len(z.servers))
	var wg sync.WaitGroup
	for i, sv := range z.servers {
		wg.Go(func() {
			ask := func(name, rtype string) (resolver.Answer[string], error) { return r.ask(ctx, sv, name, rtype) }
			verdicts[i], res.Servers[i] = r.view(ctx, sv.name, z.name, rec, plan, ask)
		})
	}
	wg.Wait()
	if worst := worstOf(verdicts); worst >= 0 {
		res.take(verdicts[worst])
		res.spread()
		if res.State == Correct {
			_, res.Public = r.public(ctx, z.name, rec, plan)
		}
	} else {
		r.onlyPublic(ctx, &res, plan, z.err)
	}
	if rec.Kind == KindSPF && len(res.Now) == 1 {
		r.count(ctx, &res)
	}
	res.ByHand = res.ByHand || res.State == Differs && rec.Kind == KindHost && !rec.Ours
	res.proxied()
	return res
}

// badness orders states by what to show of several; those who could not be
// asked do not count.
var badness = map[State]int{Correct: 1, NotSeen: 2, Differs: 3, Conflict: 4}

func worstOf(list []verdict) int {
	worst := -1
	for i, v := range list {
		if badness[v.state] > 0 && (worst < 0 || badness[v.state] > badness[list[worst].state]) {
			worst = i
		}
	}
	return worst
}

func (res *Result) take(v verdict) {
	res.State, res.Now, res.Wrong, res.Keep, res.Why, res.ByHand = v.state, v.now, v.wrong, v.keep, v.why, v.byHand
	if len(v.should) > 0 {
		res.Should = v.should
	}
}

// spread sees that a change is on its way between a zone's servers.
func (res *Result) spread() {
	var late []string
	have := false
	for _, v := range res.Servers {
		switch {
		case v.State == Correct:
			have = true
		case v.State != CouldNotAsk:
			late = append(late, v.Server)
		}
	}
	if res.Spreading = have && len(late) > 0; res.Spreading {
		list := strings.Join(late, ", ")
		res.Why = words.Say("dnsplan.why.spreading", "list", list).Text()
	}
}

// view asks one server and judges what it says.
func (r *run) view(ctx context.Context, server, zone string, rec Record, plan []Record, ask asker) (verdict, View) {
	s, err := r.look(ctx, rec, plan, ask)
	if err != nil {
		return verdict{state: CouldNotAsk}, View{Server: server, State: CouldNotAsk, Err: err.Error()}
	}
	v := judge(rec, s)
	if (v.state == Differs || v.state == Conflict) && rec.Name != zone && len(rec.Values) > 0 && r.byWildcard(ctx, rec, plan, s, ask) {
		v = judge(rec, seen{})
	}
	return v, View{Server: server, State: v.state, Now: v.now}
}

// byWildcard reports whether what a server says of a name comes of a wildcard
// (RFC 4592): whether it says the same of a name beside it that is not there.
// A record of our own is in nobody's way then.
func (r *run) byWildcard(ctx context.Context, rec Record, plan []Record, s seen, ask asker) bool {
	_, parent, _ := strings.Cut(rec.Name, ".")
	rec.Name = "homemail-no-such-name." + parent
	other, err := r.look(ctx, rec, plan, ask)
	return err == nil && other.alias == s.alias && slices.Equal(sorted(other.values), sorted(s.values)) && slices.Equal(sorted(other.addrs), sorted(s.addrs))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (r *run) public(ctx context.Context, zone string, rec Record, plan []Record) (verdicts []verdict, views []View) {
	for _, p := range r.c.o.Public {
		v, view := r.view(ctx, p.Name, zone, rec, plan, func(name, rtype string) (resolver.Answer[string], error) {
			return p.DNS.Records(ctx, name, rtype)
		})
		if v.state != Correct {
			p.DNS.Flush(rec.Name) // what is asked next is not what we remember
		}
		verdicts, views = append(verdicts, v), append(views, view)
	}
	return verdicts, views
}

// onlyPublic takes what public resolvers say for want of better. They may
// remember what was.
func (r *run) onlyPublic(ctx context.Context, res *Result, plan []Record, cause error) {
	var verdicts []verdict
	verdicts, res.Public = r.public(ctx, res.Zone, res.Record, plan)
	if worst := worstOf(verdicts); worst >= 0 {
		res.take(verdicts[worst])
		return
	}
	why := ""
	if cause != nil {
		why = cause.Error()
	}
	for _, v := range slices.Concat(res.Servers, res.Public) {
		why = cmp.Or(why, v.Err)
	}
	res.State = CouldNotAsk
	res.Why = words.Say("dnsplan.why.not-asked", "why", why).Text()
}

// look finds what a server has of a record's name and type. Where an alias
// leads away, its end is asked of whom we always ask.
func (r *run) look(ctx context.Context, rec Record, plan []Record, ask asker) (seen, error) {
	a, err := ask(rec.Name, rec.Type)
	if err != nil && !notFound(err) {
		return seen{}, err
	}
	if rec.Type == "CNAME" {
		return r.lookAlias(ctx, rec, plan, a.List, ask)
	}
	s := seen{values: a.List}
	if a.Name == rec.Name {
		return s, nil
	}
	s.alias = a.Name
	if rec.Type != "TXT" {
		return s, nil
	}
	// A text may be kept elsewhere: receivers follow.
	if len(s.values) == 0 {
		a, err = r.c.o.DNS.Records(ctx, rec.Name, rec.Type)
		if err != nil && !notFound(err) {
			return seen{}, err
		}
		s.values = a.List
	}
	if there := (seen{values: s.values}); judge(rec, there).state == Correct {
		return there, nil
	}
	return s, nil
}

func (r *run) lookAlias(ctx context.Context, rec Record, plan []Record, cnames []string, ask asker) (seen, error) {
	if len(cnames) > 0 {
		return seen{values: cnames, alias: cnames[0]}, nil
	}
	var s seen
	for _, rtype := range []string{"A", "AAAA"} {
		a, err := ask(rec.Name, rtype)
		if err != nil && !notFound(err) {
			return seen{}, err
		}
		s.addrs = append(s.addrs, a.List...)
	}
	if len(s.addrs) == 0 || len(rec.Values) == 0 {
		return s, nil
	}
	target := planned(plan, rec.Values[0])
	if len(target) == 0 {
		a, err := r.c.o.DNS.IP(ctx, rec.Values[0])
		if err != nil && !notFound(err) {
			return seen{}, err
		}
		for _, addr := range a.List {
			target = append(target, addr.String())
		}
	}
	if len(without("A", s.addrs, target)) == 0 {
		return seen{alias: rec.Values[0], values: s.addrs}, nil // it leads to the same place
	}
	return s, nil
}

// planned are the addresses that a host should have.
func planned(plan []Record, host string) []string {
	var out []string
	for _, r := range plan {
		if r.Name == host && (r.Type == "A" || r.Type == "AAAA") {
			out = append(out, r.Values...)
		}
	}
	return out
}

// count sees an SPF record that asks too much of receivers.
func (r *run) count(ctx context.Context, res *Result) {
	res.SPF = countSPF(ctx, r.c.o.DNS, res.Now[0])
	if res.State != Correct {
		return
	}
	switch {
	case res.SPF.TooMany():
		res.State, res.ByHand = Differs, true
		res.Why = words.Say("dnsplan.why.spf-lookups", "count", res.SPF.Lookups, "most", maxSPFLookups).Text()
	case len(res.SPF.Broken) > 0:
		list := strings.Join(res.SPF.Broken, ", ")
		res.State, res.ByHand = Differs, true
		res.Why = words.Say("dnsplan.why.spf-broken", "list", list).Text()
	}
}
