package publish

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libdns/libdns"

	"homemail/dnsplan"
)

// memory is a provider as libdns describes it. Each record that is written is
// one call to hook, which may fail; records are numbered as they come.
type memory struct {
	mu     sync.Mutex
	rr     []libdns.RR
	writes int
	hook   func(n int) error
	deaf   bool // takes changes and does nothing
}

func (m *memory) GetRecords(context.Context, string) ([]libdns.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []libdns.Record
	for _, r := range m.rr {
		out = append(out, r)
	}
	return out, nil
}

// write counts a change of one record; what is in fn happens unless it fails.
func (m *memory) write(fn func()) error {
	m.writes++
	if m.hook != nil {
		if err := m.hook(m.writes); err != nil {
			return err
		}
	}
	if !m.deaf {
		fn()
	}
	return nil
}

func (m *memory) AppendRecords(_ context.Context, _ string, list []libdns.Record) ([]libdns.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range list {
		if err := m.write(func() { m.rr = append(m.rr, r.RR()) }); err != nil {
			return list[:i], err
		}
	}
	return list, nil
}

func (m *memory) DeleteRecords(_ context.Context, _ string, list []libdns.Record) ([]libdns.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range list {
		if err := m.write(func() { m.rr = slices.DeleteFunc(m.rr, func(have libdns.RR) bool { return have == r.RR() }) }); err != nil {
			return list[:i], err
		}
	}
	return list, nil
}

