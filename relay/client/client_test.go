package client

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"homemail/internal/smtptest"
	"homemail/mail"
)

// hello is what most scripts begin with.
const hello = `
	> 220 mx.example.test ESMTP
	< EHLO box.example.test
	> 250-mx.example.test
	> 250-PIPELINING
	> 250-size 1000000
	> 250-8bitmime
	> 250-DSN
	> 250 ENHANCEDSTATUSCODES`

// plainHello is a server without any extension.
const plainHello = `
	> 220 mx.example.test
	< EHLO box.example.test
	> 250 mx.example.test`

// play runs f with a client to a server that plays the script, in a bubble.
func play(t *testing.T, script string, f func(t *testing.T, nc net.Conn)) smtptest.Played {
	t.Helper()
	var p smtptest.Played
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			p = smtptest.Lines(script).Play(theirs, serverTLS(t))
		}()
		f(t, ours)
		ours.Close()
		<-done
	})
	return p
}

func dial(t *testing.T, nc net.Conn) *Conn {
	t.Helper()
	c, err := New(t.Context(), nc, "box.example.test")
	if err == nil {
		err = c.Hello(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(body string) func() (io.Reader, error) {
	return func() (io.Reader, error) { return strings.NewReader(body), nil }
}

func message(body string, to ...mail.Path) mail.Handover {
	m := mail.Handover{Envelope: mail.Envelope{From: "anna@example.org"}, Size: int64(len(body)), Open: text(body)}
	for _, p := range to {
		m.Envelope.To = append(m.Envelope.To, mail.Recipient{Path: p})
	}
	return m
}

// summary writes outcomes as "relayed, permanent reply 550".
func summary(outs []mail.Outcome) string {
	var list []string
	for _, o := range outs {
		s := string(o.Fate)
		if o.Cause != mail.CauseNone {
			s += " " + string(o.Cause)
		}
		if o.Fate != mail.Relayed && o.Reply.Code != 0 {
			s += " " + o.Reply.String()
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func cause(err error) mail.Cause {
	var e *Error
	if err == nil {
		return mail.CauseNone
	}
	if !errors.As(err, &e) {
		return "?"
	}
	return e.Cause
}

const body = "Subject: x\r\n\r\n.hi\r\n"

// TestSend has the outcomes of one transaction.
func TestSend(t *testing.T) {
	to := []mail.Path{"bob@example.test", "eve@example.test"}
	for name, tt := range map[string]struct {
		script string
		want   string
		err    mail.Cause
		took   time.Duration
		data   string
	}{
		"pipelined": {hello + `
			< MAIL FROM:<anna@example.org> SIZE=19
			< RCPT TO:<bob@example.test>
			< RCPT TO:<eve@example.test>
			< DATA
			> 250 2.1.0 ok
			> 250 2.1.5 ok
			> 250 2.1.5 ok
			> 354 go on
			<data
			> 250 2.0.0 queued as 123`, "relayed, relayed", "", 0, "Subject: x\r\n\r\n..hi\r\n.\r\n"},
		"one by one": {plainHello + `
			< MAIL FROM:<anna@example.org>
			> 250 ok
			< RCPT TO:<bob@example.test>
			> 250 ok
			< RCPT TO:<eve@example.test>
			> 251 will forward
			< DATA
			> 354
			<data
			> 250`, "relayed, relayed", "", 0, ""},
		"one recipient refused": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 550-5.1.1 no such
			> 550 5.1.1 user
			> 250 ok
			> 354 go on
			<data
			> 250 ok`, "permanent reply 550 5.1.1 no such\nuser, relayed", "", 0, ""},
		"one deferred, then refused at the end": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 450 4.2.0 greylisted
			> 250 ok
			> 354 go on
			<data
			> 554 5.7.1 spam`, "temporary reply 450 4.2.0 greylisted, permanent reply 554 5.7.1 spam", "", 0, ""},
		"deferred at the end": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 250 ok
			> 354 go on
			<data
			> 451 4.3.0 later`, "temporary reply 451 4.3.0 later, temporary reply 451 4.3.0 later", "", 0, ""},
		"sender refused": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 550 5.7.1 no
			> 503 5.5.1 MAIL first
			> 503 5.5.1 MAIL first
			> 503 5.5.1 MAIL first`, "permanent reply 550 5.7.1 no, permanent reply 550 5.7.1 no", "", 0, ""},
		"sender refused, one by one": {plainHello + `
			< MAIL
			> 451 later`, "temporary reply 451 later, temporary reply 451 later", "", 0, ""},
		"all recipients refused, but 354": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 550 no
			> 550 no
			> 354 go on all the same
			< .
			> 554 no valid recipients`, "permanent reply 550 no, permanent reply 550 no", "", 0, ".\r\n"},
		"all recipients refused, one by one": {plainHello + `
			< MAIL
			> 250 ok
			< RCPT
			> 550 no
			< RCPT
			> 550 no`, "permanent reply 550 no, permanent reply 550 no", "", 0, ""},
		"DATA refused": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 550 no
			> 451 4.3.2 not now`, "temporary reply 451 4.3.2 not now, permanent reply 550 no", "", 0, ""},
		"503 is no verdict": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 250 ok
			> 503 what`, "temporary broken 503 what, temporary broken 503 what", "", 0, ""},
		"too many recipients, as of old": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 552 too many recipients
			> 354
			<data
			> 250 ok`, "relayed, temporary reply 552 too many recipients", "", 0, ""},
		"421 in the middle": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 421 4.3.2 closing`, "temporary reply 421 4.3.2 closing, temporary reply 421 4.3.2 closing", mail.CauseReply, 0, ""},
		"lost after MAIL": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			close`, "temporary lost, temporary lost", mail.CauseLost, 0, ""},
		"lost at the dot": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 550 5.1.1 no
			> 354 go on
			close`, "temporary lost, permanent reply 550 5.1.1 no", mail.CauseLost, 0, ""},
		"lost after the dot": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 250 ok
			> 354 go on
			<data
			close`, "temporary lost, temporary lost", mail.CauseLost, 0, ""},
		"silent after the dot": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 250 ok
			> 354 go on
			<data
			hang`, "temporary timeout, temporary timeout", mail.CauseTimeout, finalTime, ""},
		"silent after MAIL": {hello + `
			< MAIL
			hang`, "temporary timeout, temporary timeout", mail.CauseTimeout, mailTime, ""},
		"a tarpit": {hello + `
			< MAIL
			drip 1m 250 this takes for ever`, "temporary timeout, temporary timeout", mail.CauseTimeout, mailTime, ""},
		"a tarpit at RCPT": {plainHello + `
			< MAIL
			wait 4m59s
			> 250 ok
			< RCPT
			wait 4m59s
			> 250 ok
			< RCPT
			wait 4m59s
			> 250 ok
			< DATA
			wait 1m
			> 354 go on`, "temporary timeout, temporary timeout", mail.CauseTimeout, envelopeTime, ""},
		"nonsense": {hello + `
			< MAIL
			> HTTP/1.1 400 Bad Request`, "temporary broken, temporary broken", mail.CauseBroken, 0, ""},
		"two codes in one reply": {hello + `
			< MAIL
			> 250-ok
			> 550 no`, "temporary broken, temporary broken", mail.CauseBroken, 0, ""},
		"a bare LF": {hello + `
			< MAIL
			>> "250 ok\n"`, "temporary broken, temporary broken", mail.CauseBroken, 0, ""},
		"a reply before its command": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			>> "250 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 I have it\r\n"
			<all`, "temporary broken, temporary broken", mail.CauseBroken, 0, ""},
		"354 at the end": {hello + `
			< MAIL
			< RCPT
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 250 ok
			> 354 go on
			<data
			> 354 more`, "temporary broken 354 more, temporary broken 354 more", mail.CauseBroken, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, tt.script, func(t *testing.T, nc net.Conn) {
				c := dial(t, nc)
				start := time.Now()
				outs, err := c.Send(t.Context(), message(body, to...))
				if got := summary(outs); got != tt.want || cause(err) != tt.err {
					t.Errorf("got %q, error %v; want %q, %s", got, err, tt.want, tt.err)
				}
				if took := time.Since(start); tt.took > 0 && took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				var e *Error
				if errors.As(err, &e) && e.Unsure != strings.Contains(name, "the dot") {
					t.Errorf("unsure is %v after %v", e.Unsure, err)
				}
			})
			if p.Err != nil && tt.err == "" {
				t.Error(p.Err)
			}
			if tt.data != "" && p.Data != tt.data && !strings.HasSuffix(p.Heard, tt.data) {
				t.Errorf("the server read %q", p.Data)
			}
		})
	}
}

