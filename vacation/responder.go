package vacation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"homemail/deliver"
	"homemail/mail"
	"homemail/mail/message"
	"homemail/store"
)

const (
	waiting   = 256       // messages that may wait to be looked at: more come in a flood, which is not answered
	headerMax = 256 << 10 // octets, as the door takes it
)

// Options are the settings of a Responder.
type Options struct {
	Host string       // our name, in Received
	Log  *slog.Logger // slog.Default() if nil
	// Trusted says whether the wall clock may be believed, clock.Clock.Trusted;
	// nil is always. While it may not be, nobody is answered.
	Trusted func() bool
}

// A Responder answers for all accounts of a store.
type Responder struct {
	s     *store.Store
	agent *deliver.Agent
	o     Options
	came  chan arrival

	sent, missed atomic.Int64
}

// New returns a Responder whose replies go the way of the agent's other mail.
// It starts nothing: without Run nobody is answered.
func New(s *store.Store, agent *deliver.Agent, o Options) *Responder {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	return &Responder{s: s, agent: agent, o: o, came: make(chan arrival, waiting)}
}

// Stats are counters since the start.
type Stats struct {
	Sent   int64 // replies
	Missed int64 // messages that nobody looked at: they came too fast
}

// Stats returns the counters as they are now.
func (r *Responder) Stats() Stats { return Stats{r.sent.Load(), r.missed.Load()} }

// An arrival is a message that came in.
type arrival struct {
	id       string
	from     mail.Path
	by       mail.AccountID
	junk     bool
	verdict  *mail.Verdict
	accounts []mail.AccountID
	filed    []deliver.Filed
}

// Told is for deliver.Options.Told. It never waits.
func (r *Responder) Told(s deliver.Story) {
	if s.Envelope.From.IsNull() || s.Junk {
		return
	}
	a := arrival{id: s.Trace.ID, from: s.Envelope.From, by: s.By, junk: s.Junk, verdict: s.Trace.Verdict, filed: s.Filed}
	for _, f := range s.Filed {
		a.accounts = append(a.accounts, f.Account)
	}
	for _, f := range s.Forwarded { // by who keeps no copy
		if f.Account != 0 && !slices.Contains(a.accounts, f.Account) {
			a.accounts = append(a.accounts, f.Account)
		}
	}
	select {
	case r.came <- a:
	default:
		r.missed.Add(1)
	}
}

// Run answers until ctx ends.
func (r *Responder) Run(ctx context.Context) error {
	r.sweep()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-r.came:
			if err := r.answer(a); err != nil && r.s.Broken() == nil {
				r.o.Log.Warn("an out-of-office reply was not sent", "id", a.id, "err", err)
			}
		}
	}
}

// answer answers a message for all accounts that are away.
func (r *Responder) answer(a arrival) (err error) {
	if !r.o.Trusted() {
		return nil
	}
	var header []byte
	for _, id := range a.accounts {
		reply, e := Load(r.s, id)
		if e != nil || !reply.Active(time.Now()) {
			err = errors.Join(err, e)
			continue
		}
		q := question{account: id, from: a.from, by: a.by, junk: a.junk, verdict: a.verdict, owns: r.agent.Owns, local: r.s.IsLocal}
		why := q.outside()
		if why == whyNot && header == nil {
			if header, e = r.header(a); e != nil {
				return errors.Join(err, e)
			}
		}
		if why == whyNot {
			q.header = header
			why = q.inside()
		}
		if why == whyNot {
			if e = r.send(id, reply, a.from, header); errors.Is(e, errAnswered) {
				why, e = e.Error(), nil
			}
			err = errors.Join(err, e)
		}
		r.o.Log.Debug("out of office", "id", a.id, "account", id, "why_not", why)
	}
	return err
}

// header reads the header of a message from where it was put.
func (r *Responder) header(a arrival) ([]byte, error) {
	var body io.Reader
	for _, f := range a.filed {
		acct, err := r.s.AccountByID(f.Account)
		if err != nil {
			continue
		}
		if m, err := acct.Message(f.Placed.Mailbox, f.Placed.UID); err == nil {
			body = acct.Body(m)
			break
		}
	}
	if body == nil { // all of them forward, and keep no copy
		ids, err := r.s.ItemsOf(a.id)
		if err != nil || len(ids) == 0 {
			return nil, errors.Join(err, store.ErrNotFound) // it was removed meanwhile
		}
		it, _, err := r.s.Item(ids[0])
		if err != nil {
			return nil, err
		}
		body = r.s.ItemBody(it)
	}
	b, err := io.ReadAll(io.LimitReader(body, headerMax))
	if i := strings.Index(string(b), "\r\n\r\n"); i >= 0 {
		b = b[:i+4]
	}
	return b, err
}

// send writes who is answered into the book, and then sends the reply like
// other mail: signed, and by the usual way. Without a way there is none.
func (r *Responder) send(id mail.AccountID, reply Reply, to mail.Path, header []byte) error {
	p, err := r.profile(id)
	if err != nil {
		return err
	}
	now := time.Now()
	l := letter{Reply: reply, name: p.Name, address: p.Address, language: p.Language, to: to, answers: envelope(header), now: now}
	t := r.agent.Begin("", id) // RFC 3834 §3.3: so that nothing answers it
	defer t.Discard()
	if err := t.Rcpt(to, 0); err != nil {
		return fmt.Errorf("to %s: %w", to, err)
	}
	if err := note(r.s, id, to, reply.window(), now); err != nil {
		return err
	}
	if _, err := t.Write(l.bytes()); err != nil {
		return err
	}
	e := mail.Envelope{UTF8: l.utf8(), Body: mail.Body7Bit, To: []mail.Recipient{{Path: to, Notify: []string{"NEVER"}}}}
	tr := mail.Trace{ID: strings.ToLower(rand.Text()[:15]), Helo: r.o.Host, Protocol: "local", Account: id, Time: now}
	if _, err := t.Commit(e, tr); err != nil {
		return err
	}
	r.sent.Add(1)
	r.o.Log.Info("out-of-office reply", "id", tr.ID, "account", id, "to", to)
	return nil
}

func (r *Responder) profile(id mail.AccountID) (store.Profile, error) {
	a, err := r.s.AccountByID(id)
	if err != nil {
		return store.Profile{}, err
	}
	return a.Profile()
}

func envelope(header []byte) message.Envelope {
	p := message.NewParser()
	p.Write(header)
	return p.Structure().Envelope
}

// sweep forgets what accounts had that are gone.
func (r *Responder) sweep() {
	var gone []string
	r.s.States("vacation/", func(path string, _ []byte) bool {
		var id mail.AccountID
		if _, err := fmt.Sscan(path[strings.LastIndexByte(path, '/')+1:], &id); err != nil {
			return true
		}
		if _, err := r.s.AccountByID(id); errors.Is(err, store.ErrNotFound) {
			gone = append(gone, path)
		}
		return true
	})
	for _, path := range gone {
		if err := r.s.PutState(path, nil); err != nil {
			r.o.Log.Warn("a reply of an account that is gone was not forgotten", "err", err)
		}
	}
}
