package dnsplan

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/internal/mailtest"
)

func printed(t *testing.T, in Input) string {
	t.Helper()
	records, err := Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	return Zone(records, "")
}

func allAre(t *testing.T, results []Result, want State) {
	t.Helper()
	for _, r := range results {
		if r.State != want {
			t.Errorf("%s %s %s is %s (now %q, should %q): %s", r.Record.Kind, r.Record.Name, r.Record.Type, r.State, r.Now, r.Should, r.Why.EN)
		}
	}
}

func of(t *testing.T, results []Result, kind Kind) Result {
	t.Helper()
	i := slices.IndexFunc(results, func(r Result) bool { return r.Record.Kind == kind })
	if i < 0 {
		t.Fatalf("no result for %s", kind)
	}
	return results[i]
}

func TestWhatIsPrintedIsCorrect(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			in := g.in()
			results := newWorld(printed(t, in)).compare(t, in)
			allAre(t, results, Correct)
			for _, r := range results {
				if len(r.Servers) == 0 || len(r.Public) != 1 || r.Public[0].State != Correct || r.Since.IsZero() || r.Why != (Text{}) {
					t.Errorf("%s: %+v", r.Record.Name, r)
				}
			}
			if changes := Diff(results); len(changes) > 0 {
				t.Errorf("changes %v", changes)
			}
		})
	}
}

// A look at a domain that is as it should be stays cheap: one an hour is far
// below 200 questions, though nothing of the test's DNS is kept in a cache.
func TestQuestionsAreFew(t *testing.T) {
	in := basic()
	w := newWorld(printed(t, in))
	results := w.compare(t, in)
	n, most := w.questions()+len(w.counted.Asked()), 5*len(results)
	if t.Logf("%d questions for %d records", n, len(results)); n > most {
		t.Errorf("%d questions for %d records", n, len(results))
	}
}

func TestNothingIsThere(t *testing.T) {
	w := newWorld("")
	results := w.compare(t, basic())
	allAre(t, results, NotSeen)
	changes := Diff(results)
	if len(changes) != len(results) || !changes[len(changes)-1].Last || changes[0].Last {
		t.Errorf("%d changes for %d records, %+v", len(changes), len(results), changes[len(changes)-1])
	}
}

func TestNoDomain(t *testing.T) {
	w := newWorld("")
	in := basic()
	in.Domain, in.Host, in.DMARCReports = "example.com", "mail.example.com", "dmarc@example.com"
	results := w.compare(t, in)
	allAre(t, results, NotSeen)
	if r := results[0]; r.Zone != "" || r.Why.JA == "" || len(Diff(results)) > 0 {
		t.Errorf("%+v", r)
	}
}

// How servers fail: the other one is asked, and if there is none, the public.
func TestServersThatFail(t *testing.T) {
	for _, tt := range []struct {
		how, ns2   string
		want       State
		fromPublic bool
	}{
		{"", "", Correct, false}, {"truncates", "truncates", Correct, false},
		{"refuses", "", Correct, false}, {"garbage", "", Correct, false}, {"lame", "", Correct, false}, {"silent", "", Correct, false},
		{"garbage", "garbage", Correct, true}, {"lame", "lame", Correct, true}, {"silent", "silent", Correct, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := basic()
			w := newWorld(printed(t, in))
			w.servers[ns1].how, w.servers[ns2].how = tt.how, tt.ns2
			start := time.Now()
			results := w.compare(t, in)
			allAre(t, results, tt.want)
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("%s, %s: took %s", tt.how, tt.ns2, took)
			}
			r := results[0]
			if got := r.Servers[0].State == CouldNotAsk && r.Servers[1].State == CouldNotAsk; got != tt.fromPublic || len(r.Public) == 0 {
				t.Errorf("%s, %s: %+v", tt.how, tt.ns2, r)
			}
			if tt.ns2 == "silent" && w.questions() > 2*2*atOnce { // each twice, by those that began together
				t.Errorf("silent servers were asked %d times", w.questions())
			}
		})
	}
}

