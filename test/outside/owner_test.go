package outside

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
	"homemail/store"
)

// TestTogether sends one message to everybody at once: Postfix, Exim and
// servers that misbehave. Each gets it once; what is wrong with one is not
// felt by another.
func TestTogether(t *testing.T) {
	p, x := postfix(t), exim(t)
	w := live(t)
	cuts := meet(t, "192.0.2.150", "together1.test", manners{answer: once("DATA", begin+cut)})
	twice := meet(t, "192.0.2.151", "together2.test", manners{answer: once(".", cut)})
	meet(t, "192.0.2.152", "together3.test", manners{answer: func(int, string, string) string { return stall }})
	plain := meet(t, "192.0.2.153", "together4.test", manners{})
	publish(t, "192.0.2.153", "together4.test", fmt.Sprintf(enforced, "together4.test"))
	h := newHouse(t, plan{})
	here := []string{"carl@together.postfix.test", "grey1@together.postfix.test", "grey2@together.postfix.test"}
	there := []string{"carl@together.exim.test", "grey1@together.exim.test"}
	gone := []string{"nobody@together.postfix.test", "nobody@together.exim.test", "carl@nosuch.together.test"}
	all := []string{"carl@together1.test", "carl@together2.test", "carl@together3.test", "carl@together4.test"}
	for _, list := range [][]string{here, there, gone} {
		all = append(all, list...)
	}
	text := h.letter("all together", "everybody:;")
	begun := time.Now()
	h.send(text, all...)
	for _, to := range here {
		if err := same(p.arrives(t, to, "all together"), text); err != nil {
			t.Error(err)
		}
	}
	for _, to := range there {
		if err := same(x.arrives(t, to, "all together"), text); err != nil {
			t.Error(err)
		}
	}
	for _, to := range gone {
		h.ends(to, store.Failed)
		h.arrives(h.anna, "INBOX", "multipart/report", "Final-Recipient: rfc822; "+to)
	}
	h.endsSoon("carl@together1.test", store.Relayed)
	h.endsSoon("carl@together2.test", store.Relayed)
	t.Logf("all that can arrive has after %v", time.Since(begun).Round(time.Millisecond))
	for _, m := range []*mta{p, x} {
		for _, to := range append(here, there...) {
			if n := len(m.received(t, to)); n > 1 {
				t.Errorf("%s has it %d times", to, n)
			}
		}
	}
	if a, b := len(cuts.messages()), len(twice.messages()); a != 1 || b < 1 || b > 2 {
		t.Errorf("it came %d times where the connection broke before the dot, and %d times where it did after", a, b)
	}
	if r := h.recipient("carl@together4.test"); r.State != store.Queued || len(plain.messages()) > 0 || strings.Contains(plain.inTheClear(), "MAIL") {
		t.Errorf("without the TLS that its domain demands: %+v", r)
	}
	cert := w.ca.issue(t, "mx.together4.test")
	plain.become(manners{cert: &cert})
	if h.endsSoon("carl@together4.test", store.Relayed); !plain.messages()[0].tls {
		t.Error("it went in the clear")
	}
	if r := h.recipient("carl@together3.test"); r.State != store.Queued {
		t.Errorf("at the tarpit: %+v", r)
	}
}

// TestNotify: who asks to be told is told, by the far end if it can, and else
// by us.
func TestNotify(t *testing.T) {
	p := postfix(t)
	s := meet(t, "192.0.2.155", "notify.test", manners{})
	h := newHouse(t, plan{})
	ask := posting{
		mail: smtp.MailOptions{Return: smtp.DSNReturnHeaders, EnvelopeID: "QQ314159"},
		rcpt: smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure}},
	}
	must(t, h.submit(h.anna, h.letter("tell me", "carl@notify.postfix.test"), ask, "carl@notify.postfix.test"))
	p.arrives(t, "carl@notify.postfix.test", "tell me")
	contains(t, h.arrives(h.anna, "INBOX", "multipart/report", "carl@notify.postfix.test"),
		"Action: delivered", "Reporting-MTA: dns; mx.postfix.test", "Original-Envelope-Id: QQ314159")

	must(t, h.submit(h.anna, h.letter("tell me", "carl@notify.test"), ask, "carl@notify.test"))
	contains(t, h.arrives(h.anna, "INBOX", "multipart/report", "carl@notify.test"),
		"Action: relayed", "Reporting-MTA: dns; "+h.Host, "Original-Envelope-Id: QQ314159")

	never := posting{rcpt: smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}}
	must(t, h.submit(h.anna, h.letter("unwanted", "dora@notify.postfix.test"), never, "dora@notify.postfix.test"))
	h.ends("dora@notify.postfix.test", store.Failed)
	if n := len(h.mailbox(h.anna, "INBOX")); n != 2 || len(s.messages()) != 1 {
		t.Errorf("%d notices, %d messages", n, len(s.messages()))
	}
}

