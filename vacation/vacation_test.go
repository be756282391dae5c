package vacation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"homemail/deliver"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/mail/message"
	"homemail/smtpd"
	"homemail/store"
)

// A house has anna, who is away, otto and mia in example.test.
type house struct {
	t         *testing.T
	s         *store.Store
	agent     *deliver.Agent
	responder *Responder
	anna      *store.Account
	otto      *store.Account
	told      []deliver.Story
}

// stamp signs with how many bytes it saw.
type stamp struct{ domain string }

func (stamp) Write(p []byte) (int, error) { return len(p), nil }
func (s stamp) Fields() ([]byte, error)   { return []byte("DKIM-Signature: d=" + s.domain + "\r\n"), nil }

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, s: storetest.Open(t, t.TempDir(), nil)}
	h.must(h.s.AddDomain("example.test"))
	h.anna = h.account("anna@example.test", "Anna Müller")
	h.otto = h.account("otto@example.test", "Otto")
	h.account("mia@example.test", "")
	h.must(h.s.SetAlias(store.Alias{Address: "shop@example.test", To: []mail.Path{"anna@example.test"}}))
	quiet := slog.New(slog.DiscardHandler)
	h.agent = deliver.New(h.s, deliver.Options{
		Host: "mx.example.test", Log: quiet, Separator: "+",
		Told: func(s deliver.Story) { h.told = append(h.told, s); h.responder.Told(s) },
		Outside: deliver.Outside{
			Open: func(_, to mail.Path) error {
				if to.Domain() == "closed.test" {
					return errors.New("no way")
				}
				return nil
			},
			Sign: func(domain string) (deliver.Signing, error) { return stamp{domain}, nil },
		},
	})
	h.responder = New(h.s, h.agent, Options{Host: "mx.example.test", Log: quiet})
	h.away(h.anna, Reply{On: true, Text: "I am at the sea."})
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) account(p mail.Path, name string) *store.Account {
	h.t.Helper()
	a, err := h.s.AddAccount(store.Profile{Address: p, Name: name})
	h.must(err)
	return a
}

func (h *house) away(a *store.Account, r Reply) { h.t.Helper(); h.must(Save(h.s, a.ID, r)) }

// pass is the verdict of a message that is what it says.
func pass(domain string) *mail.Verdict {
	return &mail.Verdict{SPF: mail.Check{Result: mail.ResultPass, Domain: domain}}
}

// a mailing is a message that comes in.
type mailing struct {
	from    mail.Path
	by      mail.AccountID
	to      mail.Path // anna if empty
	header  string    // after From
	verdict *mail.Verdict
	junk    bool
}

const toAnna = "To: Anna <anna@example.test>\r\n"

// take delivers a message and has it looked at, and all that comes of it.
func (h *house) take(m mailing) {
	h.t.Helper()
	if m.to == "" {
		m.to = "anna@example.test"
	}
	t := h.agent.Begin(m.from, m.by)
	defer t.Discard()
	h.must(t.Rcpt(m.to, 0))
	fmt.Fprintf(t, "From: %s\r\n%sMessage-ID: <1@outside.test>\r\nSubject: Lunch?\r\n\r\nHello\r\n", m.from, m.header)
	_, err := t.Commit(mail.Envelope{From: m.from, To: []mail.Recipient{{Path: m.to}}}, mail.Trace{
		ID: "id1", Remote: netip.MustParseAddr("192.0.2.1"), Protocol: "ESMTPS", Account: m.by, Verdict: m.verdict, Junk: m.junk, Time: time.Now()})
	h.must(err)
	h.settle()
}

// settle does what Run would do, until nothing is left.
func (h *house) settle() {
	for {
		select {
		case a := <-h.responder.came:
			h.responder.answer(a)
		default:
			return
		}
	}
}

// queue returns what waits to leave: recipients, and the messages.
func (h *house) queue() (to, letters []string) {
	h.t.Helper()
	h.must(h.s.Items(true, func(it *store.Item, list []*store.QueueRecipient) bool {
		if it.Origin != store.Submitted || !it.Envelope.From.IsNull() {
			return true
		}
		for _, r := range list {
			to = append(to, string(r.Path)+strings.Join(r.Notify, ""))
		}
		b, err := io.ReadAll(h.s.ItemBody(it))
		h.must(err)
		letters = append(letters, string(b))
		return true
	}))
	return to, letters
}

