package search

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"homemail/mail"
	"homemail/mail/text"
	"homemail/store"
)

// A Place is where a Key looks.
type Place int

// The places: the text of the body; header and body; the fields of one name.
const (
	InBody Place = iota
	InText
	InHeader
)

// A Key is a search key that asks for text: BODY, TEXT, HEADER, and FROM, TO,
// CC, BCC and SUBJECT, which are HEADER of their names.
type Key struct {
	Where Place
	Field string // of InHeader, in any case
	Value string // a substring; with InHeader "" asks only for the field
}

// An Index answers searches of a store. It is safe for concurrent use.
type Index struct {
	store  *store.Store
	log    *slog.Logger
	settle time.Duration

	work  sync.Mutex // held to change the index
	known map[boxID]mail.ModSeq

	mu     sync.Mutex
	doomed map[mail.AccountID]bool // indexes to be made anew
	poke   chan struct{}           // there is something to do
}

// New returns the index of a store. It starts nothing: see Run.
func New(s *store.Store, log *slog.Logger) *Index {
	return &Index{store: s, log: log, settle: settle, known: make(map[boxID]mail.ModSeq), doomed: make(map[mail.AccountID]bool), poke: make(chan struct{}, 1)}
}

// Match returns those messages of a mailbox that fit a key, by UID: of among,
// which ascends, or of all if it is nil. The hits are exact: a message fits if
// the key's value is a substring of its text, as package text folds both.
// Messages that are damaged are logged and do not fit. It ends with ctx's
// error.
func (x *Index) Match(ctx context.Context, a *store.Account, mbox mail.MailboxID, k Key, among []mail.UID) ([]mail.UID, error) {
	if among == nil {
		_, uids, err := a.Open(mbox)
		if err != nil {
			return nil, err
		}
		among = slices.Collect(uids.All())
	}
	want := text.Fold(nil, []byte(k.Value))
	k.Field = strings.ToLower(k.Field)
	if k.Where != InHeader && len(want) == 0 {
		return among, ctx.Err()
	}
	if k.Where == InHeader && strings.ContainsFunc(k.Field, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, ctx.Err()
	}
	var hits, open []mail.UID
	err := a.ViewDerived(func(get func(string) ([]byte, error)) (err error) {
		hits, open, err = lookupIn(get, mbox, k, want, among)
		return err
	})
	if err != nil {
		x.distrust(a, err)
		hits, open = nil, among
	}
	more, err := x.read(ctx, a, mbox, k, open)
	if len(more) > 0 {
		hits = append(hits, more...)
		slices.Sort(hits)
	}
	if err == nil {
		err = ctx.Err()
	}
	return hits, err
}

// readers is how many messages are read at once, on as many processors.
const readers = 4

// readFew is how many messages are not worth another reader.
const readFew = 32

// read reads messages to find those that fit.
func (x *Index) read(ctx context.Context, a *store.Account, mbox mail.MailboxID, k Key, uids []mail.UID) ([]mail.UID, error) {
	n := min(readers, runtime.GOMAXPROCS(0), (len(uids)+readFew-1)/readFew)
	if n <= 1 {
		return x.scan(ctx, a, mbox, k, uids)
	}
	found := make([][]mail.UID, n)
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		part := uids[len(uids)*i/n : len(uids)*(i+1)/n]
		g.Go(func() (err error) {
			found[i], err = x.scan(ctx, a, mbox, k, part)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(found...), err
}

// scan reads messages, one after another, to find those that fit.
func (x *Index) scan(ctx context.Context, a *store.Account, mbox mail.MailboxID, k Key, uids []mail.UID) (hits []mail.UID, err error) {
	for rest := uids; len(rest) > 0; {
		err := a.Messages(mbox, rest, func(m *store.Message) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			i, _ := slices.BinarySearch(rest, m.UID)
			rest = rest[min(i+1, len(rest)):]
			hit, err := holds(a, m, k)
			switch {
			case errors.Is(err, store.ErrNotFound): // expunged meanwhile
				return nil
			case errors.Is(err, store.ErrCorrupt):
				x.log.Error("search: a message is damaged", "mailbox", mbox, "uid", m.UID, "err", err)
				return nil
			case hit:
				hits = append(hits, m.UID)
			}
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrCorrupt) || len(rest) == 0 {
			return hits, err
		}
		// The record behind the last that was read: go on behind it.
		x.log.Error("search: a message is damaged", "mailbox", mbox, "err", err)
		rest = x.behind(a, mbox, rest)
	}
	return hits, nil
}

// behind passes over the messages at the start of uids whose records cannot be
// read.
func (x *Index) behind(a *store.Account, mbox mail.MailboxID, uids []mail.UID) []mail.UID {
	for len(uids) > 0 {
		_, err := a.Message(mbox, uids[0])
		uids = uids[1:]
		if errors.Is(err, store.ErrCorrupt) {
			break
		}
	}
	return uids
}
