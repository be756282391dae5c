package outside

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/store"
)

// meet lets a stranger stand at an address for a domain of test's.
func meet(t *testing.T, address, domain string, m manners) *stranger {
	t.Helper()
	w := live(t)
	w.names.say(t, zone{"MX " + domain: {"10 mx." + domain + "."}, "A mx." + domain: {address}})
	return newStranger(t, address, m)
}

// once has an answer for the first time that a verb comes.
func once(verb, reply string) func(int, string, string) string {
	done := false
	return func(_ int, v, _ string) string {
		if v != verb || done {
			return ""
		}
		done = true
		return reply
	}
}

// TestCut: a connection that breaks loses nothing. Only where nobody can know
// whether the message was taken over, after its final dot, may it come twice.
func TestCut(t *testing.T) {
	for i, tt := range []struct {
		name, verb, reply string
		most              int
	}{
		{"at once", "CONNECT", cut, 1},
		{"after MAIL", "MAIL", cut, 1},
		{"after RCPT", "RCPT", cut, 1},
		{"after DATA", "DATA", cut, 1},
		{"before the dot", "DATA", begin + cut, 1},
		{"after the dot", ".", cut, 2},
		{"while leaving", "QUIT", cut, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain := fmt.Sprintf("cut%d.test", i)
			s := meet(t, fmt.Sprintf("192.0.2.%d", 30+i), domain, manners{answer: once(tt.verb, tt.reply)})
			h := newHouse(t, plan{})
			to := "carl@" + domain
			text := h.letter("once", to)
			h.send(text, to)
			h.waitsOrEnds(to)
			h.try("queue", "retry", "all") // a server that was away is left alone for minutes
			h.ends(to, store.Relayed)
			time.Sleep(2 * time.Second) // for a second one that must not come
			got := s.messages()
			if len(got) == 0 || len(got) > tt.most {
				t.Errorf("it came %d times", len(got))
			}
			for _, m := range got {
				if err := same(m.text, text); err != nil {
					t.Error(err)
				}
			}
			if n := len(h.mailbox(h.anna, "INBOX")); n != 0 {
				t.Errorf("%d bounces", n)
			}
		})
	}
}

// TestTarpit: servers that hardly answer, and such that never do, hold up
// nobody else.
func TestTarpit(t *testing.T) {
	slow := []string{drip + "220-one moment\r\n220 please", stall, stall}
	for i, reply := range slow {
		meet(t, fmt.Sprintf("192.0.2.%d", 50+i), fmt.Sprintf("tarpit%d.test", i), manners{answer: func(_ int, verb, _ string) string {
			if verb == "CONNECT" && i < 2 || verb == "EHLO" {
				return reply
			}
			return ""
		}})
	}
	quick := meet(t, "192.0.2.55", "quick.test", manners{})
	h := newHouse(t, plan{})
	for i := range 30 {
		to := fmt.Sprintf("carl@tarpit%d.test", i%len(slow))
		h.send(h.letter("slow", to), to)
	}
	begun := time.Now()
	for i := range 20 {
		h.send(h.letter(fmt.Sprint("quick ", i), "carl@quick.test"), "carl@quick.test")
	}
	within(t, 10*time.Second, "all that was for others", func() bool { return len(quick.messages()) == 20 })
	t.Logf("20 messages left in %v", time.Since(begun))
	for i := range slow {
		if s := h.show(); len(s) == 0 || s[0].Waiting == 0 {
			t.Errorf("tarpit %d: %+v", i, s)
		}
	}
}

