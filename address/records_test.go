package address

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"homemail/dnsplan"
	"homemail/dnsplan/publish"
)

// memory is a provider as libdns describes it.
type memory struct {
	mu   sync.Mutex
	rr   []libdns.RR
	fail int // write that fails, counted down
}

var errBroken = errors.New("the line broke")

func (m *memory) GetRecords(context.Context, string) (out []libdns.Record, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rr {
		out = append(out, r)
	}
	return out, nil
}

func (m *memory) write(list []libdns.Record, drop func(have, given libdns.RR) bool, add bool) ([]libdns.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail--; m.fail == 0 {
		return nil, errBroken
	}
	m.rr = slices.DeleteFunc(m.rr, func(have libdns.RR) bool {
		return slices.ContainsFunc(list, func(r libdns.Record) bool { return drop(have, r.RR()) })
	})
	for _, r := range list {
		if add {
			m.rr = append(m.rr, r.RR())
		}
	}
	return list, nil
}

func (m *memory) AppendRecords(_ context.Context, _ string, l []libdns.Record) ([]libdns.Record, error) {
	return m.write(l, func(have, given libdns.RR) bool { return false }, true)
}

func (m *memory) SetRecords(_ context.Context, _ string, l []libdns.Record) ([]libdns.Record, error) {
	return m.write(l, func(have, given libdns.RR) bool { return have.Name == given.Name && have.Type == given.Type }, true)
}

func (m *memory) DeleteRecords(_ context.Context, _ string, l []libdns.Record) ([]libdns.Record, error) {
	return m.write(l, func(have, given libdns.RR) bool { return have == given }, false)
}

func (m *memory) text() string {
	var out []string
	for _, r := range m.rr {
		out = append(out, r.Name+" "+r.Type+" "+r.Data)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func newRecords(m *memory, host string) *Records {
	return &Records{
		Zone: publish.Zone{Name: "example.org", Provider: m}, Publisher: publish.New(publish.Options{}),
		Plan: func(_ context.Context, addrs []netip.Addr) ([]dnsplan.Record, error) {
			return dnsplan.Plan(dnsplan.Input{
				Domain: "example.org", Host: host, Mode: dnsplan.Direct, Addrs: addrs, Fixed: true, DMARCReports: "dmarc@example.org",
				Existing: dnsplan.Existing{SPF: []string{"v=spf1 include:other.example ~all"}},
			})
		},
	}
}

func rr(name, rtype, data string) libdns.RR {
	return libdns.RR{Name: name, Type: rtype, Data: data, TTL: time.Hour}
}

// Only what holds an address moves; the rest is as somebody has made it.
func TestRecords(t *testing.T) {
	m := &memory{rr: []libdns.RR{
		rr("@", "TXT", "proof=1"), rr("@", "TXT", "v=spf1 ip4:203.0.113.1 ip6:2001:db8::1 include:other.example ~all"),
		rr("mail", "A", "203.0.113.1"), rr("mail", "AAAA", "2001:db8::1"), rr("@", "MX", "10 mx.elsewhere.example."), rr("www", "A", "198.51.100.7"),
	}}
	r := newRecords(m, "mail.example.org")
	if err := r.Update(t.Context(), []Addrs{{a4, a6}}, Addrs{b4, a6}); err != nil {
		t.Fatal(err)
	}
	want := `@ MX 10 mx.elsewhere.example.
@ TXT proof=1
@ TXT v=spf1 ip4:203.0.113.2 ip6:2001:db8::1 include:other.example ~all
mail A 203.0.113.2
mail AAAA 2001:db8::1
www A 198.51.100.7`
	if m.text() != want {
		t.Errorf("moved:\n%s\nwant:\n%s", m.text(), want)
	}
	if err := r.Update(t.Context(), []Addrs{{b4, a6}}, Addrs{V4: b4}); err != nil || strings.Contains(m.text(), "AAAA") || strings.Contains(m.text(), "ip6") {
		t.Errorf("without IPv6: %v\n%s", err, m.text())
	}
}

// At the domain itself only what we had published is ours.
func TestRecordsAtDomain(t *testing.T) {
	m := &memory{rr: []libdns.RR{rr("@", "A", "203.0.113.1")}}
	r := newRecords(m, "example.org")
	if err := r.Update(t.Context(), []Addrs{{V4: a4}}, Addrs{V4: b4}); err != nil || !strings.Contains(m.text(), "@ A 203.0.113.2") {
		t.Errorf("ours: %v\n%s", err, m.text())
	}
	m = &memory{rr: []libdns.RR{rr("@", "A", "198.51.100.7")}}
	for _, was := range [][]Addrs{nil, {{V4: a4}}} {
		if err := newRecords(m, "example.org").Update(t.Context(), was, Addrs{V4: b4}); !errors.Is(err, ErrInTheWay) || !strings.Contains(m.text(), "@ A 198.51.100.7") {
			t.Errorf("others': %v\n%s", err, m.text())
		}
	}
}

// Broken off half way, the next try ends it, also with another address.
func TestRecordsHalfWay(t *testing.T) {
	m := &memory{rr: []libdns.RR{rr("mail", "A", "203.0.113.1"), rr("mail", "AAAA", "2001:db8::1")}, fail: 2}
	r := newRecords(m, "mail.example.org")
	if err := r.Update(t.Context(), []Addrs{{a4, a6}}, Addrs{b4, b6}); !errors.Is(err, errBroken) {
		t.Fatalf("half way: %v", err)
	}
	if err := r.Update(t.Context(), []Addrs{{b4, b6}, {a4, a6}}, Addrs{a4, b6}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"mail A 203.0.113.1", "mail AAAA 2001:db8::2"} {
		if !strings.Contains(m.text(), line) {
			t.Errorf("%s is not there:\n%s", line, m.text())
		}
	}
}
