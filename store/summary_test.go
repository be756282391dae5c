package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

func summaries(t testing.TB, a *Account, m mail.MailboxID, uids ...mail.UID) (list []Summary) {
	t.Helper()
	err := a.Summaries(m, uids, func(s *Summary) error {
		c := *s
		c.Envelope, c.Structure = bytes.Clone(s.Envelope), bytes.Clone(s.Structure)
		list = append(list, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func sortKeys(t testing.TB, a *Account, m mail.MailboxID, uid mail.UID) (keys SortKeys) {
	t.Helper()
	err := a.SortKeys(m, []mail.UID{uid}, func(k *SortKeys) error {
		keys = *k
		keys.Subject, keys.DisplayFrom, keys.Preview = bytes.Clone(k.Subject), bytes.Clone(k.DisplayFrom), bytes.Clone(k.Preview)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

const letter = "From: \"Anna B.\" <anna@example.test>\r\nDate: Mon, 5 Jan 2026 10:00:00 +0900\r\nSubject: Re: [list] H\xc3\xb6llo\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nGood  morning\r\n--b--\r\n"

// dropRows removes what is shown of a message, as it is with mail from before.
func dropRows(t testing.TB, a *Account, m mail.MailboxID, uids ...mail.UID) {
	t.Helper()
	err := a.s.update(toChange, func(t *tx) error {
		for _, uid := range uids {
			t.dropShown(a.ID, m, uid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSummaries delivers, copies and expunges: what is shown is what the record
// says, whether it was kept or is made anew.
func TestSummaries(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	many := "To: " + strings.Repeat("a@b.test,\r\n ", 100) + "c@d.test\r\n\r\nx"
	most := "To: " + strings.Repeat("somebody with a long name <a@b.test>,\r\n ", 900) + "c@d.test\r\n\r\nx"
	var uids []mail.UID
	for _, msg := range []string{letter, many, most, "", "\r\n\r\n" + strings.Repeat("x", chunkSize+5)} {
		uids = append(uids, put(t, a, m, msg).UID)
	}
	first := summaries(t, a, m.ID, uids...)
	for i, sum := range first {
		rec, err := a.Message(m.ID, sum.UID)
		if err != nil {
			t.Fatal(err)
		}
		st, _ := rec.Structure()
		if i != 2 && (string(sum.Envelope) != string(st.Envelope.AppendEnvelope(nil)) || string(sum.Structure) != string(st.Root.AppendStructure(nil, true))) {
			t.Errorf("message %d shows\n%s\n%s", sum.UID, sum.Envelope, sum.Structure)
		}
		if sum.Size != rec.Size || !sum.Date.Equal(rec.Date) || !sum.Saved.Equal(rec.Saved) {
			t.Errorf("message %d: %+v", sum.UID, sum)
		}
	}
	if len(first[2].Envelope)+len(first[2].Structure) != 0 {
		t.Errorf("%d bytes of an envelope are kept", len(first[2].Envelope))
	}
	dropRows(t, a, m.ID, uids...)
	for i, sum := range summaries(t, a, m.ID, uids...) {
		if string(sum.Envelope) != string(first[i].Envelope) || sum.Email != first[i].Email || sum.Thread != 0 {
			t.Errorf("made anew: %+v", sum)
		}
	}
	if n, err := s.fillShown(t.Context()); err != nil || n != 5 {
		t.Errorf("%d filled, %v", n, err)
	}
	for i, sum := range summaries(t, a, m.ID, uids...) {
		if fmt.Sprint(sum) != fmt.Sprint(first[i]) {
			t.Errorf("filled: %+v, want %+v", sum, first[i])
		}
	}
	pairs, err := a.Copy(m.ID, uids[:2], m.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pairs {
		c := summaries(t, a, m.ID, p.To)[0]
		if c.Email != first[i].Email || c.Thread != first[i].Thread || string(c.Envelope) != string(first[i].Envelope) || !c.Saved.After(first[i].Saved) {
			t.Errorf("copied: %+v, want %+v", c, first[i])
		}
	}
	dropRows(t, a, m.ID, pairs[0].To) // as a large copy leaves it
	if n, err := s.fillShown(t.Context()); err != nil || n != 1 {
		t.Errorf("%d filled, %v", n, err)
	}
	if c := summaries(t, a, m.ID, pairs[0].To)[0]; c.Email != first[0].Email || c.Thread != first[0].Thread || string(c.Structure) != string(first[0].Structure) {
		t.Errorf("filled from another: %+v, want %+v", c, first[0])
	}
	if _, err := a.Expunge(m.ID, uids); err != nil {
		t.Fatal(err)
	}
	if left := summaries(t, a, m.ID, append(uids, pairs[0].To, pairs[1].To, 99)...); len(left) != 2 {
		t.Errorf("%d summaries are left", len(left))
	}
	rows := 0
	s.view(func(r reader) error {
		return r.keys(inMailbox(tSummary, a.ID, m.ID), nil, func(key []byte) (bool, error) { rows++; return true, nil })
	})
	if rows != 1+len(first[1].Envelope)/shownPart+1 {
		t.Errorf("%d rows are left", rows)
	}
}

func TestSortKeys(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	uid := put(t, a, m, letter).UID
	k := sortKeys(t, a, m.ID, uid)
	if string(k.Subject) != "höllo" || !k.Reply || string(k.DisplayFrom) != "anna b." || string(k.From) != "anna" ||
		k.ID != messageID("<2@x>") || len(k.References) != 1 || k.References[0] != messageID("<1@x>") ||
		string(k.Preview) != "Good morning" || k.Sent.Format(time.RFC3339) != "2026-01-05T10:00:00+09:00" {
		t.Errorf("%+v, preview %q", k, k.Preview)
	}
	plain := put(t, a, m, "Subject: x\r\n\r\n").UID
	if k = sortKeys(t, a, m.ID, plain); time.Since(k.Sent) > time.Hour || k.Dated {
		t.Errorf("sent at %v", k.Sent)
	}
}

// TestThreads puts answers before and after what they answer, with and without
// References.
func TestThreads(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	thread := func(header string) string {
		uid := put(t, a, m, header+"\r\n\r\n"+header).UID
		return summaries(t, a, m.ID, uid)[0].Thread.String()
	}
	early := thread("Message-ID: <b@x>\r\nReferences: <a@x>")
	root := thread("Message-ID: <a@x>")
	if early != root {
		t.Errorf("an early answer has thread %s, its root %s", early, root)
	}
	for _, header := range []string{"Message-ID: <c@x>\r\nIn-Reply-To: <b@x>", "Message-ID: <d@x>\r\nIn-Reply-To: <c@x> from you", "References: <c@x> <lost@x>"} {
		if got := thread(header); got != root {
			t.Errorf("%q has thread %s, want %s", header, got, root)
		}
	}
	other := thread("Subject: alone")
	if other == root || other == thread("Subject: alone too") || other == "" {
		t.Errorf("a message without an id has thread %s", other)
	}
}

// TestDamagedSummary damages rows: they are made anew.
func TestDamagedSummary(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	uid := put(t, a, m, letter).UID
	want := summaries(t, a, m.ID, uid)[0]
	if err := a.PutDerived([]DerivedRow{{"c", []byte("x")}, {"g1", []byte("y")}}); err != nil {
		t.Fatal(err)
	}
	damageRow(t, s, k(tDerived).acct(a.ID).str("c"))
	r, err := s.Check(t.Context(), CheckOptions{Repair: true})
	if list, _ := a.DerivedPaths(""); err != nil || len(r.Findings) != 1 || r.Findings[0].Done == "" || len(list) > 0 {
		t.Errorf("%+v, %v, %q", r.Findings, err, list)
	}
	damageRow(t, s, summaryKey(a.ID, m.ID, uid, 0))
	if got := summaries(t, a, m.ID, uid); len(got) != 1 || string(got[0].Structure) != string(want.Structure) {
		t.Errorf("%+v", got)
	}
	if r, err = s.Check(t.Context(), CheckOptions{Repair: true}); err != nil || len(r.Findings) != 1 || r.Findings[0].Done == "" {
		t.Errorf("%+v, %v", r.Findings, err)
	}
}

func damageRow(t testing.TB, s *Store, key []byte) {
	t.Helper()
	b := &changes{}
	b.set(key, []byte("damaged"))
	if err := s.exclusive(func() error { return s.write(b, true) }); err != nil {
		t.Fatal(err)
	}
}

// FuzzShown decodes what may be in the rows.
func FuzzShown(f *testing.F) {
	p := message.NewParser()
	p.Write([]byte(letter))
	sh := newShown(p.Structure(), []byte(letter))
	f.Add((&Message{}).summary(sh, 1), sh.keys)
	f.Add([]byte{1}, []byte{1})
	f.Fuzz(func(t *testing.T, list, keys []byte) {
		var s Summary
		if err := s.decode(list); err == nil && len(s.Envelope)+len(s.Structure) > len(list) {
			t.Error("more than there was")
		} else if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		var k SortKeys
		if err := k.decode(keys); err == nil {
			var again SortKeys
			if err := again.decode(k.encode()); err != nil || fmt.Sprint(again) != fmt.Sprint(k) {
				t.Errorf("%+v became %+v, %v", k, again, err)
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
}
