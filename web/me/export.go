package me

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"homemail/mail"
	"homemail/vacation"
	"homemail/web/page"
)

// Limits of exports: each reads all of somebody's mail.
const (
	exportsMost   = 3              // at once; a family rarely has two
	exportLongest = 12 * time.Hour // 100 GB over a home line's 20 Mbit/s
	stall         = time.Minute    // in which something has to be taken,
	leastRate     = 16 << 10       // and on the whole so many octets each second: a phone at the edge of a cell
)

var (
	errReplaced = errors.New("the same person has begun another export")
	errSlow     = errors.New("it was taken too slowly")
)

// exports are those under way, one a person.
type exports struct {
	mu   sync.Mutex
	list map[mail.AccountID]*export
}

type export struct{ cancel context.CancelCauseFunc }

func newExports() *exports { return &exports{list: make(map[mail.AccountID]*export)} }

// begin makes room for somebody's export, whose context ends with the one that it
// is given, and when the same person begins another: a download that hangs on a
// phone in a drawer keeps nobody from theirs.
func (x *exports) begin(ctx context.Context, of mail.AccountID) (_ context.Context, end func(), ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.list[of]; old != nil {
		old.cancel(errReplaced)
	} else if len(x.list) >= exportsMost {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ctx, stop := context.WithTimeout(ctx, exportLongest)
	mine := &export{cancel}
	x.list[of] = mine
	return ctx, func() {
		stop()
		cancel(nil)
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.list[of] == mine {
			delete(x.list, of)
		}
	}, true
}

func (p *Pages) askExport(v visit) {
	p.ask(v, question{
		What: page.Say("me.export.title"), Why: page.Say("me.export.why"),
		Points: []page.Message{page.Say("me.export.mbox"), page.Say("me.export.settings"), page.Say("me.export.keep")},
		Action: "/me/export", Do: page.Say("me.export.do"), Back: "/me/storage",
	})
}

// export streams all of the mail. It may take hours, in which the connection
// must go on.
func (p *Pages) export(v visit) {
	ctx, end, ok := p.exports.begin(v.ctx, v.who.Account)
	if !ok {
		p.refused(v, "/me/storage", page.Say("me.export.busy"))
		return
	}
	defer end()
	h := v.ResponseWriter.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="homemail-`+time.Now().Format(vacation.Day)+`.zip"`)
	out := &patient{ctx: ctx, w: v.ResponseWriter, c: http.NewResponseController(v.ResponseWriter)}
	// A write that hangs is ended, too, as soon as the export is.
	defer context.AfterFunc(ctx, func() { _ = out.c.SetWriteDeadline(time.Now()) })()
	if err := v.mine.Export(ctx, out); err != nil {
		if v.Context().Err() == nil {
			p.o.Log.Warn("an export was not completed", "account", v.who.Account, "err", errors.Join(err, context.Cause(ctx)))
		}
		panic(http.ErrAbortHandler) // so that the browser knows that it is not all
	}
}

// A patient writer gives each piece its own time, but not to who takes next to
// nothing for long. How long it takes us to read the mail does not count.
type patient struct {
	ctx   context.Context
	w     http.ResponseWriter
	c     *http.ResponseController
	taken int           // octets,
	spent time.Duration // in so much time
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	begun := time.Now()
	_ = p.c.SetWriteDeadline(begun.Add(stall)) // not all servers have one
	n, err := p.w.Write(b)
	p.taken, p.spent = p.taken+n, p.spent+time.Since(begun)
	if err != nil || p.spent < stall {
		return n, err
	}
	if float64(p.taken) < leastRate*p.spent.Seconds() {
		return n, errSlow
	}
	p.taken, p.spent = 0, 0
	return n, nil
}