// inbox counts the messages of an account.
func (h *house) inbox(a *store.Account) int {
	h.t.Helper()
	m, err := a.Mailbox("INBOX")
	h.must(err)
	return int(m.Messages)
}

func TestWhoGetsOne(t *testing.T) {
	outside := mailing{from: "kai@outside.test", header: toAnna, verdict: pass("outside.test")}
	with := func(change func(*mailing)) mailing { m := outside; change(&m); return m }
	field := func(f string) mailing { return with(func(m *mailing) { m.header += f + "\r\n" }) }
	from := func(p mail.Path) mailing {
		return with(func(m *mailing) { m.from, m.verdict = p, pass(p.Domain()) })
	}
	verdict := func(v *mail.Verdict) mailing { return with(func(m *mailing) { m.verdict = v }) }
	for _, c := range []struct {
		name string
		m    mailing
		want bool
	}{
		{"a person", outside, true},
		{"by her alias", with(func(m *mailing) { m.to, m.header = "shop@example.test", "Cc: SHOP@Example.Test\r\n" }), true},
		{"by plus addressing", with(func(m *mailing) { m.to, m.header = "anna+sea@example.test", "To: anna+sea@example.test\r\n" }), true},
		{"to her among others", with(func(m *mailing) { m.header = "To: x@y.test, \"A, B\" <b@c.test>,\r\n\tanna@example.test\r\n" }), true},
		{"resent to her", with(func(m *mailing) { m.header = "To: x@y.test\r\nResent-To: anna@example.test\r\n" }), true},
		{"who says it is no machine", field("Auto-Submitted: no"), true},
		{"proven by DKIM", verdict(&mail.Verdict{DKIM: []mail.Signature{{Check: mail.Check{Result: mail.ResultPass, Domain: "outside.test"}}}}), true},

		{"null reverse-path", with(func(m *mailing) { m.from = "" }), false},
		{"Bcc", with(func(m *mailing) { m.header = "To: x@y.test\r\n" }), false},
		{"Bcc in the header", with(func(m *mailing) { m.header = "Bcc: anna@example.test\r\n" }), false},
		{"no recipients", with(func(m *mailing) { m.header = "" }), false},
		{"her name only", with(func(m *mailing) { m.header = "To: \"anna@example.test\" <x@y.test>\r\n" }), false},
		{"junk", with(func(m *mailing) { m.junk = true }), false},
		{"calls itself junk", field("X-Spam-Flag: YES"), false},
		{"List-Id", field("List-Id: <x.y.test>"), false},
		{"List-Unsubscribe", field("list-unsubscribe: <mailto:x@y.test>"), false},
		{"Precedence bulk", field("Precedence: bulk"), false},
		{"Precedence list", field("Precedence: LIST"), false},
		{"Precedence junk", field("Precedence: junk"), false},
		{"Auto-Submitted", field("Auto-Submitted: auto-replied; owner-email=x"), false},
		{"Auto-Submitted generated", field("AUTO-SUBMITTED: Auto-Generated"), false},
		{"Exchange says no", field("X-Auto-Response-Suppress: OOF, DR"), false},
		{"old responders", field("X-Autoreply: yes"), false},
		{"bulk with Feedback-ID", field("Feedback-ID: 1:2:3"), false},
		{"a report", field("Content-Type: multipart/report; report-type=delivery-status; boundary=x"), false},
		{"noreply", from("No-Reply@outside.test"), false},
		{"noreply of a shop", from("noreply+order-17@outside.test"), false},
		{"do_not_reply", from("do_not_reply@outside.test"), false},
		{"mailer-daemon", from("MAILER-DAEMON@outside.test"), false},
		{"postmaster", from("postmaster@outside.test"), false},
		{"owner-", from("owner-choir@outside.test"), false},
		{"-request", from("choir-request@outside.test"), false},
		{"-owner", from("choir-owner@outside.test"), false},
		{"bounces of a list", from("bounces+17@outside.test"), false},
		{"herself", from("anna@example.test"), false},
		{"one of us, forged", from("otto@example.test"), false},
		{"nothing is known", verdict(nil), false},
		{"SPF fails", verdict(&mail.Verdict{SPF: mail.Check{Result: mail.ResultFail, Domain: "outside.test"}}), false},
		{"SPF softfails", verdict(&mail.Verdict{SPF: mail.Check{Result: mail.ResultSoftFail, Domain: "outside.test"}}), false},
		{"DMARC fails", verdict(&mail.Verdict{SPF: mail.Check{Result: mail.ResultPass, Domain: "outside.test"}, DMARC: mail.DMARC{Check: mail.Check{Result: mail.ResultFail}}}), false},
		{"the DNS is away", verdict(&mail.Verdict{SPF: mail.Check{Result: mail.ResultTempError, Domain: "outside.test"}}), false},
		{"SPF of HELO", verdict(pass("helo.test")), false},
		{"DKIM of another", verdict(&mail.Verdict{DKIM: []mail.Signature{{Check: mail.Check{Result: mail.ResultPass, Domain: "shop.test"}}}}), false},
		{"DKIM of a whole zone", verdict(&mail.Verdict{DKIM: []mail.Signature{{Check: mail.Check{Result: mail.ResultPass, Domain: "test"}}}}), false},
		{"no way out", from("kai@closed.test"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.take(c.m)
			to, _ := h.queue()
			if want := map[bool]int{true: 1}[c.want]; len(to) != want {
				t.Errorf("replies to %v, want %d", to, want)
			}
			if got := h.responder.Stats().Sent; (got == 1) != c.want {
				t.Errorf("counted %d", got)
			}
		})
	}
}

