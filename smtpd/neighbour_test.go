package smtpd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/mail"
	"homemail/store"
)

const scanner20 = "192.168.1.20" // the address of a neighbour

// neighbours are what the owner has named: a scanner, and others that are not
// as they should be.
type neighbours struct {
	mu   sync.Mutex
	list map[netip.Addr]Login
	bad  map[netip.Addr]error
}

func newNeighbours() *neighbours {
	at := netip.MustParseAddr
	return &neighbours{
		list: map[netip.Addr]Login{
			at(scanner20):      {Account: 1, Address: "anna@example.test", Device: "Scanner"},
			at("192.168.1.30"): {Account: 1, Address: "anna@example.test", Device: "Büro", Rewrite: true},
			at("192.168.1.40"): {Account: 1, Address: "anna@example.test", Device: "Disk", Local: true},
			at("fd00::20"):     {Account: 1, Address: "anna@example.test", Device: "New"},
		},
		bad: map[netip.Addr]error{at("192.168.1.50"): mail.ErrDisabled, at("192.168.1.60"): errors.New("disk on fire")},
	}
}

func (n *neighbours) Neighbour(remote netip.Addr) (Login, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.list[remote]
	return l, ok, n.bad[remote]
}

// neighbourhood is a door for scripts with neighbours, who may write outside.
func neighbourhood(kind Kind) (*Server, *directory, *neighbours) {
	s, dir := quiet(kind)
	n := newNeighbours()
	s.o.Neighbours, s.o.Users, dir.outside = n, &users{}, true
	return s, dir, n
}

const toOutside = "EHLO x\r\nMAIL FROM:<anna@example.test>\r\nRCPT TO:<" + out + ">\r\nDATA\r\n"

// wantReplies checks how the replies to a script begin, after the banner.
func wantReplies(t *testing.T, what, said string, starts ...string) {
	t.Helper()
	var got []string
	for line := range strings.SplitSeq(strings.TrimSuffix(said, "\r\n"), "\r\n") {
		if len(line) > 3 && line[3] != '-' {
			got = append(got, line)
		}
	}
	for i, start := range append([]string{"220"}, starts...) {
		if i >= len(got) || !strings.HasPrefix(got[i], start) {
			t.Errorf("%s: %q, want %q", what, got, starts)
			return
		}
	}
}

func TestNeighbour(t *testing.T) {
	for _, kind := range []Kind{MX, Submission} {
		for _, remote := range []string{scanner20, "::ffff:" + scanner20, "fd00::20"} {
			s, dir, _ := neighbourhood(kind)
			j := &judge{verdict: mail.Verdict{Disposition: mail.Reject}}
			s.o.Judge = j
			said := playFrom(s, remote, toOutside+"From: anna@example.test\r\nBcc: otto@example.test\r\n\r\nscan\r\n.\r\n"+
				"MAIL FROM:<anna@example.test>\r\nRCPT TO:<otto@example.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n"+letter+".\r\nQUIT\r\n")
			wantReplies(t, remote, said, "250", "250", "250", "354", "250", "250", "250", "550 5.1.1", "354", "250", "221")
			if len(dir.messages) != 2 || len(j.saw) > 0 || dir.open != 0 {
				t.Fatalf("%d stored, judged %q, %d open", len(dir.messages), j.saw, dir.open)
			}
			m := dir.messages[0]
			if m.trace.Account != 1 || m.trace.Protocol != "ESMTP" || !strings.Contains(m.data, "\r\nMessage-ID: <") || !strings.Contains(m.data, "\r\nDate: ") || strings.Contains(m.data, "Bcc") {
				t.Errorf("stored %+v", m)
			}
		}
	}
}

