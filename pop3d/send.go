package pop3d

import (
	"context"
	"errors"
	"fmt"
	"io"

	"homemail/store"
)

// send replies with a message, or with its header and some lines of its body.
func (c *conn) send(i, lines int) error {
	m, err := c.drop.record(i)
	var no refusal
	if errors.As(err, &no) {
		return no
	}
	if err != nil {
		return c.unreadable(i, err)
	}
	body := c.drop.account.Body(m)
	// The first piece is read before the reply is begun: after +OK there is no
	// way to say that something is wrong but to hang up.
	first, err := io.ReadFull(body, c.buffer())
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return c.unreadable(i, err)
	}
	if lines < 0 {
		c.drop.octets += m.Size
		c.ok("%d octets", m.Size)
	} else {
		c.ok("top of message follows")
	}
	out := &dotWriter{w: c.w}
	var w io.Writer = out
	if lines >= 0 {
		w = &topWriter{w: out, lines: lines}
	}
	if err := c.stream(w, body, first); err != nil {
		return fmt.Errorf("message %d cut short: %v", i+1, err)
	}
	return out.Close()
}

// stream writes the first piece, which is in the buffer, and then the others.
func (c *conn) stream(w io.Writer, body io.Reader, n int) error {
	for {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if _, err := w.Write(c.buf[:n]); errors.Is(err, errTopDone) {
			return nil
		} else if err != nil {
			return err
		}
		if n < len(c.buf) {
			return nil
		}
		var err error
		n, err = io.ReadFull(body, c.buf)
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
	}
}

func (c *conn) buffer() []byte {
	if c.buf == nil {
		c.buf = make([]byte, writeBuffer)
	}
	return c.buf
}

func (c *conn) unreadable(i int, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return errGone
	}
	c.s.o.Log.Error("cannot read a message", "door", "pop3", "address", c.session.Address, "uid", c.drop.messages[i].uid, "err", err)
	return refusal("[SYS/TEMP] that message cannot be read just now")
}
