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
