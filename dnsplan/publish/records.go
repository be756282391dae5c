package publish

import (
	"context"
	"fmt"
	"sync"

	"github.com/libdns/libdns"
)

// An item is one record, with the id by which its provider knows it.
type item struct {
	id string
	libdns.RR
}

// recordAPI is a provider that thinks in single records.
type recordAPI interface {
	list(ctx context.Context, zone string) ([]item, error)
	create(ctx context.Context, zone string, rr libdns.RR) error
	update(ctx context.Context, zone, id string, rr libdns.RR) error
	remove(ctx context.Context, zone, id string) error
}

// A refresher is a provider that wants to be told when changes are complete.
type refresher interface {
	refresh(ctx context.Context, zone string) error
}

// byRecord makes a Provider of a recordAPI. A record is found by its name, type
// and value, and changed by its id: never by less.
type byRecord struct {
	api recordAPI
	mu  *sync.Mutex
}

func newByRecord(api recordAPI) Provider { return byRecord{api, &sync.Mutex{}} }

// lacks reports whether the provider has no records of a type.
func (b byRecord) lacks(rtype string) bool {
	l, ok := b.api.(interface{ lacks(rtype string) bool })
	return ok && l.lacks(rtype)
}

func (b byRecord) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	items, err := b.api.list(ctx, canonical(zone))
	if err != nil {
		return nil, err
	}
	out := make([]libdns.Record, len(items))
	for i, it := range items {
		out[i] = it.RR
	}
	return out, nil
}

func (b byRecord) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return b.edit(ctx, zone, records, func(zone string, group []libdns.Record, there []item) error {
		missing, _ := compareItems(group, there)
		for _, rr := range missing {
			if err := b.api.create(ctx, zone, rr); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b byRecord) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return b.edit(ctx, zone, records, func(zone string, group []libdns.Record, there []item) error {
		for _, it := range there {
			if !inGroup(it, group) {
				continue
			}
			if err := b.api.remove(ctx, zone, it.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetRecords changes a record in place where one goes and one comes, so that
// the name is never without, nor with both: two SPF records are none.
func (b byRecord) SetRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return b.edit(ctx, zone, records, func(zone string, group []libdns.Record, there []item) error {
		missing, extra := compareItems(group, there)
		for len(missing) > 0 && len(extra) > 0 {
			if err := b.api.update(ctx, zone, extra[0].id, missing[0]); err != nil {
				return err
			}
			missing, extra = missing[1:], extra[1:]
		}
		for _, rr := range missing {
			if err := b.api.create(ctx, zone, rr); err != nil {
				return err
			}
		}
		for _, it := range extra {
			if err := b.api.remove(ctx, zone, it.id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b byRecord) edit(ctx context.Context, zone string, records []libdns.Record, change func(zone string, group []libdns.Record, there []item) error) ([]libdns.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	zone = canonical(zone)
	all, err := b.api.list(ctx, zone)
	if err != nil {
		return nil, err
	}
	var done []libdns.Record
	for _, group := range groups(records) {
		first := group[0].RR()
		var there []item
		for _, it := range all {
			if it.Name == first.Name && it.Type == first.Type {
				there = append(there, it)
			}
		}
		if err = change(zone, group, there); err != nil {
			err = fmt.Errorf("%s %s: %w", absolute(first.Name, zone), first.Type, err)
			break
		}
		done = append(done, group...)
	}
	if r, ok := b.api.(refresher); ok {
		if e := r.refresh(ctx, zone); err == nil {
			err = e
		}
	}
	return done, err
}

// compareItems returns what of a group is not there, and what is there beside it.
func compareItems(group []libdns.Record, there []item) (missing []libdns.RR, extra []item) {
	found := map[string]bool{}
	for _, it := range there {
		d := form(it.RR)
		if inGroup(it, group) && !found[d] {
			found[d] = true
		} else {
			extra = append(extra, it)
		}
	}
	for _, r := range group {
		rr := r.RR()
		if rr.Data = form(rr); !found[rr.Data] {
			missing = append(missing, rr)
			found[rr.Data] = true
		}
	}
	return missing, extra
}

func inGroup(it item, group []libdns.Record) bool {
	d := form(it.RR)
	for _, r := range group {
		if form(r.RR()) == d {
			return true
		}
	}
	return false
}
