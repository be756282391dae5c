package publish

import (
	"context"

	"github.com/libdns/libdns"
)

// A Turn lets one at a time change a zone: what reads a set of records and then
// writes it would undo what another has written between. The zero Turn is for a
// zone that nobody else changes.
type Turn chan struct{}

// NewTurn returns a Turn that is free. All who change a zone have to share it.
func NewTurn() Turn { return make(Turn, 1) }

// take waits for the turn; leave gives it to the next.
func (t Turn) take(ctx context.Context) (leave func(), err error) {
	if t == nil {
		return func() {}, ctx.Err()
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Challenges is a zone as ACME's DNS-01 changes it: each change has its turn.
type Challenges struct{ Zone Zone }

// AppendRecords adds records to the zone.
func (c Challenges) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	leave, err := c.Zone.Turn.take(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return c.Zone.Provider.AppendRecords(ctx, zone, records)
}

// DeleteRecords takes exactly these records out of the zone.
func (c Challenges) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	leave, err := c.Zone.Turn.take(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return c.Zone.Provider.DeleteRecords(ctx, zone, records)
}