func TestAtHome(t *testing.T) {
	h := newHouse(t)
	h.take(mailing{from: "otto@example.test", by: h.otto.ID, header: toAnna})
	if n := h.inbox(h.otto); n != 1 {
		t.Errorf("otto has %d replies", n)
	}
	h.take(mailing{from: "shop@example.test", by: h.anna.ID, header: toAnna})
	if n := h.inbox(h.anna); n != 2 {
		t.Errorf("anna, who wrote to herself, has %d", n)
	}
}

func TestOncePerWindow(t *testing.T) {
	h := newHouse(t)
	kai := mailing{from: "kai@outside.test", header: toAnna, verdict: pass("outside.test")}
	for range 3 {
		h.take(kai)
		kai.from = "KAI@Outside.test" // the same
	}
	if to, _ := h.queue(); len(to) != 1 {
		t.Errorf("replies to %v", to)
	}
	h.away(h.anna, Reply{On: true, Text: "Another text.", Days: 1})
	h.take(kai)
	kai.from = "lea@outside.test"
	h.take(kai)
	if to, _ := h.queue(); len(to) != 2 {
		t.Errorf("replies to %v", to)
	}
}

// TestBook is the law of the book: never twice within the window, never more
// than so many a day, and never larger than it may be.
func TestBook(t *testing.T) {
	window, now := 7*24*time.Hour, time.Unix(1_800_000_000, 0)
	var b answered
	add := func(who uint64, at time.Time) bool {
		next, err := b.with(who, window, at)
		if err == nil {
			b = next
		}
		if len(b) > answeredMost*entrySize {
			t.Fatalf("the book has %d octets", len(b))
		}
		return err == nil
	}
	for _, c := range []struct {
		who   uint64
		after time.Duration
		want  bool
	}{{1, 0, true}, {1, time.Second, false}, {2, time.Hour, true}, {1, window - time.Second, false}, {1, window, true}, {1, -time.Hour, false}, {2, 2 * window, true}} {
		if got := add(c.who, now.Add(c.after)); got != c.want {
			t.Errorf("%d after %v: %t", c.who, c.after, got)
		}
	}
	b = nil
	sent := 0
	for i := range uint64(3 * perDay) {
		if add(100+i, now) {
			sent++
		}
	}
	if sent != perDay {
		t.Errorf("%d in a day", sent)
	}
	for i := range uint64(5 * answeredMost) {
		add(1000+i, now.Add(time.Duration(i)*window/answeredMost/2))
	}
	if _, err := answered("damaged").with(1, window, now); err != nil {
		t.Error(err)
	}
}

