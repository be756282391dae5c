package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"homemail/mail"
)

// TestOpen opens a mailbox again and again while it changes, and compares its
// UIDs with its entries.
func TestOpen(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	put(t, a, m, "x")
	rnd := rand.New(rand.NewPCG(3, 4))
	for step := range 60 {
		list, err := a.Entries(m.ID)
		if err != nil {
			t.Fatal(err)
		}
		var want []mail.UID
		for _, e := range list {
			want = append(want, e.UID)
		}
		box, u, err := a.Open(m.ID)
		if err != nil || int(box.Messages) != len(want) {
			t.Fatalf("%d messages, %v", box.Messages, err)
		}
		if got := slices.Collect(u.All()); !slices.Equal(got, want) || u.Len() != len(want) {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
		for i, uid := range want {
			if n, ok := u.Rank(uid); !ok || n != i || u.At(i) != uid {
				t.Errorf("UID %d has rank %d, %v", uid, n, ok)
			}
			if n, ok := u.Rank(uid + 1); n != i+1 || ok != (i+1 < len(want) && want[i+1] == uid+1) {
				t.Errorf("UID %d has rank %d, %v", uid+1, n, ok)
			}
		}
		var some []mail.UID
		for _, uid := range want {
			if rnd.IntN(6) == 0 {
				some = append(some, uid)
			}
		}
		switch step % 3 {
		case 0:
			a.Copy(m.ID, want[:min(len(want), 5)], m.ID)
		case 1:
			a.Expunge(m.ID, some)
		case 2:
			a.StoreFlags(m.ID, some, FlagChange{Flags: mail.Flagged, Keywords: []string{"$Work"}})
		}
	}
	if box := inbox(t, a); !slices.Equal(box.Keywords, []string{"$Work"}) {
		t.Errorf("keywords %q", box.Keywords)
	}
	a.s.uids = uidCache{}
	box, u, err := a.Open(m.ID)
	if err != nil || u.Len() != int(box.Messages) {
		t.Errorf("without the cache: %d, %v", u.Len(), err)
	}
}

// TestChangesReadLittle counts the rows that Changes and Open read after ten
// changes: as many in a mailbox of 30 as in one of 3,000.
func TestChangesReadLittle(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	var reads []int
	for _, n := range []int{30, 3000} {
		m, err := a.Create("Box"+strings.Repeat("x", n%7), mail.NoUse)
		if err != nil {
			t.Fatal(err)
		}
		uids := []mail.UID{put(t, a, m, letter).UID}
		for len(uids) < n {
			pairs, err := a.Copy(m.ID, uids[:min(len(uids), n-len(uids))], m.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pairs {
				uids = append(uids, p.To)
			}
		}
		a.Expunge(m.ID, uids[7:8])
		if _, _, err := a.Open(m.ID); err != nil {
			t.Fatal(err)
		}
		box, _ := a.MailboxByID(m.ID)
		a.StoreFlags(m.ID, uids[:5], FlagChange{Mode: AddFlags, Flags: mail.Seen})
		a.Expunge(m.ID, uids[10:15])
		err = s.view(func(r reader) error {
			c := &countingReader{reader: r}
			var changes Changes
			if err := changes.read(c, a.ID, m.ID, box.ModSeq); err != nil {
				return err
			}
			if len(changes.Changed) != 5 || len(changes.Gone) != 5 {
				t.Errorf("%d changed, %d gone", len(changes.Changed), len(changes.Gone))
			}
			now, err := getMailbox(c, a.ID, m.ID)
			if err != nil {
				return err
			}
			u, err := a.openUIDs(c, watchKey{a.ID, m.ID}, &now)
			if err == nil && u.Len() != n-6 {
				t.Errorf("%d messages, want %d", u.Len(), n-6)
			}
			reads = append(reads, c.rows)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if reads[0] != reads[1] || reads[0] > 30 {
		t.Errorf("rows read: %v", reads)
	}
}

// A countingReader counts the rows that are read.
type countingReader struct {
	reader
	rows int
}

func (c *countingReader) get(key []byte) ([]byte, error) {
	c.rows++
	return c.reader.get(key)
}

func (c *countingReader) scan(prefix, from []byte, fn func(key, payload []byte) (bool, error)) error {
	return c.reader.scan(prefix, from, func(key, v []byte) (bool, error) {
		c.rows++
		return fn(key, v)
	})
}

func (c *countingReader) keys(prefix, from []byte, fn func(key []byte) (bool, error)) error {
	return c.reader.keys(prefix, from, func(key []byte) (bool, error) {
		c.rows++
		return fn(key)
	})
}

func TestAnnotations(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m, _ := a.Create("Work", mail.NoUse)
	for _, bad := range []string{"", "/", "comment", "/a//b", "/a/", "/a*", "/a b", "/" + strings.Repeat("x", 300)} {
		if err := a.Annotate(m.ID, map[string][]byte{bad: {1}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := a.Annotate(m.ID, map[string][]byte{"/private/comment": make([]byte, AnnotationBytes+1)}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := a.Annotate(m.ID+100, map[string][]byte{"/private/comment": {1}}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := a.Annotate(m.ID, map[string][]byte{"/private/Comment": []byte("mine"), "/shared/comment": {}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Annotate(m.ID, map[string][]byte{"/shared/comment": nil}); err != nil {
		t.Fatal(err)
	}
	list, err := a.Annotations(m.ID)
	if err != nil || len(list) != 1 || string(list["/private/comment"]) != "mine" {
		t.Errorf("%q, %v", list, err)
	}
	many := map[string][]byte{}
	for i := range AnnotationsMax {
		many["/private/"+strings.Repeat("x", i+1)] = []byte{1}
	}
	if err := a.Annotate(m.ID, many); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if err := a.Annotate(0, many); err != nil {
		t.Error(err)
	}
	if err := errors.Join(a.Delete("Work"), s.RemoveAccount("anna@example.test")); err != nil {
		t.Fatal(err)
	}
	s.view(func(r reader) error {
		return r.keys(nil, nil, func(key []byte) (bool, error) {
			if bytes.IndexByte([]byte{tAnnotation, tSummary, tSortKeys, tThread}, key[0]) >= 0 {
				t.Errorf("row %q is left", key)
			}
			return true, nil
		})
	})
}
