package reports

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"homemail/mail"
	"homemail/store"
)

const (
	keepIDs  = 60 * 24 * time.Hour  // how long a report is known again; older ones are not taken
	keepDays = 180 * 24 * time.Hour // a home that writes rarely needs long for 14 days
	early    = 36 * time.Hour       // how far ahead of our clock a report may end: time zones, and clocks
	maxIDs   = 20000                // remembered ones: beyond, what does not count is not taken
	maxHosts = 10000                // organisations that we know to have written to
	hostsFor = time.Hour            // how long that knowledge holds
	maxGone  = 500                  // rows that are forgotten in one commit
)

// Errors of Take.
var (
	ErrForeign = errors.New("the report is about no domain of ours")
	ErrOld     = errors.New("the report is about a time too long ago, or to come")
	ErrTwice   = errors.New("the report was counted before")
	ErrFull    = errors.New("too many reports from those who do not count")
)

// Options are what a Book needs to know.
type Options struct {
	// Addresses returns the addresses that the world sees us at now; nil knows
	// none. Those that stand in our SPF record are learnt from the reports.
	Addresses func() []netip.Addr
	Log       *slog.Logger // slog.Default() if nil
}

// A Book keeps what was reported, and the policies that follow from it. It may
// be used by many at once.
type Book struct {
	s   *store.Store
	o   Options
	odd struct{ unread, unproven, foreign atomic.Int64 }

	mu      sync.Mutex // of the rows of days: who changes one has read it
	ids     int        // how many are remembered, about
	hosts   map[string]bool
	hostsAt time.Time
}

// NewBook returns the Book of a store. It starts nothing.
func NewBook(s *store.Store, o Options) *Book {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Addresses == nil {
		o.Addresses = func() []netip.Addr { return nil }
	}
	return &Book{s: s, o: o}
}

// Odd counts mails since the start that looked like reports and were left
// alone.
type Odd struct {
	Unread   int64 `json:"unread"`   // not understood
	Unproven int64 `json:"unproven"` // passed neither DMARC nor DKIM
	Foreign  int64 `json:"foreign"`  // about domains or times that are not ours
}

// Odd returns the counts.
func (b *Book) Odd() Odd {
	return Odd{Unread: b.odd.unread.Load(), Unproven: b.odd.unproven.Load(), Foreign: b.odd.foreign.Load()}
}

// Take counts a report, a *DMARC or *TLS, once. The reporter is the domain that
// it is proven to come from. ErrTwice, ErrForeign, ErrOld, ErrFull.
func (b *Book) Take(report any, reporter string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts, err := b.counts(reporter)
	if err != nil {
		return err
	}
	if !counts && b.ids >= maxIDs {
		return ErrFull
	}
	var batch store.Batch
	switch r := report.(type) {
	case *DMARC:
		batch, err = b.dmarc(r, reporter, counts)
	case *TLS:
		batch, err = b.tls(r, reporter, counts)
	default:
		return fmt.Errorf("%w: %T", ErrNoReport, report)
	}
	if err != nil {
		return err
	}
	_, err = b.s.Commit(nil, batch) // the days and the id, or neither
	switch {
	case errors.Is(err, store.ErrExists):
		return ErrTwice
	case err == nil:
		b.ids++
	}
	return err
}

func (b *Book) dmarc(r *DMARC, reporter string, counts bool) (store.Batch, error) {
	if !b.s.IsLocal(r.Domain) {
		return store.Batch{}, fmt.Errorf("%w: %s", ErrForeign, r.Domain)
	}
	date, batch, err := begin(r.Begin, r.End, "dmarc", reporter, r.Domain, r.ID)
	if err != nil {
		return batch, err
	}
	return batch, b.change(batch, r.Domain, date, func(d *day) {
		t := room(&d.DMARC, reporter, counts, func(t *tally) bool { return t.Counts })
		if t == nil {
			return
		}
		t.Org, t.Counts = r.Org, counts
		t.Reports++
		t.add(r.Rows, ours{b.local(), b.o.Addresses()})
	})
}

func (b *Book) tls(r *TLS, reporter string, counts bool) (store.Batch, error) {
	date, batch, err := begin(r.Begin, r.End, "tls", reporter, "", r.ID)
	if err != nil {
		return batch, err
	}
	by := map[string][]TLSPolicy{}
	for _, p := range r.Policies {
		if b.s.IsLocal(p.Domain) {
			by[p.Domain] = append(by[p.Domain], p)
		}
	}
	if len(by) == 0 {
		return batch, fmt.Errorf("%w: %s", ErrForeign, r.Policies[0].Domain)
	}
	for domain, policies := range by {
		err := b.change(batch, domain, date, func(d *day) {
			t := room(&d.TLS, reporter, counts, func(t *tlsTally) bool { return t.Counts })
			if t == nil {
				return
			}
			t.Org, t.Counts = r.Org, counts
			t.Reports++
			for _, p := range policies {
				t.add(p)
			}
		})
		if err != nil {
			return batch, err
		}
	}
	return batch, nil
}

