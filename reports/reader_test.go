package reports

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/deliver"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/mailauth"
	"homemail/store"
)

const host = "mx.example.test"

// A house is a store with accounts in example.test, whose postmaster is anna,
// an Agent, a Book, and a Reader that runs.
type house struct {
	*testing.T
	dir   string
	s     *store.Store
	agent *deliver.Agent
	*Book
	well func() bool // nil does not know
	sent int
	stop func()
}

func newHouse(t *testing.T) *house {
	h := &house{T: t, dir: t.TempDir()}
	h.openStore()
	h.must(h.s.AddDomain("example.test"))
	for _, p := range []mail.Path{"anna@example.test", "otto@example.test"} {
		_, err := h.s.AddAccount(store.Profile{Address: p})
		h.must(err)
	}
	h.run(func() bool { return true })
	t.Cleanup(func() {
		h.stop()
		storetest.Verify(t, h.s)
		h.must(h.s.Close())
	})
	return h
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) openStore() {
	h.Helper()
	s, err := store.Open(h.dir, store.Options{Log: slog.New(slog.DiscardHandler), Reserve: 1 << 20})
	h.must(err)
	h.s = s
	h.agent = deliver.New(h.s, deliver.Options{Host: host, Separator: "+"})
	h.Book = NewBook(h.s, Options{Addresses: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.7")} }})
}

// run runs a Reader until stop is called.
func (h *house) run(trusted func() bool) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	o := ReaderOptions{Host: host, Owns: h.agent.Owns, Trusted: trusted, Log: slog.New(slog.DiscardHandler)}
	if h.well != nil {
		o.Healthy = func(context.Context, string) bool { return h.well() }
	}
	r := NewReader(h.Book, o)
	go func() { done <- r.Run(ctx) }()
	h.stop = func() {
		cancel()
		h.must(<-done)
	}
	synctest.Wait()
}

// pass lets time pass while the server is off: Badger has a ticker of 50 ms,
// and a bubble would run through them all.
func (h *house) pass(d time.Duration) {
	h.Helper()
	h.stop()
	h.must(h.s.Close())
	time.Sleep(d)
	h.openStore()
	h.run(func() bool { return true })
}

// verdicts of mail from a domain.
func passed(domain string) *mail.Verdict {
	return &mail.Verdict{DMARC: mail.DMARC{Check: mail.Check{Result: mail.ResultPass, Domain: domain}, Policy: "reject"}}
}

func signed(by string) *mail.Verdict {
	return &mail.Verdict{DMARC: mail.DMARC{Check: mail.Check{Result: mail.ResultNone}}, DKIM: []mail.Signature{{Check: mail.Check{Result: mail.ResultPass, Domain: by}, Selector: "a"}}}
}

func forged(domain string) *mail.Verdict {
	return &mail.Verdict{DMARC: mail.DMARC{Check: mail.Check{Result: mail.ResultFail, Domain: domain, Reason: `"; dmarc=pass header.from=` + domain}}}
}

// post delivers a mail with a file attached, as the door does.
func (h *house) post(from, to string, v *mail.Verdict, kind, name string, file []byte) {
	h.Helper()
	h.sent++
	text := fmt.Sprintf("From: Reports <%s>\r\nTo: <%s>\r\nSubject: Report Domain: example.test\r\nMessage-ID: <%d@x.test>\r\nDate: Mon, 02 Mar 2026 15:04:05 +0000\r\n"+
		"Authentication-Results: evil.test; dmarc=pass header.from=google.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n"+
		"--b\r\nContent-Type: %s; name=%q\r\nContent-Disposition: attachment; filename=%q\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--b--\r\n",
		from, to, h.sent, kind, name, name, wrap(base64.StdEncoding.EncodeToString(file)))
	h.send(to, v, text)
}

func (h *house) send(to string, v *mail.Verdict, text string) {
	h.Helper()
	e := mail.Envelope{From: "bounce@reports.test", To: []mail.Recipient{{Path: mail.Path(to)}}}
	tr := mail.Trace{ID: fmt.Sprint("id", h.sent), Helo: "x", Protocol: "ESMTPS", Time: time.Now()}
	if v != nil {
		tr.Results = mailauth.Results(host, *v)
	}
	tx := h.agent.Begin(e.From, 0)
	defer tx.Discard()
	h.must(tx.Rcpt(mail.Path(to), 0))
	_, err := io.WriteString(tx, text)
	h.must(err)
	_, err = tx.Commit(e, tr)
	h.must(err)
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}

// google sends Google's report about yesterday.
func (h *house) google(rows ...testRow) {
	h.Helper()
	h.googleOf(1, rows...)
}

// googleOf sends Google's report about a day some days ago.
func (h *house) googleOf(ago int, rows ...testRow) {
	h.Helper()
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -ago)
	h.sent++
	h.post("noreply-dmarc-support@google.com", "postmaster@example.test", passed("google.com"), "application/zip", "google.com!example.test!1!2.zip",
		zipped(h, report("google.com", fmt.Sprint(h.sent), "example.test", day, rows...)))
}

