package torture

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"homemail/store"
)

// Rounds fill a disk and empty it again. After each phase the state is printed.
type Rounds struct {
	Work
	Store *store.Store
	Keep  int // messages that a worker leaves when it removes
}

// Phases of a round. A line names the one that ended, and the state follows.
const (
	Full    = "full"    // no more mail was taken
	Changed = "changed" // some was changed and removed on the full disk
	Emptied = "emptied" // most was removed, and its space given back
)

const (
	refusals  = 3 // in a row, by which a worker believes that the disk is full
	changeFor = 300 * time.Millisecond
	drainMax  = 50 // messages removed at once
)

// Run does rounds until ctx ends or the store fails.
func (r Rounds) Run(ctx context.Context, st State) {
	r.Maintain, r.Messages = true, math.MaxInt
	for r.going(ctx) {
		r.each(st, func(k *worker) { k.fill(ctx) })
		st = r.ended(Full, false)

		r.Only = []string{Deliver, SetFlags, AddFlags, DelFlags, Expunge, Move, Settle, Hold, Release, Remove, Sweep}
		change, stop := context.WithTimeout(ctx, changeFor)
		r.each(st, func(k *worker) {
			for change.Err() == nil && k.step() {
			}
		})
		stop()
		if !r.going(ctx) {
			return
		}
		st = r.ended(Changed, false)
		r.each(st, func(k *worker) { k.drain(ctx, r.Keep) })
		if r.going(ctx) {
			newWorker(r.Work, 0, st).do(Maintain)
			st = r.ended(Emptied, true)
		}
	}
}

func (r Rounds) going(ctx context.Context) bool { return ctx.Err() == nil && r.Store.Broken() == nil }

// each runs fn in every worker.
func (r *Rounds) each(st State, fn func(*worker)) {
	r.Seed += 1 << 20 // so that no message is made twice
	var wg sync.WaitGroup
	for n := range r.Workers {
		k := newWorker(r.Work, n, st)
		wg.Go(func() { fn(k) })
	}
	wg.Wait()
}

// ended prints the end of a phase and the state.
func (r Rounds) ended(phase string, check bool) State {
	st := Read(r.Store, check)
	st.Phase = phase
	r.Out.PrintState(st)
	return st
}

// fill brings mail in until no more is taken.
func (k *worker) fill(ctx context.Context) {
	for refused := 0; refused < refusals && ctx.Err() == nil; {
		ok, err := k.do([]string{Deliver, Append, Deliver, Append, Enqueue}[k.rand.IntN(5)])
		if !ok {
			return
		}
		refused++
		if !errors.Is(err, store.ErrDiskFull) {
			refused = 0
		}
	}
}

// drain lets all mail leave and removes messages until only some are left.
func (k *worker) drain(ctx context.Context, keep int) {
	for _, it := range k.waiting() {
		op := &Op{Kind: Settle, Item: it.ID, At: time.Now().UnixMilli()}
		for _, r := range it.To {
			r.State, r.Ended = "relayed", op.At
			op.Rcpts = append(op.Rcpts, r)
		}
		if ok, err := k.ask(op, nil); !ok || err != nil || ctx.Err() != nil {
			return
		}
	}
	for b := range k.mine {
		for len(k.mine[b]) > 0 && k.count() > keep && ctx.Err() == nil {
			k.rand.Shuffle(len(k.mine[b]), func(i, j int) { k.mine[b][i], k.mine[b][j] = k.mine[b][j], k.mine[b][i] })
			op := &Op{Kind: Expunge, Box: b, UIDs: append([]uint32(nil), k.mine[b][:min(drainMax, len(k.mine[b]), k.count()-keep)]...)}
			if ok, err := k.ask(op, nil); !ok || err != nil {
				return
			}
		}
	}
}
