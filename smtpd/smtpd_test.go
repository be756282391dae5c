package smtpd

import (
	"errors"
	"fmt"
	"net/smtp"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"homemail/mail"
)

const letter = "From: anna@example.test\r\nTo: otto@example.test\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <1@example.test>\r\nSubject: Hello\r\n\r\nLunch?\r\n"

var doors = []struct {
	name string
	o    Options
}{
	{"25", Options{Kind: MX}},
	{"587", Options{Kind: Submission}},
	{"465", Options{Kind: Submission, ImplicitTLS: true}},
}

// forDoors runs a test at each kind of door.
func forDoors(t *testing.T, fn func(t *testing.T, d *door)) {
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) { fn(t, open(t, d.o)) })
	}
}

func TestDelivery(t *testing.T) {
	forDoors(t, func(t *testing.T, d *door) {
		c := d.ready()
		c.say("MAIL FROM:<anna@example.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=q+2B1", "RCPT TO:<anna@example.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@example.test", "RCPT TO:<otto@example.test>", "DATA")
		c.want("250 2.0.0", "250 2.0.0", "250 2.0.0", "354 ")
		c.send(strings.ReplaceAll(letter, "Lunch?", "..Lunch?") + ".\r\n")
		said := c.want("250 2.0.0 OK: stored as ")
		c.say("QUIT")
		c.want("221")
		c.wantEnd()

		got := d.dir.got()
		if len(got) != 1 || got[0].data != strings.ReplaceAll(letter, "Lunch?", ".Lunch?") {
			t.Fatalf("stored %+v", got)
		}
		m := got[0]
		if id := strings.TrimSpace(strings.TrimPrefix(said, "250 2.0.0 OK: stored as ")); id != m.trace.ID || len(id) != 15 {
			t.Errorf("told the id %q, stored as %q", id, m.trace.ID)
		}
		e := m.env
		if e.From != "anna@example.test" || len(e.To) != 2 || e.Return != "HDRS" || e.EnvelopeID != "q+2B1" || e.Body != mail.Body8Bit ||
			strings.Join(e.To[0].Notify, " ") != "FAILURE DELAY" || e.To[0].Original != "rfc822;x@example.test" {
			t.Errorf("envelope %+v", e)
		}
		want := map[string]string{"25": "ESMTP", "587": "ESMTPSA", "465": "ESMTPSA"}[t.Name()[len("TestDelivery/"):]]
		if m.trace.Protocol != want || m.trace.Helo != "client.test" || !m.trace.Remote.IsLoopback() || (m.trace.TLS == "") != (want == "ESMTP") {
			t.Errorf("trace %+v, want %s", m.trace, want)
		}
		if s := d.s.Stats(); s.Accepted != 1 || s.Recipients != 2 || s.Bytes != int64(len(m.data)) || s.Connections != 1 || s.Lost != 0 {
			t.Errorf("stats %+v", s)
		}
		d.stop()
		if len(d.dir.lost) > 0 {
			t.Error("a message that QUIT confirmed counts as unconfirmed")
		}
	})
}

func TestEHLO(t *testing.T) {
	want := map[string][2]string{ // without and with TLS
		"25":  {"STARTTLS", "REQUIRETLS"},
		"587": {"STARTTLS", "AUTH PLAIN LOGIN|REQUIRETLS"},
		"465": {"", "AUTH PLAIN LOGIN|REQUIRETLS"},
	}
	const before, after = "PIPELINING|8BITMIME|ENHANCEDSTATUSCODES|CHUNKING|", "|BINARYMIME|DSN|SIZE 52428800|LIMITS RCPTMAX=100"
	for _, door := range doors {
		t.Run(door.name, func(t *testing.T) {
			d := open(t, door.o)
			c := d.dial()
			check := func(want string) {
				t.Helper()
				c.say("EHLO [192.0.2.1]")
				got := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(c.reply()), "\r\n250-", "|"), "\r\n250 ", "|")
				if auth, ok := strings.CutPrefix(want, "AUTH PLAIN LOGIN|"); ok {
					want = "AUTH PLAIN LOGIN|SMTPUTF8|" + auth
				} else {
					want = "SMTPUTF8|" + want
				}
				if want = "250-mx.example.test|" + before + want + after; got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if door.name != "465" {
				check(want[door.name][0])
				c.startTLS()
			}
			check(want[door.name][1])
		})
	}
}

