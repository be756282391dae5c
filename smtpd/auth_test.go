package smtpd

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"homemail/signin"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// socketPair returns both ends of a connection over loopback.
func socketPair(t *testing.T) (here, there net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return here, there
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	right, wrong := b64("\x00anna@example.test\x00right"), b64("\x00anna@example.test\x00wrong")
	d := open(t, Options{Kind: Submission})

	c := d.dial()
	c.say("AUTH PLAIN "+right, "EHLO x", "AUTH PLAIN "+right, "MAIL FROM:<anna@example.test>")
	c.want("502", "250", "523 5.7.10", "530 5.7.0")
	c.startTLS()
	for _, step := range [][2]string{
		{"AUTH", "502 5.5.4"},
		{"AUTH SCRAM-SHA-1", "504 5.5.4"},
		{"AUTH PLAIN " + wrong, "535 5.7.8"},
		{"AUTH PLAIN %%%", "454 4.7.0"},
		{"AUTH PLAIN =", "535 5.7.8"},
		{"AUTH PLAIN", "334 "},
		{"*", "501 5.0.0"},
		{"AUTH PLAIN", "334 "},
		{"not base64!", "454 4.7.0"},
		{"AUTH PLAIN", "334 "},
		{"BDAT 5", "454 4.7.0"}, // a bad response, and no chunk follows
		{"AUTH PLAIN", "334 "},
		{"STARTTLS", "535 5.7.8"}, // which is base64
		{"AUTH PLAIN", "334 "},
		{"\x00", "501 5.0.0"},
		{"AUTH LOGIN " + b64("anna@example.test"), "334 " + b64("Password:")},
		{b64("wrong"), "535 5.7.8"},
		{"MAIL FROM:<anna@example.test>", "530 5.7.0"},
		{"auth plain", "334 "},
		{right, "235 2.0.0"},
		{"AUTH PLAIN " + right, "503"},
		{"MAIL FROM:<anna@example.test>", "250"},
		{"EHLO again.test", "250"},
		{"MAIL FROM:<anna+shop@example.test>", "250"},
		{"RSET", "250"},
		{"MAIL FROM:<any@all.example.test>", "250"},
		{"RSET", "250"},
		{"MAIL FROM:<>", "250"},
		{"RSET", "250"},
		{"MAIL FROM:<otto@example.test>", "553 5.7.1"},
	} {
		c.say(step[0])
		if got := c.reply(); !strings.HasPrefix(got, step[1]) {
			t.Errorf("%s: got %q, want %s", step[0], got, step[1])
		}
	}
	if s := d.s.Stats(); s.AuthFailed != 5 {
		t.Errorf("stats %+v", s)
	}

	c = d.dial()
	c.say("EHLO x")
	c.want("250")
	c.startTLS()
	for err, want := range map[error]string{
		&signin.WaitError{Wait: time.Minute}: "454 4.7.0 Too many failed sign-ins; try again in 1m0s",
		signin.ErrBusy:                       "454 4.7.0",
		errors.New("disk on fire"):           "454 4.7.0",
	} {
		d.u.err = err
		c.say("AUTH PLAIN " + right)
		c.want(want)
	}
}

func TestRevoked(t *testing.T) {
	d := open(t, Options{Kind: Submission, ImplicitTLS: true})
	idle, sending := d.ready(), d.ready()
	sending.envelope()
	close(d.u.done)
	idle.want("421 4.7.0")
	idle.wantEnd()
	sending.want("421 4.7.0")
	sending.wantEnd()
}

func TestAuthor(t *testing.T) {
	const rest = "Date: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <1@example.test>\r\n\r\nx\r\n"
	d := open(t, Options{Kind: Submission, ImplicitTLS: true})
	c := d.ready()
	for from, want := range map[string]string{
		"From: Anna <anna@example.test>\r\n":                     "250",
		"From: anna+x@example.test, b@all.example.test\r\n":      "250",
		"From: otto@example.test\r\n":                            "553 5.7.1",
		"From: anna@example.test, otto@example.test\r\n":         "553 5.7.1",
		"From: otto@example.test\r\nFrom: anna@example.test\r\n": "550 5.6.0",
		"To: anna@example.test\r\n":                              "550 5.6.0",
		"From: \r\n":                                             "550 5.6.0",
		"From: nobody:;\r\n":                                     "5",
		"From: \"anna@example.test\" <otto@example.test>\r\n":    "553 5.7.1",
	} {
		c.envelope()
		c.send(from + rest + ".\r\n")
		if got := c.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %q, want %s", from, got, want)
		}
	}
}

// TestSubmitted looks at what becomes of a message that lacks fields.
func TestSubmitted(t *testing.T) {
	d := open(t, Options{Kind: Submission, ImplicitTLS: true})
	c := d.ready()
	c.envelope()
	c.send("From: anna@example.test\r\nBcc: secret@example.test,\r\n other@example.test\r\nSubject: x\r\nBCC : more@example.test\r\n" +
		"no field\r\nBcc: third@example.test\r\nBcc" + strings.Repeat(" ", 100) + ": fourth@example.test\r\n\r\nBcc: stays\r\n.\r\n")
	c.want("250")
	got := d.dir.got()[0]
	want := "From: anna@example.test\r\nSubject: x\r\nno field\r\nDate: " + got.trace.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700") +
		"\r\nMessage-ID: <" + got.trace.ID + "@mx.example.test>\r\n\r\nBcc: stays\r\n"
	if got.data != want && time.Since(got.trace.Time) < time.Second {
		t.Errorf("stored %q\nwant   %q", got.data, want)
	}
}

func TestSubmissionRate(t *testing.T) {
	d := open(t, Options{Kind: Submission, ImplicitTLS: true, RcptPerHour: 3})
	for i := range 5 {
		c := d.ready()
		c.say("MAIL FROM:<anna@example.test>", "RCPT TO:<otto@example.test>")
		c.want("250")
		if i < 3 {
			c.want("250")
		} else {
			c.want("450 4.7.1")
		}
	}
}

func TestWindow(t *testing.T) {
	w := newWindow[int](2, time.Hour)
	for i := range 3 * maxWindows {
		if !w.take(i) {
			t.Fatal("a first event is over the limit")
		}
	}
	if len(w.keys) > maxWindows {
		t.Errorf("%d keys are remembered", len(w.keys))
	}
	for i := range 3 {
		if w.take(-1) != (i < 2) {
			t.Error("not two")
		}
	}
}