func TestLetter(t *testing.T) {
	for _, c := range []struct{ text, subject, lang, want string }{
		{"I am at the sea.", "", "en", "quiet"},
		{"Ich bin am Meer und lese keine Post. Grüße!", "", "de", "quoted-printable"},
		{strings.Repeat("long ", 100), "Away", "en", "quoted-printable"},
		{"休暇中です。来週お返事します。\n\nアンナ", "休暇中です。来週お返事いたしますので、しばらくお待ちください。よろしくお願いいたします。", "ja", "base64"},
	} {
		r := Reply{On: true, Text: c.text, Subject: c.subject}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		l := letter{Reply: r, name: "Anna \"Ä\" Müller", address: "anna@example.test", language: c.lang, to: "kai@outside.test", now: time.Now(),
			answers: message.Envelope{Subject: "=?utf-8?Q?Mittag=0D=0ABcc:_x@y.test?=", MessageID: "<1@outside.test>", References: []string{"<0@outside.test>", "<bad\r\nid>"}}}
		b := string(l.bytes())
		for line := range strings.SplitSeq(b, "\r\n") {
			if len(line) > 78 || strings.ContainsAny(line, "\r\n") || !isASCII(line) {
				t.Errorf("line %q", line)
			}
		}
		p := message.NewParser()
		p.Write([]byte(b))
		s := p.Structure()
		if s.HeaderBad != "" || s.Envelope.InReplyTo != "<1@outside.test>" || len(s.Envelope.References) != 2 || len(s.Envelope.Bcc) != 0 {
			t.Errorf("%+v", s)
		}
		if enc := s.Root.Encoding; enc != c.want && !(c.want == "quiet" && enc == "7bit") {
			t.Errorf("%q is in %s", c.text, enc)
		}
		if from := s.Envelope.From; len(from) != 1 || from[0].Mailbox != "anna" || decode(from[0].Name) != `Anna "Ä" Müller` {
			t.Errorf("from %+v", from)
		}
		want := c.subject
		if want == "" {
			want = "Auto: Mittag  Bcc: x@y.test"
		}
		if got := decode(s.Envelope.Subject); got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
		if !strings.Contains(b, "\r\nAuto-Submitted: auto-replied\r\n") {
			t.Error("it does not say that it is automatic")
		}
	}
}

