package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/mail"
)

// open opens a store for a test and verifies it when the test ends.
func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	if o.Reserve == 0 {
		o.Reserve = 1 << 20
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		verify(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// verify fails the test for everything that a check finds.
func verify(t testing.TB, s *Store) Report {
	t.Helper()
	r, err := s.Check(context.Background(), CheckOptions{Bodies: true})
	if err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("check: %v", err)
	}
	for _, f := range r.Findings {
		t.Errorf("check: %s", f.What)
	}
	return r
}

func addAccount(t testing.TB, s *Store, address mail.Path) *Account {
	t.Helper()
	if !s.IsLocal(address.Domain()) {
		if err := s.AddDomain(address.Domain()); err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.AddAccount(Profile{Address: address, KeepDays: -1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func inbox(t testing.TB, a *Account) Mailbox {
	t.Helper()
	m, err := a.Mailbox("inbox")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// put delivers text to a mailbox.
func put(t testing.TB, a *Account, m Mailbox, text string) Placed {
	t.Helper()
	p, err := deliver(a, m, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func deliver(a *Account, m Mailbox, text string) (Placed, error) {
	sp := a.s.NewSpool()
	defer sp.Discard()
	if _, err := io.WriteString(sp, text); err != nil {
		return Placed{}, err
	}
	p, err := a.s.Deliver(sp, []Delivery{{Account: a.ID, Mailbox: m.ID, Prefix: []byte("X-Prefix: yes\r\n")}})
	if err != nil {
		return Placed{}, err
	}
	return p[0], nil
}

func body(t testing.TB, a *Account, m mail.MailboxID, uid mail.UID) string {
	t.Helper()
	rec, err := a.Message(m, uid)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := a.Body(rec).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != rec.Size {
		t.Errorf("message %d has %d bytes, and %d are served", uid, rec.Size, b.Len())
	}
	return b.String()
}

func text(n, size int) string {
	head := fmt.Sprintf("From: a@example.test\r\nSubject: %d\r\n\r\n", n)
	return head + strings.Repeat("x", max(0, size-len(head)-2)) + "\r\n"
}

func TestDeliverAndReadBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	for i, size := range []int{0, 10, 4096, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 7} {
		want := text(i, size)
		if size == 0 {
			want = ""
		}
		p := put(t, a, m, want)
		if p.UID != mail.UID(i+1) {
			t.Errorf("UID %d, want %d", p.UID, i+1)
		}
		if got := body(t, a, m.ID, p.UID); got != "X-Prefix: yes\r\n"+want {
			t.Errorf("size %d: other bytes came back", size)
		}
	}
	if m = inbox(t, a); m.Messages != 7 || m.Unseen != 7 || m.UIDNext != 8 {
		t.Errorf("mailbox %+v", m)
	}
}

func TestReopenKeepsAll(t *testing.T) {
	for _, end := range []string{"close", "crash"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir, Options{Reserve: 1 << 20, JournalSegment: 1 << 20, JournalMax: 4 << 20})
			if err != nil {
				t.Fatal(err)
			}
			a := addAccount(t, s, "anna@example.test")
			m := inbox(t, a)
			want := map[mail.UID]string{}
			for i := range 60 {
				x := text(i, 1000+i*7000)
				want[put(t, a, m, x).UID] = "X-Prefix: yes\r\n" + x
			}
			if end == "close" {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				crash(s)
			}
			s = open(t, dir, Options{})
			for _, d := range s.Damage() {
				t.Error(d)
			}
			if a, err = s.Account("ANNA@example.test"); err != nil {
				t.Fatal(err)
			}
			for uid, x := range want {
				if body(t, a, m.ID, uid) != x {
					t.Errorf("message %d came back changed", uid)
				}
			}
		})
	}
}

// TestQuietStopIsClean: what the journal notes while nothing happens is not
// missing from the database at the next start.
func TestQuietStopIsClean(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	addAccount(t, s, "anna@example.test")
	if err := s.exclusive(func() error { s.quiet(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir, Options{}); len(s.Damage()) > 0 {
		t.Error(s.Damage())
	}
}

// crash ends a store without telling Badger or the journal.
func crash(s *Store) {
	s.gate.Lock()
	s.closed = true
	close(s.requests)
	s.gate.Unlock()
	<-s.committed
	s.disk.db.Close() // lets its goroutines end; the journal is left as it is
	s.journal.close(false)
	s.lock.Close()
}

func TestManyWritersShareFlushes(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	before := s.Stats().Flushes
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 25 {
				if _, err := deliver(a, m, text(w*100+i, 4096)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.Stats().Flushes - before; n > 200 {
		t.Errorf("400 messages took %d flushes", n)
	}
	list, err := a.Entries(m.ID)
	if err != nil || len(list) != 400 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// TestRandomOperations compares a mailbox with a plain model of it.
func TestRandomOperations(t *testing.T) {
	s := open(t, t.TempDir(), Options{JournalSegment: 256 << 10, JournalMax: 1 << 20})
	a := addAccount(t, s, "anna@example.test")
	in, _ := a.Mailbox("INBOX")
	other, _ := a.Mailbox("Archive")
	boxes := []mail.MailboxID{in.ID, other.ID}
	model := map[mail.MailboxID]map[mail.UID]Entry{in.ID: {}, other.ID: {}}
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(b mail.MailboxID) (list []mail.UID) {
		for uid := range model[b] {
			if rnd.IntN(4) == 0 {
				list = append(list, uid)
			}
		}
		return list
	}
	for step := range 400 {
		b := boxes[rnd.IntN(2)]
		to := boxes[rnd.IntN(2)]
		switch rnd.IntN(6) {
		case 0, 1, 2:
			p := put(t, a, Mailbox{ID: b}, text(step%20, 2000)) // some bodies are the same
			model[b][p.UID] = Entry{UID: p.UID}
		case 3:
			list, _, err := a.StoreFlags(b, pick(b), FlagChange{Mode: FlagMode(rnd.IntN(3)), Flags: mail.Flags(rnd.IntN(32)), Keywords: []string{"$Work"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				model[b][e.UID] = e
			}
		case 4:
			gone, err := a.Expunge(b, pick(b))
			if err != nil {
				t.Fatal(err)
			}
			for _, uid := range gone {
				delete(model[b], uid)
			}
		case 5:
			move := rnd.IntN(2) == 0
			op := a.Copy
			if move {
				op = a.Move
			}
			pairs, err := op(b, pick(b), to)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pairs {
				e := model[b][p.From]
				if move {
					delete(model[b], p.From)
				}
				e.UID = p.To
				model[to][p.To] = e
			}
		}
	}
	for _, b := range boxes {
		list, err := a.Entries(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != len(model[b]) {
			t.Fatalf("mailbox %d has %d messages, want %d", b, len(list), len(model[b]))
		}
		for _, e := range list {
			if m, ok := model[b][e.UID]; !ok || m.Flags != e.Flags || len(m.Keywords) != len(e.Keywords) {
				t.Errorf("message %d has %v, want %v", e.UID, e, m)
			}
		}
	}
}

func TestChanges(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	w := a.Watch(m.ID)
	defer w.Close()
	for i := range 5 {
		put(t, a, m, text(i, 100))
	}
	select {
	case <-w.C:
	default:
		t.Error("the watch was not told")
	}
	since := inbox(t, a).ModSeq
	a.StoreFlags(m.ID, []mail.UID{2}, FlagChange{Mode: AddFlags, Flags: mail.Seen})
	a.Expunge(m.ID, []mail.UID{4})
	c, err := a.Changes(m.ID, since)
	if err != nil || len(c.Changed) != 1 || c.Changed[0].UID != 2 || len(c.Gone) != 1 || c.Gone[0] != 4 {
		t.Errorf("changes %+v, %v", c, err)
	}
	if c, err = a.Changes(m.ID, c.ModSeq); err != nil || len(c.Changed)+len(c.Gone) != 0 {
		t.Errorf("changes after all: %+v, %v", c, err)
	}
}

func TestQuota(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	if err := a.Update(func(p *Profile) error { p.Quota = 10000; return nil }); err != nil {
		t.Fatal(err)
	}
	m := inbox(t, a)
	put(t, a, m, text(1, 6000))
	if _, err := deliver(a, m, text(2, 6000)); !errors.Is(err, ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	if u, _ := a.Usage(); u.Messages != 1 {
		t.Errorf("usage %+v", u)
	}
}

func TestRefusedMessageLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	sp := s.NewSpool()
	io.WriteString(sp, text(1, 3*chunkSize))
	sp.Discard()
	sp.Discard()
	put(t, a, inbox(t, a), text(2, 100))
	if n := s.receiving.Load(); n != 0 {
		t.Errorf("%d messages are thought to be on their way", n)
	}
}

func TestAliases(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	addAccount(t, s, "bert@example.test")
	for _, bad := range []Alias{
		{"x@other.test", []mail.Path{"anna@example.test"}},
		{"x@example.test", []mail.Path{"nobody@example.test"}},
		{"x@example.test", []mail.Path{"x@example.test"}},
		{"x@example.test", nil},
	} {
		if err := s.SetAlias(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, good := range []Alias{
		{"family@example.test", []mail.Path{"anna@example.test", "bert@example.test"}},
		{"all@example.test", []mail.Path{"family@example.test"}},
		{"@example.test", []mail.Path{"anna@example.test"}},
	} {
		if err := s.SetAlias(good); err != nil {
			t.Error(err)
		}
	}
	if err := s.SetAlias(Alias{"family@example.test", []mail.Path{"all@example.test"}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a circle: %v", err)
	}
	list, err := s.AddressesOf(a.ID)
	if err != nil || len(list) != 4 || list[0] != "anna@example.test" {
		t.Errorf("addresses %v, %v", list, err)
	}
	if err := s.RemoveAccount("anna@example.test"); err != nil {
		t.Fatal(err)
	}
	aliases, err := s.Aliases()
	if err != nil || len(aliases) != 2 {
		t.Errorf("aliases %v, %v", aliases, err)
	}
}

func TestMailboxTree(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	if _, err := a.Create("Work/2026/Ärger", mail.NoUse); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Create("work", mail.NoUse); err != nil {
		t.Error(err)
	}
	if _, err := a.Create("Inbox", mail.NoUse); !errors.Is(err, ErrExists) {
		t.Errorf("a second INBOX: %v", err)
	}
	if err := a.Rename("Work", "Old/Work"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Mailbox("Old/Work/2026/Ärger"); err != nil {
		t.Error(err)
	}
	put(t, a, inbox(t, a), text(1, 100))
	if err := a.Rename("INBOX", "Archive/2026"); err != nil {
		t.Fatal(err)
	}
	if m, err := a.Mailbox("Archive/2026"); err != nil || m.Messages != 1 || inbox(t, a).Messages != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if err := a.Delete("Archive/2026"); err != nil {
		t.Error(err)
	}
	if err := a.Delete("INBOX"); !errors.Is(err, ErrInvalid) {
		t.Errorf("INBOX deleted: %v", err)
	}
	for _, bad := range []string{"", "/x", "x/", "x//y", "x\x00", "\xff", strings.Repeat("a/", 60) + "a"} {
		if _, err := a.Create(bad, mail.NoUse); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
}

// TestOpensWithEmptyFiles: a crash can leave files of Badger's that have a name
// and nothing in them.
func TestOpensWithEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	a := addAccount(t, s, "anna@example.test")
	put(t, a, inbox(t, a), text(1, 5000))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"009999.vlog", "09999.mem"} {
		if err := os.WriteFile(filepath.Join(dir, "db", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, Options{})
	if a, err = s.Account("anna@example.test"); err != nil {
		t.Fatal(err)
	}
	if len(body(t, a, inbox(t, a).ID, 1)) == 0 {
		t.Error("the message is gone")
	}
}

// TestCopySetsSaved copies and moves a message: each copy has its own save
// date, RFC 8514 §2.
func TestCopySetsSaved(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	p := put(t, a, m, "x")
	first, err := a.Message(m.ID, p.UID)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	pairs, err := a.Copy(m.ID, []mail.UID{p.UID}, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Message(m.ID, pairs[0].To)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Saved.After(first.Saved) || !second.Date.Equal(first.Date) {
		t.Errorf("saved at %v, %v; dated %v, %v", first.Saved, second.Saved, first.Date, second.Date)
	}
}

// TestRemoveAccountTakesNewMailbox makes a mailbox just before its account goes.
func TestRemoveAccountTakesNewMailbox(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	hold, held := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() { s.exclusive(func() error { close(held); <-hold; return nil }) })
	<-held
	queue := func(n int, fn func() error) {
		wait.Go(func() {
			if err := fn(); err != nil {
				t.Error(err)
			}
		})
		for len(s.requests) < n {
			time.Sleep(time.Millisecond)
		}
	}
	queue(1, func() error { _, err := a.Create("New", mail.NoUse); return err })
	queue(2, func() error { return s.RemoveAccount("anna@example.test") })
	close(hold)
	wait.Wait()
	if list, err := a.Mailboxes(); err != nil || len(list) > 0 {
		t.Errorf("%d mailboxes are left, %v", len(list), err)
	}
}