func TestNobodyCanBeAsked(t *testing.T) {
	in := basic()
	w := newWorld("")
	zone := mailtest.Zone{"NS example.org": {"ns1.example.net."}, "A ns1.example.net": {"198.51.100.1"}}
	records, _ := Plan(in)
	for _, r := range records {
		zone[r.Type+" "+r.Name] = []string{"SERVFAIL"}
	}
	w.Resolver = mailtest.NewCounted(zone).Resolver
	w.servers[ns1].how = "refuses"
	results := w.compare(t, in)
	allAre(t, results, CouldNotAsk)
	if r := results[0]; !strings.Contains(r.Why.EN, "REFUSED") || len(Diff(results)) > 0 {
		t.Errorf("%+v", r)
	}
	if _, err := NewComparer(Options{DNS: w}).Existing(t.Context(), "example.org"); err == nil {
		t.Error("what is there was taken for nothing")
	}
}

// One of two servers is late: nothing is published again, and it is said.
func TestOneServerIsStale(t *testing.T) {
	in := basic()
	w := newWorld(printed(t, in))
	w.servers[ns2].zone = strings.ReplaceAll(w.servers[ns2].zone, "203.0.113.25", "203.0.113.99")
	results := w.compare(t, in)
	r := of(t, results, KindHost)
	if r.State != Differs || !r.Spreading || !slices.Equal(r.Now, []string{"203.0.113.99"}) || !strings.Contains(r.Why.EN, "ns2.example.net") || len(Diff(results)) > 0 {
		t.Errorf("%+v", r)
	}
	allAre(t, results[1:], Correct)
	w.servers[ns2].zone = ""
	for _, r := range w.compare(t, in) {
		if r.State != NotSeen || !r.Spreading {
			t.Errorf("%+v", r)
		}
	}
}

// The public ones still remember what was.
func TestPublicIsLate(t *testing.T) {
	in := basic()
	w := newWorld(printed(t, in))
	w.recursive("")
	for _, r := range w.compare(t, in) {
		if r.State != Correct || len(r.Public) != 1 || r.Public[0].State != NotSeen {
			t.Errorf("%+v", r)
		}
	}
}

func TestPublicIsAskedOnlyOnceItIsThere(t *testing.T) {
	w := newWorld("")
	c := mailtest.NewCounted(mailtest.Zone{})
	w.compare(t, basic(), func(o *Options) { o.Public = []Public{{"public", c}} })
	if asked := c.Asked(); len(asked) > 0 { // it would remember that there is nothing
		t.Errorf("asked %q", asked)
	}
}

// each state of each record, and what puts it right
func TestFiveStatesOfEachRecord(t *testing.T) {
	in := goldens[3].in() // fixed-signed has every kind
	records, err := Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if len(r.Values) == 0 {
			continue
		}
		others := slices.Concat(records[:i:i], records[i+1:])
		bad := r
		bad.Values = []string{wrongValue[r.Type]}
		if r.Kind == KindSPF {
			bad.Values = []string{"v=spf1 ?all"}
		} else if tag, _, ok := strings.Cut(r.Values[0], ";"); r.Type == "TXT" && ok {
			bad.Values = []string{tag + "; p=; id=wrong; rua=mailto:x@example.org"}
		}
		two := bad
		two.Name, two.Values = r.Name, append(slices.Clone(r.Values), bad.Values...)
		alias := Record{Name: r.Name, Type: "CNAME", Values: []string{"elsewhere.example"}}
		if r.Type == "CNAME" {
			alias = Record{Name: r.Name, Type: "A", Values: []string{"198.51.100.99"}}
		}
		for _, tt := range []struct {
			name  string
			there []Record
			want  State
		}{
			{"not seen", nil, NotSeen},
			{"correct", []Record{r}, Correct},
			{"differs", []Record{bad}, Differs},
			{"in the way", []Record{alias}, Conflict},
			{"two", []Record{two}, map[string]State{"TXT": Conflict}[r.Type]},
		} {
			if tt.want == "" || r.Type == "CNAME" && tt.name == "two" {
				continue
			}
			w := newWorld(Zone(slices.Concat(others, tt.there), ""))
			got := NewComparer(Options{DNS: w}).Compare(t.Context(), records)[i]
			if got.State != tt.want {
				t.Errorf("%s %s, %s: got %+v", r.Type, r.Name, tt.name, got)
			}
		}
	}
}

