package search

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/mail"
	"homemail/store"
)

// ErrSequence says that criteria have sequence numbers, which only a session
// knows.
var ErrSequence = errors.New("a search by sequence numbers")

// Search returns the messages of a mailbox that fit criteria, by UID. It is for
// callers without a session: criteria with sequence numbers are ErrSequence. A
// session, which knows its flags, asks Match for each key of text instead.
func (x *Index) Search(ctx context.Context, a *store.Account, mbox mail.MailboxID, c *imap.SearchCriteria) ([]mail.UID, error) {
	entries, err := a.Entries(mbox)
	if err != nil {
		return nil, err
	}
	q := &query{x: x, a: a, mbox: mbox, entries: entries}
	among := make([]mail.UID, len(entries))
	for i, e := range entries {
		among[i] = e.UID
	}
	return q.all(ctx, c, among)
}

// A query is one Search.
type query struct {
	x       *Index
	a       *store.Account
	mbox    mail.MailboxID
	entries []store.Entry
}

// all returns those of among that fit all of c, asking what is cheap first.
func (q *query) all(ctx context.Context, c *imap.SearchCriteria, among []mail.UID) (_ []mail.UID, err error) {
	if len(c.SeqNum) > 0 {
		return nil, ErrSequence
	}
	among = q.byEntry(c, among)
	if needsDates(c) {
		if among, err = q.byDate(c, among); err != nil {
			return nil, err
		}
	}
	for _, k := range Keys(c) {
		if len(among) == 0 {
			return nil, nil
		}
		if among, err = q.x.Match(ctx, q.a, q.mbox, k, among); err != nil {
			return nil, err
		}
	}
	for i := range c.Not {
		hits, err := q.all(ctx, &c.Not[i], among)
		if err != nil {
			return nil, err
		}
		among = without(among, hits)
	}
	for i := range c.Or {
		left, err := q.all(ctx, &c.Or[i][0], among)
		if err != nil {
			return nil, err
		}
		right, err := q.all(ctx, &c.Or[i][1], without(among, left))
		if err != nil {
			return nil, err
		}
		among = append(slices.Clone(left), right...)
		slices.Sort(among)
	}
	return among, ctx.Err()
}

// Keys are the keys of criteria that ask for text, but for those below NOT and
// OR.
func Keys(c *imap.SearchCriteria) (list []Key) {
	for _, h := range c.Header {
		list = append(list, Key{Where: InHeader, Field: h.Key, Value: h.Value})
	}
	for _, s := range c.Body {
		list = append(list, Key{Where: InBody, Value: s})
	}
	for _, s := range c.Text {
		list = append(list, Key{Where: InText, Value: s})
	}
	return list
}

// byEntry keeps those that fit by UID, flags, size and modseq.
func (q *query) byEntry(c *imap.SearchCriteria, among []mail.UID) (out []mail.UID) {
	i := 0
	for _, uid := range among {
		for i < len(q.entries) && q.entries[i].UID < uid {
			i++
		}
		if i < len(q.entries) && q.entries[i].UID == uid && entryFits(c, &q.entries[i]) {
			out = append(out, uid)
		}
	}
	return out
}

func entryFits(c *imap.SearchCriteria, e *store.Entry) bool {
	for _, set := range c.UID {
		if !set.Contains(imap.UID(e.UID)) {
			return false
		}
	}
	return !slices.ContainsFunc(c.Flag, func(f imap.Flag) bool { return !hasFlag(e, string(f)) }) &&
		!slices.ContainsFunc(c.NotFlag, func(f imap.Flag) bool { return hasFlag(e, string(f)) }) &&
		(c.Larger == 0 || e.Size > c.Larger) && (c.Smaller == 0 || e.Size < c.Smaller) &&
		(c.ModSeq == nil || uint64(e.ModSeq) >= c.ModSeq.ModSeq)
}

func hasFlag(e *store.Entry, name string) bool {
	if bit, ok := mail.ParseFlag(name); ok {
		return e.Flags.Has(bit)
	}
	return slices.ContainsFunc(e.Keywords, func(w string) bool { return strings.EqualFold(w, name) })
}

func needsDates(c *imap.SearchCriteria) bool {
	return !c.Since.IsZero() || !c.Before.IsZero() || !c.SentSince.IsZero() || !c.SentBefore.IsZero()
}

// byDate keeps those that fit by their dates.
func (q *query) byDate(c *imap.SearchCriteria, among []mail.UID) ([]mail.UID, error) {
	if !c.Since.IsZero() || !c.Before.IsZero() {
		var out []mail.UID
		err := q.a.Summaries(q.mbox, among, func(s *store.Summary) error {
			if dateFits(s.Date, c.Since, c.Before) {
				out = append(out, s.UID)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("dates: %w", err)
		}
		among = out
	}
	if c.SentSince.IsZero() && c.SentBefore.IsZero() {
		return among, nil
	}
	var out []mail.UID
	err := q.a.SortKeys(q.mbox, among, func(k *store.SortKeys) error {
		if k.Dated && dateFits(k.Sent, c.SentSince, c.SentBefore) {
			out = append(out, k.UID)
		}
		return nil
	})
	return out, err
}

// dateFits compares dates as they are written, without time and zone,
// RFC 9051 §6.4.4.
func dateFits(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}

// without returns list without those of gone; both ascend.
func without(list, gone []mail.UID) []mail.UID {
	var out []mail.UID
	for _, uid := range list {
		for len(gone) > 0 && gone[0] < uid {
			gone = gone[1:]
		}
		if len(gone) == 0 || gone[0] != uid {
			out = append(out, uid)
		}
	}
	return out
}