// TestAgain uses one connection for several messages, also after a refusal.
func TestAgain(t *testing.T) {
	p := play(t, hello+`
		< MAIL
		< RCPT
		< DATA
		> 250 ok
		> 550 no
		> 503 no
		< RSET
		< MAIL
		< RCPT
		< DATA
		> 250 reset
		> 250 ok
		> 250 ok
		> 354 go on
		<data
		> 250 ok
		< MAIL
		< RCPT
		< DATA
		> 250 ok
		> 250 ok
		> 354 go on
		<data
		> 250 ok
		< QUIT
		> 221 bye`, func(t *testing.T, nc net.Conn) {
		c := dial(t, nc)
		for i, want := range []mail.Fate{mail.Permanent, mail.Relayed, mail.Relayed} {
			outs, err := c.Send(t.Context(), message(body, "bob@example.test"))
			if err != nil || outs[0].Fate != want {
				t.Errorf("message %d: %v, %v", i, outs, err)
			}
		}
		c.Quit()
	})
	if p.Err != nil {
		t.Error(p.Err)
	}
}

// TestGoneWhileWaiting: a server may say 421 and go at any time.
func TestGoneWhileWaiting(t *testing.T) {
	play(t, hello+`
		< MAIL
		< RCPT
		< DATA
		>> "250 ok\r\n250 ok\r\n354 go on\r\n"
		<data
		>> "250 ok\r\n421 4.4.2 idle too long\r\n"
		<all`, func(t *testing.T, nc net.Conn) {
		c := dial(t, nc)
		if outs, err := c.Send(t.Context(), message(body, "bob@example.test")); err != nil || outs[0].Fate != mail.Relayed {
			t.Fatal(outs, err)
		}
		outs, err := c.Send(t.Context(), message(body, "bob@example.test"))
		if summary(outs) != "temporary reply 421 4.4.2 idle too long" || err == nil {
			t.Error(outs, err)
		}
	})
}

