package store_test

import (
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// cpu is the processor time of this process: on a busy machine the clock says
// little.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// filled is a mailbox with n messages of the corpus: some of their own, and
// copies.
func filled(b *testing.B, own, n int) (*store.Store, *store.Account, mail.MailboxID, []mail.UID) {
	b.Helper()
	s, err := store.Open(b.TempDir(), store.Options{Reserve: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	s.AddDomain("example.test")
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test"})
	if err != nil {
		b.Fatal(err)
	}
	m, _ := a.Mailbox("INBOX")
	var uids []mail.UID
	for i := range own {
		uids = append(uids, deliver(b, s, a, m.ID, storetest.Corpus{NoAttachments: true}.Message(i)))
	}
	for len(uids) < n {
		pairs, err := a.Copy(m.ID, uids[:min(own, n-len(uids), 1000)], m.ID) // more would come without summaries
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range pairs {
			uids = append(uids, p.To)
		}
	}
	return s, a, m.ID, uids
}

func deliver(b testing.TB, s *store.Store, a *store.Account, m mail.MailboxID, msg []byte) mail.UID {
	sp := s.NewSpool()
	defer sp.Discard()
	sp.Write(msg)
	p, err := s.Deliver(sp, []store.Delivery{{Account: a.ID, Mailbox: m, Prefix: []byte("Return-Path: <a@b.test>\r\n")}})
	if err != nil {
		b.Fatal(err)
	}
	return p[0].UID
}

// BenchmarkSummaries reads what FETCH FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE
// RFC822.SIZE sends of 20,000 messages, into a buffer.
func BenchmarkSummaries(b *testing.B) {
	_, a, m, uids := filled(b, 1000, 20000)
	buf := make([]byte, 0, 64<<10)
	start := cpu()
	bytes := 0
	for b.Loop() {
		n := 0
		err := a.Summaries(m, uids, func(s *store.Summary) error {
			n++
			buf = append(buf[:0], "* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE "...)
			buf = s.Date.AppendFormat(buf, `"_2-Jan-2006 15:04:05 -0700"`)
			buf = fmt.Appendf(buf, " RFC822.SIZE %d ENVELOPE ", s.Size)
			buf = append(append(append(buf, s.Envelope...), " BODYSTRUCTURE "...), s.Structure...)
			buf = append(buf, ")\r\n"...)
			bytes += len(buf)
			return nil
		})
		if err != nil || n != len(uids) {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N*len(uids)), "cpu-ns/msg")
	b.ReportMetric(float64(b.N*len(uids))/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(bytes)/float64(b.N*len(uids)), "B/msg")
	io.Discard.Write(buf)
}

// BenchmarkCopy copies 20,000 messages in one command.
func BenchmarkCopy(b *testing.B) {
	_, a, m, uids := filled(b, 2000, 20000)
	start := cpu()
	for b.Loop() {
		if _, err := a.Copy(m, uids, m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N*len(uids)), "cpu-ns/msg")
	b.ReportMetric(float64(b.N*len(uids))/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkOpen opens a mailbox of 100,000 messages, with gaps, after ten
// changes, and asks what changed: what SELECT with QRESYNC does.
func BenchmarkOpen(b *testing.B) {
	_, a, m, uids := filled(b, 1000, 100000)
	for i := 0; i+1000 <= len(uids); i += 1000 {
		if _, err := a.Expunge(m, uids[i:i+1]); err != nil {
			b.Fatal(err)
		}
	}
	box, _, err := a.Open(m)
	if err != nil {
		b.Fatal(err)
	}
	n, reading := 1, time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		if _, _, err := a.StoreFlags(m, uids[n:n+9], store.FlagChange{Mode: store.FlagMode(n % 3), Flags: mail.Flagged}); err != nil {
			b.Fatal(err)
		}
		if _, err := a.Expunge(m, uids[n+9:n+10]); err != nil {
			b.Fatal(err)
		}
		n = (n + 10) % 90000
		b.StartTimer()
		start := time.Now()
		now, u, err := a.Open(m)
		if err != nil || u.Len() != int(now.Messages) {
			b.Fatal(err)
		}
		c, err := a.Changes(m, box.ModSeq)
		if err != nil || c.Whole {
			b.Fatal(err)
		}
		reading += time.Since(start)
		box = now
	}
	b.ReportMetric(float64(reading.Microseconds())/float64(b.N), "us/open")
}
