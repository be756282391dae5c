package certs

import (
	"context"
	"errors"
	"time"

	"github.com/libdns/libdns"
	"github.com/mholt/acmez/v3/acme"
)

// A Zone is where a record answers a challenge of DNS-01, RFC 8555 §8.4.
type Zone struct {
	Name     string // in A-labels, without a final dot
	Provider DNSProvider

	// Seen reports whether the servers of the zone show a TXT record to the
	// world; an error says that they could not be asked.
	Seen func(ctx context.Context, name, value string) (bool, error)
}

const (
	challengeTTL = time.Minute
	seenEvery    = 2 * time.Second
	seenTime     = 2 * time.Minute  // for a DNS host to show what it was given
	blindTime    = 30 * time.Second // the same, where we are not let look
	cleanTime    = 10 * time.Second // to take a record away, also when we are to stop
)

// errUnseen is a record that was given to the DNS host and is not there.
var errUnseen = errors.New("the DNS host does not show the record")

// dnsSolver answers one challenge. The zone is known, so that nobody has to be
// asked for it: the system's resolvers may be others than ours.
type dnsSolver struct {
	zone            *Zone
	blind, patience time.Duration
	left            leftovers
	added           []libdns.Record
}

func (s *dnsSolver) Present(ctx context.Context, c acme.Challenge) (err error) {
	rr := libdns.TXT{
		Name: libdns.RelativeName(c.DNS01TXTRecordName(), s.zone.Name),
		Text: c.DNS01KeyAuthorization(), TTL: challengeTTL,
	}
	if err := s.left.keep(c.DNS01TXTRecordName(), c.DNS01KeyAuthorization()); err != nil {
		return err
	}
	s.added = []libdns.Record{rr} // though it failed: its answer may be what was lost
	if _, err = s.zone.Provider.AppendRecords(ctx, s.zone.Name+".", s.added); err != nil {
		return providerError{err}
	}
	return nil
}

// Wait is until the CA can see the record: it looks once, and an order that has
// failed costs an hour.
func (s *dnsSolver) Wait(ctx context.Context, c acme.Challenge) error {
	blind := true
	for began := time.Now(); ; {
		ok, err := s.zone.Seen(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
		switch blind = blind && err != nil; {
		case ctx.Err() != nil:
			return ctx.Err()
		case ok:
			return nil
		case blind && time.Since(began) >= s.blind:
			return nil // let the CA see
		case time.Since(began) >= s.patience:
			return errUnseen
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(seenEvery):
		}
	}
}

func (s *dnsSolver) CleanUp(ctx context.Context, c acme.Challenge) error {
	if len(s.added) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	if _, err := s.zone.Provider.DeleteRecords(ctx, s.zone.Name+".", s.added); err != nil {
		return err
	}
	return s.left.forget(c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}