// TestOpening has what can go wrong before the first message.
func TestOpening(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		cause  mail.Cause
		took   time.Duration
	}{
		"refused at the door": {"> 554 5.7.1 you are on a list", mail.CauseReply, 0},
		"too busy":            {"> 421 4.3.2 busy", mail.CauseReply, 0},
		"no greeting":         {"hang", mail.CauseTimeout, greetingTime},
		"a slow greeting":     {"drip 40s 220 hello there", mail.CauseTimeout, greetingTime},
		"closed":              {"close", mail.CauseLost, 0},
		"not SMTP":            {"> SSH-2.0-OpenSSH_9.2", mail.CauseBroken, 0},
		"a strange greeting":  {"> 250 hello", mail.CauseBroken, 0},
		"no EHLO, no HELO":    {"> 220 hi\n< EHLO\n> 550 no\n< HELO\n> 550 no", mail.CauseReply, 0},
		"EHLO not now":        {"> 220 hi\n< EHLO\n> 451 later", mail.CauseReply, 0},
		"no reply to EHLO":    {"> 220 hi\n< EHLO\nhang", mail.CauseTimeout, helloTime},
		"EHLO without end":    {"> 220 hi\n< EHLO\n" + strings.Repeat("> 250-X\n", maxLines+1) + "<all", mail.CauseBroken, 0},
		"a line without end":  {"> 220 hi\n< EHLO\n>> \"250 " + strings.Repeat("x", maxLine) + "\"\n<all", mail.CauseBroken, 0},
		"speaks out of turn":  {">> \"220 hi\\r\\n250 mx\\r\\n\"\n<all", mail.CauseBroken, 0},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, tt.script, func(t *testing.T, nc net.Conn) {
				start := time.Now()
				c, err := New(t.Context(), nc, "box.example.test")
				if err == nil {
					err = c.Hello(t.Context())
				}
				if cause(err) != tt.cause || Outcome(err).Fate != mail.Temporary {
					t.Errorf("got %v, want %s", err, tt.cause)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestHELO(t *testing.T) {
	p := play(t, `> 220 old
		< EHLO
		> 502 what?
		< HELO box.example.test
		> 250-old
		> 250 PIPELINING
		< MAIL FROM:<anna@example.org>
		> 250 ok
		< RCPT
		> 250 ok
		< DATA
		> 354
		<data
		> 250 ok`, func(t *testing.T, nc net.Conn) {
		c := dial(t, nc)
		if c.Offers("PIPELINING") {
			t.Error("HELO offers nothing")
		}
		if outs, err := c.Send(t.Context(), message(body, "bob@example.test")); err != nil || outs[0].Fate != mail.Relayed {
			t.Error(outs, err)
		}
	})
	if p.Err != nil {
		t.Error(p.Err)
	}
}

// TestCancel: a done context ends everything at once, but not the wait for the
// reply to the final dot.
func TestCancel(t *testing.T) {
	for name, tt := range map[string]struct {
		script, body, want string
		took               time.Duration
	}{
		"waiting for a reply": {hello + "\n< MAIL\nhang", body, "temporary ours", time.Minute},
		"writing": {hello + `
			< MAIL
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 354 go on
			wait 1h`, strings.Repeat("long\r\n", chunkSize/3), "temporary ours", time.Minute},
		"after the dot": {hello + `
			< MAIL
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 354 go on
			<data
			wait 9m
			> 250 ok`, body, "relayed", 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, tt.script, func(t *testing.T, nc net.Conn) {
				c := dial(t, nc)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Minute, cancel)
				start := time.Now()
				outs, _ := c.Send(ctx, message(tt.body, "bob@example.test"))
				if summary(outs) != tt.want || time.Since(start) != tt.took {
					t.Errorf("%s after %v: %+v", summary(outs), time.Since(start), outs)
				}
				nc.Close()
			})
		})
	}
}