func (h *house) look() Overview {
	h.Helper()
	synctest.Wait()
	o, err := h.Look("example.test", time.Now())
	h.must(err)
	return o
}

var (
	fine    = testRow{"198.51.100.1", 3, "pass", "pass", "<dkim><domain>example.test</domain><result>pass</result></dkim><spf><domain>example.test</domain><result>pass</result></spf>"}
	spammer = testRow{"192.0.2.66", 9, "fail", "fail", "<spf><domain>spam.test</domain><result>pass</result></spf>"}
	list    = testRow{"192.0.2.77", 2, "fail", "fail", "<dkim><domain>example.test</domain><result>fail</result></dkim>"}
	relayed = testRow{"192.0.2.78", 2, "pass", "fail", "<dkim><domain>example.test</domain><result>pass</result></dkim>"}
	broken  = testRow{"198.51.100.1", 1, "fail", "fail", ""}
	unseal  = testRow{"203.0.113.7", 1, "fail", "fail", ""}
	cousin  = testRow{"192.0.2.5", 1, "fail", "fail", "<spf><domain>example.test</domain><result>pass</result></spf>"}
)

// days lets some days pass, with a report on each.
func (h *house) days(n int, rows ...testRow) {
	h.Helper()
	h.pass(time.Duration(n) * 24 * time.Hour)
	for ago := n; ago > 0; ago-- {
		h.googleOf(ago, rows...)
	}
	synctest.Wait()
}

func TestFortnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		if p := h.look().ProposeDMARC(time.Now()); p.Ready || !strings.Contains(p.Why.EN, "Nobody") {
			t.Errorf("before any report: %+v", p)
		}
		h.days(6, fine, spammer, list, relayed)
		h.days(3, spammer) // nobody of ours wrote anything: neither
		h.days(7, fine)
		o := h.look()
		if p := o.ProposeDMARC(time.Now()); o.CleanDays != 13 || p.Ready || !strings.HasPrefix(p.Why.EN, "13 of 14 clean days; 51 of 51 messages passed.") {
			t.Errorf("13 days: %d, %+v", o.CleanDays, p)
		}
		h.stop()
		h.must(h.s.PutState(place{1, 1}.path(), nil)) // as after a crash: everything is read again, and known
		h.run(func() bool { return true })
		h.days(1, fine)
		o = h.look()
		if p := o.ProposeDMARC(time.Now()); o.CleanDays != 14 || !p.Ready || p.Next != "quarantine" || p.Why.EN != "54 of 54 messages passed on 14 clean days: quarantine is safe now." {
			t.Errorf("14 days: %d, %+v", o.CleanDays, p)
		}
		h.days(1, fine, broken)
		o = h.look()
		if p := o.ProposeDMARC(time.Now()); o.CleanDays != 0 || p.Ready || !strings.Contains(p.Why.EN, "1 of 4 messages of your own failed") {
			t.Errorf("an unclean day: %d, %+v", o.CleanDays, p)
		}
		h.days(14, fine)
		_, err := h.SetPolicy("example.test", "quarantine", "")
		h.must(err)
		if o = h.look(); o.CleanDays != 0 || o.Policy.DMARC != "quarantine" {
			t.Errorf("after quarantine was set: %d, %+v", o.CleanDays, o.Policy)
		}
		h.days(15, fine)
		if p := h.look().ProposeDMARC(time.Now()); !p.Ready || p.Next != "reject" {
			t.Errorf("after a fortnight more: %+v", p)
		}
		h.days(1, broken)
		if p := h.look().ProposeDMARC(time.Now()); !p.Ready || p.Next != "none" || !strings.Contains(p.Why.EN, "go back to none") {
			t.Errorf("after a failure: %+v", p)
		}
	})
}