func TestActive(t *testing.T) {
	at := func(day string) time.Time {
		d, err := time.ParseInLocation(Day, day, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return d.Add(23 * time.Hour)
	}
	r := Reply{On: true, Text: "x", From: "2026-12-20", Until: "2027-01-03"}
	for day, want := range map[string]bool{"2026-12-19": false, "2026-12-20": true, "2027-01-03": true, "2027-01-04": false} {
		if r.Active(at(day)) != want {
			t.Errorf("%s: %t", day, !want)
		}
	}
	r.On = false
	if r.Active(at("2026-12-24")) {
		t.Error("it is off")
	}
}

func TestCheck(t *testing.T) {
	for _, r := range []Reply{
		{On: true}, {On: true, Text: " \n"}, {Text: "a\x00b"}, {Text: "a\rb"}, {Text: "\xff"}, {Text: strings.Repeat("x", textMost+1)}, {Subject: "a\r\nBcc: x@y.test"},
		{Subject: strings.Repeat("ü", subjectMost+1)}, {Days: -1}, {Days: daysMost + 1}, {From: "24.12.2026"}, {From: "2026-12-24", Until: "2026-12-23"},
	} {
		if err := r.Check(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestNoLoop: two who are away, and a responder outside that answers all.
func TestNoLoop(t *testing.T) {
	h := newHouse(t)
	h.away(h.otto, Reply{On: true, Text: "I am in the hills."})
	h.take(mailing{from: "otto@example.test", by: h.otto.ID, header: toAnna})
	if a, o := h.inbox(h.anna), h.inbox(h.otto); a != 1 || o != 1 {
		t.Errorf("anna has %d and otto %d", a, o)
	}
	for range 20 { // it has no manners: it answers from its address, as a person would
		h.take(mailing{from: "robot@outside.test", header: toAnna, verdict: pass("outside.test")})
	}
	if to, _ := h.queue(); len(to) != 1 {
		t.Errorf("replies to %v", to)
	}
}

func TestForwardOnly(t *testing.T) {
	h := newHouse(t)
	h.must(h.anna.Update(func(p *store.Profile) error {
		p.Forward, p.ForwardOnly = []mail.Path{"anna@elsewhere.test"}, true
		return nil
	}))
	h.take(mailing{from: "kai@outside.test", header: toAnna, verdict: pass("outside.test")})
	if to, _ := h.queue(); len(to) != 1 {
		t.Errorf("replies to %v", to)
	}
}

func TestDistrustedClock(t *testing.T) {
	h := newHouse(t)
	h.responder.o.Trusted = func() bool { return false }
	h.take(mailing{from: "kai@outside.test", header: toAnna, verdict: pass("outside.test")})
	if to, _ := h.queue(); len(to) != 0 {
		t.Errorf("replies to %v", to)
	}
}

func TestSweep(t *testing.T) {
	h := newHouse(t)
	h.take(mailing{from: "kai@outside.test", header: toAnna, verdict: pass("outside.test")})
	h.must(h.s.RemoveAlias("shop@example.test"))
	h.must(h.s.RemoveAccount("anna@example.test"))
	h.away(h.otto, Reply{Text: "x"})
	h.responder.sweep()
	var left []string
	h.must(h.s.States("vacation/", func(p string, _ []byte) bool { left = append(left, p); return true }))
	if want := replyPath(h.otto.ID); fmt.Sprint(left) != "["+want+"]" {
		t.Errorf("left %v", left)
	}
}

type directory struct{ *deliver.Agent }

func (d directory) Begin(from mail.Path, by mail.AccountID) smtpd.Transaction {
	return d.Agent.Begin(from, by)
}

type judge struct{ io.Writer }

func (j judge) Begin(context.Context, netip.Addr, string, mail.Path) smtpd.Judgement { return j }
func (judge) Forged([]byte) bool                                                     { return false }
func (judge) Verdict() (mail.Verdict, []byte)                                        { return *pass("outside.test"), nil }
func (judge) Close()                                                                 {}

// TestOverSMTP has a stranger write to anna over the wire.
func TestOverSMTP(t *testing.T) {
	h := newHouse(t)
	mx := smtpd.New(smtpd.Options{Host: "mx.example.test", Directory: directory{h.agent}, Judge: judge{io.Discard}, Log: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- mx.Serve(ctx, l) }()
	go func() { done <- h.responder.Run(ctx) }()
	text := "From: Kai <kai@outside.test>\r\nTo: anna@example.test\r\nSubject: Lunch?\r\nMessage-ID: <7@outside.test>\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\nHello\r\n"
	h.must(smtp.SendMail(l.Addr().String(), nil, "kai@outside.test", []string{"anna@example.test"}, []byte(text)))
	for end := time.Now().Add(5 * time.Second); h.responder.Stats().Sent == 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	h.must(errors.Join(<-done, <-done))
	to, letters := h.queue()
	if len(to) != 1 || to[0] != "kai@outside.testNEVER" {
		t.Fatalf("replies to %v", to)
	}
	for _, want := range []string{
		"DKIM-Signature: d=example.test\r\n", "Subject: Auto: Lunch?\r\n", "In-Reply-To: <7@outside.test>\r\n", "References: <7@outside.test>\r\n",
		"To: <kai@outside.test>\r\n", "Auto-Submitted: auto-replied\r\n", "\r\n\r\nI am at the sea.\r\n",
	} {
		if !strings.Contains(letters[0], want) {
			t.Errorf("no %q in\n%s", want, letters[0])
		}
	}
}

// FuzzLetter holds the reply to be one message with our recipients alone,
// whatever a stranger's message says.
func FuzzLetter(f *testing.F) {
	f.Add("Subject: =?utf-8?B?4oCuZXZpbA==?=\r\nMessage-ID: <a@b>\r\nReferences: <x@y> <z\r\n", "Anna", "text", "")
	f.Add("Subject: a\r\n b\r\nIn-Reply-To: <\r\n\r\n>\r\n", "\"\\\r\nBcc: x@y", "ü\n.\n\nFrom x", "休暇中")
	f.Fuzz(func(t *testing.T, header, name, text, subject string) {
		r := Reply{On: true, Text: text, Subject: subject}
		if r.Check() != nil {
			return
		}
		l := letter{Reply: r, name: name, address: "anna@example.test", to: "kai@outside.test", now: time.Now(), answers: envelope([]byte(header))}
		b := l.bytes()
		if !isASCII(string(b)) || strings.ContainsAny(strings.ReplaceAll(string(b), "\r\n", ""), "\r\n\x00") {
			t.Fatalf("not fit to be sent: %q", b)
		}
		head, _, _ := strings.Cut(string(b), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if len(line) > 998 { // RFC 5322 §2.1.1
				t.Errorf("a line of %d octets", len(line))
			}
		}
		for name := range message.Fields([]byte(head + "\r\n\r\n")) {
			switch name {
			case "Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
				"X-Auto-Response-Suppress", "MIME-Version", "Content-Type", "Content-Transfer-Encoding":
			default:
				t.Errorf("a field %q in %q", name, head)
			}
		}
		p := message.NewParser()
		p.Write(b)
		if s := p.Structure(); s.HeaderBad != "" || s.HasFrom != 1 || len(s.Envelope.To) != 1 {
			t.Errorf("%+v of %q", s.Envelope, b)
		}
	})
}
