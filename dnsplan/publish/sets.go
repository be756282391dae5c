package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libdns/libdns"

	"homemail/dnsplan"
)

// A set is all records of one name and type, as providers have it that think in
// such sets.
type set struct {
	name, rtype string // relative to the zone, "@" for itself
	ttl         time.Duration
	values      []value
	byHand      bool // it is more than DNS records, and never written
}

// A value has its text in libdns' form, and as the provider writes it, with its
// note: what is not ours goes back as it came.
type value struct{ data, raw, note string }

// setAPI is a provider that thinks in sets.
type setAPI interface {
	sets(ctx context.Context, zone string) ([]set, error)
	// put lets a set be as given, and go if it has no values. old is what stood
	// there, nil for nothing.
	put(ctx context.Context, zone string, s set, old *set) error
}

// bulkAPI is one that changes many sets at once, all or none.
type bulkAPI interface {
	putAll(ctx context.Context, zone string, sets []set) error
}

// bySet makes a Provider of a setAPI.
type bySet struct {
	api setAPI
	mu  *sync.Mutex // reading, changing and writing a set is one thing
}

func newBySet(api setAPI) Provider { return bySet{api, &sync.Mutex{}} }

func (b bySet) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	sets, err := b.api.sets(ctx, canonical(zone))
	if err != nil {
		return nil, err
	}
	var out []libdns.Record
	for _, s := range sets {
		for _, v := range s.values {
			out = append(out, libdns.RR{Name: s.name, Type: s.rtype, TTL: s.ttl, Data: v.data})
		}
	}
	return out, nil
}

func (b bySet) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return b.edit(ctx, zone, records, func(now []value, given []value) []value {
		for _, v := range given {
			if !hasValue(now, v) {
				now = append(now, v)
			}
		}
		return now
	})
}

func (b bySet) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return b.edit(ctx, zone, records, func(now []value, given []value) []value {
		return slices.DeleteFunc(now, func(v value) bool { return hasValue(given, v) })
	})
}

func (b bySet) SetRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return b.edit(ctx, zone, records, func(now []value, given []value) []value {
		for i, v := range given {
			if j := slices.IndexFunc(now, func(n value) bool { return n.data == v.data }); j >= 0 {
				given[i] = now[j]
			}
		}
		return given
	})
}

func hasValue(list []value, v value) bool {
	return slices.ContainsFunc(list, func(w value) bool { return w.data == v.data })
}

// edit reads the sets that records are of, changes each and writes it.
func (b bySet) edit(ctx context.Context, zone string, records []libdns.Record, change func(now, given []value) []value) ([]libdns.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	zone = canonical(zone)
	there, err := b.api.sets(ctx, zone)
	if err != nil {
		return nil, err
	}
	var wants []set
	var olds []*set
	for _, group := range groups(records) {
		want, old := edited(there, group, change)
		if old != nil && slices.Equal(old.values, want.values) || old == nil && len(want.values) == 0 {
			continue
		}
		wants, olds = append(wants, want), append(olds, old)
	}
	if bulk, ok := b.api.(bulkAPI); ok && len(wants) > 0 {
		return records, bulk.putAll(ctx, zone, wants)
	}
	for i, want := range wants {
		if err := b.api.put(ctx, zone, want, olds[i]); err != nil {
			return nil, fmt.Errorf("%s %s: %w", absolute(want.name, zone), want.rtype, err)
		}
	}
	return records, nil
}

// edited is what a change of records makes of the set that they are of.
func edited(there []set, group []libdns.Record, change func(now, given []value) []value) (want set, old *set) {
	first := group[0].RR()
	want = set{name: first.Name, rtype: first.Type, ttl: first.TTL}
	var given []value
	for _, r := range group {
		rr := r.RR()
		given = append(given, value{data: form(rr), raw: written(rr.Type, form(rr))})
	}
	for i := range there {
		if s := &there[i]; s.name == want.name && s.rtype == want.rtype {
			old = s
			want.values = slices.Clone(s.values)
		}
	}
	want.values = change(want.values, given)
	return want, old
}

// groups are records by name and type, in the order in which they came.
func groups(records []libdns.Record) [][]libdns.Record {
	var out [][]libdns.Record
	at := map[string]int{}
	for _, r := range records {
		k := key(r.RR().Name, r.RR().Type)
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k], out = i, append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// form is a record's data as we compare and write it: in libdns' form, names
// with their final dot.
func form(rr libdns.RR) string { return data(rr.Type, plain(rr)) }

// written is data as in a zone file.
func written(rtype, d string) string {
	if rtype == "TXT" {
		return dnsplan.TXTStrings(d)
	}
	return d
}

// spoken is the reverse of written. What is not in quotes is taken as it is:
// not all providers quote.
func spoken(rtype, raw string) string {
	if rtype != "TXT" {
		return form(libdns.RR{Type: rtype, Data: raw})
	}
	s := strings.TrimSpace(raw)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return raw
	}
	var b strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			in = !in
		case !in && c != ' ' && c != '\t':
			return raw // no list of strings
		case !in:
		case c == '\\' && i+3 < len(s) && digits(s[i+1:i+4]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0') // RFC 1035 §5.1
			i += 3
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// digits reports whether s is a number of three digits that a byte can hold.
func digits(s string) bool {
	return strings.Trim(s, "0123456789") == "" && s <= "255"
}
