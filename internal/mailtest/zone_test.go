package mailtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"homemail/resolver"
)

// lookups is what both a Zone and a Resolver that asks one can do.
type lookups interface {
	MX(ctx context.Context, domain string) (resolver.Answer[*net.MX], error)
	TXT(ctx context.Context, name string) (resolver.Answer[string], error)
	IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error)
	TLSA(ctx context.Context, name string) (resolver.Answer[resolver.TLSA], error)
	PTR(ctx context.Context, addr netip.Addr) (resolver.Answer[string], error)
	Validates(ctx context.Context) bool
}

func testZone() Zone {
	return Zone{
		"MX example.test":                {"20 mx2.example.test", "10 MX1.example.test"},
		"A mx1.example.test":             {secure, "192.0.2.1"},
		"AAAA mx1.example.test":          {secure, "2001:db8::1"},
		"A mx2.example.test":             {secure, "192.0.2.2"},
		"TXT _dmarc.example.test":        {"v=DMARC1; p=reject", `odd "\ ` + "\x00é"},
		"TXT long.test":                  {strings.Repeat("x", 3000)},
		"PTR 192.0.2.1":                  {"mx1.example.test"},
		"PTR 2001:db8::1":                {"mx1.example.test"},
		"TLSA _25._tcp.mx1.example.test": {secure, "3 1 1 00ff"},
		"TLSA _25._tcp.mx2.example.test": {secure},
		"CNAME a.test":                   {"b.test"},
		"CNAME b.test":                   {secure, "mx1.example.test"},
		"CNAME loop.test":                {"loop.test"},
		"MX null.test":                   {"0 ."},
		"TXT x.test":                     {servfail},
		"TXT y.test":                     {timeout},
	}
}

func TestZone(t *testing.T) {
	z := testZone()
	for name, r := range map[string]lookups{"value": z, "served": resolver.New(resolver.Options{Server: ServeDNS(t, z)})} {
		t.Run(name, func(t *testing.T) { testLookups(t, r, name == "value") })
	}
}

func testLookups(t *testing.T, r lookups, quick bool) {
	ctx := t.Context()
	mx, err := r.MX(ctx, "Example.TEST.")
	if err != nil || len(mx.List) != 2 || *mx.List[0] != (net.MX{Host: "mx1.example.test", Pref: 10}) || mx.Secure || mx.Name != "example.test" {
		t.Errorf("MX: %+v %v", mx, err)
	}
	if mx, err := r.MX(ctx, "null.test"); err != nil || len(mx.List) != 1 || mx.List[0].Host != "." {
		t.Errorf("null MX: %+v %v", mx, err)
	}
	ip, err := r.IP(ctx, "mx1.example.test")
	if want := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}; err != nil || !slices.Equal(ip.List, want) || !ip.Secure {
		t.Errorf("IP: %+v %v", ip, err)
	}
	if ip, err := r.IP(ctx, "a.test"); err != nil || len(ip.List) != 2 || ip.Secure || ip.Name != "mx1.example.test" {
		t.Errorf("IP by CNAMEs, one insecure: %+v %v", ip, err)
	}
	if ip, err := r.IP(ctx, "b.test"); err != nil || !ip.Secure {
		t.Errorf("IP by CNAMEs, all secure: %+v %v", ip, err)
	}
	txt, err := r.TXT(ctx, "_dmarc.example.test")
	if want := []string{"v=DMARC1; p=reject", `odd "\ ` + "\x00é"}; err != nil || !slices.Equal(txt.List, want) {
		t.Errorf("TXT: %q %v", txt.List, err)
	}
	if txt, err := r.TXT(ctx, "long.test"); err != nil || len(txt.List) != 1 || len(txt.List[0]) != 3000 {
		t.Errorf("long TXT: %v", err)
	}
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		if ptr, err := r.PTR(ctx, netip.MustParseAddr(addr)); err != nil || !slices.Equal(ptr.List, []string{"mx1.example.test"}) {
			t.Errorf("PTR: %+v %v", ptr, err)
		}
	}
	tlsa, err := r.TLSA(ctx, "_25._tcp.mx1.example.test")
	if err != nil || len(tlsa.List) != 1 || tlsa.List[0].Usage != 3 || string(tlsa.List[0].Data) != "\x00\xff" || !tlsa.Secure {
		t.Errorf("TLSA: %+v %v", tlsa, err)
	}
	if tlsa, err := r.TLSA(ctx, "_25._tcp.mx2.example.test"); !is(err, notFound) || resolver.NXDomain(err) || !tlsa.Secure {
		t.Errorf("no TLSA, proven: %+v %v", tlsa, err)
	}
	if _, err := r.TXT(ctx, "nowhere.test"); !is(err, notFound) || !resolver.NXDomain(err) {
		t.Errorf("no name: %v", err)
	}
	if _, err := r.TXT(ctx, "example.test"); !is(err, notFound) || resolver.NXDomain(err) {
		t.Errorf("no record: %v", err)
	}
	if _, err := r.TXT(ctx, "x.test"); !is(err, isTemporary) {
		t.Errorf("SERVFAIL: %v", err)
	}
	if _, err := r.IP(ctx, "loop.test"); !is(err, isTemporary) {
		t.Errorf("loop: %v", err)
	}
	if !r.Validates(ctx) {
		t.Error("does not validate, though some is secure")
	}
	if quick { // the other takes the time that a resolver waits
		if _, err := r.TXT(ctx, "y.test"); !is(err, isTimeout) {
			t.Errorf("TIMEOUT: %v", err)
		}
	}
}

