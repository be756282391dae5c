package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"homemail/admin"
	"homemail/certs"
	"homemail/check"
	"homemail/check/probe"
	"homemail/config"
	"homemail/relay"
	"homemail/resolver"
	"homemail/router"
	"homemail/store"
	"homemail/words"
)

func TestLineRouter(t *testing.T) {
	four, six := netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("2001:db8::10")
	row := func(own netip.Addr, in uint16, mapped bool, given uint16, code router.Code) router.Mapping {
		return router.Mapping{Port: router.Port{Internal: in, External: in}, Own: own, Mapped: mapped, Given: given, Code: code}
	}
	got, err := lineRouter(router.State{
		Method: "UPnP", Model: "TEST-1", External: netip.MustParseAddr("203.0.113.7"),
		Ports: []router.Mapping{
			row(four, 25, true, 25, router.Mapped), row(four, 443, false, 6736, router.Moved), row(four, 993, false, 993, router.Conflict),
			row(six, 25, false, 0, router.Refused), row(six, 465, true, 465, router.Mapped),
		},
	})
	if err != nil || got.Model != "TEST-1" || got.External.String() != "203.0.113.7" || len(got.Mapped) != 3 ||
		got.Mapped[25] != 25 || got.Mapped[443] != 6736 || got.Mapped[993] != 0 {
		t.Errorf("%+v %v", got, err)
	}
	for _, tt := range []struct {
		code router.Code
		none bool
	}{{router.NotAsked, true}, {router.NoGateway, true}, {router.Public, true}, {router.Silent, false}} {
		_, err := lineRouter(router.State{Code: tt.code, Why: words.Text{EN: "so"}})
		if err == nil || errors.Is(err, check.ErrNoRouter) != tt.none || !strings.Contains(err.Error(), "so") {
			t.Errorf("%s: %v", tt.code, err)
		}
	}
}

// A notebook is a memory of results.
type notebook []check.Result

func (n notebook) State(string) ([]byte, error)  { return json.Marshal(n) }
func (n notebook) PutState(string, []byte) error { return nil }

