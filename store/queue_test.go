package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"homemail/mail"
)

// queueTo puts a message into the queue.
func queueTo(t *testing.T, s *Store, body string, to ...mail.Path) mail.ItemID {
	t.Helper()
	sp := s.NewSpool()
	defer sp.Discard()
	io.WriteString(sp, body)
	o := Outgoing{Origin: Submitted, Account: 1, Trace: "t1", Envelope: mail.Envelope{From: "a@example.test", EnvelopeID: "e1"}, Prefix: []byte("X: y\r\n")}
	for _, p := range to {
		o.Envelope.To = append(o.Envelope.To, mail.Recipient{Path: p, Notify: []string{"FAILURE"}})
	}
	c, err := s.Commit(sp, Batch{Queue: []Outgoing{o}})
	if err != nil {
		t.Fatal(err)
	}
	return c.Items[0]
}

// dueTo returns the recipients of a domain in the order of the schedule.
func dueTo(t *testing.T, s *Store, domain string) (list []*QueueRecipient) {
	t.Helper()
	for after := (Place{}); ; {
		places, err := s.QueueDue(domain, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(places) == 0 {
			return list
		}
		after = places[0]
		_, to, err := s.Item(after.Item)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range to {
			if r.N == after.N {
				list = append(list, r)
			}
		}
	}
}

func TestQueue(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	const body = "Subject: x\r\n\r\nhello\r\n"
	id := queueTo(t, s, body, "b@one.test", "c@one.test", "d@two.test")
	queueTo(t, s, body, "e@two.test")
	verify(t, s)

	heads, err := s.QueueHeads()
	if err != nil || len(heads) != 2 {
		t.Fatalf("heads %v, %v", heads, err)
	}
	due := dueTo(t, s, "one.test")
	if len(due) != 2 || due[0].Path != "b@one.test" || due[0].Notify[0] != "FAILURE" {
		t.Fatalf("due %v", due)
	}
	it, to, err := s.Item(id)
	if err != nil || len(to) != 3 || it.Envelope.EnvelopeID != "e1" || it.Trace != "t1" {
		t.Fatalf("item %+v %v %v", it, to, err)
	}
	b, err := io.ReadAll(s.ItemBody(it))
	if err != nil || string(b) != "X: y\r\n"+body {
		t.Fatalf("body %q, %v", b, err)
	}

	// One is tried again later, one is done; a close and open change nothing.
	later := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	due[0].Due, due[0].Tries = later, 1
	due[0].Attempts = append(due[0].Attempts, Attempt{At: time.Now(), Outcome: mail.Outcome{Fate: mail.Temporary, Reply: mail.Reply{Code: 451, Text: "later"}}})
	due[1].State, due[1].Ended = Relayed, time.Now()
	if _, err := s.Commit(nil, Batch{Settle: due}); err != nil {
		t.Fatal(err)
	}
	verify(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	due = dueTo(t, s, "one.test")
	if len(due) != 1 || !due[0].Due.Equal(later) || due[0].Attempts[0].Reply.Code != 451 {
		t.Fatalf("due %+v", due)
	}

	if p, err := s.QueueDue("one.test", Place{}, 10); err != nil || len(p) != 1 || p[0].Tries != 1 || !p[0].Due.Equal(later) {
		t.Errorf("places %+v, %v", p, err)
	}

	// What was done stays done, whoever settles it late.
	_, to, _ = s.Item(id)
	for _, r := range to {
		if r.State == Queued {
			r.State, r.Ended = Failed, time.Now()
		} else {
			r.State = Queued
		}
	}
	if _, err := s.Commit(nil, Batch{Settle: to}); err != nil {
		t.Fatal(err)
	}
	_, to, _ = s.Item(id)
	for _, r := range to {
		if r.State == Queued {
			t.Errorf("%s is queued again", r.Path)
		}
	}
	if r := verify(t, s); r.Items != 2 || r.Blobs != 1 {
		t.Errorf("%d items, %d blobs", r.Items, r.Blobs)
	}
	n := 0
	if err := s.Items(false, func(*Item, []*QueueRecipient) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("%d items wait, %v", n, err)
	}
}

func TestQueueLetsGo(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "Subject: x\r\n\r\n"+strings.Repeat("x", 1<<20), "b@one.test")
	if _, err := s.ChangeRecipients([]mail.ItemID{id}, func(r *QueueRecipient) { r.Hold = "by the owner" }); err != nil {
		t.Fatal(err)
	}
	verify(t, s)
	if heads, err := s.QueueHeads(); err != nil || len(heads) != 0 {
		t.Errorf("what is held is due: %v, %v", heads, err)
	}
	if _, err := s.ChangeRecipients([]mail.ItemID{id}, func(r *QueueRecipient) { r.State, r.Ended = Removed, time.Now() }); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s); r.Blobs != 0 || r.Items != 1 {
		t.Errorf("%d blobs, %d items", r.Blobs, r.Items)
	}
	if err := s.SweepQueue(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s); r.Items != 1 {
		t.Error("it was forgotten early")
	}
	if err := s.SweepQueue(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s); r.Items != 0 {
		t.Error("it was not forgotten")
	}
}

