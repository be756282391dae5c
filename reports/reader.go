package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"homemail/mail"
	"homemail/store"
)

const (
	relook    = 10 * time.Minute // how often all mailboxes are looked at, whatever the watches say
	healthy   = time.Hour        // how often our own health is asked for
	sweepEach = 24 * time.Hour
	maxFirst  = 5000 // messages that are looked at in a mailbox never seen before
)

// ReaderOptions say what a Reader follows.
type ReaderOptions struct {
	// Host is our name in the Authentication-Results that were written on
	// delivery.
	Host string
	// Owns reports whether mail to an address comes to an account, as
	// deliver.Agent does.
	Owns func(mail.AccountID, mail.Path) bool
	// Healthy reports whether the certificate in use is good for the mail host
	// and for mta-sts.DOMAIN, and the policy can be had. It is asked once an
	// hour for each domain that has MTA-STS. Nil does not know.
	Healthy func(ctx context.Context, domain string) bool
	// Trusted reports whether the clock is right, nil if it always is. While it
	// is not, nothing is read: the mail waits.
	Trusted func() bool
	Log     *slog.Logger // slog.Default() if nil
}

// A Reader follows the mailboxes that reports come to and writes what it finds
// into a Book.
type Reader struct {
	b       *Book
	s       *store.Store
	o       ReaderOptions
	cursors map[place]*cursor
	watches map[place]*store.Watch
	wake    chan struct{}
}

// A place is a mailbox.
type place struct {
	account mail.AccountID
	mailbox mail.MailboxID
}

// A cursor is how far a mailbox was read. If one is lost the messages are read
// again, and the reports in them are known by their ids.
type cursor struct {
	Validity uint32      `json:"validity"`
	UID      mail.UID    `json:"uid"`
	ModSeq   mail.ModSeq `json:"modseq"`
	saved    mail.UID
}

// NewReader returns a Reader that writes into b. It starts nothing.
func NewReader(b *Book, o ReaderOptions) *Reader {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	return &Reader{b: b, s: b.s, o: o, cursors: map[place]*cursor{}, watches: map[place]*store.Watch{}, wake: make(chan struct{}, 1)}
}

// Run reads reports as they come, until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	profiles, domains := r.s.WatchProfiles(), r.s.WatchDomains()
	defer profiles.Close()
	defer domains.Close()
	ctx, stop := context.WithCancel(ctx)
	var ends []<-chan struct{}
	defer func() {
		stop()
		for _, end := range ends {
			<-end
		}
		for _, w := range r.watches {
			w.Close()
		}
		r.save()
	}()
	tick := time.NewTicker(relook)
	defer tick.Stop()
	var swept, looked time.Time
	for all := true; ; {
		if r.o.Trusted() {
			if all {
				ends = append(ends, r.follow(ctx)...)
			}
			r.read(ctx)
			if now := time.Now(); now.Sub(looked) >= healthy {
				looked = now
				r.look(ctx)
			}
			if now := time.Now(); now.Sub(swept) >= sweepEach {
				swept = now
				r.warn("old reports were not forgotten", r.b.sweep(now))
			}
		}
		all = true
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.save()
		case <-r.wake:
			all = len(r.watches) == 0 // the clock was wrong until now
		case <-profiles.C:
		case <-domains.C:
		}
	}
}

// warn logs an error, unless the store has ended, which others tell.
func (r *Reader) warn(what string, err error, args ...any) {
	if err != nil && r.s.Broken() == nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, context.Canceled) {
		r.o.Log.Warn(what, append(args, "err", err)...)
	}
}

// follow watches the mailboxes that mail to postmaster comes to: inboxes, and
// where junk is filed. It returns what closes as its watching ends.
func (r *Reader) follow(ctx context.Context) (ends []<-chan struct{}) {
	now, err := r.places()
	if err != nil {
		r.warn("the mailboxes of reports were not found", err)
		return nil
	}
	for at, w := range r.watches {
		if now[at] == nil {
			w.Close()
			delete(r.watches, at)
			delete(r.cursors, at)
		}
	}
	for at, a := range now {
		if r.watches[at] != nil {
			continue
		}
		w := a.Watch(at.mailbox)
		r.watches[at], r.cursors[at] = w, r.load(at)
		end := make(chan struct{})
		ends = append(ends, end)
		go func() {
			defer close(end)
			r.forward(ctx, w)
		}()
	}
	return ends
}

// forward wakes the Reader when a mailbox changes.
func (r *Reader) forward(ctx context.Context, w *store.Watch) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.C:
			select {
			case r.wake <- struct{}{}:
			default: // it is awake already
			}
		}
	}
}

func (r *Reader) places() (map[place]*store.Account, error) {
	profiles, err := r.s.Accounts()
	if err != nil {
		return nil, err
	}
	domains, err := r.s.Domains()
	if err != nil {
		return nil, err
	}
	out := map[place]*store.Account{}
	for _, p := range profiles {
		if p.Disabled || !r.gets(p.ID, domains) {
			continue
		}
		a, err := r.s.AccountByID(p.ID)
		if err != nil {
			continue // removed a moment ago
		}
		for _, use := range []mail.SpecialUse{mail.Inbox, mail.Junk} {
			if m, err := a.MailboxFor(use); err == nil {
				out[place{p.ID, m.ID}] = a
			}
		}
	}
	return out, nil
}

// gets reports whether an account gets mail to the postmaster of a domain.
func (r *Reader) gets(id mail.AccountID, domains []string) bool {
	for _, d := range domains {
		if r.o.Owns(id, mail.Path("postmaster@"+d)) {
			return true
		}
	}
	return false
}

func (p place) path() string { return fmt.Sprintf("%s%d/%d", cursorsAt, p.account, p.mailbox) }

func (r *Reader) load(at place) *cursor {
	c := &cursor{}
	v, err := r.s.State(at.path())
	if err == nil {
		err = json.Unmarshal(v, c)
	}
	if err != nil {
		return &cursor{}
	}
	c.saved = c.UID
	return c
}

// save writes the cursors down. It is not done for each message: what is looked
// at again after a crash does no harm.
func (r *Reader) save() {
	for at, c := range r.cursors {
		if c.UID == c.saved {
			continue
		}
		v, err := json.Marshal(c)
		if err == nil {
			err = r.s.PutState(at.path(), v)
		}
		if err != nil {
			r.warn("how far reports were read was not written down", err)
			return
		}
		c.saved = c.UID
	}
}

// look writes down how each domain on trial is, as we see it.
func (r *Reader) look(ctx context.Context) {
	if r.o.Healthy == nil {
		return
	}
	domains, err := r.s.Domains()
	if err != nil {
		r.warn("the health of the domains was not written down", err)
		return
	}
	for _, d := range domains {
		p, err := r.b.Policy(d)
		if err != nil || p.STS == "none" {
			continue
		}
		well := r.o.Healthy(ctx, d)
		if ctx.Err() != nil {
			return // it could not answer
		}
		r.warn("the health of a domain was not written down", r.b.healthy(d, well), "domain", d)
	}
}
