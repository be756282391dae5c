package client

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"homemail/mail"
)

// content sends the message to the recipients that were taken and returns the
// reply to its end. Stop ends the watch over the context.
func (t *transaction) content(body io.Reader, stop func() bool) (reply, error) {
	if len(t.taken) == 0 {
		return reply{}, nil
	}
	if t.c.br.Buffered() > 0 { // it answers what we have not said
		return reply{}, t.c.outOfTurn("sending the message")
	}
	w := &paced{c: t.c, start: time.Now(), r: body}
	var err error
	if t.binary() {
		err = chunks(w, func(p []byte, last bool) error { return t.chunk(w, p, last, stop) })
	} else {
		err = t.dots(w, stop)
	}
	if err != nil {
		return reply{}, err
	}
	return w.last, nil
}

// dots sends the message after DATA.
func (t *transaction) dots(w *paced, stop func() bool) error {
	d := newDotWriter(w)
	if _, err := io.Copy(d, w); err != nil {
		return w.failed(err)
	}
	if err := t.whole(w); err != nil {
		return err
	}
	if !stop() {
		return failed("sending the message", t.c.why(context.Canceled))
	}
	if _, err := w.Write(d.finish()); err != nil {
		return unsure(w.failed(err))
	}
	return t.final(w)
}

// chunk sends a part of the message with BDAT, RFC 3030 §2.
func (t *transaction) chunk(w *paced, p []byte, last bool, stop func() bool) error {
	line := "BDAT " + strconv.Itoa(len(p))
	if last {
		if err := t.whole(w); err != nil {
			return err
		}
		if !stop() {
			return failed("sending the message", t.c.why(context.Canceled))
		}
		line += " LAST"
	}
	if _, err := w.Write(append([]byte(line+"\r\n"), p...)); err != nil {
		if err = w.failed(err); last {
			err = unsure(err)
		}
		return err
	}
	if last {
		return t.final(w)
	}
	r, err := t.c.read("waiting for the reply to BDAT", blockTime)
	if err == nil && r.class() != 2 {
		err = refused("BDAT", r)
		t.fail(t.taken, t.outcome(r))
		t.taken = nil
	}
	return err
}

// whole makes sure that a message which was cut short on our side is not taken
// for the whole.
func (t *transaction) whole(w *paced) error {
	if t.m.Size > 0 && w.read != t.m.Size {
		return &Error{Cause: mail.CauseOurs, Doing: "sending the message",
			Err: fmt.Errorf("it has %d octets and should have %d", w.read, t.m.Size)}
	}
	return nil
}

func (t *transaction) final(w *paced) (err error) {
	w.last, err = t.c.read("waiting for the reply to the end of the message", finalTime)
	return unsure(err)
}

// paced reads and writes a message and sees to it that the server takes it at
// no less than minRate, beside the limit for each block.
type paced struct {
	c       *Conn
	r       io.Reader
	start   time.Time
	read    int64
	written int64
	last    reply // to the end of the data
}

func (w *paced) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.read += int64(n)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

func (w *paced) Write(p []byte) (int, error) {
	late := blockTime + time.Duration((w.written+int64(len(p)))/minRate)*time.Second - time.Since(w.start)
	w.c.limit(min(blockTime, late))
	n, err := w.c.rw.Write(p)
	w.written += int64(n)
	return n, err
}

// failed makes an error of a message that did not get through. A server that
// does not want to read on may have said why.
func (w *paced) failed(err error) error {
	e := failed("sending the message", w.c.why(err))
	if e.Cause != mail.CauseLost {
		return e
	}
	w.c.limit(quitTime)
	if r, err := readReply(w.c.br); err == nil && (r.class() == 4 || r.class() == 5) {
		return refused("sending the message", r)
	}
	return e
}