// TestRelayForNeighbours: whatever is not the peer's own address opens nothing.
func TestRelayForNeighbours(t *testing.T) {
	const spoofed = "Received: from [" + scanner20 + "]\r\nX-Forwarded-For: " + scanner20 + "\r\n" + letter + ".\r\n"
	for _, remote := range []string{
		"192.168.1.21", "192.168.1.19", "192.168.1.2", "192.168.1.200", "10.0.0.20", "127.0.0.1", "::1", "fd00::21", "fe80::20", "203.0.113.20",
		"::192.168.1.20", "64:ff9b::c0a8:114", "2002:c0a8:114::1", "::ffff:192.168.1.21", "::ffff:0:c0a8:114", "0.0.0.0", "",
	} {
		s, dir, _ := neighbourhood(MX)
		for _, before := range []string{
			"", "XFORWARD ADDR=" + scanner20 + "\r\n", "XCLIENT ADDR=" + scanner20 + " LOGIN=anna@example.test\r\n", "PROXY TCP4 " + scanner20 + " 192.168.1.1 1025 25\r\n",
			"EHLO [" + scanner20 + "]\r\n", "HELO " + scanner20 + "\r\n", "NOOP " + scanner20 + "\r\n", "X-Real-IP: " + scanner20 + "\r\n",
		} {
			said := playFrom(s, remote, before+toOutside+spoofed)
			if !strings.Contains(said, "550 5.7.1 Not an address of this server, and we do not relay") || strings.Contains(said, "354") {
				t.Errorf("%s after %q: %q", remote, before, said)
			}
		}
		for _, param := range []string{" AUTH=<anna@example.test>", " AUTH=anna@example.test", " XFORWARD=" + scanner20} {
			said := playFrom(s, remote, "EHLO x\r\nMAIL FROM:<anna@example.test>"+param+"\r\nRCPT TO:<"+out+">\r\nDATA\r\n"+spoofed)
			if strings.Contains(said, "354") {
				t.Errorf("%s with %q: %q", remote, param, said)
			}
		}
		if said := playFrom(s, remote, "\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c\xc0\xa8\x01\x14\xc0\xa8\x01\x01\x04\x01\x00\x19"+toOutside+spoofed); strings.Contains(said, "354") {
			t.Errorf("%s with PROXY version 2: %q", remote, said)
		}
		if len(dir.messages) > 0 {
			t.Errorf("%s: stored %+v", remote, dir.messages[0])
		}
		s, _, _ = neighbourhood(Submission)
		wantReplies(t, remote, playFrom(s, remote, toOutside), "250", "530", "502", "502")
	}
}

// TestNeighbourGone: leave ends with the next message, and says why.
func TestNeighbourGone(t *testing.T) {
	for _, kind := range []Kind{MX, Submission} {
		n := newNeighbours()
		d := newDoor(t, Options{Kind: kind, Neighbours: n})
		d.dir.outside = true
		here := netip.MustParseAddr("127.0.0.1")
		n.list[here] = n.list[netip.MustParseAddr(scanner20)]
		d.listen()
		c := d.dial()
		send := func(replies ...string) {
			t.Helper()
			c.say("EHLO x", "MAIL FROM:<anna@example.test>", "RCPT TO:<"+out+">")
			c.want(replies...)
		}
		send("250", "250", "250")
		n.mu.Lock()
		delete(n.list, here)
		n.mu.Unlock()
		if kind == MX {
			send("250", "250", "550 5.7.1")
		} else {
			send("250", "530 5.7.0", "502")
		}
		s, dir, _ := neighbourhood(kind)
		wantReplies(t, "disabled", playFrom(s, "192.168.1.50", toOutside), "250", "550 5.7.1 The account of this device is disabled", "502", "502")
		wantReplies(t, "broken", playFrom(s, "192.168.1.60", toOutside), "250", "451 4.3.0", "502", "502")
		if len(dir.messages) > 0 {
			t.Error("something was stored")
		}
	}
}

// TestNeighbourRefuse: what is not by the account is not taken.
func TestNeighbourRefuse(t *testing.T) {
	s, dir, _ := neighbourhood(MX)
	for from, want := range map[string]string{"<otto@example.test>": "553 5.7.1", "<x@outside.test>": "553 5.7.1", "<scanner>": "501", "<ANNA@example.test>": "250", "<>": "250"} {
		wantReplies(t, from, playFrom(s, scanner20, "EHLO x\r\nMAIL FROM:"+from+"\r\n"), "250", want)
	}
	for data, want := range map[string]string{
		"From: otto@example.test\r\n\r\n": "553 5.7.1", "From: x@outside.test\r\n\r\n": "553 5.7.1", "From: anna@example.test, otto@example.test\r\n\r\n": "553 5.7.1",
		"Subject: x\r\n\r\n": "550 5.6.0", "From: anna@example.test\r\nFrom: anna@example.test\r\n\r\n": "550 5.6.0",
	} {
		wantReplies(t, data, playFrom(s, scanner20, toOutside+data+".\r\n"), "250", "250", "250", "354", want)
	}
	if len(dir.messages) > 0 {
		t.Errorf("stored %+v", dir.messages[0])
	}
}

// TestNeighbourLocal: one that may only write to the house has none of the
// tricks to get out.
func TestNeighbourLocal(t *testing.T) {
	s, dir, _ := neighbourhood(MX)
	for _, to := range tricks {
		said := playFrom(s, "192.168.1.40", "EHLO x\r\nMAIL FROM:<anna@example.test>\r\nRCPT TO:"+to+"\r\nDATA\r\n")
		if strings.Contains(said, "354") {
			t.Errorf("%s: %q", to, said)
		}
	}
	said := playFrom(s, "192.168.1.40", toOutside+"RCPT TO:<otto@example.test>\r\nRCPT TO:<postmaster>\r\nDATA\r\n"+letter+".\r\n")
	wantReplies(t, "local", said, "250", "250", "550 5.7.1 This device may only write", "502", "250", "250", "354", "250")
	if len(dir.messages) != 1 || len(dir.messages[0].env.To) != 2 || dir.open != 0 {
		t.Errorf("stored %+v, %d open", dir.messages, dir.open)
	}
}

