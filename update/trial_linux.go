package update

import (
	"context"
	"time"

	"homemail/appliance/slots"
)

// The trial of a version, from its start.
const (
	healthyTime = 10 * time.Minute // on end, for it to be kept
	trialTime   = 25 * time.Minute // in all, until the box goes back; a check of the disk may take its part
	lookEvery   = 20 * time.Second
	lookTime    = 15 * time.Second // for one look; a board under load needs some
	detailMost  = 500
)

// Run concludes the update that the last start was about, and if this start is
// a trial, watches it: the version is kept after ten minutes in which healthy
// has returned nil each time, and otherwise the box goes back. Run returns when
// there is nothing more to do, and at the latest when ctx ends.
//
// healthy has to show that the server does its work: a commit and a read, and a
// greeting at the doors. That a version crashes or hangs is not for Run to see:
// the kernel starts anew (panic=10), or the watchdog does, and the boot loader
// takes the version before.
func (b *Box) Run(ctx context.Context, healthy func(context.Context) error) {
	s, err := b.o.Boot.State()
	if err != nil {
		b.o.Log.Error("nobody can tell which slot the box starts from; it takes no updates", "err", err)
		return
	}
	if err := b.o.Boot.Settle(); err != nil {
		b.o.Log.Error("the boot partition cannot be written", "err", err)
	}
	if !s.Trial {
		b.conclude(s.Running)
		return
	}
	b.trial(ctx, healthy)
}

// conclude writes down how the last trial ended, which this start shows.
func (b *Box) conclude(running slots.Slot) {
	r := b.book.last()
	if r == nil || r.Stage != Trying {
		return
	}
	r.Stage = Good // and the power went before that was written down
	if r.Slot != running {
		r.Stage = Back
		if r.Reason == "" {
			r.Reason = Stopped
		}
	}
	b.end(r)
}

func (b *Box) end(r *Record) {
	r.At = time.Now()
	b.o.Log.Info("update", "from", r.From, "to", r.To, "result", r.Stage, "reason", r.Reason, "detail", r.Detail)
	if err := b.book.change(*r); err != nil {
		b.o.Log.Warn("the result of an update was not kept", "err", err)
	}
}

// trial keeps the running version or leaves it.
func (b *Box) trial(ctx context.Context, healthy func(context.Context) error) {
	b.o.Log.Info("this version is being tried", "version", b.o.Running.Version, "slot", b.o.Boot.Running())
	err := watch(ctx, healthy)
	switch {
	case ctx.Err() != nil: // the box is being stopped: it goes back
		err = ctx.Err()
	case err == nil:
		err = b.o.Boot.Commit()
	}
	r := b.book.last()
	if r == nil || r.Slot != b.o.Boot.Running() || r.Stage != Writing && r.Stage != Trying {
		now := time.Now()
		r = &Record{From: Development, To: b.o.Running.Version, Slot: b.o.Boot.Running(), Stage: Trying, At: now}
		if err := b.book.begin(*r); err != nil {
			b.o.Log.Warn("the trial has no record", "err", err)
		}
	}
	if err == nil {
		r.Stage = Good
		b.end(r)
		return
	}
	r.Stage, r.Reason, r.Detail = Trying, Unhealthy, clip(err.Error(), detailMost) // the version before writes down that it is back
	if ctx.Err() != nil {
		r.Reason, r.Detail = Stopped, ""
	}
	b.end(r)
	if ctx.Err() == nil {
		b.o.Restart("")
	}
}

// watch returns nil after healthyTime without a failure, and the last failure
// after trialTime.
func watch(ctx context.Context, healthy func(context.Context) error) error {
	begin := time.Now()
	since := begin // of health
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	var last error
	for {
		look, cancel := context.WithTimeout(ctx, lookTime)
		err := healthy(look)
		cancel()
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			last, since = err, now
		case now.Sub(since) >= healthyTime:
			return nil
		}
		if last != nil && now.Sub(begin) >= trialTime {
			return last
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func clip(s string, most int) string { return s[:min(len(s), most)] }