// TestOtherClients has clients speak that we did not write.
func TestOtherClients(t *testing.T) {
	d := open(t, Options{Kind: MX})
	if err := smtp.SendMail(strings.Replace(d.addr, "127.0.0.1", "localhost", 1), nil, "a@elsewhere.test", []string{"anna@example.test"}, []byte(letter)); err == nil {
		t.Error("net/smtp took a certificate of nobody")
	}
	c, err := gosmtp.DialStartTLS(d.addr, clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SendMail("", []string{"anna@example.test", "otto@example.test"}, strings.NewReader(letter)); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("ä@elsewhere.test", &gosmtp.MailOptions{UTF8: true, Body: gosmtp.Body8BitMIME, RequireTLS: true, Return: gosmtp.DSNReturnFull}); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("jürgen@example.test", &gosmtp.RcptOptions{Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifyNever}}); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err == nil {
		_, err = w.Write([]byte(letter))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	got := d.dir.got()
	if len(got) != 2 || got[0].env.From != "" || got[0].trace.Protocol != "ESMTPS" || got[1].trace.Protocol != "UTF8SMTPS" || !got[1].env.RequireTLS {
		t.Errorf("stored %+v", got)
	}
}

func TestSequence(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.dial()
	for _, step := range [][2]string{
		{"MAIL FROM:<a@b.test>", "502 5.5.1"},
		{"EHLO", "501 5.5.4"},
		{"HELO x", "250 mx.example.test"},
		{"RCPT TO:<anna@example.test>", "502 5.5.1"},
		{"DATA", "502 5.5.1"},
		{"MAIL FROM:<a@b.test>", "250 2.0.0"},
		{"DATA", "502 5.5.1"},
		{"MAIL FROM:<c@d.test>", "503 5.5.1"},
		{"RCPT TO:<anna@example.test>", "250 2.0.0"},
		{"DATA now", "501 5.5.4"},
		{"RSET", "250 2.0.0"},
		{"DATA", "502 5.5.1"},
		{"MAIL FROM:<a@b.test>", "250 2.0.0"},
		{"EHLO again.test", "250"},
		{"RCPT TO:<anna@example.test>", "502 5.5.1"},
		{"NOOP", "250 2.0.0"},
		{"VRFY anna", "252 2.5.0"},
		{"EXPN all", "502 5.5.1"},
		{"ETRN example.test", "500 5.5.2"},
		{"TURN", "502 5.5.1"},
		{"AUTH PLAIN AGFubmEAcmlnaHQ=", "523 5.7.10"},
		{"XYZZY", "501 5.5.2"},
		{"", "500 5.5.2"},
		{"GET / HTTP/1.1", "421 4.7.0"},
	} {
		c.say(step[0])
		if got := c.reply(); !strings.HasPrefix(got, step[1]) {
			t.Errorf("%s: got %q, want %s", step[0], got, step[1])
		}
	}
	c.wantEnd()
}

func TestParameters(t *testing.T) {
	d := open(t, Options{Kind: MX, MaxSize: 1000})
	for _, step := range [][2]string{
		{"MAIL FROM:<a@b.test", "501 5.5.2"},
		{"MAIL <a@b.test>", "501 5.5.2"},
		{"MAIL FROM:<a@b.test>SIZE=1001", "552 5.3.4"},
		{"MAIL FROM:<a@b.test> SIZE=1001", "552 5.3.4"},
		{"MAIL FROM:<a@b.test> SIZE=99999999999999999999", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=-1", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=1k", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=1 SIZE=1001", "552 5.3.4"},
		{"MAIL FROM:<a@b.test> BODY=9BIT", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> ENVID=+zz", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> RET=SOME", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> MT-PRIORITY=3", "500 5.5.4"},
		{"MAIL FROM:<a@b.test> BY=120;R", "500 5.5.4"},
		{"MAIL FROM:<a@b.test> REQUIRETLS", "504 5.5.4"}, // not without TLS
		{"MAIL FROM:<ü@b.test>", "553 5.6.7"},
		{"MAIL FROM:<a@b@c>", "553 5.1.7"},
		{"MAIL FROM:<a b@c.test>", "501 5.5.2"},
		{"MAIL FROM:<" + strings.Repeat("a", 300) + "@b.test>", "553 5.1.7"},
		{"mail from:<> size=1000 body=7bit auth=<>", "250 2.0.0"},
		{"RCPT TO:<>", "501 5.5.2"},
		{"RCPT TO:<anna@example.test> NOTIFY=NEVER,SUCCESS", "501 5.5.4"},
		{"RCPT TO:<anna@example.test> NOTIFY=", "501 5.5.4"},
		{"RCPT TO:<anna@example.test> ORCPT=x", "501 5.5.4"},
		{"RCPT TO:<anna@example.test> SIZE=1", "500 5.5.4"},
		{"RCPT TO:<jürgen@example.test>", "553 5.6.7"},
		{"rcpt to: <Postmaster>", "250 2.0.0"},
		{"RCPT TO:<full@example.test>", "452 4.2.2"},
		{"RCPT TO:<disabled@example.test>", "550 5.2.1"},
		{"RCPT TO:<broken@example.test>", "451 4.3.0 Something is wrong on our side"},
		{"RCPT TO:<nobody@example.test>", "550 5.1.1"},
	} {
		c := d.dial()
		c.say("EHLO x")
		c.want("250")
		if strings.HasPrefix(strings.ToUpper(step[0]), "RCPT") {
			c.say("MAIL FROM:<>")
			c.want("250")
		}
		c.say(step[0])
		if got := c.reply(); !strings.HasPrefix(got, step[1]) {
			t.Errorf("%s: got %q, want %s", step[0], got, step[1])
		}
		c.nc.Close()
	}
}

func TestSize(t *testing.T) {
	const limit = 3000
	for name, way := range map[string]func(c *client, text string){
		"DATA": func(c *client, text string) {
			c.say("DATA")
			c.want("354")
			c.send(text + ".\r\n")
		},
		"BDAT": func(c *client, text string) { c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text)) },
		"BDAT in two": func(c *client, text string) {
			c.send(fmt.Sprintf("BDAT 1000\r\n%sBDAT %d LAST\r\n%s", text[:1000], len(text)-1000, text[1000:]))
			c.want("250 2.0.0 Continue")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, Options{Kind: MX, MaxSize: limit})
			for _, over := range []int{0, 1, -1, 500} {
				text := letter + strings.Repeat("x", limit+over-len(letter)-2) + "\r\n"
				c := d.ready()
				c.say("MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>")
				c.want("250", "250")
				way(c, text)
				if over > 0 {
					c.want("552 5.3.4")
				} else {
					c.want("250 2.0.0 OK")
				}
				c.say("NOOP") // and the connection goes on
				c.want("250")
			}
			if got := d.dir.got(); len(got) != 2 || len(got[0].data) != limit {
				t.Errorf("%d messages stored", len(got))
			}
		})
	}
}

