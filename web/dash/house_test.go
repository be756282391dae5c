package dash_test

import (
	"net/http"
	"os"
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

// A real house with 20 people and, where there is time, 100,000 messages answers
// on every page; how quickly is in the log of the test.
func TestRealHouse(t *testing.T) {
	h := realHouse(t, 20)
	set, d, err := dashtest.Set(h, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	server := set.Handler(d.Handler())
	for _, path := range []string{"/", "/people", "/people/show?address=person1@example.jp", "/addresses", "/where", "/where?subject=no+such+words", "/queue", "/network", "/sending", "/dns", "/dns/certificates", "/security", "/security/audit", "/logs", "/settings"} {
		var took []time.Duration
		for range 9 {
			begun := time.Now()
			r := request(path)
			w := &answer{header: http.Header{}}
			server.ServeHTTP(w, r)
			took = append(took, time.Since(begun))
			if w.status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, w.status, w.body)
			}
		}
		slices.Sort(took)
		t.Logf("%-40s %v", path, took[4])
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
func realHouse(t *testing.T, people int) *admin.House {
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
		fill(t, s, a)
	}
	for i := range 3_000 {
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
func fill(t *testing.T, s *store.Store, a *store.Account) {
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
	each := 250 // of 20 people, for which the store is verified at the end
	if os.Getenv("HOMEMAIL_TOOLS") == "1" {
		each = 5000
	}
	for len(uids) < each {
		pairs, err := a.Copy(inbox.ID, uids, inbox.ID)
		must(t, err)
		for _, p := range pairs {
			uids = append(uids, p.To)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