// TestWhose looks at what makes a day unclean, and what does not.
func TestWhose(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows []testRow
		want State
		kind Kind
	}{
		{"fine", []testRow{fine}, Clean, Own},
		{"a spammer", []testRow{fine, spammer}, Clean, Stranger},
		{"only a spammer", []testRow{spammer}, Silent, Stranger},
		{"a mailing list", []testRow{fine, list}, Clean, Forwarder},
		{"forwarded", []testRow{relayed}, Clean, Forwarder},
		{"what stands in SPF", []testRow{fine, broken}, Unclean, Own},
		{"our address", []testRow{fine, unseal}, Unclean, Own},
		{"SPF of ours, not in line", []testRow{fine, cousin}, Unclean, Stranger},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.google(tt.rows...)
				o := h.look()
				if len(o.Days) != 1 || o.Days[0].DMARC != tt.want {
					t.Fatalf("%+v", o.Days)
				}
				last := tt.rows[len(tt.rows)-1].ip
				for _, s := range o.Sources {
					if s.IP == last && s.Kind != tt.kind {
						t.Errorf("%+v", s)
					}
				}
			})
		})
	}
}

// TestForged: what is not proven to come from a reporter who can know counts
// for nothing, in either direction.
func TestForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		day := time.Now().UTC().Truncate(24 * time.Hour)
		body := func(id string, r testRow) []byte { return gz(t, report("google.com", id, "example.test", day, r)) }
		const name = "google.com!example.test!1!2.xml.gz"
		for i, v := range []*mail.Verdict{nil, forged("google.com"), signed("evil.test")} {
			h.post("noreply-dmarc-support@google.com", "postmaster@example.test", v, "application/gzip", name, body(fmt.Sprint(i), fine))
		}
		synctest.Wait()
		if o := h.look(); len(o.Days) != 0 || o.Odd.Unproven != 3 {
			t.Fatalf("%+v", o)
		}
		h.post("x@evil.test", "postmaster@example.test", passed("evil.test"), "application/gzip", name, body("a", broken))
		h.post("x@gmail.com", "postmaster@example.test", signed("gmail.com"), "application/gzip", name, body("a", fine))
		o := h.look()
		if len(o.Days) != 1 || o.Days[0].DMARC != Silent || len(o.DMARC) != 2 || o.DMARC[0].Counts || o.DMARC[1].Counts || len(o.Sources) != 0 {
			t.Fatalf("%+v", o)
		}
		h.post("noreply-dmarc-support@google.com", "postmaster@example.test", signed("google.com"), "application/gzip", name, body("a", fine))
		if o = h.look(); o.Days[0].DMARC != Clean || o.CleanDays != 1 {
			t.Fatalf("the real one does not count: %+v", o)
		}
		h.must(h.Trust("evil.test", Believed))
		if o = h.look(); o.Days[0].DMARC != Unclean {
			t.Errorf("the owner believes it: %+v", o.Days)
		}
		h.must(h.Trust("evil.test", Ignored))
		h.must(h.Trust("google.com", Ignored))
		if o = h.look(); o.Days[0].DMARC != Silent {
			t.Errorf("the owner ignores both: %+v", o.Days)
		}
	})
}

func TestMine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.google(fine, spammer)
		shop := netip.MustParsePrefix("192.0.2.66/24")
		h.must(h.SetMine("example.test", shop, true))
		if o := h.look(); o.Days[0].DMARC != Unclean || o.Days[0].Failed != 9 {
			t.Errorf("my web shop fails: %+v", o.Days)
		}
		h.must(h.SetMine("example.test", shop, false))
		if o := h.look(); o.Days[0].DMARC != Clean || o.Days[0].Forged != 9 {
			t.Errorf("not mine: %+v", o.Days)
		}
	})
}

// TestFound: where reports are found, and where not.
func TestFound(t *testing.T) {
	day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of the bubble's clock
	file := report("x", "1", "example.test", day, fine)
	for _, tt := range []struct {
		name, to, kind, file string
		body                 string
		want                 bool
	}{
		{"zip", "postmaster@example.test", "application/x-zip-compressed", "google.com!example.test!1!2.zip", "zip", true},
		{"stream", "postmaster@example.test", "application/octet-stream", "r.xml.gz", "gz", true},
		{"plain", "postmaster@example.test", "text/xml", "google.com!example.test!1!2.xml", "", true},
		{"no name", "postmaster@example.test", "application/gzip", "", "gz", true},
		{"to anna", "anna@example.test", "application/gzip", "google.com!example.test!1!2.xml.gz", "gz", true},
		{"an invoice", "anna@example.test", "text/xml", "invoice.xml", "", false},
		{"otto", "otto@example.test", "application/gzip", "google.com!example.test!1!2.xml.gz", "gz", false},
		{"text", "postmaster@example.test", "text/plain", "r.xml", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				b := []byte(file)
				switch tt.body {
				case "zip":
					b = zipped(t, file)
				case "gz":
					b = gz(t, file)
				}
				h.post("noreply-dmarc-support@google.com", tt.to, passed("google.com"), tt.kind, tt.file, b)
				if o := h.look(); len(o.Days) == 1 != tt.want || o.Odd != (Odd{}) {
					t.Errorf("%+v", o)
				}
			})
		})
	}
}

func TestLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		send := func(b string) {
			h.post("x@google.com", "postmaster@example.test", passed("google.com"), "application/gzip", "a!b!1!2.xml.gz", []byte(b))
		}
		now := time.Now()
		send("unused")
		send(report("x", "1", "other.test", now, fine))
		send(report("x", "1", "example.test", now.AddDate(0, 0, -70), fine))
		send(report("x", "1", "example.test", now.AddDate(0, 0, 5), fine))
		send(report("x", "1", "example.test", now, fine))
		send(report("x", "1", "example.test", now, fine)) // again
		o := h.look()
		if o.Odd != (Odd{Unread: 1, Foreign: 3}) || len(o.Days) != 1 || o.Days[0].Passed != 3 {
			t.Errorf("%+v", o)
		}
		a, err := h.s.Account("anna@example.test")
		h.must(err)
		if m, err := a.Mailbox("INBOX"); err != nil || m.Messages != 6 || m.Unseen != 6 {
			t.Errorf("the mailbox was touched: %+v, %v", m, err)
		}
	})
}

func TestSTS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		well := true
		h.well = func() bool { return well }
		tls := func(good, bad int, kind string) {
			h.sent++
			h.post("noreply-smtp-tls-reporting@google.com", "postmaster@example.test", passed("google.com"), "application/tlsrpt+gzip", "google.com!example.test!1!2!001.json.gz",
				gz(t, tlsReport(fmt.Sprint(h.sent), "example.test", time.Now().UTC().Truncate(24*time.Hour), good, bad, kind)))
		}
		for range 8 { // the first look is after a day
			h.pass(24 * time.Hour)
		}
		o := h.look()
		if p := o.ProposeSTS(time.Now()); o.GoodDays != 7 || !p.Ready || p.Next != "enforce" {
			t.Errorf("a healthy week: %d, %+v", o.GoodDays, p)
		}
		tls(5, 1, "tlsa-invalid")
		if o := h.look(); o.GoodDays != 8 || len(o.Failures) != 1 || o.Failures[0].Count != 1 {
			t.Errorf("DANE is another matter: %+v", o)
		}
		tls(5, 2, "certificate-host-mismatch")
		o = h.look()
		if p := o.ProposeSTS(time.Now()); o.GoodDays != 0 || p.Ready || !strings.HasPrefix(p.Why.EN, "0 of 7 good days. On 2000-01-09") {
			t.Errorf("a failure: %d, %+v", o.GoodDays, p)
		}
		_, err := h.SetPolicy("example.test", "", "enforce")
		h.must(err)
		h.pass(24 * time.Hour)
		well = false
		h.pass(time.Hour)
		if p := h.look().ProposeSTS(time.Now()); !p.Ready || p.Next != "testing" {
			t.Errorf("ill under enforce: %+v", p)
		}
	})
}

// TestClock: while the clock is wrong nothing is read, and nothing is lost.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var right atomic.Bool
		h.stop()
		h.run(right.Load)
		h.google(fine)
		time.Sleep(time.Minute)
		if o := h.look(); len(o.Days) != 0 {
			t.Errorf("%+v", o)
		}
		right.Store(true)
		time.Sleep(relook)
		if o := h.look(); o.CleanDays != 1 {
			t.Errorf("%+v", o)
		}
	})
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.google(fine)
		rows := func(prefix string) (n int) {
			synctest.Wait()
			h.must(h.s.States(prefix, func(string, []byte) bool { n++; return true }))
			return n
		}
		if rows(idsAt) != 1 || rows(daysAt) != 1 {
			t.Fatal("nothing was kept")
		}
		h.pass(keepIDs + 48*time.Hour)
		if rows(idsAt) != 0 || rows(daysAt) != 1 || h.look().CleanDays != 1 {
			t.Error("an id is kept too long, or a day too short")
		}
		h.pass(keepDays)
		if rows(daysAt) != 0 {
			t.Error("a day is kept too long")
		}
	})
}
