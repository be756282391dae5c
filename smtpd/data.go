package smtpd

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
)

// copies are buffers in which messages go to the spool.
var copies = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// Data takes the message that DATA or BDAT brings. It reads it to its end
// whatever becomes of it: only then does go-smtp wait for the answer.
func (s *session) Data(r io.Reader) error {
	t := s.tx
	if t.chunks != nil {
		close(t.chunks.begun)
		defer close(t.chunks.over)
	} else {
		r = &dotted{c: s.c}
	}
	w, header := s.filtered()
	refused, err := s.receive(r, w)
	if err != nil {
		s.broken(err)
		return ourFault // which nobody will hear
	}
	if refused == nil && header != nil {
		refused = s.author(header)
	}
	if refused == nil {
		refused = s.commit()
	}
	if refused.Code != 250 {
		s.abandon(refused)
	}
	return refused // go-smtp's own words for 250 would not tell the id
}

// filtered returns where the message's bytes go: through a filter of its header
// to the Transaction, and as they come to who judges them.
func (s *session) filtered() (io.Writer, *headerFilter) {
	t, o := s.tx, &s.c.s.o
	var header *headerFilter
	switch {
	case t.by != nil:
		header = newHeaderFilter(t.tx, "<"+t.id+"@"+o.Host+">", t.start)
		if t.by.Rewrite {
			header.author = &author{by: t.by, owns: o.Directory.Owns}
		}
	case t.judged != nil:
		header = &headerFilter{w: t.tx, forged: o.Judge.Forged}
		return io.MultiWriter(t.judged, header), header
	default:
		return t.tx, nil
	}
	return header, header
}

// receive copies the message to w. It returns the reply with which the message
// must be refused, or an error if it has no end.
func (s *session) receive(r io.Reader, w io.Writer) (refused *smtp.SMTPError, err error) {
	t := s.tx
	buf := copies.Get().(*[16 << 10]byte)
	defer copies.Put(buf)
	for {
		n, err := r.Read(buf[:])
		t.octets += int64(n)
		switch {
		case refused != nil || n == 0:
		case t.octets > s.c.s.o.MaxSize:
			refused = tooBig
		default:
			if _, err := w.Write(buf[:n]); err != nil {
				refused = s.fault(t.id, err)
			}
		}
		switch {
		case err == io.EOF && refused == nil && s.c.flow.scan.long:
			return longDataLine, nil
		case err == io.EOF || errors.Is(err, smtp.ErrDataTooLarge): // go-smtp reads the rest
			return refused, nil
		case err != nil:
			return nil, err
		}
	}
}

// broken is the end of a message that breaks off.
func (s *session) broken(err error) {
	c := s.c
	why := said(0, 0, 0, "connection lost")
	switch {
	case !c.over:
		why.Message = "given up by the client"
	case c.last != nil:
		why = c.last
	}
	if c.over && (why.Code == 0 || why.Code == 421) {
		c.s.count.lost.Add(1)
	}
	s.abandon(why)
	if errors.Is(err, smtp.ErrDataReset) {
		// Of chunks, and nobody waits for our answer: go-smtp would send it to
		// the channel that the connection has by then, the next message's.
		runtime.Goexit()
	}
}

// abandon logs a message that came to r.
func (s *session) abandon(r *smtp.SMTPError) {
	t := s.tx
	s.c.s.log.Info("refused", "id", t.id, "from", t.env.From, "remote", s.c.remote,
		"code", r.Code, "status", status(r), "why", r.Message, "bytes", t.octets)
	s.tell(r, recipients(&t.env)...)
}

// author ends the header of a message and, if it was submitted, looks at who
// wrote it.
func (s *session) author(h *headerFilter) *smtp.SMTPError {
	if err := h.Close(); err != nil {
		return s.fault(s.tx.id, err)
	}
	if s.tx.by == nil {
		return nil
	}
	return s.checkAuthor()
}

// commit is the end of a message that came in whole: the promise.
func (s *session) commit() *smtp.SMTPError {
	t := s.tx
	trace := s.trace()
	if r := s.judge(&trace); r != nil {
		return r
	}
	id, err := t.tx.Commit(t.env, trace)
	if err != nil {
		return s.fault(t.id, err)
	}
	c := s.c
	c.s.count.accepted.Add(1)
	c.s.count.recipients.Add(int64(len(t.env.To)))
	c.s.count.bytes.Add(t.octets)
	c.errors, c.junk = 0, 0
	c.told = t.tx
	log := c.s.log
	if t.by != nil {
		log = log.With("account", t.by.Account, "device", t.by.Device)
	}
	log.Info("accepted", "id", id, "from", t.env.From, "rcpts", len(t.env.To), "size", t.octets,
		"remote", c.remote, "tls", c.cipher, "ms", time.Since(t.start).Milliseconds())
	return said(250, 0, 0, "OK: stored as "+id)
}

// judge hears what came of a stranger's message, and refuses it if it must.
func (s *session) judge(trace *mail.Trace) *smtp.SMTPError {
	t := s.tx
	if t.judged == nil {
		return nil
	}
	v, results := t.judged.Verdict()
	s.c.s.log.Info("judged", "id", t.id, "from", t.env.From, "remote", s.c.remote, "verdict", v.Disposition,
		"spf", v.SPF.Result, "dkim", len(v.DKIM), "dmarc", v.DMARC.Result, "policy", v.DMARC.Policy, "arc", v.ARC.Result, "why", v.Reason)
	if v.Disposition == mail.Reject || v.Disposition == mail.Defer {
		t.verdict = &v
	}
	switch v.Disposition {
	case mail.Reject:
		s.c.s.count.forged.Add(1)
		return said(550, 7, 1, plain(v.Reason))
	case mail.Defer:
		return said(451, 7, 5, plain(v.Reason))
	}
	trace.Results, trace.Verdict, trace.Junk = results, &v, v.Disposition == mail.ToJunk
	return nil
}

// trace says how the message under way came in.
func (s *session) trace() mail.Trace {
	c := s.c
	return mail.Trace{ID: s.tx.id, Remote: c.remote, Helo: c.helo, Protocol: s.protocol(), TLS: c.cipher, Account: s.tx.account(), Device: s.tx.device(), Time: time.Now()}
}

// protocol is the "with" keyword, RFC 3848 and RFC 6531 §4.3.
func (s *session) protocol() string {
	if !s.c.extended {
		return "SMTP"
	}
	name := "ESMTP"
	if s.tx.env.UTF8 {
		name = "UTF8SMTP"
	}
	if s.c.tls != nil {
		name += "S"
	}
	if s.login != nil {
		name += "A"
	}
	return name
}
