package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"homemail/certs"
	"homemail/config"
	"homemail/words"
)

func TestLeadsHere(t *testing.T) {
	const name = "mail.example.test"
	addrs := func(list string) (out []netip.Addr) {
		for _, a := range strings.Fields(list) {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, tt := range []struct {
		at, ours string
		want     string // in the sentence, "" for none
	}{
		{"", "203.0.113.25", "not in the DNS yet"},
		{"203.0.113.25", "192.168.1.2 203.0.113.25", ""},
		{"203.0.113.25 2001:db8::25", "203.0.113.25 2001:db8::25", ""},
		{"::ffff:203.0.113.25", "203.0.113.25", ""},
		{"203.0.113.9", "192.168.1.2", ""}, // the router may be there
		{"203.0.113.9", "192.168.1.2 2001:db8::25", ""},
		{"203.0.113.9", "192.168.1.2 100.101.102.103", ""}, // a VPN
		{"203.0.113.9", "192.0.0.4", ""},
		{"100.64.0.7", "192.168.1.2", "inside of a house"},
		{"203.0.113.9", "192.168.1.2 203.0.113.25", "leads to 203.0.113.9, but this house is at 203.0.113.25"},
		{"203.0.113.25 2001:db8::9", "203.0.113.25 2001:db8::25", "leads to 2001:db8::9"},
		{"192.168.1.2", "192.168.1.2", ""},
		{"192.168.1.3", "192.168.1.2", "inside of a house"},
		{"127.0.1.1", "192.168.1.2", "inside of a house"},
	} {
		err := leadsHere(name, addrs(tt.at), addrs(tt.ours))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s at %q, we at %q: %v", name, tt.at, tt.ours, err)
		}
		var why *words.Reason
		if err != nil && (!errors.As(err, &why) || !strings.Contains(why.JA, "ください") || strings.Contains(why.JA, "%!")) {
			t.Errorf("%v: not said in Japanese", err)
		}
	}
}

// Of a door that is shut a CA need not be told.
func TestShutDoors(t *testing.T) {
	c := config.Default()
	c.Listen.HTTP, c.Listen.HTTPS, c.Listen.LANOnly = []string{":80"}, []string{":443"}, nil
	h := &house{config: c}
	if got := h.reach(); got != (certs.Reach{}) {
		t.Errorf("open: %+v", got)
	}
	h.config.Listen.LANOnly, h.config.Listen.HTTPS = []string{"http"}, nil
	if got := h.reach(); got != (certs.Reach{HTTP: certs.Closed, TLS: certs.Closed}) {
		t.Errorf("shut: %+v", got)
	}
}