// TestOwner: what the owner does with the queue.
func TestOwner(t *testing.T) {
	s := meet(t, "192.0.2.156", "owner.test", manners{answer: func(_ int, verb, _ string) string {
		if verb == "RCPT" {
			return "451 4.3.0 not now, thank you"
		}
		return ""
	}})
	h := newHouse(t, plan{})
	for _, name := range []string{"stays", "goes", "is removed"} {
		h.send(h.letter(name, "carl@owner.test"), "carl@owner.test")
	}
	var ids []string
	eventually(t, "tries", func() bool {
		ids = nil
		for _, d := range h.show() {
			if d.Recipients[0].Count > 0 {
				ids = append(ids, d.ID)
			}
		}
		return len(ids) == 3
	})
	contains(t, h.cli("queue", "list"), ids[0], ids[1], ids[2], "carl@owner.test")
	contains(t, h.cli("queue", "show", ids[0]), "451 4.3.0 not now, thank you", "mx.owner.test [192.0.2.156]:25")
	h.cli("queue", "hold", ids[0])
	h.cli("queue", "remove", "-tell", ids[2])
	contains(t, h.arrives(h.anna, "INBOX", "multipart/report", "is removed"), "Action: failed")
	s.become(manners{})
	h.cli("queue", "retry", "all")
	eventually(t, "what goes", func() bool { return len(s.messages()) > 0 })
	time.Sleep(2 * time.Second)
	if got := s.messages(); len(got) != 1 || !strings.Contains(got[0].text, "goes") {
		t.Errorf("%d messages came", len(got))
	}
	h.cli("queue", "release", ids[0])
	eventually(t, "what was held", func() bool { return len(s.messages()) == 2 })
	contains(t, s.messages()[1].text, "stays")
	eventually(t, "an empty queue", func() bool { return strings.Contains(h.cli("queue", "list"), "nothing waits") })
}

// TestTooBig: a message that is over what a server says it takes comes back
// without being sent; a large one that is not arrives.
func TestTooBig(t *testing.T) {
	p := postfix(t)
	s := meet(t, "192.0.2.157", "small.test", manners{size: 10_000})
	h := newHouse(t, plan{})
	big := h.letter("big", "carl@small.test") + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 250_000)
	h.send(big, "carl@small.test", "carl@big.postfix.test")
	if r := h.ends("carl@small.test", store.Failed); r.Tries[0].Cause != mail.CauseTooBig {
		t.Errorf("%+v", r.Tries)
	}
	if _, lines := s.seen(); strings.Contains(lines, "DATA") {
		t.Errorf("it was sent:\n%s", lines)
	}
	h.arrives(h.anna, "INBOX", "multipart/report", "carl@small.test")
	if err := same(p.arrives(t, "carl@big.postfix.test", "big"), big); err != nil {
		t.Error(err)
	}
}

// TestSmuggling: whatever is taken in, nothing leaves in which CR or LF stands
// alone: another server might see the end of the message there.
func TestSmuggling(t *testing.T) {
	s := meet(t, "192.0.2.158", "smuggle.test", manners{})
	h := newHouse(t, plan{})
	head := "From: " + h.anna.Address + "\r\nTo: carl@smuggle.test\r\nSubject: s\r\n\r\n"
	sent, taken := 0, 0
	for _, tail := range []string{
		"a\n.\nMAIL FROM:<evil@evil.test>\n", "a\n.\r\nMAIL FROM:<evil@evil.test>\r\n", "a\r.\rb\r\n", "a\r\n.\rb\r\n", "a\nb\r\n", "a\rb\r\n",
		"\n", "\r", "a\r\n.\n", "\x00\r\n", strings.Repeat("y", 5000) + "\r\n",
	} {
		for _, binary := range []bool{true, false} {
			sent++
			if h.chunked(head+tail, binary, "carl@smuggle.test") {
				taken++
			}
		}
	}
	eventually(t, "an end for all", func() bool {
		for _, d := range h.show() {
			if d.Waiting > 0 {
				return false
			}
		}
		return true
	})
	t.Logf("%d sent, %d taken, %d have left", sent, taken, len(s.messages()))
	for _, m := range s.messages() {
		if m.bare {
			t.Errorf("a bare CR or LF has left: %q", tail(m.text, 300))
		}
		if strings.Contains(m.from+fmt.Sprint(m.to), "evil") {
			t.Errorf("smuggled: %+v", m)
		}
	}
	if _, lines := s.seen(); strings.Contains(lines, "evil") {
		t.Errorf("smuggled:\n%s", lines)
	}
}

// chunked submits a message with BDAT, and reports whether it was taken.
func (h *house) chunked(text string, binary bool, to string) bool {
	h.t.Helper()
	k := h.rawSubmission()
	defer k.c.Close()
	body := ""
	if binary {
		body = " BODY=BINARYMIME"
	}
	k.ask("MAIL FROM:<" + h.anna.Address + ">" + body)
	k.ask("RCPT TO:<" + to + ">")
	return strings.HasPrefix(k.ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text)), "250")
}
