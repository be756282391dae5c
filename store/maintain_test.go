package store

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"homemail/mail"
)

// onDisk is what a directory takes on the disk, holes left out.
func onDisk(t testing.TB, dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}

// TestMaintainGivesSpaceBack deletes 72 % of a mailbox, as somebody does who
// clears up after years.
func TestMaintainGivesSpaceBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	const count, size = 1400, 100 << 10
	var gone, kept []mail.UID
	for i := range count {
		p := put(t, a, m, text(i, size))
		if i%100 < 72 {
			gone = append(gone, p.UID)
		} else {
			kept = append(kept, p.UID)
		}
	}
	if err := s.exclusive(s.checkpoint); err != nil {
		t.Fatal(err)
	}
	before := onDisk(t, filepath.Join(dir, "db"))
	if _, err := a.Expunge(m.ID, gone); err != nil {
		t.Fatal(err)
	}
	if err := s.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := onDisk(t, filepath.Join(dir, "db"))
	freed, removed := before-after, int64(len(gone))*size
	t.Logf("%d MB before, %d MB after: %d %% of the space of what was removed", before>>20, after>>20, freed*100/removed)
	if freed < removed*80/100 {
		t.Errorf("%d MB of %d MB came back", freed>>20, removed>>20)
	}
	for _, uid := range kept[:20] {
		if got := body(t, a, m.ID, uid); len(got) < size {
			t.Errorf("message %d is short", uid)
		}
	}
}

func TestHistoryIsCut(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	since := inbox(t, a).ModSeq
	uids := []mail.UID{put(t, a, m, text(0, 100)).UID}
	for len(uids) < tombstonesMax+100 {
		pairs, err := a.Copy(m.ID, uids[:min(len(uids), tombstonesMax+100-len(uids))], m.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			uids = append(uids, p.To)
		}
	}
	if _, err := a.Expunge(m.ID, uids[1:]); err != nil {
		t.Fatal(err)
	}
	if c, err := a.Changes(m.ID, since); err != nil || c.Whole || len(c.Gone) != len(uids)-1 {
		t.Fatalf("before: whole %v, %d gone, %v", c.Whole, len(c.Gone), err)
	}
	if err := s.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c, err := a.Changes(m.ID, since); err != nil || !c.Whole {
		t.Errorf("after: %v, %v", c.Whole, err)
	}
}

func TestRepair(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	for i := range 5 {
		put(t, a, m, text(i, 3000))
	}
	rec, err := a.Message(m.ID, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(*tx){
		"counts":      func(t *tx) { m := m; m.UIDNext = 3; t.put(mailboxKey(a.ID, m.ID), m.encode()) },
		"usage":       func(t *tx) { t.putUsage(a.ID, Usage{1, 1}) },
		"flags lost":  func(t *tx) { t.del(inMailbox(tFlags, a.ID, m.ID).uid(1)) },
		"record lost": func(t *tx) { t.del(inMailbox(tMessage, a.ID, m.ID).uid(2)) },
		"all rows lost": func(t *tx) {
			t.del(inMailbox(tMessage, a.ID, m.ID).uid(4))
			t.del(inMailbox(tFlags, a.ID, m.ID).uid(4))
		},
		"reference lost":   func(t *tx) { t.del(referenceKey(rec.Blob, a.ID, m.ID, 2)) },
		"reference extra":  func(t *tx) { t.put(referenceKey(rec.Blob, a.ID, m.ID, 99), nil) },
		"orphaned chunk":   func(t *tx) { t.put(chunkKey(999, 0), []byte("x")) },
		"unused blob":      func(t *tx) { e := encoder{}; e.uint(998); e.uint(0); t.put(blobKey([32]byte{1}), e) },
		"name lost":        func(t *tx) { t.del(nameKey(a.ID, "Sent")) },
		"name of nothing":  func(t *tx) { t.putName(a.ID, "Ghost", 4711) },
		"history lost":     func(t *tx) { t.del(inMailbox(tChange, a.ID, m.ID).mod(inboxModSeq(t, a, m.ID, 3))) },
		"history of none":  func(t *tx) { t.putChange(a.ID, m.ID, 1, 77, false) },
		"address lost":     func(t *tx) { t.del(routeKey("anna@example.test")) },
		"number to nobody": func(t *tx) { t.del(ownerKey(a.ID)) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.update(toChange, func(t *tx) error { harm(t); return nil }); err != nil {
				t.Fatal(err)
			}
			r, err := s.Check(ctx, CheckOptions{})
			if err != nil || len(r.Findings) == 0 {
				t.Fatalf("nothing was found: %v", err)
			}
			for range 3 { // one mend may uncover another
				if r, err = s.Check(ctx, CheckOptions{Repair: true}); err != nil {
					t.Fatal(err)
				}
				if len(r.Findings) == 0 {
					return
				}
			}
			t.Errorf("still wrong: %+v", r.Findings)
		})
	}
	if list, err := a.Entries(m.ID); err != nil || len(list) != 5 {
		t.Errorf("%d messages, %v", len(list), err)
	}
	if got := body(t, a, m.ID, 2); got != text(1, 3000) {
		t.Error("the message whose record was lost has other bytes")
	}
}

func inboxModSeq(t *tx, a *Account, m mail.MailboxID, uid mail.UID) mail.ModSeq {
	e, err := getEntry(t, a.ID, m, uid)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return e.ModSeq
}
