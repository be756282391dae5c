package dns_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/dnsplan"
	"homemail/test/need"
)

// house is what a plan is made of; full has every kind of record.
func house(domain string, full bool) dnsplan.Input {
	in := dnsplan.Input{
		Domain: domain, Host: "mail." + domain, Mode: dnsplan.Direct,
		Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")},
		DKIM: []dnsplan.TXT{
			{Name: "hm1._domainkey", Value: "v=DKIM1; k=rsa; p=" + strings.Repeat("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", 24)},
			{Name: "hm2._domainkey", Value: "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
		},
		DMARCReports: "dmarc@example.org", STSMode: "testing", Web: true,
		Ports: dnsplan.Ports{Submissions: 465, IMAPS: 993, HTTPS: 443},
	}
	if full {
		in.Signed, in.TLSA = true, [][]byte{[]byte(strings.Repeat("k", 32)), []byte(strings.Repeat("n", 32))}
		in.CA = dnsplan.CA{Domain: "letsencrypt.org", Account: "https://acme-v02.api.letsencrypt.org/acme/acct/1"}
	}
	return in
}

func plan(t *testing.T, in dnsplan.Input) []dnsplan.Record {
	t.Helper()
	records, err := dnsplan.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func check(t *testing.T, results []dnsplan.Result, want dnsplan.State) {
	t.Helper()
	for _, r := range results {
		if r.State != want {
			t.Errorf("%s %s is %s, want %s; now %q, should %q: %s %+v", r.Record.Type, r.Record.Name, r.State, want, r.Now, r.Should, r.Why.EN, r.Servers)
		}
	}
}

// BIND takes every zone that the package's own tests hold the plan to.
func TestBINDTakesTheGoldenZones(t *testing.T) {
	need.Tools(t, "named-checkzone")
	files, err := filepath.Glob("../../dnsplan/testdata/*.zone")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no golden zones")
	}
	for _, file := range files {
		zone := ascii
		if strings.Contains(file, "idn") {
			zone = idn
		}
		abs, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		whole := filepath.Join(t.TempDir(), "zone")
		if err := os.WriteFile(whole, []byte(head(zone)+"$INCLUDE "+abs+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("named-checkzone", "-k", "fail", "-r", "fail", "-m", "fail", "-M", "fail", "-n", "fail", "-S", "fail", zone, whole).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// What is printed is what the comparison finds correct: in ASCII and IDN, with
// DNSSEC and without, at Knot and at BIND, and by way of Unbound.
func TestThePrintedZoneIsGreen(t *testing.T) {
	for _, signed := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "signed"}[signed], func(t *testing.T) {
			plans := map[string][]dnsplan.Record{ascii: plan(t, house(ascii, true)), idn: plan(t, house("例え.テスト", true))}
			w := newWorld(t, map[string]string{ascii: dnsplan.Zone(plans[ascii], ascii), idn: dnsplan.Zone(plans[idn], idn)}, nil, signed)
			for zone, records := range plans {
				records = slices.DeleteFunc(records, func(r dnsplan.Record) bool { return !strings.HasSuffix(r.Name, zone) }) // consent of the other domain
				results := w.comparer().Compare(t.Context(), records)
				check(t, results, dnsplan.Correct)
				for _, r := range results {
					if len(r.Servers) != 2 || r.Servers[0].State != dnsplan.Correct || r.Servers[1].State != dnsplan.Correct || len(r.Public) != 1 || r.Public[0].State != dnsplan.Correct {
						t.Errorf("%s %s: %+v, %+v", r.Record.Type, r.Record.Name, r.Servers, r.Public)
					}
				}
				if c := dnsplan.Diff(results); len(c) > 0 {
					t.Errorf("changes %v", c)
				}
			}
			if got, err := w.comparer().Signed(t.Context(), "mail."+ascii); err != nil || got != signed {
				t.Errorf("signed: %v, %v", got, err)
			}
			if a, err := w.resolver.TXT(t.Context(), "_dmarc."+ascii); err != nil || a.Secure != signed {
				t.Errorf("vouched for: %v, %v", a.Secure, err)
			}
		})
	}
}

// Every record in every state, with DNSSEC, and what Diff says to put it right.
func TestStates(t *testing.T) {
	records := plan(t, house(ascii, true))
	for _, tt := range []struct {
		name  string
		spoil func(dnsplan.Record) []dnsplan.Record
		want  func(dnsplan.Record) dnsplan.State
	}{
		{"not seen", func(dnsplan.Record) []dnsplan.Record { return nil }, always(dnsplan.NotSeen)},
		{"differs", func(r dnsplan.Record) []dnsplan.Record { r.Values = []string{wrong(r)}; return []dnsplan.Record{r} }, always(dnsplan.Differs)},
		{"conflict", inTheWay, func(r dnsplan.Record) dnsplan.State {
			if r.Type == "MX" { // nothing can stand in the way of it at a zone's own name
				return dnsplan.Differs
			}
			return dnsplan.Conflict
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var there []dnsplan.Record
			names := map[string]bool{}
			for _, r := range records {
				for _, s := range tt.spoil(r) {
					if key := s.Name + s.Type; s.Type != "CNAME" || !names[key] {
						names[key] = true
						there = append(there, s)
					}
				}
			}
			w := newWorld(t, map[string]string{ascii: dnsplan.Zone(there, ascii)}, nil, true)
			results := w.comparer().Compare(t.Context(), records)
			for i, r := range results {
				if want := tt.want(records[i]); r.State != want {
					t.Errorf("%s %s is %s, want %s: %+v", r.Record.Type, r.Record.Name, r.State, want, r)
				}
			}
			if tt.name != "conflict" {
				w.repair(t, results, there, records)
			}
		})
	}
}

// repair applies the changes to what is there, as a DNS host would, and looks again.
func (w *world) repair(t *testing.T, results []dnsplan.Result, there, records []dnsplan.Record) {
	t.Helper()
	changes := dnsplan.Diff(results)
	if len(changes) != len(results) || !changes[len(changes)-1].Last {
		t.Errorf("%d changes for %d records", len(changes), len(results))
	}
	for _, c := range changes {
		for i := range there {
			if there[i].Name == c.Name && there[i].Type == c.Type {
				there[i].Values = slices.DeleteFunc(slices.Clone(there[i].Values), func(v string) bool { return slices.Contains(c.Del, v) })
			}
		}
		there = append(there, dnsplan.Record{Name: c.Name, Type: c.Type, Values: c.Add, TTL: c.TTL})
	}
	after := newWorld(t, map[string]string{ascii: dnsplan.Zone(there, ascii)}, nil, false)
	check(t, after.comparer().Compare(t.Context(), records), dnsplan.Correct)
}

func always(s dnsplan.State) func(dnsplan.Record) dnsplan.State {
	return func(dnsplan.Record) dnsplan.State { return s }
}

func wrong(r dnsplan.Record) string {
	switch r.Type {
	case "TXT":
		version, _, _ := strings.Cut(r.Values[0], ";")
		if r.Kind == dnsplan.KindSPF {
			return "v=spf1 ip4:192.0.2.7 ?all"
		}
		return version + "; p=none; id=other; rua=mailto:somebody@example.org"
	case "CAA":
		return `0 issue "letsencrypt.org; accounturi=https://ca.example/2"`
	}
	return map[string]string{"A": "198.51.100.99", "AAAA": "2001:db8::99", "MX": "1 www.example.org", "CNAME": "www.example.org", "SRV": "0 1 1 www.example.org", "TLSA": "3 1 1 " + strings.Repeat("0f", 32)}[r.Type]
}

func inTheWay(r dnsplan.Record) []dnsplan.Record {
	switch {
	case r.Type == "MX":
		r.Values = []string{"1 www.example.org"}
	case r.Type == "TXT": // two
		r.Values = []string{r.Values[0], wrong(r)}
	case r.Type == "CNAME":
		r.Type, r.Values = "A", []string{"198.51.100.99"}
	default:
		r.Type, r.Values = "CNAME", []string{"www.example.org"}
	}
	return []dnsplan.Record{r}
}

// One server is late; then one is gone, then both, then all.
func TestServersThatGo(t *testing.T) {
	records := plan(t, house(ascii, false))
	none := ""
	w := newWorld(t, map[string]string{ascii: dnsplan.Zone(records, ascii)}, &none, false)
	results := w.comparer().Compare(t.Context(), records)
	check(t, results, dnsplan.NotSeen)
	for _, r := range results {
		if !r.Spreading {
			t.Errorf("%s %s is not seen to spread", r.Record.Type, r.Record.Name)
		}
	}
	if c := dnsplan.Diff(results); len(c) > 0 {
		t.Errorf("publishes again what is on its way: %v", c)
	}
	w.stop("named")
	check(t, w.comparer().Compare(t.Context(), records), dnsplan.Correct)
	w.stop("knotd")
	w.stop("unbound")
	start := time.Now()
	check(t, w.comparer().Compare(t.Context(), records), dnsplan.CouldNotAsk)
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("took %s", took)
	}
}

// A zone that answers for every name is in nobody's way: neither before our
// records are there, nor after.
func TestWildcard(t *testing.T) {
	const wild = "*.example.org. 300 IN CNAME www.example.org.\n"
	records := plan(t, house(ascii, true))
	w := newWorld(t, map[string]string{ascii: wild}, nil, true)
	check(t, w.comparer().Compare(t.Context(), records), dnsplan.NotSeen)
	w = newWorld(t, map[string]string{ascii: wild + dnsplan.Zone(records, ascii)}, nil, true)
	check(t, w.comparer().Compare(t.Context(), records), dnsplan.Correct)
}
