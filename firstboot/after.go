package firstboot

import (
	"context"
	"time"

	"homemail/check"
)

func firstMailStep() step {
	return step{
		Step:    Step{ID: FirstMail, Needs: []ID{Claiming, Address, Connection}, Internet: true, MaySkip: true},
		wanted:  func(t *turn) bool { return t.mode() != check.Inside },
		actions: firstMailActions,
	}
}

// firstMailActions watch for a letter from outside, and then for one that left:
// with these two the house is known to work.
func firstMailActions(t *turn) []action {
	f := &t.row.Found
	return []action{
		{
			word: Say("firstboot.do.watch", "address", string(t.owner())),
			done: func(context.Context) (bool, error) { return !f.Watching.IsZero(), nil },
			do: func(context.Context) error {
				f.Watching = time.Now()
				return t.save(t.step.ID, t.row) // so that it is since now, also after a restart
			},
		},
		{
			word: Say("firstboot.do.arrive", "address", string(t.owner())),
			done: func(context.Context) (bool, error) { return f.Arrived != nil, nil },
			do: func(ctx context.Context) (err error) {
				if t.o.Post == nil {
					return &waitError{why: Say("firstboot.wait.unwatched"), person: true}
				}
				if f.Arrived, err = t.o.Post.Arrived(ctx, t.owner(), f.Watching); err != nil {
					return err
				}
				if f.Arrived == nil {
					return wait("firstboot.wait.arrive", "address", string(t.owner()))
				}
				return nil
			},
		},
		{
			word: Say("firstboot.do.reply"),
			done: func(context.Context) (bool, error) { return f.Left != nil, nil },
			do: func(ctx context.Context) (err error) {
				if f.Left, err = t.o.Post.Left(ctx, t.owner(), f.Watching); err != nil {
					return err
				}
				if f.Left == nil {
					return wait("firstboot.wait.reply", "address", string(f.Arrived.From))
				}
				return nil
			},
		},
	}
}
