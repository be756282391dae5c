package dash

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"homemail/admin"
	"homemail/update"
	"homemail/update/agent"
	"homemail/web/page"
)

// updatesView is the page of newer versions.
type updatesView struct {
	Now  updateView
	Runs string // the version
	Home bool   // this is a box, which updates itself
	URL  string
	Auto bool
	Next time.Time // zero if nothing is looked for
	Past []pastUpdate
}

// Underway reports whether something is being looked for or installed.
func (v updatesView) Underway() bool { return v.Now.Busy }

// updateView is the part of the page that changes meanwhile.
type updateView struct {
	State       page.State
	Says        string
	Busy        bool
	Looking     bool
	Box         bool
	Trial       bool
	Checked     time.Time
	Wrong       page.Message // why the last look came to nothing
	Offer       *agent.Offer
	Notes       string
	Done, Total int64 // bytes
}

// A pastUpdate is what became of one.
type pastUpdate struct {
	At    time.Time
	State page.State
	Says  page.Message
	Why   string // the box went back
	Notes string
}

// updateJob is the name of a look for updates.
const updateJob = "update"

func (d *Dash) askUpdates(r *http.Request) (admin.Updates, error) {
	return ask[admin.Updates](d, r, "update.status", admin.Empty{})
}

func (d *Dash) updates(w http.ResponseWriter, r *http.Request) {
	u, err := d.askUpdates(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := updatesView{Now: d.updateNow(r, u), Runs: string(u.Version), Home: u.State != agent.NoBox, URL: u.Settings.URL, Auto: u.Settings.Auto}
	if o, err := d.o.House.Overview(r.Context()); err == nil && !v.Home {
		v.Runs = o.Version // also of a build that is no release
	}
	if v.URL != "" {
		v.Next = u.Next
	}
	if u.Last != nil {
		v.Past = append(v.Past, d.pastUpdate(r, u.Last))
	}
	for i := range u.Before {
		v.Past = append(v.Past, d.pastUpdate(r, &u.Before[i]))
	}
	d.set.Render(w, r, "dash.updates", v, http.StatusOK)
}

// updateNow is how it stands.
func (d *Dash) updateNow(r *http.Request, u admin.Updates) updateView {
	j := d.jobs.last(updateJob)
	v := updateView{State: stateOfUpdates(u.State), Says: d.pick(r, u.Words.EN, u.Words.JA), Looking: j.running(), Box: u.State != agent.NoBox,
		Trial: u.State == agent.Trial, Checked: u.Checked, Offer: u.Offer, Done: u.Sent}
	v.Busy = v.Looking || u.State == agent.Fetching
	if u.State != agent.Fetching {
		v.Done = 0
	}
	if u.Offer != nil {
		v.Notes, v.Total = d.pick(r, u.Offer.Notes.EN, u.Offer.Notes.JA), u.Offer.Size
	}
	if _, err, ok := of[admin.Updates](j); ok && err != nil && u.State != agent.Trouble {
		v.Wrong = d.why(r, err)
	}
	return v
}

func stateOfUpdates(s agent.State) page.State {
	switch s {
	case agent.Current:
		return page.Good
	case agent.Ready, agent.Fetching, agent.Trial:
		return page.Waiting
	case agent.Back, agent.Trouble:
		return page.Bad
	case agent.Unknown:
		return page.Unknown
	}
	return page.Off
}

func (d *Dash) pastUpdate(r *http.Request, p *agent.Past) pastUpdate {
	out := pastUpdate{At: p.At, State: page.Waiting, Notes: d.pick(r, p.Notes.EN, p.Notes.JA)}
	says := "begun"
	switch p.Stage {
	case update.Good:
		out.State, says = page.Good, "good"
	case update.Back:
		why := admin.WentBack(*p)
		out.State, says, out.Why = page.Bad, "back", d.pick(r, why.EN, why.JA)
	case update.Trying:
		says = "trying"
	}
	out.Says = page.Say("dash.updates.past."+says, "from", p.From, "to", p.To)
	return out
}

// lookForUpdates asks now. Who asks twice sees the look that is under way.
func (d *Dash) lookForUpdates(w http.ResponseWriter, r *http.Request) {
	d.jobs.start(d.actor(r), updateJob, 0, func(ctx context.Context) (any, error) {
		return askFor[admin.Updates](d, ctx, "update.check", admin.Empty{})
	})
	d.set.Redirect(w, r, "/updates")
}

// updatesEach is how often progress is shown: PID 1 is asked for it.
const updatesEach = time.Second

// updatesLive sends how far it is while something goes on.
func (d *Dash) updatesLive(w http.ResponseWriter, r *http.Request) {
	d.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		for {
			u, err := d.askUpdates(r)
			if err != nil {
				return err
			}
			v := d.updateNow(r, u)
			if err := send("update", "dash.update", v); err != nil {
				return err
			}
			if !v.Busy {
				return send("end", "", nil)
			}
			select {
			case <-time.After(updatesEach):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// askInstall asks before the box restarts.
func (d *Dash) askInstall(w http.ResponseWriter, r *http.Request) {
	u, err := d.askUpdates(r)
	switch {
	case err != nil:
		d.fail(w, r, err)
	case u.Offer == nil:
		d.fail(w, r, notFound("update", ""))
	default:
		d.confirm(w, r, confirm{
			What: page.Say("dash.updates.install.title", "version", u.Offer.Version), Why: page.Say("dash.updates.install.why", "now", u.Version),
			Action: "/updates/install", Do: page.Say("dash.updates.install"), Back: "/updates",
		})
	}
}

func (d *Dash) install(w http.ResponseWriter, r *http.Request) {
	d.jobs.forget(updateJob) // what an earlier look came to is no news any more
	d.act(w, r, "/updates", page.Say("dash.updates.begun"), "update.apply", admin.Empty{})
}

// newUpdateSettings is the form of where updates are.
type newUpdateSettings struct {
	URL  string `form:"url,max=1000"`
	Auto bool   `form:"auto"`
}

// updateForm is a page with a form about updates.
type updateForm struct{ Form page.Form }

func (d *Dash) updateSettings(w http.ResponseWriter, r *http.Request) {
	u, err := d.askUpdates(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.updatesettings", updateForm{page.Fill(newUpdateSettings{u.Settings.URL, u.Settings.Auto})}, page.Form{})
}

func (d *Dash) setUpdateSettings(w http.ResponseWriter, r *http.Request) {
	var in newUpdateSettings
	form := page.Read(r, &in)
	d.jobs.forget(updateJob)
	if d.did(w, r, &form, "/updates", page.Say("dash.updates.saved"), "update.settings", admin.SetUpdates{URL: &in.URL, Auto: &in.Auto}) {
		return
	}
	d.show(w, r, "dash.updatesettings", updateForm{form}, form)
}

// updateFile asks for a file.
func (d *Dash) updateFile(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, "dash.updatefile", updateForm{page.Fill(struct{}{})}, page.Form{})
}

// Limits of a file that an owner sends.
const (
	uploadPath = "/updates/file"
	// uploadMost has room for the largest payload of an update and what is around it.
	uploadMost = 1<<30 + 1<<20
	// uploadQuiet is how long a browser may send nothing, or the box be busy with
	// comparing what it has written.
	uploadQuiet = 15 * time.Minute
)

// Body is what a request for these pages may carry, 0 for the usual. It is for
// page.Options and for what stands before them.
func Body(r *http.Request) int64 {
	if r.Method == http.MethodPost && r.URL.Path == uploadPath {
		return uploadMost
	}
	return 0
}

var errNoFile = errors.New("no file was sent")

// sendUpdateFile hands the file of a form on while it comes: nothing of it is kept
// here, and the box looks at its signature before anything else.
func (d *Dash) sendUpdateFile(w http.ResponseWriter, r *http.Request) {
	form := page.Fill(struct{}{})
	err := d.upload(w, r)
	switch {
	case err == nil:
		d.set.Render(w, r, "dash.updated", nil, http.StatusOK)
		return
	case errors.Is(err, errNoFile):
		form = form.Fail("", page.Say("dash.updates.file.none"))
	default:
		form = form.Fail("", d.why(r, err))
	}
	d.show(w, r, "dash.updatefile", updateForm{form}, form)
}

func (d *Dash) upload(w http.ResponseWriter, r *http.Request) error {
	if d.o.Upload == nil {
		return errNoFile
	}
	body := patient{r.Body, http.NewResponseController(w)}
	r.Body = body
	// A browser shows no answer before it has sent everything.
	defer func() { _, _ = io.Copy(io.Discard, body) }()
	parts, err := r.MultipartReader()
	if err != nil {
		return errNoFile
	}
	for {
		p, err := parts.NextPart()
		if err != nil {
			return errNoFile
		}
		if p.FormName() == "file" && p.FileName() != "" {
			return d.o.Upload(d.actor(r), p)
		}
	}
}

// patient is the body of a request that may take long, if only it goes on.
type patient struct {
	io.ReadCloser
	c *http.ResponseController
}

// Read puts the deadlines of the connection off.
func (p patient) Read(b []byte) (int, error) {
	end := time.Now().Add(uploadQuiet)
	_ = p.c.SetReadDeadline(end) // not all servers have one
	_ = p.c.SetWriteDeadline(end)
	return p.ReadCloser.Read(b)
}