func TestLongLines(t *testing.T) {
	d := open(t, Options{Kind: MX})
	for n, want := range map[int]string{1000: "250", maxDataLine: "250", maxDataLine + 1: "554 5.6.0"} {
		c := d.ready()
		c.envelope()
		c.send(letter + strings.Repeat("x", n) + "\r\n.\r\n")
		c.want(want)
		c.say("NOOP")
		c.want("250")
	}
	c := d.dial()
	c.say("NOOP " + strings.Repeat("x", 20000))
	c.want("500 5.5.6")
	c.wantEnd()
}

func TestTooManyRecipients(t *testing.T) {
	d := open(t, Options{Kind: MX, MaxRecipients: 3})
	c := d.ready()
	c.say("MAIL FROM:<a@b.test>")
	c.want("250")
	for i := range 5 {
		c.say("RCPT TO:<anna@example.test>")
		if want := "250"; i < 3 {
			c.want(want)
		} else {
			c.want("452 4.5.3")
		}
	}
}

func TestFaultsCostTimeNeverMail(t *testing.T) {
	for err, want := range map[error]string{
		errors.New("disk on fire"):                       "451 4.3.0",
		fmt.Errorf("x: %w", mail.ErrNoSpace):             "452 4.3.1",
		mail.ErrMailboxFull:                              "452 4.2.2",
		fmt.Errorf("%w: 50 servers", mail.ErrLoop):       "550 5.4.6",
		fmt.Errorf("%w: two\r\nFrom", mail.ErrBadHeader): "550 5.6.0 the header breaks the rules: two??From",
	} {
		d := open(t, Options{Kind: MX})
		d.dir.commit = err
		c := d.ready()
		c.envelope()
		c.send(letter + ".\r\n")
		c.want(want)
		d.dir.mu.Lock()
		d.dir.commit = nil
		d.dir.mu.Unlock()
		c.envelope() // and the next one is not touched by it
		c.send(letter + ".\r\n")
		c.want("250")
	}
	d := open(t, Options{Kind: MX})
	d.dir.room = mail.ErrNoSpace
	c := d.ready()
	c.say("MAIL FROM:<a@b.test>")
	c.want("452 4.3.1")
}

func TestUnconfirmed(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.ready()
	c.envelope()
	c.send(letter + ".\r\n")
	c.want("250")
	c.nc.Close()
	for range 100 {
		d.dir.mu.Lock()
		lost := len(d.dir.lost)
		d.dir.mu.Unlock()
		if lost == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the connection was lost after the 250 and nobody was told")
}
