package smtpd

import (
	"errors"
	"time"
)

// A flow is a message, or a chunk of one, on its way from the wire.
type flow struct {
	data  bool  // DATA: up to the dot
	chunk int64 // BDAT: octets still to come
	size  int64 // BDAT: of them all
	last  bool  // BDAT: no chunk follows

	scan   scanner   // goes through the whole message
	octets int64     // of the message so far
	start  time.Time // of DATA or the chunk
	done   int64     // octets since
}

// worthwhile is how large a chunk is that shows the will to send mail.
const worthwhile = 512

func (f *flow) open() bool { return f.data || f.chunk > 0 }

// begin starts the clock of DATA or a chunk.
func (c *conn) begin() {
	c.flow.start, c.flow.done = time.Now(), 0
	c.setSending(c.flow.open())
}

// awaitChunks waits until the session has the chunks that go-smtp has accepted:
// go-smtp calls it in a goroutine of its own, which may be late. If go-smtp
// refuses a chunk it says so before it reads any of it.
func (c *conn) awaitChunks() {
	if t := c.session.tx; c.verb == "BDAT" && t != nil && t.chunks != nil && (!c.replied || c.code == 250) {
		<-t.chunks.begun
	}
}

var errEndless = errors.New("no end in sight")

// receive hands on message bytes that have come in and been looked at. It
// returns 0 if there are none, and the connection is over.
func (c *conn) receive(p []byte) int {
	f := &c.flow
	c.awaitChunks()
	if c.r.Buffered() == 0 && !c.wait() {
		return 0
	}
	n := min(len(p), c.r.Buffered())
	if !f.data {
		n = int(min(int64(n), f.chunk))
	}
	have, _ := c.r.Peek(n)
	n, end, err := c.look(have)
	if err != nil {
		if err == errEndless {
			c.hangUp(tooBig)
		} else {
			c.hangUp(bareNewline)
		}
		return 0
	}
	copy(p, have[:n])
	c.r.Discard(n)
	f.done += int64(n)
	if f.data {
		f.data = !end
	} else {
		f.chunk -= int64(n)
	}
	if !f.open() {
		c.setSending(false)
	}
	return n
}

// look scans the next bytes. It returns how many of them are the message's,
// whether it ends with them, and what is wrong with them.
func (c *conn) look(p []byte) (n int, end bool, err error) {
	f := &c.flow
	if !f.data && c.replied {
		return len(p), false, nil // of a chunk that was refused
	}
	n, end, err = f.scan.scan(p)
	f.octets += int64(n)
	switch {
	case err != nil:
		return 0, false, err
	case f.octets > 2*c.s.o.MaxSize+lingerBytes: // we have shown patience
		return 0, false, errEndless
	case !f.data && f.last && int64(n) == f.chunk:
		err = f.scan.close()
	}
	return n, end, err
}

// wait waits for more of a message. Whoever does not keep to a pace is cut off.
func (c *conn) wait() bool {
	if c.flush() != nil {
		c.over = true
		return false
	}
	deadline := time.Now().Add(dataIdle)
	slow := c.flow.start.Add(dataGrace + time.Duration(c.flow.done)*time.Second/minPace)
	if slow.Before(deadline) {
		deadline = slow
	}
	c.setReadDeadline(deadline)
	_, err := c.r.Peek(1)
	switch end := c.ended(); {
	case err == nil:
		return true
	case end != nil:
		c.hangUp(end)
	case isTimeout(err):
		c.hangUp(tooSlow)
	default:
		c.over = true
	}
	return false
}