// TestQueueDamage damages a recipient's row: the others are sent and settled,
// and the bytes stay for when it is mended.
func TestQueueDamage(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test", "c@one.test")
	damage := func(n uint32) {
		err := s.update(toChange, func(tx *tx) error {
			tx.own.set(pendingKey(id, n), []byte("damage"))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	damage(0)
	it, to, err := s.Item(id)
	if err != nil || len(to) != 1 || to[0].Path != "c@one.test" {
		t.Fatalf("recipients %v, %v", to, err)
	}
	damage(1) // while it is being sent
	to[0].State, to[0].Ended = Relayed, time.Now()
	if _, err := s.Commit(nil, Batch{Settle: to}); err != nil {
		t.Fatal(err)
	}
	if _, to, err = s.Item(id); err != nil || len(to) != 1 || to[0].State != Relayed {
		t.Fatalf("recipients %v, %v", to, err)
	}
	if b, err := io.ReadAll(s.ItemBody(it)); err != nil || len(b) != int(it.Size()) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	places, err := s.QueueDue("one.test", Place{}, 10)
	if err != nil || len(places) != 2 {
		t.Fatalf("places %v, %v", places, err)
	}
	if err := s.update(toChange, func(tx *tx) error {
		tx.own.set(itemKey(id), []byte("damage"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		if err := s.SetAside("one.test", p); err != nil {
			t.Fatal(err)
		}
	}
	if heads, err := s.QueueHeads(); err != nil || len(heads) != 0 {
		t.Errorf("heads %v, %v", heads, err)
	}
	r, err := s.Check(context.Background(), CheckOptions{})
	if err != nil || len(r.Findings) == 0 {
		t.Errorf("findings %v, %v", r.Findings, err)
	}
	b, err := it.encode()
	if err != nil {
		t.Fatal(err)
	}
	mended := &QueueRecipient{Item: id, Recipient: mail.Recipient{Path: "b@one.test"}, State: Queued}
	if err := s.update(toChange, func(tx *tx) error {
		tx.put(itemKey(id), b)
		return tx.putRecipient(mended)
	}); err != nil {
		t.Fatal(err)
	}
	mended.State, mended.Ended = Relayed, time.Now()
	if _, err := s.Commit(nil, Batch{Settle: []*QueueRecipient{mended}}); err != nil {
		t.Fatal(err)
	}
}

// TestQueueBackFromTheDead has the row of a recipient that is done come back.
func TestQueueBackFromTheDead(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test")
	_, to, err := s.Item(id)
	if err != nil {
		t.Fatal(err)
	}
	queued := *to[0]
	to[0].State, to[0].Ended = Relayed, time.Now()
	if _, err := s.Commit(nil, Batch{Settle: to}); err != nil {
		t.Fatal(err)
	}
	if err := s.update(toChange, func(tx *tx) error { return tx.putRecipient(&queued) }); err != nil {
		t.Fatal(err)
	}
	if _, to, err = s.Item(id); err != nil || len(to) != 1 || to[0].State != Relayed {
		t.Fatalf("recipients %+v, %v", to, err)
	}
	if n, err := s.ChangeRecipients([]mail.ItemID{id}, func(r *QueueRecipient) { r.Hold = "x" }); n != 0 || err != nil {
		t.Errorf("%d changed, %v", n, err)
	}
	if _, err := s.Commit(nil, Batch{Settle: to}); err != nil { // puts it to rest
		t.Fatal(err)
	}
	if heads, err := s.QueueHeads(); err != nil || len(heads) != 0 {
		t.Errorf("heads %v, %v", heads, err)
	}
}

func TestQueueHoldDuringAttempt(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test")
	_, to, _ := s.Item(id)
	if _, err := s.ChangeRecipients([]mail.ItemID{id}, func(r *QueueRecipient) { r.Hold = "x" }); err != nil {
		t.Fatal(err)
	}
	to[0].Tries = 1
	if _, err := s.Commit(nil, Batch{Settle: to}); err != nil {
		t.Fatal(err)
	}
	if _, to, _ = s.Item(id); to[0].Hold != "x" || to[0].Tries != 1 {
		t.Errorf("%+v", to[0])
	}
	if heads, err := s.QueueHeads(); err != nil || len(heads) != 0 {
		t.Errorf("heads %v, %v", heads, err)
	}
}

func TestQueueNews(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	w := s.WatchQueue()
	defer w.Close()
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test", "c@two.test", "d@two.test")
	<-w.C
	if list, all := s.QueueNews(); len(list) != 2 || all {
		t.Errorf("news of %v, %v", list, all)
	}
	if n, err := s.ChangeRecipients([]mail.ItemID{id}, func(r *QueueRecipient) {
		if r.N == 0 {
			r.State, r.Ended = Removed, time.Now()
		}
	}); n != 3 || err != nil {
		t.Errorf("%d changed, %v", n, err)
	}
	<-w.C
	if list, _ := s.QueueNews(); len(list) != 2 {
		t.Errorf("news of %v", list)
	}
	if n, err := s.QueueSize(time.Now()); n.Queued != 2 || n.Due != 2 || n.Oldest.Path != "c@two.test" || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
	if ids, err := s.ItemsOf("t1"); err != nil || len(ids) != 1 || ids[0] != id {
		t.Errorf("items %v, %v", ids, err)
	}
}

func TestQueueRepair(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test")
	it, to, err := s.Item(id)
	if err != nil {
		t.Fatal(err)
	}
	err = s.update(toChange, func(tx *tx) error {
		tx.del(dueKey(to[0]))
		tx.del(itemReference(it))
		tx.put(append(k(tDue), make([]byte, 24)...), []byte("x"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(context.Background(), CheckOptions{Repair: true}); err != nil {
		t.Fatal(err)
	}
	verify(t, s)
	if due := dueTo(t, s, "one.test"); len(due) != 1 {
		t.Errorf("due %v", due)
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	for i := range 600 {
		if err := s.PutState(fmt.Sprintf("many/%04d", i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if err := s.States("many/", func(string, []byte) bool { n++; return true }); err != nil || n != 600 {
		t.Errorf("%d rows, %v", n, err)
	}
	if _, err := s.Commit(nil, Batch{State: map[string][]byte{"a/1": []byte("x")}, Unless: "a/1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(nil, Batch{State: map[string][]byte{"a/1": []byte("y")}, Unless: "a/1"}); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	sealed, err := s.SealSecret("pw/x", []byte("open sesame"))
	if err != nil || strings.Contains(string(sealed), "sesame") {
		t.Fatalf("%q, %v", sealed, err)
	}
	s.Close()
	s = open(t, dir, Options{})
	if v, err := s.OpenSecret("pw/x", sealed); err != nil || string(v) != "open sesame" {
		t.Errorf("%q, %v", v, err)
	}
	if _, err := s.OpenSecret("pw/y", sealed); !errors.Is(err, ErrCorrupt) {
		t.Errorf("at another place: %v", err)
	}
	if err := s.UpdateState("a/1", func(old []byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.State("a/1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestPlaceKnowsSender: what somebody of ours wrote may have a way of its own.
// TestStateDamage damages one row: the others are there all the same.
func TestStateDamage(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for _, path := range []string{"r/a", "r/b", "r/c"} {
		if err := s.PutState(path, []byte(path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.disk.db.Update(func(txn *badger.Txn) error { return txn.Set(stateKey("r/b"), []byte("damaged")) }); err != nil {
		t.Fatal(err)
	}
	got := ""
	if err := s.States("r/", func(path string, v []byte) bool { got += fmt.Sprintf("%s=%s ", path, v); return true }); err != nil || got != "r/a=r/a r/b= r/c=r/c " {
		t.Errorf("got %q, %v", got, err)
	}
	if err := s.PutState("r/b", nil); err != nil {
		t.Error(err)
	}
}

func TestPlaceKnowsSender(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	queueTo(t, s, "a: b\r\n\r\n", "b@one.test")
	places, err := s.QueueDue("one.test", Place{}, 10)
	if err != nil || len(places) != 1 || places[0].From != "a@example.test" {
		t.Errorf("%+v, %v", places, err)
	}
}

// TestLongRepliesAreCut keeps a server that says a lot from filling rows.
func TestLongRepliesAreCut(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test")
	for range 10 {
		_, to, err := s.Item(id)
		if err != nil {
			t.Fatal(err)
		}
		to[0].Attempts = append(to[0].Attempts, Attempt{Outcome: mail.Outcome{Fate: mail.Temporary, Reply: mail.Reply{Code: 451, Text: strings.Repeat("<é", 600)}}})
		if _, err := s.Commit(nil, Batch{Settle: to}); err != nil {
			t.Fatal(err)
		}
	}
	_, to, err := s.Item(id)
	if err != nil || len(to[0].Attempts) != 10 {
		t.Fatalf("%d attempts, %v", len(to[0].Attempts), err)
	}
	for i, a := range to[0].Attempts {
		if n := len(a.Reply.Text); i < 7 && n > attemptText+3 || i >= 7 && n != 1800 {
			t.Errorf("attempt %d has %d bytes", i, n)
		}
	}
}

// TestDamagedPlace damages the only place of a domain in the schedule: its mail
// leaves nevertheless.
func TestDamagedPlace(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	id := queueTo(t, s, "a: b\r\n\r\n", "b@one.test")
	_, to, err := s.Item(id)
	if err != nil {
		t.Fatal(err)
	}
	err = s.update(toChange, func(tx *tx) error {
		tx.own.set(dueKey(to[0]), []byte("damage"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	heads, err := s.QueueHeads()
	if err != nil || len(heads) != 1 || heads[0].Domain != "one.test" {
		t.Fatalf("%v, %v", heads, err)
	}
	to[0].State, to[0].Ended = Relayed, time.Now()
	if _, err := s.Commit(nil, Batch{Settle: to}); err != nil {
		t.Fatal(err)
	}
}
