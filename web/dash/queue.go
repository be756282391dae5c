package dash

import (
	"net/http"
	"time"

	"homemail/admin"
	"homemail/mail"
	"homemail/queue"
	"homemail/web/page"
)

type queueView struct {
	List []queue.Summary
	Full bool // there are more
}

// State is how a message of the queue stands.
func (queueView) State(s queue.Summary) page.State {
	if s.Held > 0 {
		return page.Unknown
	}
	return page.Waiting
}

func (d *Dash) queue(w http.ResponseWriter, r *http.Request) {
	list, err := ask[[]queue.Summary](d, r, "queue.list", admin.ListQueue{Limit: countMost, Language: d.lang(r)})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.set.Render(w, r, "dash.queue", queueView{list, len(list) == countMost}, http.StatusOK)
}

type queuedView struct {
	queue.Detail
	Rows []recipient
}

// A recipient is where one of a queued message's stands.
type recipient struct {
	To    mail.Path
	State page.State
	Word  string // key
	Next  time.Time
	Hold  string
	Tries []queue.Try
}

func (d *Dash) findQueued(r *http.Request) (queue.Detail, error) {
	list, err := ask[[]queue.Detail](d, r, "queue.show", admin.QueueID{ID: page.Line(r, "id"), Language: d.lang(r)})
	if err == nil && len(list) == 0 {
		err = notFound("message", page.Line(r, "id"))
	}
	if err != nil {
		return queue.Detail{}, err
	}
	return list[0], nil
}

func (d *Dash) queued(w http.ResponseWriter, r *http.Request) {
	m, err := d.findQueued(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := queuedView{Detail: m}
	for _, one := range m.Recipients {
		row := recipient{To: one.To, State: page.Waiting, Word: "dash.queue.state.waiting", Next: one.Next, Hold: one.Hold, Tries: one.Tries}
		switch {
		case one.Hold != "":
			row.State, row.Word = page.Unknown, "dash.queue.state.held"
		case !one.Ended.IsZero():
			row.State, row.Word = page.Off, "dash.queue.state.done"
		}
		v.Rows = append(v.Rows, row)
	}
	d.set.Render(w, r, "dash.queued", v, http.StatusOK)
}

// queueAct is a button of a message, or of all.
func (d *Dash) queueAct(operation, done string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := page.Line(r, "id")
		back := with("/queue/show", "id", id)
		if id == "all" {
			back = "/queue"
		}
		d.act(w, r, back, page.Say("dash.queue.done."+done), operation, admin.QueueID{ID: id})
	}
}

func (d *Dash) askRemoveQueued(w http.ResponseWriter, r *http.Request) {
	m, err := d.findQueued(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.confirm(w, r, confirm{
		What:   page.Say("dash.queue.remove.what"),
		Why:    page.Say("dash.queue.remove.why", "from", string(m.From), "n", m.Waiting),
		Action: "/queue/remove", Fields: []field{{"id", m.ID}},
		Do: page.Say("dash.queue.remove.do"), Back: with("/queue/show", "id", m.ID),
	})
}

// removeQueued tells the sender, who would else believe that it has arrived.
func (d *Dash) removeQueued(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/queue", page.Say("dash.queue.removed"), "queue.remove", admin.QueueID{ID: page.Line(r, "id"), Tell: true})
}
