package dnsplan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestAddresses(t *testing.T) {
	w := newWorld(`
mail.example.org. 300 IN A 192.0.2.1
mail.example.org. 300 IN AAAA 2001:db8::1
mta-sts.example.org. 300 IN CNAME mail.example.org.
ring.example.org. 300 IN CNAME ring2.example.org.
ring2.example.org. 300 IN CNAME ring.example.org.
`)
	for _, tt := range []struct {
		host string
		want string
		bad  bool
	}{
		{"mail.example.org", "[192.0.2.1 2001:db8::1]", false},
		{"MTA-STS.example.org.", "[192.0.2.1 2001:db8::1]", false},
		{"nothing.example.org", "[]", false},
		{"ring.example.org", "[]", true},
	} {
		got, err := NewComparer(Options{DNS: w}).Addresses(t.Context(), tt.host)
		slices.SortFunc(got, func(a, b netip.Addr) int { return a.Compare(b) })
		if s := fmt.Sprint(got); s != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s: %s, %v; want %s", tt.host, s, err, tt.want)
		}
	}
}

func TestShows(t *testing.T) {
	const name, there = "_acme-challenge.mail.example.org", `_acme-challenge.mail.example.org. 60 IN TXT "abc"` + "\n" + `_acme-challenge.mail.example.org. 60 IN TXT "def"` + "\n"
	for _, tt := range []struct {
		first, second, how string
		want, bad          bool
	}{
		{there, there, "", true, false},
		{there, "", "", false, false}, // one of them does not have it yet
		{"", "", "", false, false},
		{there, there, "silent", true, false}, // the other has
		{"", there, "silent", true, false},
		{there, there, "refuses", true, false},
	} {
		w := newWorld("")
		w.servers[ns1].zone, w.servers[ns1].how, w.servers[ns2].zone = tt.first, tt.how, tt.second
		if got, err := NewComparer(Options{DNS: w}).Shows(t.Context(), name, "def"); got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%+v: %v, %v", tt, got, err)
		}
	}
	w := newWorld("")
	w.servers[ns1].how, w.servers[ns2].how = "refuses", "garbage"
	c := NewComparer(Options{DNS: w})
	if got, err := c.Shows(t.Context(), name, "def"); got || err == nil {
		t.Errorf("nobody could be asked: %v, %v", got, err)
	}
	if got, err := c.Shows(t.Context(), "_acme-challenge.nowhere.example", "def"); got || err == nil {
		t.Errorf("no such domain: %v, %v", got, err)
	}
}

// TestMX: what a domain's own servers say counts, not what others remember.
func TestMX(t *testing.T) {
	w := newWorld("example.org. 300 IN MX 10 old.example.\n")
	w.servers[ns1].how = "silent"
	w.servers[ns2].zone = "example.org. 300 IN MX 10 mail.example.org.\n"
	if got, err := NewComparer(Options{DNS: w}).MX(t.Context(), "Example.org."); err != nil || fmt.Sprint(got) != "[10 mail.example.org]" {
		t.Errorf("%v, %v", got, err)
	}
	w.servers[ns2].zone = ""
	if got, err := NewComparer(Options{DNS: w}).MX(t.Context(), "example.org"); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestElsewhere(t *testing.T) {
	for zone, want := range map[string]string{
		"example.org. 300 IN MX 10 MAIL.example.org.\n":                                            "[]",
		"example.org. 300 IN MX 10 mail.example.org.\nexample.org. 300 IN MX 20 backup.example.\n": "[backup.example]",
		"": "[example.org]",
	} {
		if got, err := NewComparer(Options{DNS: newWorld(zone)}).Elsewhere(t.Context(), "example.org", "Mail.example.org"); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", zone, got, err)
		}
	}
}