// TestStaysCancelled: no later limit brings a connection back to life.
func TestStaysCancelled(t *testing.T) {
	play(t, hello+"\nhang", func(t *testing.T, nc net.Conn) {
		c := dial(t, nc)
		ctx, cancel := context.WithCancel(t.Context())
		stop := c.watch(ctx)
		cancel()
		synctest.Wait()
		start := time.Now()
		if _, err := c.ask("NOOP", "NOOP", mailTime); cause(err) != mail.CauseOurs || time.Since(start) != 0 || stop() {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestSlowReader: a server that takes a block just in time, again and again, is
// left when it is slower than minRate.
func TestSlowReader(t *testing.T) {
	script := hello + `
		< MAIL
		< RCPT
		< DATA
		> 250 ok
		> 250 ok
		> 354 go on` + strings.Repeat("\n<octets 65536\nwait 2m", 100)
	play(t, script, func(t *testing.T, nc net.Conn) {
		c := dial(t, nc)
		m := message(strings.Repeat("x\r\n", 5<<20/3), "bob@example.test")
		m.Size = 0
		start := time.Now()
		outs, err := c.Send(t.Context(), m)
		if summary(outs) != "temporary timeout" || err == nil || time.Since(start) > 30*time.Minute {
			t.Errorf("%s after %v", summary(outs), time.Since(start))
		}
	})
}

// TestBodyFails: what we cannot read to its end must not look whole.
func TestBodyFails(t *testing.T) {
	for name, open := range map[string]func() (io.Reader, error){
		"cut": text(body[:10]),
		"error": func() (io.Reader, error) {
			return io.MultiReader(strings.NewReader(body), bad{}), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, hello+`
				< MAIL
				< RCPT
				< DATA
				> 250 ok
				> 250 ok
				> 354 go on
				<all`, func(t *testing.T, nc net.Conn) {
				c := dial(t, nc)
				m := message(body, "bob@example.test")
				m.Open = open
				outs, err := c.Send(t.Context(), m)
				if summary(outs) != "temporary ours" || err == nil {
					t.Error(outs, err)
				}
			})
			if strings.Contains(p.Heard, "\r\n.\r\n") {
				t.Error("the server got an end")
			}
		})
	}
}

type bad struct{}

func (bad) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestRefusesWhileReading: a server may say no before the message ends.
func TestRefusesWhileReading(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		smtptest.Lines(hello+`
			< MAIL
			< RCPT
			< DATA
			> 250 ok
			> 250 ok
			> 354 go on
			<octets 100
			> 552 5.3.4 too much
			<octets 4000000`).Play(nc, nil)
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m := message(strings.Repeat("x\r\n", 20<<20), "bob@example.test")
	m.Size = 0
	outs, err := dial(t, nc).Send(t.Context(), m)
	if err == nil || outs[0].Fate == mail.Relayed {
		t.Error(outs, err)
	}
}
