package dash_test

import (
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"homemail/admin"
	"homemail/bridge"
	"homemail/caps"
	"homemail/clock"
	"homemail/events"
	"homemail/internal/storetest"
	"homemail/lan"
	"homemail/mail"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/store"
	"homemail/web/dash/dashtest"
)

// realPages are those whose work grows with what a house has.
func realPages() []string {
	return []string{
		"/", "/people", "/people/show?address=person1@example.jp", "/addresses", "/where", "/where?address=person1", "/where?id=100",
		"/where?subject=no+such+words", "/queue", "/network", "/sending", "/dns", "/dns/certificates", "/security", "/security/audit", "/logs", "/settings",
	}
}

// BenchmarkPages has 20 people with 100,000 messages and a full log of 200,000
// events. Each page is to take 50 ms at the median, and all of them are to cost
// less than 20 MB.
func BenchmarkPages(b *testing.B) {
	h := realHouse(b, 20, 5000, 200_000)
	before := inUse()
	set, d, err := dashtest.Set(h, "")
	must(b, err)
	defer d.Close()
	server := set.Handler(d.Handler())
	for _, path := range realPages() {
		b.Run(path, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				w := &answer{header: http.Header{}}
				server.ServeHTTP(w, request(path))
				took = append(took, time.Since(begun))
				if w.status != http.StatusOK {
					b.Fatalf("%d %s", w.status, w.body)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "ms-median")
		})
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(float64(inUse()-before)/1e6, "MB")
		}
		runtime.KeepAlive(server)
	})
}

// inUse is the memory that is needed.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what only a pool has
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A real house answers on every page.
func TestRealHouse(t *testing.T) {
	h := realHouse(t, 20, 250, 3000) // the store is verified at the end, which takes its time
	set, d, err := dashtest.Set(h, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	server := set.Handler(d.Handler())
	for _, path := range realPages() {
		w := &answer{header: http.Header{}}
		server.ServeHTTP(w, request(path))
		if w.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.status, w.body)
		}
	}
}

func request(path string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		panic(err)
	}
	r.Host, r.RemoteAddr = "mail.example.jp", "192.168.1.40:5000"
	return r
}

type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(s int)   { a.status = s }
func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// realHouse is a house with a store, without an outside.
func realHouse(t testing.TB, people, messages, happened int) *admin.House {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	must(t, s.AddDomain("example.jp"))
	book, err := outbound.Open(s)
	must(t, err)
	capped, err := caps.New(s, caps.Options{PerHour: 100, PerDay: 1000, NewPerDay: 100})
	must(t, err)
	log := events.New(s, events.Options{})
	h := &admin.House{
		Store: s, Book: book, Keys: outbound.NewKeyring(s), Relay: relay.New(relay.Options{}), Queue: queue.New(queue.Options{Store: s, Transport: nowhere{}, Clock: clock.New(clock.Options{})}),
		Bridge: bridge.New(s, bridge.Options{}), Caps: capped, LAN: lan.New(s, lan.Options{}), Clock: clock.New(clock.Options{}), Events: log,
		Host: "mail.example.jp", Started: time.Now(), Version: "test", Settings: admin.Settings{Path: "config/"},
	}
	for i := range people {
		a, err := s.AddAccount(store.Profile{Address: mail.Path("person" + strconv.Itoa(i) + "@example.jp"), Name: "Person"})
		must(t, err)
		fill(t, s, a, messages)
	}
	for i := range happened {
		log.Add(events.Event{At: time.Now(), Kind: events.Received, ID: strconv.Itoa(i), From: "somebody@example.net", To: []mail.Path{"person1@example.jp"}, Subject: "words " + strconv.Itoa(i)})
		if i%500 == 0 {
			_, err := log.Find(events.Query{}, 1, 0) // which writes them
			must(t, err)
		}
	}
	return h
}

// nowhere is a transport that is never asked, as the queue does not run.
type nowhere struct{ queue.Transport }

// fill files one message and copies it.
func fill(t testing.TB, s *store.Store, a *store.Account, messages int) {
	t.Helper()
	sp := s.NewSpool()
	defer sp.Discard()
	_, err := sp.Write([]byte("Subject: x\r\n\r\ny\r\n"))
	must(t, err)
	inbox, err := a.Mailbox("INBOX")
	must(t, err)
	placed, err := s.Deliver(sp, []store.Delivery{{Account: a.ID, Mailbox: inbox.ID}})
	must(t, err)
	uids := []mail.UID{placed[0].UID}
	for len(uids) < messages {
		pairs, err := a.Copy(inbox.ID, uids, inbox.ID)
		must(t, err)
		for _, p := range pairs {
			uids = append(uids, p.To)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
