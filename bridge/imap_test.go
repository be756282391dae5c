package bridge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"homemail/mail"
	"homemail/store"
)

// An imapServer is go-imap's server in memory.
type imapServer struct {
	t       *testing.T
	mem     *imapmemserver.Server
	user    *imapmemserver.User
	address string
	starts  byte // appended to the names of mailboxes that only raise UIDVALIDITY
}

func newIMAP(t *testing.T, starttls bool, caps ...imap.Cap) *imapServer {
	t.Helper()
	s := &imapServer{t: t, mem: imapmemserver.New()}
	s.renumber()
	set := imap.CapSet{imap.CapIMAP4rev1: {}}
	for _, c := range caps {
		set[c] = struct{}{}
	}
	o := &imapserver.Options{
		Caps: set, Logger: log.New(io.Discard, "", 0),
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return s.mem.NewSession(), nil, nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	if starttls {
		o.TLSConfig = serverTLS()
	} else {
		l = tls.NewListener(l, serverTLS())
	}
	srv := imapserver.New(o)
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return s
}

// renumber gives the server an empty INBOX with another UIDVALIDITY.
func (s *imapServer) renumber() {
	s.t.Helper()
	s.starts++
	s.user = imapmemserver.NewUser(user, secret)
	for n := range s.starts {
		must(s.t, s.user.Create(fmt.Sprintf("other %d", n), nil))
	}
	must(s.t, s.user.Create("INBOX", nil))
	s.mem.AddUser(s.user)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type literal struct{ *strings.Reader }

func (l literal) Size() int64 { return int64(l.Len()) }

func (s *imapServer) put(mailbox, body string, o imap.AppendOptions) {
	s.t.Helper()
	_, err := s.user.Append(mailbox, literal{strings.NewReader(body)}, &o)
	must(s.t, err)
}

func (s *imapServer) fill(from, to int) {
	s.t.Helper()
	for n := from; n < to; n++ {
		s.put("INBOX", sample(n), imap.AppendOptions{})
	}
}

func (s *imapServer) left() int {
	st, err := s.user.Status("INBOX", &imap.StatusOptions{NumMessages: true})
	must(s.t, err)
	return int(*st.NumMessages)
}

// house is one that fetches from the server.
func (s *imapServer) house(a Account) *house {
	s.t.Helper()
	h := newHouse(s.t, options(func() string { return s.address }))
	a.Kind = IMAP
	h.add(a)
	return h
}

func TestIMAP(t *testing.T) {
	for _, starttls := range []bool{false, true} {
		s := newIMAP(t, starttls)
		date := time.Date(2009, 7, 6, 5, 4, 3, 0, time.FixedZone("", 9*60*60))
		s.put("INBOX", sample(0), imap.AppendOptions{Time: date, Flags: []imap.Flag{imap.FlagSeen, imap.FlagFlagged, "$Forwarded", "work"}})
		s.put("INBOX", sample(1), imap.AppendOptions{Time: date, Flags: []imap.Flag{imap.FlagAnswered, imap.FlagDeleted}})
		a := Account{KeepDays: Forever}
		if starttls {
			a.TLS = StartTLS
		}
		h := s.house(a)
		h.visited()
		want := []got{
			{sample(0), mail.Seen | mail.Flagged, "$Forwarded work", date},
			{sample(1), mail.Answered, "", date},
		}
		list := h.mailbox("INBOX")
		for i, w := range want {
			if i >= len(list) || !list[i].date.Equal(w.date) || list[i].body != w.body || list[i].flags != w.flags || list[i].words != w.words {
				t.Errorf("message %d: got %+v", i, list)
			}
		}
		s.fill(2, 120)
		h.b = New(h.s, h.b.o)
		h.visited()
		h.want(samples(0, 120)...)
		if s.left() != 120 {
			t.Error("messages were deleted")
		}
	}
}

// TestIMAPIdle: what comes while the bridge listens is fetched at once.
func TestIMAPIdle(t *testing.T) {
	s := newIMAP(t, false, imap.CapIdle)
	h := s.house(Account{KeepDays: Forever})
	// The server forgets to tell of what came just before the IDLE.
	h.b.o.Idle, h.b.o.Poll = 500*time.Millisecond, time.Hour
	n := 0
	h.run(func() bool {
		if st := h.status(); st.State != Listening || st.Fetched < n {
			return false
		}
		if n == 5 {
			return true
		}
		s.fill(n, n+1)
		n++
		return false
	})
	h.want(samples(0, 5)...)
}

func TestIMAPDeletes(t *testing.T) {
	for _, plus := range []bool{true, false} {
		caps := []imap.Cap{imap.CapIdle}
		if plus {
			caps = append(caps, imap.CapUIDPlus)
		}
		s := newIMAP(t, false, caps...)
		s.fill(0, 60)
		h := s.house(Account{KeepDays: 0})
		h.run(func() bool { return h.status().Removed == 60 })
		h.b = New(h.s, h.b.o)
		h.visited()
		h.want(samples(0, 60)...)
		if want := map[bool]int{true: 0, false: 60}[plus]; s.left() != want {
			t.Errorf("UIDPLUS %v: %d left, want %d", plus, s.left(), want)
		}
	}
}

func TestIMAPFolders(t *testing.T) {
	s := newIMAP(t, false)
	must(t, s.user.Create("Spam", nil))
	must(t, s.user.Create("家族", nil))
	s.put("INBOX", sample(1), imap.AppendOptions{})
	s.put("Spam", sample(2), imap.AppendOptions{})
	s.put("家族", sample(3), imap.AppendOptions{})
	h := s.house(Account{KeepDays: Forever, Junk: "Spam", Folders: []Folder{{There: "INBOX"}, {There: "家族", Here: "Archive"}, {There: "gone"}}})
	h.visited()
	h.visited()
	for name, want := range map[string]string{"INBOX": sample(1), "Junk": sample(2), "Archive": sample(3)} {
		if list := h.mailbox(name); len(list) != 1 || list[0].body != want {
			t.Errorf("%s has %+v", name, list)
		}
	}
	if st := h.status(); !strings.Contains(st.Problem, "no such mailbox") {
		t.Errorf("%+v", st)
	}
}

// TestIMAPRenumbered: messages that come under new numbers are known by their
// bytes.
func TestIMAPRenumbered(t *testing.T) {
	s := newIMAP(t, false)
	s.fill(0, 10)
	h := s.house(Account{KeepDays: Forever})
	h.visited()
	for range 2 {
		s.renumber()
		s.fill(0, 10)
		s.fill(3, 4) // it is there twice: it came twice
		h.b = New(h.s, h.b.o)
		h.visited()
	}
	h.want(append(samples(0, 10), sample(3))...)
}

// A cutConn breaks after so many bytes from the server.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// TestIMAPCut breaks each connection later than the one before.
func TestIMAPCut(t *testing.T) {
	s := newIMAP(t, false, imap.CapUIDPlus)
	s.fill(0, 60)
	h := s.house(Account{KeepDays: 0})
	dial, dials := h.b.o.Dial, 0
	h.b.o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		dials++
		return &cutConn{c, 300 + 400*dials}, err
	}
	h.b.o.Waits = []time.Duration{time.Millisecond}
	h.run(func() bool { return s.left() == 0 })
	h.want(samples(0, 60)...)
	if dials < 10 {
		t.Errorf("only %d connections", dials)
	}
}

// TestStoreClosed ends the store at random points and opens it again.
func TestStoreClosed(t *testing.T) {
	s := newIMAP(t, false, imap.CapUIDPlus)
	p := &popServer{}
	address := listen(t, p.serve)
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 25 {
		s.fill(n*10, n*10+10)
		fillPop(p, 1000+n*10, 1000+n*10+10)
		st, err := store.Open(dir, store.Options{Reserve: 1 << 20})
		must(t, err)
		h := &house{t: t, s: st}
		h.b = New(st, options(nil))
		h.b.o.Dial = func(ctx context.Context, network, a string) (net.Conn, error) {
			if strings.HasSuffix(a, ":993") {
				a = s.address
			} else {
				a = address
			}
			return (&net.Dialer{}).DialContext(ctx, network, a)
		}
		if n == 0 {
			must(t, st.AddDomain("home.test"))
			h.who, err = st.AddAccount(store.Profile{Address: "anna@home.test"})
			must(t, err)
			h.add(Account{Kind: IMAP, KeepDays: 0})
			h.add(Account{Kind: POP3, KeepDays: 0, Address: "bert@provider.test"})
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); h.b.Run(ctx) }()
		if n == 24 {
			for range 1000 {
				if s.left()+p.left() == 0 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
		} else {
			time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		}
		if n%2 == 0 { // the store goes first
			must(t, st.Close())
			cancel()
			<-done
		} else {
			cancel()
			<-done
			must(t, st.Close())
		}
	}
	h := &house{t: t}
	var err error
	h.s, err = store.Open(dir, store.Options{Reserve: 1 << 20})
	must(t, err)
	defer h.s.Close()
	h.who, err = h.s.Account("anna@home.test")
	must(t, err)
	h.want(append(samples(0, 250), samples(1000, 1250)...)...)
	if s.left()+p.left() != 0 {
		t.Errorf("%d and %d left", s.left(), p.left())
	}
}

func TestQuota(t *testing.T) {
	s := newIMAP(t, false, imap.CapUIDPlus)
	s.fill(0, 3)
	h := s.house(Account{KeepDays: 0})
	quota := func(n int64) {
		must(t, h.who.Update(func(p *store.Profile) error { p.Quota = n; return nil }))
	}
	quota(int64(len(sample(0))) * 2)
	h.run(func() bool { return h.status().State == Failing })
	if st := h.status(); !strings.Contains(st.Problem, "is full") || st.Stuck != 0 {
		t.Errorf("%+v", st)
	}
	if n := len(h.mailbox("INBOX")); n+s.left() < 3 {
		t.Errorf("%d here, %d there", n, s.left())
	}
	quota(0)
	h.run(func() bool { return s.left() == 0 })
	h.want(samples(0, 3)...)
}

func TestCheck(t *testing.T) {
	s := newIMAP(t, false, imap.CapIdle, imap.CapUIDPlus)
	s.fill(0, 3)
	h := newHouse(t, options(func() string { return s.address }))
	ctx := t.Context()
	a := h.fill(Account{Kind: IMAP, KeepDays: Forever})
	r, err := h.b.Check(ctx, a, secret)
	if err != nil || r.Messages != 3 || !r.Instant || !r.Deletes || len(r.Folders) < 2 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = h.b.Check(ctx, a, "wrong")
	a.Host = "imap.gmail.com"
	if err == nil || !strings.Contains(Explain(a, err), "app password") {
		t.Errorf("%v: %s", err, Explain(a, err))
	}
	_, err = h.b.Check(ctx, a, secret) // the certificate is another's
	if err == nil || !strings.Contains(Explain(a, err), "is another one") {
		t.Errorf("%v: %s", err, Explain(a, err))
	}
	a.Host = serverName
	a.TLS = StartTLS
	h.b.o.Stall = 50 * time.Millisecond
	if _, err = h.b.Check(ctx, a, secret); err == nil {
		t.Error("no error with the wrong kind of TLS")
	}
	if _, err = h.b.Check(ctx, a, "a\r\nb"); err == nil {
		t.Error("a password of two lines")
	}
}