// local is IsLocal that asks once for each domain: a report has ten thousand
// rows of few.
func (b *Book) local() func(string) bool {
	asked := map[string]bool{}
	return func(d string) bool {
		is, ok := asked[d]
		if !ok {
			is = b.s.IsLocal(d)
			asked[d] = is
		}
		return is
	}
}

// begin begins the batch of a report with the row by which it is known again.
func begin(from, to time.Time, words ...string) (date string, batch store.Batch, err error) {
	if now := time.Now(); to.After(now.Add(early)) || to.Before(now.Add(-keepIDs)) {
		return "", batch, fmt.Errorf("%w: it ends %s", ErrOld, to.Format(time.RFC3339))
	}
	h := sha256.New()
	for _, w := range append(words, strconv.FormatInt(from.Unix(), 10)) {
		fmt.Fprintf(h, "%d:%s,", len(w), w)
	}
	id := fmt.Sprintf("%s%x", idsAt, h.Sum(nil)[:16])
	until := strconv.FormatInt(to.Add(keepIDs).Unix(), 10) // from then on it is too old
	return dateOf(from, to), store.Batch{State: map[string][]byte{id: []byte(until)}, Unless: id}, nil
}

// change changes a day in a batch.
func (b *Book) change(batch store.Batch, domain, date string, fn func(*day)) error {
	path := dayPath(domain, date)
	old, err := b.s.State(path)
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) { // a damaged one begins anew
		return err
	}
	d := decodeDay(old)
	fn(&d)
	batch.State[path], err = json.Marshal(d)
	return err
}

// counts reports whether a reporter has a reason to know about our mail.
func (b *Book) counts(reporter string) (bool, error) {
	if under(reporter, known) {
		return true, nil
	}
	if under(reporter, freemail) {
		return false, nil
	}
	if now := time.Now(); b.hosts == nil || now.Sub(b.hostsAt) > hostsFor {
		hosts, err := b.writtenTo()
		if err != nil {
			return false, err
		}
		b.hosts, b.hostsAt = hosts, now
	}
	return b.hosts[organisation(reporter)], nil
}

// writtenTo returns the organisations that mail of our people has gone to, as
// long as the queue remembers it.
func (b *Book) writtenTo() (map[string]bool, error) {
	hosts := map[string]bool{}
	err := b.s.Items(true, func(it *store.Item, to []*store.QueueRecipient) bool {
		for _, r := range to {
			if it.Origin == store.Submitted && r.State == store.Relayed {
				hosts[organisation(r.Path.Domain())] = true
			}
		}
		return len(hosts) < maxHosts
	})
	return hosts, err
}

// healthy writes down what our own look at a domain has found. It writes no
// more than two times a day.
func (b *Book) healthy(domain string, well bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := store.Batch{State: map[string][]byte{}}
	changed := false
	err := b.change(batch, domain, time.Now().UTC().Format(dateLayout), func(d *day) {
		was := *d
		d.Well, d.Ill = d.Well || well, d.Ill || !well
		changed = was.Well != d.Well || was.Ill != d.Ill
	})
	if err != nil || !changed {
		return err
	}
	_, err = b.s.Commit(nil, batch)
	return err
}

// sweep forgets what is too old.
func (b *Book) sweep(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := map[string][]byte{}
	ids := 0
	err := b.s.States(idsAt, func(path string, v []byte) bool {
		until, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil || now.Unix() > until {
			gone[path] = nil
		} else {
			ids++
		}
		return true
	})
	if err != nil {
		return err
	}
	b.ids = ids
	last := now.Add(-keepDays).UTC().Format(dateLayout)
	err = b.s.States(daysAt, func(path string, _ []byte) bool {
		if domain, date := cutDay(path); date < last || !b.s.IsLocal(domain) {
			gone[path] = nil
		}
		return true
	})
	for rest := slices.Collect(maps.Keys(gone)); err == nil && len(rest) > 0; {
		part := map[string][]byte{}
		for _, path := range rest[:min(len(rest), maxGone)] {
			part[path] = nil
		}
		rest = rest[len(part):]
		_, err = b.s.Commit(nil, store.Batch{State: part})
	}
	return err
}

// addressed reports whether mail to p is what our DNS records ask reports to be
// sent to.
func (b *Book) addressed(p mail.Path) bool {
	return p.Key().Local() == "postmaster" && b.s.IsLocal(p.Domain())
}
