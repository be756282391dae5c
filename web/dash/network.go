package dash

import (
	"context"
	"net/http"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/web/page"
)

type networkView struct {
	Checks     checksView
	Recommend  string // key
	Reason     string
	Mode       string // key
	Router     *Router
	RouterSays string
	Address4   string
	Address6   string
	Off        bool // this house has no line
	Machines   []admin.Machine
}

// Underway reports whether the line is being checked.
func (v networkView) Underway() bool { return v.Checks.Running }

// checksView is the part of the page that changes during a check.
type checksView struct {
	Running     bool
	Done, Total int
	Groups      []group
	Tested      time.Time
}

// A group is a branch of the tree of checks.
type group struct {
	Name  string // key
	Worst page.State
	List  []checked
}

type checked struct {
	Name, Title, Means, Do, Detail string
	State                          page.State
	Needed                         bool
	Waits                          []string // for these, which are not good
	Tested                         time.Time
	Muted                          *check.Mute
	Mutable                        bool // there is something that could be muted
}

// groups are the branches, each with its checks in their order.
func groups() []struct {
	name   string
	checks []string
} {
	return []struct {
		name   string
		checks []string
	}{
		{"line", []string{"route", "dns", "dns-true", "dnssec", "router", "probe", "address4", "address6", "nat", "hairpin"}},
		{"in", []string{"in25", "in80", "in443", "in465", "in993", "visitors"}},
		{"out", []string{"out25", "out465", "out587", "out993"}},
		{"name", []string{"ptr", "helo", "blocklist", "domain", "certificate"}},
		{"box", []string{"clock", "disk", "queue"}},
	}
}

func (d *Dash) lastLine(r *http.Request) (admin.Line, error) {
	return ask[admin.Line](d, r, "line.check", admin.CheckLine{Names: []string{}, Last: true})
}

func (d *Dash) network(w http.ResponseWriter, r *http.Request) {
	line, err := d.lastLine(r)
	v := networkView{Off: err != nil}
	if err == nil {
		v.Checks = d.checks(r, line, d.jobs.last("line"))
		if line.Recommend.Mode != "" {
			v.Recommend, v.Reason = "dash.mode."+string(line.Recommend.Mode), line.Recommend.Reason.In(d.lang(r))
		}
		for _, res := range line.Results {
			switch res.Name {
			case "address4":
				v.Address4 = res.Data["address"]
			case "address6":
				v.Address6 = res.Data["address"]
			}
		}
	}
	if v.Machines, err = ask[[]admin.Machine](d, r, "machine.list", admin.Empty{}); err != nil {
		d.log.Warn("the house's machines could not be listed", "err", err)
	}
	if o, err := d.o.House.Overview(r.Context()); err == nil {
		v.Mode = "dash.mode." + string(o.Mode)
	}
	if d.o.Router != nil {
		if router, ok := d.o.Router(); ok {
			v.Router, v.RouterSays = &router, d.pick(r, router.EN, router.JA)
		}
	}
	d.set.Render(w, r, "dash.network", v, http.StatusOK)
}

// checks shows results as a tree. While a check goes on it counts those that
// have ended since it began.
func (d *Dash) checks(r *http.Request, line admin.Line, j *job) checksView {
	v := checksView{Running: j.running(), Total: len(line.Results)}
	lang := d.lang(r)
	byName := map[string]check.Result{}
	for _, res := range line.Results {
		byName[res.Name] = res
		if v.Running && !res.Tested.Before(j.started) {
			v.Done++
		}
		if res.Tested.After(v.Tested) {
			v.Tested = res.Tested
		}
	}
	for _, g := range groups() {
		out := group{Name: "dash.checks." + g.name, Worst: page.Good}
		for _, name := range g.checks {
			res, ok := byName[name]
			if !ok {
				continue
			}
			c := checked{name, res.Title.In(lang), res.Means.In(lang), res.Do.In(lang), res.Detail, page.State(res.State), res.Needed, nil, res.Tested, res.Muted, res.State == check.Bad && res.Needed && res.Muted == nil}
			if c.State == page.Bad && (!c.Needed || c.Muted != nil) {
				c.State = page.Off // it does not matter for how the house is connected, or the owner knows
			}
			for _, on := range res.DependsOn {
				if on, ok := byName[on]; ok && on.State != check.Good && res.State == check.CouldNotTest {
					c.Waits = append(c.Waits, on.Title.In(lang))
				}
			}
			if worse(c.State, out.Worst) {
				out.Worst = c.State
			}
			out.List = append(out.List, c)
		}
		if len(out.List) > 0 {
			v.Groups = append(v.Groups, out)
		}
	}
	return v
}

// worse reports whether a state is worse than another; what is off is not.
func worse(a, b page.State) bool {
	rank := map[page.State]int{page.Good: 1, page.Waiting: 2, page.Unknown: 3, page.Bad: 4}
	return rank[a] > rank[b]
}

// checkLine starts all checks. Who starts them twice sees those under way.
func (d *Dash) checkLine(w http.ResponseWriter, r *http.Request) {
	d.jobs.start(d.actor(r), "line", 0, func(ctx context.Context) (any, error) {
		return askFor[admin.Line](d, ctx, "line.check", admin.CheckLine{Names: []string{}})
	})
	d.set.Redirect(w, r, "/network")
}

const progressEach = 700 * time.Millisecond // a check or two

// networkLive sends the tree while the line is checked.
func (d *Dash) networkLive(w http.ResponseWriter, r *http.Request) {
	d.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		for {
			j := d.jobs.last("line")
			line, err := d.lastLine(r)
			if err != nil {
				return err
			}
			if err := send("checks", "dash.checks", d.checks(r, line, j)); err != nil {
				return err
			}
			if !j.running() {
				return send("end", "", nil)
			}
			select {
			case <-time.After(progressEach):
			case <-j.done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}