// TestNeighbourTolerance takes what harms nobody, and not what makes the end of
// a message a matter of opinion.
func TestNeighbourTolerance(t *testing.T) {
	for hello, want := range map[string]string{
		"HELO": "250", "EHLO": "250", "HELO My Scanner": "250", "EHLO my_scanner": "250", "HELO <x>": "250", "HELO " + strings.Repeat("x", 300): "250", "EHLO scanner": "250",
	} {
		s, dir, _ := neighbourhood(MX)
		said := playFrom(s, "192.168.1.30", hello+"\r\nMAIL FROM: <scanner>\r\nRCPT TO:<"+out+">\r\nDATA\r\nSubject: \xe9t\xe9\r\n\r\n\xe9\r\n.\r\n")
		wantReplies(t, hello, said, want, "250", "250", "354", "250")
		if len(dir.messages) != 1 || dir.messages[0].env.From != "anna@example.test" || strings.ContainsAny(dir.messages[0].trace.Helo, " <") {
			t.Errorf("%s: stored %+v", hello, dir.messages)
		}
		if said := playFrom(s, "192.0.2.1", hello+"\r\n"); strings.Contains(said, "501") != (hello != "EHLO scanner" && hello != "EHLO my_scanner") {
			t.Errorf("%s of a stranger: %q", hello, said)
		}
	}
	s, dir, _ := neighbourhood(MX)
	for _, text := range []string{"Subject: a\nb\r\n.\r\n", "Subject: a\r\n\r\nx\n.\n", "Subject: a\r\n\r\nx\r\n.\n"} {
		said := playFrom(s, "192.168.1.30", toOutside+text)
		if !strings.Contains(said, "550 5.6.11 CR and LF may only come as a pair") {
			t.Errorf("%q: %q", text, said)
		}
	}
	wantReplies(t, "bare LF", playFrom(s, "192.168.1.30", "EHLO x\nMAIL FROM:<>\n"), "500 5.5.2 Lines must end in CR LF", "500 5.5.2")
	if len(dir.messages) > 0 {
		t.Error("something was stored")
	}
}

// TestNeighbourLimits: the caps of an account are its machines' too.
func TestNeighbourLimits(t *testing.T) {
	s, dir := quiet(MX)
	dir.outside = true
	s = New(Options{Kind: MX, Host: "mx.example.test", Directory: dir, Log: s.log, RcptPerHour: 2, UnknownPerHour: 1, Neighbours: newNeighbours()})
	said := playFrom(s, scanner20, "EHLO x\r\nMAIL FROM:<anna@example.test>\r\n"+strings.Repeat("RCPT TO:<nobody@example.test>\r\n", 3)+strings.Repeat("RCPT TO:<"+out+">\r\n", 3))
	wantReplies(t, "limits", said, "250", "250", "550", "550", "550", "250", "250", "450 4.7.1")
}

// TestNeighbourPatience: who does not sign in need not hurry to.
func TestNeighbourPatience(t *testing.T) {
	s, _, _ := neighbourhood(Submission)
	for remote, want := range map[string]time.Duration{scanner20: untilMail, "192.168.1.21": untilAuth} {
		c := newConn(s, &script{remote: net.ParseIP(remote)})
		c.session = &session{c: c}
		if got := c.commandDeadline().Sub(c.start); got != want {
			t.Errorf("%s has %v", remote, got)
		}
	}
}