var wrongValue = map[string]string{
	"A": "198.51.100.99", "AAAA": "2001:db8::99", "MX": "1 old.example", "CNAME": "old.example", "SRV": "0 1 1234 old.example",
	"CAA": `0 issue "letsencrypt.org; accounturi=https://ca.example/other"`, "TLSA": "3 1 1 " + strings.Repeat("99", 32),
}

func TestAliases(t *testing.T) {
	in := basic()
	zone := printed(t, in)
	// A helper with the host's addresses instead of an alias is as good.
	flat := strings.ReplaceAll(zone, "autoconfig.example.org.\t3600\tIN\tCNAME\tmail.example.org.", "autoconfig.example.org. 300 IN A 203.0.113.25")
	allAre(t, newWorld(flat).compare(t, in), Correct)

	// DMARC kept elsewhere is followed; what is there is not ours to replace.
	line := slices.IndexFunc(strings.Split(zone, "\n"), func(l string) bool { return strings.HasPrefix(l, "_dmarc.") })
	lines := strings.Split(zone, "\n")
	for text, want := range map[string]State{`"v=DMARC1; p=reject; rua=mailto:dmarc@example.org"`: Correct, `"v=DMARC1; p=reject"`: Conflict} {
		lines[line] = "_dmarc.example.org. 300 IN CNAME dmarc.elsewhere.example."
		away := strings.Join(lines, "\n")
		w := newWorld(away)
		w.recursive(away + "dmarc.elsewhere.example. 300 IN TXT " + text + "\n")
		results := w.compare(t, in)
		if r := of(t, results, KindDMARC); r.State != want || len(Diff(results)) > 0 {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

// Many zones answer for every name. A record of one's own goes before that.
func TestWildcards(t *testing.T) {
	in := basic()
	for _, wild := range []string{"CNAME parking.example.", "A 198.51.100.80", "TXT \"v=DMARC1; p=reject\""} {
		w := newWorld("")
		for _, sv := range w.servers {
			sv.wild = wild
		}
		for _, r := range w.compare(t, in) {
			if r.Record.Name != "example.org" && r.State != NotSeen {
				t.Errorf("%s: %+v", wild, r)
			}
		}
	}
	// What stands at the name itself is no wildcard's.
	w := newWorld("mail.example.org. 300 IN A 198.51.100.81")
	for _, sv := range w.servers {
		sv.wild = "A 198.51.100.80"
	}
	if r := w.compare(t, in)[0]; r.State != Differs {
		t.Errorf("%+v", r)
	}
}

func TestProxyIsNamed(t *testing.T) {
	in := basic()
	zone := strings.ReplaceAll(printed(t, in), "203.0.113.25", "104.21.3.4")
	r := of(t, newWorld(zone).compare(t, in), KindHost)
	if r.State != Differs || !strings.Contains(r.Why.EN, "Cloudflare") || !strings.Contains(r.Why.JA, "Cloudflare") {
		t.Errorf("%+v", r)
	}
}

// A name that is an alias of a domain is not that domain's zone.
func TestZoneCut(t *testing.T) {
	w := newWorld("")
	w.Resolver = mailtest.NewCounted(mailtest.Zone{
		"CNAME a.example.org": {"example.com."}, "NS example.com": {"ns1.example.com."}, "NS example.org": {"ns1.example.net."}, "A ns1.example.net": {"198.51.100.1"},
		"NS sub.example.org": {"ns1.example.net."}, "NS co.jp": {"a.dns.jp."}, "NS dedyn.io": {"ns1.desec.io."},
	}).Resolver
	r := NewComparer(Options{DNS: w}).newRun()
	for name, want := range map[string]string{"a.example.org": "example.org", "x.y.sub.example.org": "sub.example.org", "nobody.co.jp": "", "_dmarc.nobody.co.jp": "", "me.dedyn.io": "dedyn.io", "nobody.example": ""} {
		if z := r.zone(t.Context(), name); z.name != want || (want == "") != errors.Is(z.err, ErrNoZone) {
			t.Errorf("%s: %+v", name, z)
		}
	}
}

func TestMayIssue(t *testing.T) {
	w := newWorld("")
	w.Resolver = mailtest.NewCounted(mailtest.Zone{
		"CAA example.org": {`0 issue "other.example"`}, "CAA ours.example.org": {`0 issue "other.example"`, `0 issue "letsencrypt.org; accounturi=https://ca/1"`},
		"CAA none.example": {`0 issue ";"`}, "CAA wild.example": {`0 issuewild "other.example"`, `0 iodef "mailto:a@wild.example"`}, "CAA broken.example": {"SERVFAIL"},
	}).Resolver
	c := NewComparer(Options{DNS: w})
	for _, tt := range []struct {
		host, account string
		ok            bool
		at            string
	}{
		{"mail.example.org", "", false, "example.org"}, {"mail.ours.example.org", "https://ca/1", true, "ours.example.org"}, {"ours.example.org", "https://ca/2", false, "ours.example.org"},
		{"ours.example.org", "", true, "ours.example.org"}, {"none.example", "", false, "none.example"}, {"wild.example", "", true, "wild.example"}, {"nothing.example", "", true, ""},
	} {
		if ok, at, err := c.MayIssue(t.Context(), tt.host, CA{"letsencrypt.org", tt.account}); ok != tt.ok || at != tt.at || err != nil {
			t.Errorf("%+v: %v, %s, %v", tt, ok, at, err)
		}
	}
	if _, _, err := c.MayIssue(t.Context(), "mail.broken.example", CA{}); err == nil {
		t.Error("no error")
	}
	in := basic()
	in.CA, in.CAForbidden = CA{Domain: "letsencrypt.org"}, true
	records, err := Plan(in)
	if r := find(t, records, KindCAA); err != nil || r.Rank != Required || r.Values[0] != `0 issue "letsencrypt.org"` {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSPFThatAsksTooMuch(t *testing.T) {
	in := basic()
	for _, tt := range []struct {
		add  string
		want State
		n    int
	}{
		{"", Correct, 1}, {"include:relay.example ", Correct, 10}, {"mx include:relay.example ", Differs, 11}, {"include:nowhere.example ", Differs, 2},
		{strings.Repeat("include:relay.example include:relay.example. ", 1), Correct, 10},
		{"include:relay.example include:deep.relay.example a:1.example a:2.example a:3.example include:relay.example include:loop.example ", Differs, 0},
	} {
		zone := strings.ReplaceAll(printed(t, in), "v=spf1 ", "v=spf1 "+tt.add)
		w := newWorld(zone)
		results := w.compare(t, in)
		r := of(t, results, KindSPF)
		if r.State != tt.want || tt.n > 0 && r.SPF.Lookups != tt.n || r.State == Differs && r.Why.JA == "" || len(Diff(results)) > 0 {
			t.Errorf("%s: %+v", tt.add, r)
		}
	}
}

// An SPF record that includes itself ends.
func TestSPFLoop(t *testing.T) {
	w := mailtest.NewCounted(mailtest.Zone{"TXT a.example": {"v=spf1 include:a.example include:a.example -all"}})
	if c := countSPF(t.Context(), &world{Resolver: w.Resolver}, "v=spf1 include:a.example -all"); !c.TooMany() || w.Lookups() > maxSPFQuestions+2 {
		t.Errorf("%+v after %d questions", c, w.Lookups())
	}
}

func TestExisting(t *testing.T) {
	w := newWorld("example.org. 300 IN TXT \"v=spf1 include:relay.example -all\"\nexample.org. 300 IN TXT \"site=1\"\n_dmarc.example.org. 300 IN TXT \"v=DMARC1; p=reject\"\n")
	for range 2 { // from the zone's own server, and then from the other
		ex, err := NewComparer(Options{DNS: w}).Existing(t.Context(), "Example.ORG.")
		if err != nil || !slices.Equal(ex.SPF, []string{"v=spf1 include:relay.example -all"}) || ex.SPFLookups != 9 || len(ex.DMARC) != 1 || ex.TLSRPT != nil {
			t.Errorf("%+v, %v", ex, err)
		}
		w.servers[ns1].how = "refuses"
	}
}

// memory is a store.
type memory map[string][]byte

func (m memory) State(path string) ([]byte, error) {
	if v, ok := m[path]; ok {
		return v, nil
	}
	return nil, errors.New("nothing there")
}

func (m memory) PutState(path string, v []byte) error { m[path] = v; return nil }

func TestSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, start := basic(), time.Now()
		w, store := newWorld(""), memory{}
		records, _ := Plan(in)
		c := NewComparer(Options{DNS: w, Store: store})
		c.Compare(t.Context(), records)
		time.Sleep(time.Hour)
		if r := c.Compare(t.Context(), records)[0]; !r.Since.Equal(start) {
			t.Errorf("not seen since %s, began %s", r.Since, start)
		}
		w.servers[ns1].zone, w.servers[ns2].zone = printed(t, in), printed(t, in)
		c.Compare(t.Context(), records)
		time.Sleep(time.Hour)
		c = NewComparer(Options{DNS: w, Store: store}) // after a restart
		if r := c.Compare(t.Context(), records)[0]; r.State != Correct || !r.Since.Equal(start.Add(time.Hour)) {
			t.Errorf("%s since %s", r.State, r.Since)
		}
		store[agePath] = []byte("{broken")
		if r := NewComparer(Options{DNS: w, Store: store}).Compare(t.Context(), records)[0]; r.Since.IsZero() {
			t.Error("since never")
		}
	})
}

func TestHostAndSigned(t *testing.T) {
	w := newWorld("")
	w.Resolver = mailtest.NewCounted(mailtest.Zone{
		"NS example.org": {"amy.ns.cloudflare.com.", "bob.ns.cloudflare.com."}, "DS example.org": {"1 13 2 " + strings.Repeat("ab", 32)},
		"NS example.net": {"ns.home.example."}, "A ns.home.example": {"192.168.1.1"}, "NS broken.example": {"SERVFAIL"},
	}).Resolver
	c := NewComparer(Options{DNS: w})
	h, err := c.Host(t.Context(), "mail.example.org")
	if err != nil || h.Name != "Cloudflare" || h.Zone != "example.org" || len(h.NS) != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	for name, want := range map[string]bool{"mail.example.org": true, "example.net": false} {
		if got, err := c.Signed(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := c.Host(t.Context(), "broken.example"); err == nil || errors.Is(err, ErrNoZone) {
		t.Errorf("%v", err)
	}
	// Addresses of the house's own network are not asked for strangers.
	if z := c.newRun().zone(t.Context(), "example.net"); len(z.servers) != 1 || len(z.servers[0].addrs) != 0 {
		t.Errorf("%+v", z)
	}
	for addr, want := range map[string]bool{"203.0.113.1": true, "100.64.1.1": false, "127.0.0.1": false, "::1": false, "fd00::1": false, "2001:db8::1": true, "::ffff:10.0.0.1": false} {
		if public(netip.MustParseAddr(addr)) != want {
			t.Error(addr)
		}
	}
}

// asks is a public resolver that counts how often it is to forget.
type asks struct {
	*mailtest.Counted
	flushed atomic.Int64
}

func (a *asks) Flush(string) { a.flushed.Add(1) }

func TestPublicForgetsWhatIsWrong(t *testing.T) {
	in := basic()
	w := newWorld(printed(t, in))
	for _, zone := range []mailtest.Zone{{}, {"A mail.example.org": {"203.0.113.25"}}} {
		a := &asks{Counted: mailtest.NewCounted(zone)}
		results := w.compare(t, in, func(o *Options) { o.Public = []Public{{"public", a}} })
		if want := len(results) - len(zone); int(a.flushed.Load()) != want {
			t.Errorf("forgot %d of %d", a.flushed.Load(), want)
		}
	}
}

// Terms that were ours once go, but not those of others.
func TestOldAddressLeavesSPF(t *testing.T) {
	in := basic()
	in.SPFForget = []string{"ip4:192.0.2.9", "include:old.example"}
	w := newWorld(strings.ReplaceAll(printed(t, in), "v=spf1 ", "v=spf1 ip4:192.0.2.9 ip4:192.0.2.10 "))
	results := w.compare(t, in)
	r := of(t, results, KindSPF)
	want := "v=spf1 a:mail.example.org ip4:192.0.2.10 ~all"
	if changes := Diff(results); r.State != Differs || !slices.Equal(r.Should, []string{want}) || len(changes) != 1 || !slices.Equal(changes[0].Add, []string{want}) {
		t.Errorf("%+v, %v", r, changes)
	}
}

// At the domain itself there may be others' web pages.
func TestAddressesAtTheDomainAreForPeopleToChange(t *testing.T) {
	in := basic()
	in.Host = in.Domain
	w := newWorld(strings.ReplaceAll(printed(t, in), "203.0.113.25", "198.51.100.80"))
	results := w.compare(t, in)
	if r := of(t, results, KindHost); r.State != Differs || !r.ByHand || len(Diff(results)) > 0 {
		t.Errorf("%+v, %v", r, Diff(results))
	}
}

func TestIPv6ThatDoesNotWorkGoes(t *testing.T) {
	in := basic()
	w := newWorld(printed(t, in))
	in.NoIPv6 = true
	results := w.compare(t, in)
	r := of(t, results, KindUnwanted)
	if changes := Diff(results); r.State != Differs || r.Why.JA == "" || len(changes) != 1 || changes[0].Action != Remove || !slices.Equal(changes[0].Del, []string{"2001:db8::25"}) {
		t.Errorf("%+v, %v", r, changes)
	}
	if slices.ContainsFunc(results, func(r Result) bool { return r.Record.Kind == KindHost && r.Record.Type == "AAAA" }) {
		t.Error("IPv6 is planned though it does not work")
	}
}

// What is there is found behind an alias, too: it must not be taken for nothing.
func TestExistingBehindAnAlias(t *testing.T) {
	zone := "_dmarc.example.org. 300 IN CNAME dmarc.elsewhere.example.\n"
	w := newWorld(zone)
	w.recursive(zone + "dmarc.elsewhere.example. 300 IN TXT \"v=DMARC1; p=reject\"\n")
	ex, err := NewComparer(Options{DNS: w}).Existing(t.Context(), "example.org")
	if err != nil || !slices.Equal(ex.DMARC, []string{"v=DMARC1; p=reject"}) {
		t.Errorf("%+v, %v", ex, err)
	}
}

// A clock that was wrong when it was noted does not make things be so since the future.
func TestSinceIsNotInTheFuture(t *testing.T) {
	in := basic()
	records, _ := Plan(in)
	r := records[0]
	store := memory{agePath: []byte(`{"` + r.Name + " " + r.Type + " " + string(r.Kind) + `":{"state":"not seen","since":"2099-01-01T00:00:00Z"}}`)}
	if got := NewComparer(Options{DNS: newWorld(""), Store: store}).Compare(t.Context(), records)[0]; got.Since.After(time.Now()) {
		t.Errorf("since %s", got.Since)
	}
}