func notFound(e *net.DNSError) bool    { return e.IsNotFound && !e.Temporary() }
func isTemporary(e *net.DNSError) bool { return e.IsTemporary && !e.IsNotFound && !e.IsTimeout }
func isTimeout(e *net.DNSError) bool   { return e.IsTemporary && e.IsTimeout && !e.IsNotFound }

func is(err error, what func(*net.DNSError) bool) bool {
	var e *net.DNSError
	return errors.As(err, &e) && what(e)
}

func TestNothingSecureDoesNotValidate(t *testing.T) {
	if (Zone{"A a.test": {"192.0.2.1"}}).Validates(t.Context()) {
		t.Error("validates")
	}
}

func TestCounted(t *testing.T) {
	c := NewCounted(testZone())
	ctx := t.Context()
	for range 2 {
		if mx, err := c.LookupMX(ctx, "example.test"); err != nil || mx[0].Host != "mx1.example.test." {
			t.Fatal(mx, err)
		}
	}
	c.LookupIPAddr(ctx, "mx1.example.test")
	c.LookupTXT(ctx, "x.test")
	asked := c.Asked()
	slices.Sort(asked)
	want := []string{"A mx1.example.test", "AAAA mx1.example.test", "MX example.test", "MX example.test", "TXT x.test"}
	if !slices.Equal(asked, want) || c.Lookups() != 4 {
		t.Errorf("asked %q, %d", asked, c.Lookups())
	}
}

// TestCached: a question is answered from the zone once, and a missing record
// is remembered too. Failures are not.
func TestCached(t *testing.T) {
	z := testZone()
	r := z.Cached()
	ctx := t.Context()
	for range 2 {
		if mx, err := r.LookupMX(ctx, "example.test"); err != nil || mx[0].Host != "mx1.example.test." {
			t.Fatal(mx, err)
		}
		if txt, err := r.LookupTXT(ctx, "new.test"); err == nil {
			t.Fatal(txt)
		}
		z["MX example.test"], z["TXT new.test"] = []string{"10 other.test"}, []string{"news"}
	}
}

func TestBadValuePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bad value went unseen")
		}
	}()
	query := new(dns.Msg)
	query.SetQuestion("a.test.", dns.TypeA)
	Zone{"A a.test": {"300.0.2.1"}}.answer(query)
}