// TestHouseNeighbour is the real thing: a scanner on loopback that the owner
// names, whose mail leaves, is held when it is too much, and ends with its name.
func TestHouseNeighbour(t *testing.T) {
	h, d := newHouse(t, Options{Kind: MX})
	scan := func(to ...string) string {
		t.Helper()
		c := d.dial()
		c.say("HELO Scan Station")
		said := c.reply()
		if !strings.HasPrefix(said, "250") {
			return said
		}
		c.say("MAIL FROM:<scanner@localhost>")
		c.want("250")
		for _, to := range to {
			c.say("RCPT TO:<" + to + ">")
			if said := c.reply(); !strings.HasPrefix(said, "250") {
				return said
			}
		}
		c.say("DATA")
		c.want("354")
		c.send("From: Scan <scanner@localhost>\r\nSubject: scan\r\n\r\npage\r\n.\r\n")
		return c.reply()
	}
	if said := scan("x@outside.test"); !strings.HasPrefix(said, "501 5.5.4") {
		t.Errorf("a stranger: %q", said)
	}
	device := h.device(t, "Scanner", "127.0.0.1", store.RewriteFrom)
	must(t, h.lan.Add(device))
	if said := scan("x@outside.test", "otto@example.test"); !strings.HasPrefix(said, "250 2.0.0") {
		t.Fatalf("a neighbour: %q", said)
	}
	got := h.inbox(t, "otto@example.test")
	if len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <anna@example.test>\r\n") || !strings.Contains(got[0], "\r\nFrom: \"Scan\" <anna@example.test>\r\n") || strings.Contains(got[0], "Reply-To") {
		t.Errorf("otto has %q", got)
	}
	for i := range 6 {
		if said := scan(fmt.Sprintf("p%d@outside.test", i)); !strings.HasPrefix(said, "250") {
			t.Fatalf("message %d: %q", i, said)
		}
	}
	held, free := 0, 0
	must(t, h.s.Items(false, func(it *store.Item, to []*store.QueueRecipient) bool {
		for _, r := range to {
			if strings.HasPrefix(r.Hold, "sending is paused: ") {
				held++
			} else {
				free++
			}
			if it.Account != h.anna.ID || it.Envelope.From != "anna@example.test" {
				t.Errorf("item %+v", it)
			}
		}
		return true
	}))
	if held != 2 || free != 5 {
		t.Errorf("%d held, %d free", held, free)
	}
	must(t, h.anna.Update(func(p *store.Profile) error { p.Disabled = true; return nil }))
	c := d.dial()
	c.say("HELO x", "MAIL FROM:<anna@example.test>")
	c.want("250", "550 5.7.1 The account of this device is disabled")
	must(t, h.lan.Remove("scanner"))
	c.say("MAIL FROM:<anna@example.test>", "RCPT TO:<x@outside.test>")
	c.want("250", "550 5.7.1 Not an address of this server")
}

// TestHouseSwaks has a client that we did not write be the scanner.
func TestHouseSwaks(t *testing.T) {
	swaks, err := exec.LookPath("swaks")
	if err != nil {
		t.Skip("swaks is not installed")
	}
	h, d := newHouse(t, Options{Kind: MX})
	run := func(more ...string) string {
		out, _ := exec.Command(swaks, append([]string{"--server", d.addr, "-f", "scanner@printer.lan", "-t", "otto@example.test"}, more...)...).CombinedOutput()
		return string(out)
	}
	if said := run("-t", "x@outside.test"); !strings.Contains(said, "550 5.7.1 Not an address of this server") {
		t.Errorf("a stranger: %s", said)
	}
	must(t, h.lan.Add(h.device(t, "Scanner", "127.0.0.1", store.RewriteFrom)))
	for _, more := range [][]string{nil, {"--protocol", "SMTP"}, {"-tls"}, {"--pipeline"}, {"--ehlo", "my_scanner"}} {
		if said := run(append(more, "-t", "x@outside.test")...); !strings.Contains(said, "250 2.0.0 OK: stored as ") {
			t.Errorf("%q: %s", more, said)
		}
	}
	must(t, h.lan.Remove("scanner"))
	must(t, h.lan.Add(h.device(t, "Scanner", "127.0.0.1", store.RefuseFrom)))
	if said := run(); !strings.Contains(said, "553 5.7.1") {
		t.Errorf("a sender of its own: %s", said)
	}
}

// TestHouseDeviceFrom: a device with a password has its From rewritten too.
func TestHouseDeviceFrom(t *testing.T) {
	h, d := newHouse(t, Options{Kind: Submission, ImplicitTLS: true})
	send := func() string {
		c := d.dial()
		c.say("EHLO nas")
		c.want("250")
		c.signIn("PLAIN", "anna@example.test", annasPassword)
		c.say("MAIL FROM:<root@nas.local>")
		if said := c.reply(); !strings.HasPrefix(said, "250") {
			return said
		}
		c.say("RCPT TO:<otto@example.test>", "DATA")
		c.want("250", "354")
		c.send("Subject: x\r\n\r\nfull\r\n.\r\n")
		return c.reply()
	}
	if said := send(); !strings.HasPrefix(said, "553 5.7.1") {
		t.Errorf("a device without leave: %q", said)
	}
	must(t, h.anna.Update(func(p *store.Profile) error { p.Devices[0].From = store.RewriteFrom; return nil }))
	if said := send(); !strings.HasPrefix(said, "250 2.0.0") {
		t.Errorf("a device whose From is rewritten: %q", said)
	}
	if got := h.inbox(t, "otto@example.test"); len(got) != 1 || !strings.Contains(got[0], "\r\nFrom: \"laptop\" <anna@example.test>\r\n") {
		t.Errorf("otto has %q", got)
	}
}
