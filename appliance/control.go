//go:build linux

package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"homemail/appliance/move"
	"homemail/appliance/volume"
	"homemail/appliance/wire"
)

// newMover makes what moves the mail to a USB disk.
func (b *box) newMover() {
	b.mover = move.New(move.Options{
		Host: host(), Tools: tools(), From: dataDir, At: runDir + "/target", Log: b.log,
		Pause:  func(context.Context) error { b.mail.stop(); return nil },
		Resume: b.resume,
		Switch: func(ctx context.Context, id volume.ID) error {
			s := b.elsewhere(ctx, id)
			if b.data.set(s); s.Mode != volume.Normal {
				return errors.New(string(s.Trouble) + ": " + s.Detail)
			}
			return nil
		},
	})
}

// resume starts homemail where the data is now. Its files are open under a path
// that has another file system below it by then.
func (b *box) resume(ctx context.Context) error {
	if ctx.Err() != nil {
		return errStopped
	}
	b.mail.setDir(b.openData())
	b.mail.start()
	b.face.Again() // it was given the directory as it was
	return nil
}

// control answers homemail's questions to the box, one a connection, in lines.
func (b *box) control(ctx context.Context) error {
	l, err := unixSocket(controls)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		b.answer(ctx, c) // one at a time: none takes long
	}
}

// answerTime is for one question and its answer.
const answerTime = 5 * time.Second

func (b *box) answer(ctx context.Context, c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerTime))
	err := wire.Each(c, func(line string) error {
		if err := b.do(ctx, c, wire.Words(line)); err != nil {
			fmt.Fprintln(c, wire.Line("error", err.Error()))
		}
		return io.EOF // one question
	})
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		b.log.Warn("a question to the box was not understood", "err", err)
	}
}

func (b *box) do(ctx context.Context, w io.Writer, q []string) error {
	switch {
	case len(q) == 1 && q[0] == "disks":
		list, err := move.Candidates(host(), b.data.get().Disk)
		if err != nil {
			return err
		}
		for _, d := range list {
			fmt.Fprintln(w, wire.Line("disk", d.Name, fmt.Sprint(d.Size), d.Model))
		}
	case len(q) == 2 && q[0] == "move":
		if b.data.get().Mode != volume.Normal {
			return move.ErrUnsuitable
		}
		go b.mover.Run(ctx, q[1])
	case len(q) == 1 && q[0] == "progress":
		p := b.mover.Progress()
		fmt.Fprintln(w, wire.Line("progress", string(p.Stage), p.Disk, fmt.Sprint(p.Done), fmt.Sprint(p.Total), p.Why))
	case len(q) == 1 && q[0] == "state":
		s := b.data.get()
		fmt.Fprintln(w, wire.Line("state", string(s.Mode), string(s.Trouble), s.Disk, s.Detail))
	case len(q) == 1 && q[0] == "alive":
		b.pulse.Beat()
		b.beat.Beat()
		b.mail.well()
	case len(q) == 1 && q[0] == "poweroff":
		b.stop <- PowerOff
	case len(q) == 1 && q[0] == "restart":
		b.stop <- Restart
	default:
		return errors.New("no such question")
	}
	fmt.Fprintln(w, "end")
	return nil
}