// TestBabble: replies that no server would send make a message wait; nothing is
// lost, and nobody is driven mad.
func TestBabble(t *testing.T) {
	for i, tt := range []struct{ name, verb, reply string }{
		{"no code", "EHLO", "hello there"},
		{"a code of nobody's", "MAIL", "999 what"},
		{"a line without end", "CONNECT", "220 " + strings.Repeat("x", 2_000_000)},
		{"lines without end", "EHLO", strings.Repeat("250-X\r\n", 200_000) + "250 end"},
		{"a yes that is no answer", "RCPT", "354 go"},
		{"a bare line feed", "MAIL", "250 ok\n250 ok"},
		{"more than was asked for", "EHLO", "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain := fmt.Sprintf("babble%d.test", i)
			s := meet(t, fmt.Sprintf("192.0.2.%d", 60+i), domain, manners{answer: func(_ int, verb, _ string) string {
				if verb == tt.verb {
					return tt.reply
				}
				return ""
			}})
			h := newHouse(t, plan{})
			to := "carl@" + domain
			text := h.letter("once", to)
			h.send(text, to)
			h.waits(to, 1)
			s.become(manners{})
			h.cli("queue", "retry", "all")
			h.ends(to, store.Relayed)
			got := s.messages()
			if len(got) != 1 {
				t.Fatalf("it came %d times", len(got))
			}
			if err := same(got[0].text, text); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestShares: the recipients of a message at one domain get it in one
// transaction, and those of whom one is refused too.
func TestShares(t *testing.T) {
	s := meet(t, "192.0.2.70", "shares.test", manners{})
	h := newHouse(t, plan{})
	const rounds = 15
	for i := range rounds {
		h.send(h.letter(fmt.Sprint("for all ", i), "carl@shares.test"), "carl@shares.test", "dora@shares.test", "emil@Shares.test")
	}
	eventually(t, "an end", func() bool {
		n := 0
		for _, m := range s.messages() {
			n += len(m.to)
		}
		return n >= 3*rounds
	})
	if n := len(s.messages()); n != rounds {
		t.Errorf("%d messages to three people each took %d transactions", rounds, n)
	}
}

// TestNowhere: what can never arrive comes back at once, in words.
func TestNowhere(t *testing.T) {
	w := live(t)
	h := newHouse(t, plan{})
	w.names.say(t, zone{
		"MX nomail.test":    {"0 ."},
		"MX circle.test":    {"10 " + h.Host + "."},
		"MX here.test":      {"10 here.test."},
		"A here.test":       {"127.0.0.1"},
		"A private.test":    {"10.0.0.1"},
		"MX nobody.test":    {"10 gone.nobody.test."},
		"TXT nothing.test":  {"nothing to see here"},
		"MX circle2.test":   {"10 mx.circle2.test."},
		"A mx.circle2.test": {h.Address},
	})
	for _, tt := range []struct {
		domain string
		cause  mail.Cause
		words  []string
	}{
		{"nomail.test", mail.CauseNoMail, []string{"5.1.10"}},
		{"nosuch.test", mail.CauseNoDomain, []string{"5.1.2"}},
		{"nothing.test", mail.CauseNoMail, []string{"5.4.4"}},
		{"nobody.test", mail.CauseBadMX, []string{"5.4.4"}},
		{"circle.test", mail.CauseBadMX, []string{"5.4.6"}},
		{"circle2.test", mail.CauseBadMX, []string{"5.4.6"}},
		{"here.test", mail.CauseBadMX, []string{"5.4.6"}},
	} {
		to := "carl@" + tt.domain
		h.send(h.letter("nowhere", to), to)
		r := h.ends(to, store.Failed)
		if last := r.Tries[len(r.Tries)-1]; last.Cause != tt.cause || last.What == "" || r.Count > 2 { // a missing name is asked for twice
			t.Errorf("%s: %+v", to, r)
		}
		h.arrives(h.anna, "INBOX", append(tt.words, "Final-Recipient: rfc822; "+to)...)
	}
	// An address at which no stranger's server can be is one that somebody
	// repairs.
	h.send(h.letter("nowhere", "carl@private.test"), "carl@private.test")
	if r := h.waits("carl@private.test", 1); r.Tries[0].Cause != mail.CauseBadMX {
		t.Errorf("%+v", r)
	}
}

// TestOtherAddresses: a server that cannot be reached by one address is asked
// at the next, and one that is away leaves the mail to the next one.
func TestOtherAddresses(t *testing.T) {
	s := meet(t, "192.0.2.75", "six.test", manners{})
	six := newStranger(t, "2001:db8::75", manners{})
	live(t).names.say(t, zone{
		"AAAA mx.six.test": {"2001:db8::dead"}, // nobody listens
		"MX next.test":     {"10 away.next.test.", "20 mx.six.test."},
		"A away.next.test": {"192.0.2.76"},
		"AAAA only6.test":  {"2001:db8::75"}, // without an MX record
	})
	h := newHouse(t, plan{})
	for _, tt := range []struct {
		domain string
		at     *stranger
	}{{"six.test", s}, {"next.test", s}, {"only6.test", six}} {
		to := "carl@" + tt.domain
		before := len(tt.at.messages())
		h.send(h.letter(tt.domain, to), to)
		if r := h.ends(to, store.Relayed); r.Count != 1 || len(tt.at.messages()) != before+1 {
			t.Errorf("%s: %d messages, %+v", tt.domain, len(tt.at.messages()), r.Tries)
		}
	}
}