func (m *memory) SetRecords(_ context.Context, _ string, list []libdns.Record) ([]libdns.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range groups(list) {
		first := g[0].RR()
		err := m.write(func() {
			m.rr = slices.DeleteFunc(m.rr, func(r libdns.RR) bool { return r.Name == first.Name && r.Type == first.Type })
			for _, r := range g {
				m.rr = append(m.rr, r.RR())
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// text is the zone as lines, sorted.
func (m *memory) text() string { return zoneText(m) }

func zoneText(p Provider) string {
	list, err := p.GetRecords(context.Background(), "example.org.")
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, r := range list {
		rr := r.RR()
		out = append(out, fmt.Sprintf("%s %s %s", rr.Name, rr.Type, plain(rr)))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// shelf is a Store.
type shelf map[string][]byte

var errNothing = errors.New("nothing")

func (s shelf) State(path string) ([]byte, error) {
	if v, ok := s[path]; ok {
		return v, nil
	}
	return nil, errNothing
}

func (s shelf) PutState(path string, v []byte) error {
	s[path] = v
	return nil
}

func rr(name, rtype, data string) libdns.RR {
	return libdns.RR{Name: name, Type: rtype, Data: data, TTL: time.Hour}
}

// lived is a zone in which somebody has lived: the web page, mail elsewhere,
// proofs for others.
func lived() []libdns.RR {
	return []libdns.RR{
		rr("@", "NS", "ns1.dns.example."), rr("@", "A", "198.51.100.80"), rr("www", "CNAME", "web.example."),
		rr("@", "TXT", "google-site-verification=abc"), rr("@", "TXT", `weird "quotes" and \ back`),
		rr("@", "TXT", "v=spf1 include:_spf.mailhost.example -all"),
		rr("@", "MX", "1 mx.mailhost.example."), rr("@", "MX", "5 mx2.mailhost.example."),
		rr("_dmarc", "TXT", "v=DMARC1; p=none; rua=mailto:reports@others.example"),
		rr("autodiscover", "CNAME", "autodiscover.mailhost.example."),
		rr("mailhost._domainkey", "TXT", "v=DKIM1; p=AAAA"),
		rr("sub", "NS", "ns.elsewhere.example."),
	}
}

// theirs are the lines of lived that must never change.
var theirs = []string{
	"@ A 198.51.100.80", "@ NS ns1.dns.example", "@ TXT google-site-verification=abc", `@ TXT weird "quotes" and \ back`,
	"mailhost._domainkey TXT v=DKIM1; p=AAAA", "sub NS ns.elsewhere.example", "www CNAME web.example",
}

func wanted(t *testing.T) []dnsplan.Record {
	t.Helper()
	list, err := dnsplan.Plan(dnsplan.Input{
		Domain: "example.org", Host: "mail.example.org", Mode: dnsplan.Direct,
		Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")},
		DKIM:  []dnsplan.TXT{{Name: "k1._domainkey", Value: "v=DKIM1; k=rsa; p=" + strings.Repeat("QUJD", 98)}},
		Ports: dnsplan.Ports{Submissions: 465, IMAPS: 993}, STSMode: "testing", Web: true,
		CA:           dnsplan.CA{Domain: "ca.example", Account: "https://ca.example/acct/1"},
		DMARCReports: "dmarc@example.org",
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(list, dnsplan.Record{Name: "x.sub.example.org", Type: "A", Values: []string{"192.0.2.1"}},
		dnsplan.Record{Name: "example.org._report._dmarc.other.example", Type: "TXT", Values: []string{"v=DMARC1"}})
}

func newPublisher() (*Publisher, shelf) {
	s := shelf{}
	return New(Options{Store: s, NotFound: errNothing}), s
}

func TestPlanThenApplyThenMX(t *testing.T) {
	testWhole(t, &memory{rr: lived()})
}

// testWhole goes the owner's way with a provider that holds the zone lived.
func testWhole(t *testing.T, prov Provider) {
	t.Helper()
	ctx := t.Context()
	p, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: prov}
	before := zoneText(prov)
	c, err := p.Plan(ctx, z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	if zoneText(prov) != before {
		t.Fatal("to plan has changed the zone")
	}
	shown := c.String()
	for _, line := range []string{
		"- example.org TXT v=spf1 include:_spf.mailhost.example -all",
		"+ example.org TXT v=spf1 a:mail.example.org include:_spf.mailhost.example -all",
		"+ mail.example.org A 203.0.113.25", "+ mail.example.org AAAA 2001:db8::25",
		"- example.org MX 1 mx.mailhost.example", "- example.org MX 5 mx2.mailhost.example", "+ example.org MX 10 mail.example.org",
		"+ _dmarc.example.org TXT v=DMARC1; p=none; rua=mailto:reports@others.example,mailto:dmarc@example.org",
		"- autodiscover.example.org CNAME autodiscover.mailhost.example", "+ autodiscover.example.org CNAME mail.example.org",
		`+ mail.example.org CAA 0 issue "ca.example; accounturi=https://ca.example/acct/1"`,
		"+ _imaps._tcp.example.org SRV 0 1 993 mail.example.org", "+ _imap._tcp.example.org SRV 0 0 0 .",
	} {
		if !strings.Contains(shown, line+"\n") {
			t.Errorf("not shown: %s", line)
		}
	}
	if n := strings.Count(shown, "- "); n != 5 {
		t.Errorf("%d values go, want 5:\n%s", n, shown)
	}
	if len(c.Elsewhere) != 2 {
		t.Errorf("elsewhere: %v", c.Elsewhere)
	}
	r, err := p.Apply(ctx, z, c)
	if err != nil || len(r.Done) != len(c.Steps) || len(r.NotDone)+len(r.Unclear) > 0 {
		t.Fatalf("applied: %v, %+v", err, r)
	}
	after := zoneText(prov)
	for _, line := range append(slices.Clone(theirs), "@ MX 1 mx.mailhost.example", "@ MX 5 mx2.mailhost.example", "mail A 203.0.113.25") {
		if !strings.Contains("\n"+after+"\n", "\n"+line+"\n") {
			t.Errorf("not there: %s", line)
		}
	}
	if n := strings.Count(after, "v=spf1"); n != 1 {
		t.Errorf("%d SPF records:\n%s", n, after)
	}
	if again, err := p.Plan(ctx, z, wanted(t)); err != nil || len(again.Steps) != 0 || len(again.MX) != 1 {
		t.Errorf("planned again: %v\n%s", err, again)
	}
	if r, err := p.Apply(ctx, z, c); err != nil || len(r.Done) != len(c.Steps) {
		t.Errorf("applied again: %v", err)
	}
	if zoneText(prov) != after {
		t.Error("to apply again has changed the zone")
	}
	testMX(t, p, z, c, after)
}

func restore(ctx context.Context, p *Publisher, z Zone) error {
	c, err := p.PlanRestoreMX(ctx, z, "example.org")
	if err == nil {
		_, err = p.RestoreMX(ctx, z, c)
	}
	return err
}

func testMX(t *testing.T, p *Publisher, z Zone, c Changes, after string) {
	t.Helper()
	ctx := t.Context()
	if _, err := p.PlanRestoreMX(ctx, z, "example.org"); !errors.Is(err, ErrNoFormer) {
		t.Errorf("restored what was never switched: %v", err)
	}
	if _, err := p.SwitchMX(ctx, z, c); err != nil {
		t.Fatal(err)
	}
	now := zoneText(z.Provider)
	if want := strings.NewReplacer("@ MX 1 mx.mailhost.example\n@ MX 5 mx2.mailhost.example", "@ MX 10 mail.example.org").Replace(after); now != want {
		t.Errorf("with the MX:\n%s\nwant:\n%s", now, want)
	}
	if _, err := p.SwitchMX(ctx, z, c); err != nil {
		t.Errorf("switched twice: %v", err)
	}
	if f, err := p.FormerMX("example.org"); err != nil || !same(f.Values, []string{"1 mx.mailhost.example", "5 mx2.mailhost.example"}) {
		t.Errorf("former: %v %v", f, err)
	}
	for range 2 {
		if err := restore(ctx, p, z); err != nil {
			t.Fatal(err)
		}
		if now := zoneText(z.Provider); now != after {
			t.Errorf("restored:\n%s\nwant:\n%s", now, after)
		}
	}
}

var errBroken = errors.New("the line broke")

// A provider that fails at any point leaves a zone that is no worse than
// before, the report says what is so, and a second go ends it.
func TestFailsHalfWay(t *testing.T) {
	for _, lost := range []bool{false, true} { // lost: it was done, but its answer did not come
		for at := 1; ; at++ {
			m := &memory{rr: lived()}
			failed := false
			m.hook = func(n int) error {
				if n >= at { // and stays away
					failed = true
					return errBroken
				}
				return nil
			}
			if lost {
				inner := m.hook
				m.hook = func(n int) error { return nil }
				if !halfWay(t, &lossy{m, inner, 0}, m, &failed) {
					break
				}
				continue
			}
			if !halfWay(t, m, m, &failed) {
				break
			}
		}
	}
}

// lossy does what it is told and loses the answer.
type lossy struct {
	*memory
	fail func(n int) error
	n    int
}

func (l *lossy) AppendRecords(ctx context.Context, z string, list []libdns.Record) ([]libdns.Record, error) {
	out, _ := l.memory.AppendRecords(ctx, z, list)
	l.n++
	return out, l.fail(l.n)
}

func halfWay(t *testing.T, prov Provider, m *memory, failed *bool) bool {
	t.Helper()
	ctx := t.Context()
	p, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: prov}
	c, err := p.Plan(ctx, z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Apply(ctx, z, c)
	if !*failed {
		return false
	}
	if len(r.Done)+len(r.NotDone)+len(r.Unclear) != len(c.Steps) || (err == nil) != (len(r.Done) == len(c.Steps)) {
		t.Fatalf("the report does not add up: %d+%d+%d of %d, %v", len(r.Done), len(r.NotDone), len(r.Unclear), len(c.Steps), err)
	}
	if err != nil && (!errors.Is(err, ErrPart) || !errors.Is(err, errBroken)) {
		t.Errorf("error: %v", err)
	}
	now := newSnapshot("example.org", records(m))
	for _, s := range r.Done {
		if !same(now.values(s.Name, s.Type), s.after()) {
			t.Errorf("said to be done, and is not: %s", s)
		}
	}
	for _, s := range r.NotDone {
		if !same(now.values(s.Name, s.Type), s.Was) {
			t.Errorf("said not to be done, and is: %s", s)
		}
	}
	for _, line := range append(slices.Clone(theirs), "@ MX 1 mx.mailhost.example") {
		if !strings.Contains("\n"+m.text()+"\n", "\n"+line+"\n") {
			t.Errorf("not there: %s", line)
		}
	}
	m.hook = nil
	again, err := p.Plan(ctx, Zone{Name: "example.org", Provider: m}, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Apply(ctx, Zone{Name: "example.org", Provider: m}, again); err != nil {
		t.Errorf("second go: %v", err)
	}
	return true
}

func records(m *memory) []libdns.Record {
	out, _ := m.GetRecords(context.Background(), "")
	return out
}

func TestChangedMeanwhile(t *testing.T) {
	m := &memory{rr: lived()}
	p, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: m}
	c, err := p.Plan(t.Context(), z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	m.rr = append(m.rr, rr("@", "TXT", "another-proof=1"))
	before := m.text()
	if _, err := p.Apply(t.Context(), z, c); !errors.Is(err, ErrChanged) || m.text() != before {
		t.Errorf("applied what was not planned: %v", err)
	}
	if _, err := p.Apply(t.Context(), Zone{Name: "other.example", Provider: m}, c); err == nil || m.text() != before {
		t.Errorf("applied to another zone: %v", err)
	}
	c.Steps = append(c.Steps, c.MX...)
	if _, err := p.Apply(t.Context(), z, c); err == nil || m.text() != before {
		t.Errorf("applied an MX: %v", err)
	}
}

// What is not ours to remove is named, and stays.
func TestInTheWay(t *testing.T) {
	m := &memory{rr: []libdns.RR{rr("_dmarc", "CNAME", "dmarc.service.example."), rr("mta-sts", "A", "192.0.2.9"), rr("mail", "A", "192.0.2.1")}}
	p, _ := newPublisher()
	c, err := p.Plan(t.Context(), Zone{Name: "example.org", Provider: m}, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range c.ByHand {
		names = append(names, r.Record.Name+" "+r.Record.Type)
		if r.Why.EN == "" || r.Why.JA == "" {
			t.Errorf("%v: no reason", r)
		}
	}
	if got := strings.Join(names, ","); got != "_dmarc.example.org TXT,mta-sts.example.org CNAME" {
		t.Errorf("by hand: %s", got)
	}
	if !strings.Contains(c.String(), "- mail.example.org A 192.0.2.1\n+ mail.example.org A 203.0.113.25\n") {
		t.Errorf("our own name is not corrected:\n%s", c)
	}
}

// A provider that says yes and does nothing is found out.
func TestIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{rr: lived(), deaf: true}
		p, _ := newPublisher()
		z := Zone{Name: "example.org", Provider: m}
		c, err := p.Plan(t.Context(), z, wanted(t))
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Apply(t.Context(), z, c)
		if !errors.Is(err, ErrIgnored) || len(r.NotDone) != len(c.Steps) {
			t.Errorf("%v, not done %d of %d", err, len(r.NotDone), len(c.Steps))
		}
		if text := r.Text(); !strings.Contains(text.EN, "Not done: mail.example.org A,") || !strings.Contains(text.JA, "未登録: ") {
			t.Errorf("said: %v", text)
		}
	})
}

// A state that cannot be kept stops the switch before it begins.
func TestMXNotKept(t *testing.T) {
	m := &memory{rr: lived()}
	p := New(Options{Store: fullShelf{}, NotFound: errNothing})
	z := Zone{Name: "example.org", Provider: m}
	c, err := p.Plan(t.Context(), z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	before := m.text()
	if _, err := p.SwitchMX(t.Context(), z, c); !errors.Is(err, errBroken) || m.text() != before {
		t.Errorf("switched: %v\n%s", err, m.text())
	}
}

type fullShelf struct{}

func (fullShelf) State(string) ([]byte, error)  { return nil, errNothing }
func (fullShelf) PutState(string, []byte) error { return errBroken }

func TestOpen(t *testing.T) {
	for _, p := range Providers() {
		full := map[string]string{}
		for _, c := range p.Credentials {
			if full[c.Name] = "QUJD"; c.Optional {
				full[c.Name] = ""
			}
			if c.Label.EN == "" || c.Label.JA == "" {
				t.Errorf("%s: %s has no label", p.ID, c.Name)
			}
		}
		if prov, err := Open(p.ID, full, nil); err != nil || prov == nil {
			t.Errorf("%s: %v", p.ID, err)
		}
		for name, v := range full {
			delete(full, name)
			if _, err := Open(p.ID, full, nil); (err == nil) != (v == "") || err != nil && !errors.Is(err, ErrCredentials) {
				t.Errorf("%s without %s: %v", p.ID, name, err)
			}
			full[name] = v
		}
		if p.Where.EN == "" || p.Where.JA == "" {
			t.Errorf("%s does not say where", p.ID)
		}
	}
	if _, err := Open("namecheap", nil, nil); !errors.Is(err, ErrProvider) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := Open("gandi", map[string]string{"token": "a\nb"}, nil); !errors.Is(err, ErrCredentials) {
		t.Errorf("two lines: %v", err)
	}
}