func TestReach(t *testing.T) {
	if (*line)(nil).reach() != (certs.Reach{}) {
		t.Error("a closed world knows what a CA reaches")
	}
	was := func(code string, age time.Duration) check.Result {
		return check.Result{Code: code, Tested: time.Now().Add(-age)}
	}
	for _, tt := range []struct {
		name     string
		in80     check.Result
		in443    check.Result
		settings func(*config.Listen)
		want     certs.Reach
	}{
		{"open", was("open", 0), was("open4", 0), nil, certs.Reach{HTTP: certs.Reachable, TLS: certs.Reachable}},
		{"closed", was("closed", 0), was("other", 0), nil, certs.Reach{HTTP: certs.Closed, TLS: certs.Closed}},
		{"not known", was("unknown", 0), was("mute", 0), nil, certs.Reach{}},
		{"old", was("closed", 3*time.Hour), was("open", 3*time.Hour), nil, certs.Reach{}},
		{"from a day to come", was("closed", -72*time.Hour), was("open", 0), nil, certs.Reach{TLS: certs.Reachable}},
		{"no door", was("open", 0), was("open", 0), func(l *config.Listen) { l.HTTP = nil }, certs.Reach{HTTP: certs.Closed, TLS: certs.Reachable}},
		{"for the house only", was("open", 0), was("unknown", 0), func(l *config.Listen) { l.LANOnly = []string{"https"} }, certs.Reach{HTTP: certs.Reachable, TLS: certs.Closed}},
	} {
		c := config.Default()
		if tt.settings != nil {
			tt.settings(&c.Listen)
		}
		tt.in80.Name, tt.in443.Name = "in80", "in443"
		l := &line{h: &house{config: c}, checker: check.New(check.Options{Memory: notebook{tt.in80, tt.in443}})}
		if got := l.reach(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestAddressSources: who watches the addresses is told what a probe has seen,
// and nothing by a house that asks nobody.
func TestAddressSources(t *testing.T) {
	var closed *line
	if _, err := closed.echo(t.Context(), "tcp4"); err != probe.ErrNone || closed.ipv6() {
		t.Error("a closed world knows its addresses: ", err)
	}
	closed.retest(t.Context())
	for _, tt := range []struct {
		v6   string
		age  time.Duration
		want bool
	}{{"ours", 0, true}, {"ours", 3 * time.Hour, false}, {"silent", 0, false}, {"", 0, false}} {
		r := check.Result{Name: "in25", Code: "open", Tested: time.Now().Add(-tt.age), Data: map[string]string{"v6": tt.v6}}
		l := &line{checker: check.New(check.Options{Memory: notebook{r}})}
		if got := l.ipv6(); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestFirst: the web server's own pages come after what friends want, and friends
// are answered only if they may ask, and over TLS.
func TestFirst(t *testing.T) {
	client, err := probe.NewClient(probe.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, tt := range []struct {
		name string
		l    *line
		path string
		tls  bool
		want int
	}{
		{"closed world", nil, probe.EchoPath, true, http.StatusTeapot},
		{"nothing set", &line{}, probe.EchoPath, true, http.StatusTeapot},
		{"nothing set", &line{}, probe.TokenPath + "aa", true, http.StatusTeapot},
		{"a token that is not out", &line{client: client}, probe.TokenPath + "aa", false, http.StatusNotFound},
		{"another page", &line{client: client, server: probe.NewServer(probe.ServerOptions{})}, "/", true, http.StatusTeapot},
		{"not over TLS", &line{server: probe.NewServer(probe.ServerOptions{})}, probe.EchoPath, false, http.StatusTeapot},
		{"a friend", &line{server: probe.NewServer(probe.ServerOptions{})}, probe.EchoPath, true, http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.path, nil)
		r.RemoteAddr = "198.51.100.7:4000"
		if tt.tls {
			r.TLS = new(tls.ConnectionState)
		}
		w := httptest.NewRecorder()
		tt.l.first(next).ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %s gives %d, want %d", tt.name, tt.path, w.Code, tt.want)
		}
	}
}

func TestCertificateForChecks(t *testing.T) {
	h := &house{config: config.Default()}
	h.config.HostName = "mail.example.test"
	var err error
	if h.certs, err = certs.Open(certs.Options{Dir: t.TempDir(), Host: h.config.Host(), Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	keys := h.certKeys()
	if want := probe.Key(h.certs.Leaf().RawSubjectPublicKeyInfo); !slices.Equal(keys, []string{want}) {
		t.Errorf("%v, want %s", keys, want)
	}
	if c, err := h.certificate(); err != nil || c.Leaf == nil || c.Issued || c.Waiting {
		t.Errorf("%+v %v", c, err)
	}
}

func TestCheckMode(t *testing.T) {
	for _, tt := range []struct {
		r    relay.Routes
		want check.Mode
	}{
		{relay.Routes{}, ""},
		{relay.Routes{Default: relay.Route{Way: relay.Direct}}, check.Direct},
		{relay.Routes{Default: relay.Route{Way: relay.Via, Smarthost: "x"}}, check.Smarthost},
	} {
		if got := admin.CheckMode(tt.r); got != tt.want {
			t.Errorf("%+v: %q", tt.r, got)
		}
	}
}

// A quietDNS answers everything that is asked of a server, and counts. Nothing of
// it may be kept: each question comes here.
type quietDNS struct {
	mu    sync.Mutex
	asked []string
}

func (q *quietDNS) dial(_ context.Context, network, _ string) (net.Conn, error) {
	if network != "udp" {
		return nil, syscall.ECONNREFUSED
	}
	a, b := net.Pipe()
	go func() {
		defer b.Close()
		buf := make([]byte, 1500)
		for {
			n, err := b.Read(buf)
			if err != nil {
				return
			}
			m := new(dns.Msg)
			if m.Unpack(buf[:n]) != nil || len(m.Question) != 1 {
				return
			}
			wire, err := q.reply(m).Pack()
			if err != nil {
				return
			}
			b.Write(wire)
		}
	}()
	return a, nil
}

func (q *quietDNS) reply(m *dns.Msg) *dns.Msg {
	name, kind := m.Question[0].Name, m.Question[0].Qtype
	q.mu.Lock()
	q.asked = append(q.asked, name+" "+dns.TypeToString[kind])
	q.mu.Unlock()
	r := new(dns.Msg)
	r.SetReply(m)
	value := map[uint16]string{dns.TypeMX: "5 mx.google.com.", dns.TypeA: "198.51.100.1", dns.TypeAAAA: "2001:db8::1", dns.TypePTR: "mail.example.test."}[kind]
	label, parent, _ := strings.Cut(name, ".")
	test := strings.HasPrefix(name, "2.0.0.127.")
	switch {
	case test && kind == dns.TypeA:
		value = "127.0.0.2"
	case strings.Contains(name, "spamhaus"), strings.Contains(name, "spamcop"), strings.Contains(name, "psbl"), len(label) == 26 && parent == "com.":
		r.Rcode = dns.RcodeNameError
		return r
	}
	if rr, err := dns.NewRR(name + " 0 IN " + dns.TypeToString[kind] + " " + value); err == nil && rr != nil && value != "" {
		r.Answer = []dns.RR{rr}
	}
	return r
}

func (q *quietDNS) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.asked)
}

// TestQuestionsAtRest: some hours of a house in which nothing happens, with all that
// runs in it by itself, and a DNS of which nothing may be kept: fewer than 200
// questions go over the wire in any hour.
func TestQuestionsAtRest(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := config.Default()
		c.HostName, c.Data, c.Store.Reserve = "mail.example.test", dir, config.MiB
		c.Probe.URLs = []string{"https://friend.example"}
		h := &house{config: c, log: slog.New(slog.DiscardHandler)}
		var err error
		if h.store, err = store.Open(dir, store.Options{Log: h.log, Reserve: int64(c.Store.Reserve)}); err != nil {
			t.Fatal(err)
		}
		defer h.store.Close()
		if err := h.openOutside(); err != nil {
			t.Fatal(err)
		}
		wire := new(quietDNS)
		h.dns = resolver.New(resolver.Options{Server: "192.0.2.53", CacheSize: -1, Dial: wire.dial})
		var dials atomic.Int64
		w := world{names: h.dns, local: localAddrs, dial: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}}
		h.buildOutside(w)
		l, err := h.newLine(w)
		if err != nil {
			t.Fatal(err)
		}
		o := l.options(w)
		o.Routes = func() (bool, bool, error) { return true, true, nil }
		o.Addresses = func() ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:1::7")}, nil
		}
		l.checker = check.New(o)
		about := h.addressOptions(l)
		about.local = func() []netip.Addr { return nil }
		h.address = h.newAddressWatch(about)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, run := range []func(context.Context) error{l.Run, h.address.run, h.queue.Run, h.relay.Run, h.bridge.Run, h.caps.Run, h.completeKeys, h.saveClock, h.releaseResumed} {
			wg.Go(func() { run(ctx) })
		}
		time.Sleep(time.Hour)
		if wire.count() != 0 || dials.Load() != 0 {
			t.Errorf("a house without a domain asked %q and connected %d times", wire.asked, dials.Load())
		}
		if _, err := l.echo(ctx, "tcp4"); err != probe.ErrNone || wire.count() != 0 {
			t.Errorf("a house without a domain asks a friend: %v", err)
		}
		if err := h.store.AddDomain("example.test"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.echo(ctx, "tcp4"); err == nil || err == probe.ErrNone {
			t.Errorf("friends were not asked: %v", err)
		}
		l.retest(ctx)
		most, last := 0, wire.count()
		for range 8 { // what is asked every six hours is asked twice
			time.Sleep(time.Hour)
			n := wire.count()
			most, last = max(most, n-last), n
		}
		if most >= 200 || most < 20 {
			t.Errorf("%d questions in an hour", most)
		}
		t.Logf("at most %d questions in an hour, %d in all", most, last)
		cancel()
		wg.Wait()
	})
}

func TestLineText(t *testing.T) {
	result := func(name string, state check.State, needed bool, needs ...string) check.Result {
		return check.Result{
			Name: name, State: state, Needed: needed, DependsOn: needs, Code: "code", Tested: time.Now(), Since: time.Now(),
			Title: check.Text{EN: name + "?", JA: "「" + name + "」"}, Means: check.Text{EN: "So it is.", JA: "そうです。"},
		}
	}
	bad := result("dns", check.Bad, true, "route")
	bad.Do = check.Text{EN: "Mend it.", JA: "直してください。"}
	blocked := result("out", check.CouldNotTest, true, "dns")
	blocked.Data, blocked.Do = map[string]string{"because": "dns"}, check.Text{EN: "Look there.", JA: "先に。"}
	chained := result("deep", check.CouldNotTest, true, "out")
	chained.Data = map[string]string{"because": "out"}
	aside := result("six", check.Bad, false, "route")
	aside.Do = check.Text{EN: "Never said.", JA: "言わない。"}
	l := admin.Line{
		Worst: check.Bad, Results: []check.Result{result("route", check.Good, true), bad, blocked, chained, aside},
		Recommend: check.Recommendation{Mode: check.Bridge, Reason: check.Text{EN: "Because.", JA: "理由。"}},
	}
	want := `good        route? So it is.
bad           dns? So it is.
                2 more cannot be tested before this is solved.
(bad)         six? So it is.

In brackets: what the way you are connected now does not need.

What to do:
 1. Mend it.

What fits: bridge: mail comes and leaves through a mailbox elsewhere.
Because.

homemail check -v tells the details.
`
	if got := (lineText{lang: "en", all: true}).of(l); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if ja := (lineText{lang: "ja"}).of(l); !strings.HasPrefix(ja, "良好        「route」: そうです。\n要対応        「dns」: そうです。\n") || strings.Contains(ja, "おすすめ") {
		t.Error(ja)
	}
	if v := (lineText{lang: "en", detail: true}).of(l); !strings.Contains(v, "deep: code since") || !strings.Contains(v, "→ Never said.") {
		t.Error(v)
	}
	never := admin.Line{Results: []check.Result{{Name: "route", State: check.CouldNotTest}}}
	if got := (lineText{lang: "en", last: true, all: true}).of(never); got != words.Say("cli.line.never").In("en")+"\n" {
		t.Errorf("%q", got)
	}
	for state, key := range textStates {
		if text := words.Say("cli.line." + key).Text(); columns(text.EN)+2 > 12 || columns(text.JA)+2 > 12 {
			t.Errorf("%s is too wide", state)
		}
	}
}

// FuzzWrap: nothing but spaces is lost, and a line is too long only where it has
// no place to break.
func FuzzWrap(f *testing.F) {
	f.Add("Ask your provider: “Please set the reverse name (PTR).”", 20)
	f.Add("プロバイダーに「逆引きを mail.example.org に設定してください」と依頼してください。", 20)
	f.Add("  a  bb                    c", 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		text, width = strings.ToValidUTF8(text, ""), 10+(width&63)
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		lines := wrap(text, width)
		if got := squeeze(strings.Join(lines, "")); got != squeeze(text) {
			t.Errorf("%q became %q", text, lines)
		}
		for _, l := range lines {
			if columns(l) > width && strings.Contains(strings.TrimSpace(l), " ") {
				t.Errorf("%q has %d columns of %d", l, columns(l), width)
			}
		}
	})
}
