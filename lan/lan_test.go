package lan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

var quiet = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func house(t testing.TB) (*store.Store, *store.Account) {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	must(t, s.AddDomain("example.test"))
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test"})
	must(t, err)
	return s, a
}

func routers(list ...string) Options {
	return Options{Log: quiet, Routers: func() (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}}
}

func device(t testing.TB, name, address string, by mail.AccountID) Device {
	t.Helper()
	p, zone, err := ParseAddress(address)
	must(t, err)
	return Device{Name: name, Address: p, Zone: zone, Account: by}
}

// TestAddress takes only what can be the house's, and little of it.
func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.168.1.20": "", "10.0.0.1": "", "172.16.0.9": "", "127.0.0.1": "", "127.0.0.2/31": "", "169.254.3.4": "",
		"192.168.1.0/24": "", "192.168.1.77/28": "", "fd00::1": "", "fd12:3456:789a:1::/64": "", "::1": "", "fe80::1%eth0": "",
		"::ffff:192.168.1.5": "", "::ffff:192.168.1.0/120": "",

		"192.168.0.0/23": "too wide", "10.0.0.0/8": "too wide", "0.0.0.0/0": "too wide", "::/0": "too wide", "fd00::/63": "too wide", "::ffff:0:0/96": "too wide", "::ffff:192.168.0.0/119": "too wide", "::/96": "outside",
		"203.0.113.9": "outside", "8.8.8.0/24": "outside", "2001:db8::1": "outside", "2001:db8::/64": "outside", "100.64.0.1": "outside", "172.32.0.1": "outside", "::ffff:8.8.8.8": "outside",
		"0.0.0.0": "outside", "::": "outside", "224.0.0.1": "outside", "ff02::1": "outside", "255.255.255.255": "outside", "64:ff9b::c0a8:101": "outside",
		"fe80::1": "needs its network", "fe80::/64": "needs its network", "fd00::1%eth0": "only a link-local",
	} {
		p, zone, err := ParseAddress(in)
		must(t, err)
		_, err = canonical(Device{Name: "x", Address: p, Zone: zone})
		if want == "" && err != nil || want != "" && (err == nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	for _, bad := range []string{"", "x", "192.168.1", "192.168.1.1/33", "fe80::1%eth0/64", "scanner.local", "192.168.1.1:25"} {
		if _, _, err := ParseAddress(bad); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
	if _, err := canonical(Device{Name: "x"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no address: %v", err)
	}
}

func TestCaution(t *testing.T) {
	for in, want := range map[string]string{"192.168.1.20": "", "127.0.0.1": "tunnel", "::1": "tunnel", "192.168.1.0/28": "guests"} {
		v := device(t, "x", in, 1)
		if got := v.Caution(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"scanner": true, " Büro-Scanner 2 ": true, "複合機": true, strings.Repeat("x", maxName): true,
		"": false, "  ": false, "a/b": false, "a\r\nBcc: x": false, "a\x00": false, "a\xff": false, strings.Repeat("x", maxName+1): false,
	} {
		if _, err := canonical(Device{Name: name, Address: netip.MustParsePrefix("127.0.0.1/32")}); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := canonical(Device{Name: "x", Address: netip.MustParsePrefix("127.0.0.1/32"), From: "anything"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a policy of its own: %v", err)
	}
}

func TestDevices(t *testing.T) {
	s, anna := house(t)
	d := New(s, routers())
	net := device(t, "Net", "192.168.1.0/24", anna.ID)
	scanner := device(t, "Scanner", "192.168.1.20", anna.ID)
	scanner.From, scanner.Local = store.RewriteFrom, true
	link := device(t, "Link", "fe80::9%eth0", anna.ID)
	for _, v := range []Device{net, scanner, link} {
		must(t, d.Add(v))
	}
	for _, again := range []Device{device(t, "SCANNER", "192.168.1.21", anna.ID), device(t, "Other", "192.168.1.20", anna.ID)} {
		if err := d.Add(again); !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", again.Name, err)
		}
	}
	if err := d.Add(device(t, "Ghost", "192.168.1.22", 99)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an account that is not there: %v", err)
	}
	for range 2 { // as it was made, and as it was read
		for remote, want := range map[string]string{
			"192.168.1.20": "Scanner", "::ffff:192.168.1.20": "Scanner", "192.168.1.21": "Net", "::ffff:192.168.1.254": "Net", "fe80::9%eth0": "Link",
			"192.168.2.20": "", "10.0.0.1": "", "127.0.0.1": "", "203.0.113.1": "", "::192.168.1.20": "", "64:ff9b::c0a8:114": "",
			"fe80::9": "", "fe80::9%eth1": "", "fe80::8%eth0": "", "fe80::9%ETH0": "",
		} {
			n, ok, err := d.Lookup(netip.MustParseAddr(remote))
			if err != nil || ok != (want != "") || n.Name != want {
				t.Errorf("%s is %q, %v, %v; want %q", remote, n.Name, ok, err, want)
			}
			if ok && (n.Sender != "anna@example.test" || n.Disabled || n.Local != (want == "Scanner") || (n.From == store.RewriteFrom) != (want == "Scanner")) {
				t.Errorf("%s is %+v", remote, n)
			}
		}
		if _, ok, err := d.Lookup(netip.Addr{}); ok || err != nil {
			t.Error("no address is a device")
		}
		d = New(s, routers())
	}
	list, err := d.List()
	if err != nil || len(list) != 3 || list[0].Name != "Link" || list[2].Created.IsZero() {
		t.Errorf("list %+v, %v", list, err)
	}

	must(t, anna.Update(func(p *store.Profile) error { p.Disabled = true; return nil }))
	if n, ok, err := d.Lookup(scanner.Address.Addr()); !ok || err != nil || !n.Disabled {
		t.Errorf("of a disabled account: %+v, %v, %v", n, ok, err)
	}
	must(t, s.RemoveAccount("anna@example.test"))
	if n, ok, err := d.Lookup(scanner.Address.Addr()); !ok || err != nil || !n.Disabled {
		t.Errorf("of an account that is gone: %+v, %v, %v", n, ok, err)
	}

	must(t, d.Remove("scanner"))
	if err := d.Remove("scanner"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed again: %v", err)
	}
	for range 2 {
		if n, _, err := d.Lookup(scanner.Address.Addr()); err != nil || n.Name != "Net" {
			t.Errorf("a removed device is %+v, %v", n, err)
		}
		d = New(s, routers())
	}
}

// TestRouter: what a router or a container's proxy hides behind is nobody.
func TestRouter(t *testing.T) {
	s, anna := house(t)
	d := New(s, routers("192.168.1.1", "fe80::1"))
	if err := d.Add(device(t, "Box", "192.168.1.1", anna.ID)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "router") {
		t.Errorf("a router: %v", err)
	}
	must(t, d.Add(device(t, "Net", "192.168.1.0/24", anna.ID)))
	must(t, New(s, routers()).Add(device(t, "Late", "192.168.1.2", anna.ID)))
	d = New(s, routers("192.168.1.1", "192.168.1.2"))
	for remote, want := range map[string]bool{"192.168.1.1": false, "::ffff:192.168.1.1": false, "192.168.1.2": false, "192.168.1.3": true} {
		if _, ok, err := d.Lookup(netip.MustParseAddr(remote)); ok != want || err != nil {
			t.Errorf("%s: %v, %v", remote, ok, err)
		}
	}
}

// TestDamage: a row that nobody can read gives nobody leave, also not one that
// says more than Add would take.
func TestDamage(t *testing.T) {
	s, anna := house(t)
	must(t, s.PutState(prefix+"a", []byte("{")))
	must(t, s.PutState(prefix+"b", fmt.Appendf(nil, `{"name":"b","address":"0.0.0.0/0","account":%d}`, anna.ID)))
	must(t, s.PutState(prefix+"c", fmt.Appendf(nil, `{"name":"c","address":"127.0.0.2/32","account":%d}`, anna.ID)))
	d := New(s, routers())
	if list, err := d.List(); err != nil || len(list) != 1 || list[0].From != store.RefuseFrom {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestRoutes(t *testing.T) {
	b := binary.NativeEndian.AppendUint32(nil, binary.BigEndian.Uint32([]byte{192, 168, 1, 1}))
	table := fmt.Sprintf("Iface\tDestination\tGateway\tFlags\neth0\t00000000\t%X\t0003\neth0\t0001A8C0\t00000000\t0001\nx\ty\tzz\n\n", b)
	if got := fmt.Sprint(routes4(table)); got != "[192.168.1.1]" {
		t.Error(got)
	}
	const zero = "00000000000000000000000000000000"
	table = zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n" +
		"fd000000000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001 eth0\nx\n"
	if got := fmt.Sprint(routes6(table)); got != "[fe80::1]" {
		t.Error(got)
	}
	for _, a := range Routers() {
		if !a.IsValid() || a.IsUnspecified() {
			t.Errorf("router %v", a)
		}
	}
}

// FuzzRoutes states that a routing table names routers or nobody, whatever the
// system may write there one day.
func FuzzRoutes(f *testing.F) {
	f.Add("eth0\t00000000\t0101A8C0\t0003\n")
	f.Add("00 00 00 00 fe800000000000000000000000000001\n")
	f.Fuzz(func(t *testing.T, table string) {
		lines := strings.Count(table, "\n") + 1
		if list := append(routes4(table), routes6(table)...); len(list) > 2*lines {
			t.Errorf("%d routers in %d lines", len(list), lines)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	s, anna := house(b)
	d := New(s, routers())
	for i := range 50 {
		must(b, d.Add(device(b, fmt.Sprintf("d%d", i), fmt.Sprintf("192.168.1.%d", i+1), anna.ID)))
	}
	remote := netip.MustParseAddr("192.168.1.50")
	for b.Loop() {
		if _, ok, _ := d.Lookup(remote); !ok {
			b.Fatal("not found")
		}
	}
}
