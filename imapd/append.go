package imapd

import (
	"io"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/store"
)

// An upload is a message of an APPEND that is to come, with what goes before it.
type upload struct {
	flags   []string
	date    time.Time
	lit     wire.Literal
	closing bool // a parenthesis follows
}

// append is APPEND, RFC 9051 §6.3.12. The message goes from the connection into
// the spool; OK means that it is on disk.
func (s *session) append(c *call) error {
	s.l.SP()
	name := s.l.Mailbox()
	up := s.uploadArgs()
	if err := s.l.Err(); err != nil {
		return err
	}
	sp, box, err := s.uploaded(name, &up)
	if err != nil {
		return err
	}
	defer sp.Discard()
	placed, err := s.s.o.Store.Deliver(sp, []store.Delivery{up.delivery(s.acct, &box)})
	if err != nil {
		return s.refuse(err, "append")
	}
	c.code = appendUID(placed)
	return nil
}

// uploadArgs reads flags, a date and the announcement of the message.
func (s *session) uploadArgs() (up upload) {
	s.l.SP()
	if s.l.Peek() == '(' {
		s.l.List(func() { up.flags = append(up.flags, s.l.Flag()) })
		s.l.SP()
	}
	if s.l.Peek() == '"' {
		up.date = s.l.DateTime()
		s.l.SP()
	}
	if c := s.l.Peek(); c == 'U' || c == 'u' { // RFC 6855 §4: UTF8 (~{n})
		if s.l.Word() != "UTF8" || !s.on.utf8 {
			s.l.Fail("Expected a literal")
		}
		s.l.SP()
		s.l.Expect('(')
		up.closing = true
	}
	up.lit = s.l.Literal()
	return up
}

// uploaded reads the message to the end of the command, and finds the mailbox
// that it is for. The caller discards the spool.
func (s *session) uploaded(name string, up *upload) (*store.Spool, store.Mailbox, error) {
	box, err := s.destination(name)
	if err == nil {
		err = s.room(up.lit.Size)
	}
	if err != nil {
		return nil, box, s.drain(up.lit, err)
	}
	sp := s.s.o.Store.NewSpool()
	err = s.receive(up.lit, sp)
	if err == nil && up.closing {
		s.l.Expect(')')
	}
	if err == nil {
		err = s.end()
	}
	if err != nil {
		sp.Discard()
		return nil, box, err
	}
	return sp, box, nil
}

func (up *upload) delivery(a *store.Account, box *store.Mailbox) store.Delivery {
	d := store.Delivery{Account: a.ID, Mailbox: box.ID, Date: up.date}
	d.Flags, d.Keywords = flagSet(up.flags)
	return d
}

// room says whether a message of some size may come.
func (s *session) room(size int64) error {
	switch {
	case size == 0: // RFC 3502 §6.3.11: the client has changed its mind
		return no(imap.ResponseCodeCannot, "An empty message is not saved")
	case size > s.s.o.AppendLimit: // RFC 7889 §4
		return no(imap.ResponseCodeTooBig, "The message is too large")
	}
	return s.refuse(s.s.o.Store.Room(size), "append")
}

// drain drops a message that is refused for a reason. One that comes unasked
// and is over the limit is for Skip to deal with.
func (s *session) drain(lit wire.Literal, why error) error {
	if lit.Plus && lit.Size <= s.s.o.AppendLimit {
		if err := s.receive(lit, io.Discard); err != nil {
			return err
		}
	}
	return why
}

// receive reads a message.
func (s *session) receive(lit wire.Literal, to io.Writer) error {
	body := s.l.Body(lit)
	s.g.upload(true)
	defer s.g.upload(false)
	k := &keepGoing{w: to}
	if _, err := io.Copy(k, body); err != nil {
		return err
	}
	return s.refuse(k.err, "append")
}

// keepGoing takes all that is written, also after w has failed: what the client
// sends has to be read in any case.
type keepGoing struct {
	w   io.Writer
	err error
}

func (k *keepGoing) Write(p []byte) (int, error) {
	if k.err == nil {
		_, k.err = k.w.Write(p)
	}
	return len(p), nil
}

// appendUID is the APPENDUID of RFC 9051 §7.1, with a set of UIDs for MULTIAPPEND.
func appendUID(placed []store.Placed) string {
	uids := make([]mail.UID, len(placed))
	for i, p := range placed {
		uids[i] = p.UID
	}
	b := strconv.AppendUint([]byte("APPENDUID "), uint64(placed[0].UIDValidity), 10)
	return string(wire.AppendSet(append(b, ' '), uids))
}
