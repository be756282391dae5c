package store

import (
	"context"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"homemail/mail"
)

// TestRepairKeepsBodies loses the row of a blob that a message refers to.
func TestRepairKeepsBodies(t *testing.T) {
	for name, spoil := range map[string]func(txn *badger.Txn, key []byte) error{
		"missing": func(txn *badger.Txn, key []byte) error { return txn.Delete(key) },
		"damaged": func(txn *badger.Txn, key []byte) error { return txn.Set(key, []byte("damaged")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			a := addAccount(t, s, "anna@example.test")
			m := inbox(t, a)
			long := text(1, 600<<10)
			p := put(t, a, m, long)
			rec, err := a.Message(m.ID, p.UID)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.disk.db.Update(func(txn *badger.Txn) error { return spoil(txn, blobKey(rec.Hash)) }); err != nil {
				t.Fatal(err)
			}
			r, err := s.Check(context.Background(), CheckOptions{Repair: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r.Findings)
			if got := body(t, a, m.ID, p.UID); !strings.HasSuffix(got, long) {
				t.Error("the message has changed")
			}
		})
	}
}

// TestEmptyMessageKeepsItsBlob opens a store whose newest blob has no bytes.
func TestEmptyMessageKeepsItsBlob(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	empty := put(t, a, m, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	a, err := s.Account("anna@example.test")
	if err != nil {
		t.Fatal(err)
	}
	other := put(t, a, m, text(1, 100))
	x, err := a.Message(m.ID, empty.UID)
	if err != nil {
		t.Fatal(err)
	}
	y, err := a.Message(m.ID, other.UID)
	if err != nil {
		t.Fatal(err)
	}
	if x.Blob == y.Blob {
		t.Errorf("both have blob %s", x.Blob)
	}
}

// TestSameMessageMendsBody delivers a message again whose bytes are damaged.
func TestSameMessageMendsBody(t *testing.T) {
	for _, size := range []int{100, 600 << 10, 512 << 10} {
		s := open(t, t.TempDir(), Options{})
		a := addAccount(t, s, "anna@example.test")
		m := inbox(t, a)
		what := text(1, size)
		p := put(t, a, m, what)
		rec, err := a.Message(m.ID, p.UID)
		if err != nil {
			t.Fatal(err)
		}
		for n := range chunksOf(rec.BlobSize) {
			if err := s.disk.db.Update(func(txn *badger.Txn) error {
				return txn.Set(chunkKey(rec.Blob, n), []byte("damaged"))
			}); err != nil {
				t.Fatal(err)
			}
		}
		again := put(t, a, m, what)
		for _, uid := range []mail.UID{p.UID, again.UID} {
			if got := body(t, a, m.ID, uid); !strings.HasSuffix(got, what) {
				t.Errorf("message %d has changed", uid)
			}
		}
	}
}

// TestRepairKeepsMailbox damages or loses the row of a mailbox with a message.
func TestRepairKeepsMailbox(t *testing.T) {
	for name, harm := range map[string]func(*tx, []byte){
		"damaged": func(t *tx, key []byte) { t.own.set(key, []byte("damaged")) },
		"missing": func(t *tx, key []byte) { t.del(key) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			a := addAccount(t, s, "anna@example.test")
			old := inbox(t, a)
			put(t, a, old, "hello")
			gone := put(t, a, old, "again")
			if _, err := a.Expunge(old.ID, []mail.UID{gone.UID}); err != nil {
				t.Fatal(err)
			}
			before := inbox(t, a)
			if err := s.update(toChange, func(t *tx) error { harm(t, mailboxKey(a.ID, old.ID)); return nil }); err != nil {
				t.Fatal(err)
			}
			for range 2 { // one mend may uncover another
				if _, err := s.Check(context.Background(), CheckOptions{Repair: true}); err != nil {
					t.Fatal(err)
				}
			}
			m := inbox(t, a)
			if m.Messages != 1 || m.Use != mail.Inbox || m.UIDValidity <= before.UIDValidity || m.ModSeq <= before.ModSeq {
				t.Errorf("%+v was %+v", m, before)
			}
			if got := body(t, a, m.ID, 1); !strings.HasSuffix(got, "hello") {
				t.Error("the message has changed")
			}
			put(t, a, m, "more")
		})
	}
}
