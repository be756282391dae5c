package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/address"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/mail"
	"homemail/reports"
	"homemail/resolver"
	"homemail/store"
)

// fixedDNS has addresses of every name, and nothing else.
type fixedDNS []netip.Addr

func (fixedDNS) Records(context.Context, string, string) (resolver.Answer[string], error) {
	return resolver.Answer[string]{}, &net.DNSError{IsNotFound: true}
}

func (fixedDNS) Ask(context.Context, netip.AddrPort, string, string) (resolver.Answer[string], error) {
	return resolver.Answer[string]{}, &net.DNSError{IsNotFound: true}
}

func (d fixedDNS) IP(context.Context, string) (resolver.Answer[netip.Addr], error) {
	return resolver.Answer[netip.Addr]{List: d}, nil
}

func (fixedDNS) Flush(string) {}

func TestPublicAddresses(t *testing.T) {
	parse := func(list string) (out []netip.Addr) {
		for _, s := range strings.Fields(list) {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	for _, tt := range []struct {
		v4, v6, dns string
		proven      bool
		want        string
	}{
		{"", "", "192.0.2.1 2001:db8::1", false, "192.0.2.1 2001:db8::1"}, // nobody knows better
		{"192.0.2.2", "", "192.0.2.1", false, "192.0.2.2"},
		{"192.0.2.2", "2001:db8::2", "192.0.2.1", false, "192.0.2.2"}, // not proven
		{"192.0.2.2", "2001:db8::2", "192.0.2.1", true, "192.0.2.2 2001:db8::2"},
		{"192.0.2.2", "2001:db8::2", "192.0.2.1 2001:db8::1", false, "192.0.2.2 2001:db8::2"}, // its owner has decided
		{"", "2001:db8::2", "", false, "2001:db8::2"},
		{"", "2001:db8::2", "192.0.2.1", false, "2001:db8::2 192.0.2.1"},
	} {
		now := address.Addrs{}
		if tt.v4 != "" {
			now.V4 = netip.MustParseAddr(tt.v4)
		}
		if tt.v6 != "" {
			now.V6 = netip.MustParseAddr(tt.v6)
		}
		h := &House{DNS: fixedDNS(parse(tt.dns)), Publishing: &Publishing{Addresses: func() address.Addrs { return now }, IPv6: func() bool { return tt.proven }}}
		if got := h.publicAddresses(t.Context()); fmt.Sprint(got) != fmt.Sprint(parse(tt.want)) {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// A plan that was shown comes back as it was: what is applied is what a person
// has seen.
func TestPlanComesBack(t *testing.T) {
	c := publish.Changes{Zone: "example.org",
		Steps: []publish.Step{{Change: dnsplan.Change{Action: dnsplan.Replace, Name: "example.org", Type: "TXT", Del: []string{"a"}, Add: []string{`v=spf1 "x" \ <>&é -all`}, Keep: []string{"k"}, TTL: time.Hour, Kind: dnsplan.KindSPF}, Was: []string{"a", "k"}}},
		MX:    []publish.Step{{Change: dnsplan.Change{Action: dnsplan.Add, Name: "example.org", Type: "MX", Add: []string{"10 mail.example.org"}, TTL: time.Minute, Kind: dnsplan.KindMX, Last: true}}},
	}
	b, err := json.Marshal(ApplyPush{[]publish.Changes{c}})
	if err != nil {
		t.Fatal(err)
	}
	var back ApplyPush
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back.Changes[0], c) {
		t.Errorf("%v\n%+v\n%+v", err, back.Changes[0], c)
	}
}

// A house that changes no DNS says so.
func TestNoPublishing(t *testing.T) {
	for name := range publishOperations() {
		if _, err := new(House).Do(t.Context(), name, json.RawMessage(`{}`)); err == nil || !strings.Contains(err.Error(), "changes no DNS") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// seen is a checker's memory of port 25.
type seen struct {
	code string
	age  time.Duration
}

func (s seen) State(string) ([]byte, error) {
	return json.Marshal([]check.Result{{Name: "in25", Code: s.code, Tested: time.Now().Add(-s.age)}})
}

func (seen) PutState(string, []byte) error { return nil }

// TestMayTakeMail: mail is not let come where it would not arrive.
func TestMayTakeMail(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, d := range []string{"example.org", "alias.example", "empty.example"} {
		if err := s.AddDomain(d); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.AddAccount(store.Profile{Address: "anna@example.org"}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetAlias(store.Alias{Address: "@alias.example", To: []mail.Path{"anna@example.org"}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		domain string
		in25   seen
		want   string
	}{
		{"example.org", seen{"open", 0}, ""},
		{"example.org", seen{"silent", 0}, ""}, // nobody knows
		{"example.org", seen{"closed", time.Minute}, "would not reach this house"},
		{"example.org", seen{"closed", 3 * time.Hour}, ""}, // may have been opened since
		{"alias.example", seen{"open", 0}, ""},
		{"empty.example", seen{"open", 0}, "nobody has an address at empty.example"},
	} {
		h := &House{Store: s, Checker: check.New(check.Options{Memory: tt.in25})}
		if err := h.mayTakeMail(tt.domain); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if err := (&House{Store: s}).mayTakeMail("example.org"); err != nil {
		t.Error("without checks: ", err)
	}
}

// TestRestoreNotes: who lets mail go elsewhere is told of a policy that keeps it.
func TestRestoreNotes(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := &House{Store: s, Reports: reports.NewBook(s, reports.Options{})}
	for sts, want := range map[string]int{"enforce": 1, "testing": 0, "none": 0} {
		domain := sts + ".example.org"
		if err := s.AddDomain(domain); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Reports.SetPolicy(domain, "", sts); err != nil {
			t.Fatal(err)
		}
		if got := h.restoreNotes(domain); len(got) != want {
			t.Errorf("%s: %q", sts, got)
		}
	}
}

// TestUnsettled: in the first minute a plan goes by this computer's own address if
// that is public, and else says when to look again.
func TestUnsettled(t *testing.T) {
	parse := func(list string) (out []netip.Addr) {
		for _, s := range strings.Fields(list) {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	for _, tt := range []struct{ local, settled, want string }{
		{"127.0.0.1 192.168.1.2 fe80::1 ::1", "", ""},
		{"100.64.0.1 192.0.0.4 fd00::1", "", ""},
		{"192.168.1.2 2001:db8::25", "", ""}, // its IPv4 address is not known yet
		{"192.168.1.2 203.0.113.25 203.0.113.26", "", "203.0.113.25"},
		{"203.0.113.25 2001:db8::25", "", "203.0.113.25 2001:db8::25"},
		{"203.0.113.25", "198.51.100.7", "198.51.100.7"},
	} {
		var now address.Addrs
		if tt.settled != "" {
			now.V4 = netip.MustParseAddr(tt.settled)
		}
		h := &House{Publishing: &Publishing{
			Addresses: func() address.Addrs { return now }, Local: func() []netip.Addr { return parse(tt.local) },
		}}
		if got := h.currentAddresses().List(); !slices.Equal(got, parse(tt.want)) {
			t.Errorf("%+v: %v", tt, got)
		}
		if h.unsettled() != (tt.settled == "") || strings.Contains(h.addressNote().EN, "in a minute") != h.unsettled() {
			t.Errorf("%+v: %q", tt, h.addressNote())
		}
	}
	if note := new(House).addressNote(); strings.Contains(note.EN, "minute") { // nobody looks
		t.Error(note)
	}
}
