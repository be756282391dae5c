package check

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

func TestDefaultRoutes(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	for _, tt := range []struct {
		table string
		want  bool
	}{
		{head + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", true},
		{head + "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", false},
		{head + "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", false},    // unreachable
		{head + "eth0\t00000000\t0101A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", false}, // down
		{head + "tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", false}, // a half: 0.0.0.0/1
		{head + "eth0\t00000000\n", false},
		{"", false},
	} {
		if got := default4(tt.table); got != tt.want {
			t.Errorf("%q: %v", tt.table, got)
		}
	}
	zero := strings.Repeat("0", 32)
	line := func(dest, bits, flags, dev string) string {
		return dest + " " + bits + " " + zero + " 00 fe80000000000000000000000000000a 00000400 00000000 00000000 " + flags + " " + dev + "\n"
	}
	for _, tt := range []struct {
		table string
		want  bool
	}{
		{line(zero, "00", "00450003", "eth0"), true},
		{line(zero, "00", "00200200", "lo"), false},
		{line(zero, "00", "00450203", "eth0"), false},
		{line("20010db8"+zero[8:], "40", "00000001", "eth0"), false},
		{line(zero, "00", "zz", "eth0"), false},
		{"", false},
	} {
		if got := default6(tt.table); got != tt.want {
			t.Errorf("%q: %v", tt.table, got)
		}
	}
}

// FuzzRoutes: whatever a table says, a machine is only connected by a route that
// leads everywhere.
func FuzzRoutes(f *testing.F) {
	f.Add("eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
	f.Add("a b c\n\n\t\t")
	f.Fuzz(func(t *testing.T, table string) {
		if default4(table) && !strings.Contains(table, "00000000") {
			t.Errorf("%q", table)
		}
		default6(table)
	})
}

// TestOutside: RDAP, and what it redirects to, is fetched from the Internet
// only, and only over HTTPS.
func TestOutside(t *testing.T) {
	w := newWorld()
	w.zone["A inside.test"] = []string{"192.168.1.1"}
	w.zone["A shared.test"] = []string{"100.64.0.1"}
	w.zone["AAAA six.test"] = []string{"::ffff:127.0.0.1", "64:ff9b::c0a8:101"}
	c := w.checker()
	for _, host := range []string{"inside.test", "shared.test", "six.test"} {
		if conn, err := c.dialOutside(t.Context(), "tcp", host+":443"); err == nil || !strings.Contains(err.Error(), "no public address") {
			t.Errorf("%s: %v %v", host, conn, err)
		}
	}
	if _, err := c.dialOutside(t.Context(), "tcp", "smtp.gmail.test:465"); err != nil {
		t.Error(err)
	}
	client := c.outside()
	req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://rdap.test/", nil)
	if client.CheckRedirect(req, nil) == nil {
		t.Error("goes on without TLS")
	}
	req.URL.Scheme = "https"
	if client.CheckRedirect(req, nil) != nil || client.CheckRedirect(req, make([]*http.Request, maxHops)) == nil {
		t.Error("redirects")
	}
}

// TestBuiltIn: what is built in is as the checks need it.
func TestBuiltIn(t *testing.T) {
	for _, port := range []uint16{25, 465, 587, 993} {
		if len(builtIn.Out[port]) < 2 {
			t.Errorf("port %d has %v", port, builtIn.Out[port])
		}
	}
	for _, l := range builtIn.Lists {
		if l.Codes[test] == "" || l.Leave == "" || l.Zone == "" {
			t.Errorf("%s: %+v", l.Zone, l)
		}
		for a := range l.Codes {
			if l.Refused.IsValid() && l.Refused.Contains(a) {
				t.Errorf("%s: %s is a refusal", l.Zone, a)
			}
		}
	}
}
