package client

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"homemail/internal/smtptest"
	"homemail/mail"
)

// listen plays a script over TCP.
func listen(t testing.TB, script string) net.Conn {
	t.Helper()
	return connect(t, func(nc net.Conn) { smtptest.Lines(script).Play(nc, nil) })
}

// connect returns a connection whose other end is served.
func connect(t testing.TB, serve func(net.Conn)) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		if nc, err := ln.Accept(); err == nil {
			serve(nc)
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// A sink is a server that others wrote, and keeps what it gets.
type sink struct {
	from string
	opts *gosmtp.MailOptions
	to   []string
	data []string
}

func (s *sink) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return s, nil }
func (s *sink) Reset()                                          {}
func (s *sink) Logout() error                                   { return nil }
func (s *sink) Mail(from string, o *gosmtp.MailOptions) error {
	s.from, s.opts, s.to = from, o, nil
	return nil
}
func (s *sink) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
	}
	s.to = append(s.to, to)
	return nil
}
func (s *sink) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.data = append(s.data, string(b))
	return err
}

// serve serves one connection with go-smtp.
func (s *sink) serve(t testing.TB, config *tls.Config) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gosmtp.NewServer(s)
	server.Domain, server.TLSConfig = "mx.example.test", config
	server.EnableSMTPUTF8, server.EnableBINARYMIME, server.EnableDSN, server.EnableREQUIRETLS = true, true, true, true
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// TestGoSMTP: a server that we did not write understands all of it.
func TestGoSMTP(t *testing.T) {
	s := new(sink)
	c := dial(t, s.serve(t, serverTLS(t)))
	if err := c.StartTLS(t.Context(), anyTLS()); err != nil {
		t.Fatal(err)
	}
	if err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := message("Subject: ü\r\n\r\n.\r\n..\r\nend", "jürgen@example.test", "nobody@example.test")
	m.Envelope.UTF8, m.Envelope.RequireTLS, m.Envelope.EnvelopeID = true, true, "q+2B1"
	m.Envelope.To[0].Notify = []string{"FAILURE"}
	for range 2 {
		outs, err := c.Send(t.Context(), m)
		if err != nil || summary(outs) != "relayed, permanent reply 550 5.1.1 No such user" || !outs[0].DSN {
			t.Fatal(summary(outs), err)
		}
	}
	if len(s.data) != 2 || s.data[1] != "Subject: ü\r\n\r\n.\r\n..\r\nend\r\n" || !s.opts.UTF8 || !s.opts.RequireTLS || s.opts.EnvelopeID != "q+1" {
		t.Errorf("%q %+v", s.data, s.opts)
	}
	m.Envelope.Body, m.Envelope.UTF8 = mail.BodyBinary, true
	m.Open, m.Size = text("\x00\xff.\r\n"), 0
	if outs, err := c.Send(t.Context(), m); err != nil || outs[0].Fate != mail.Relayed || s.data[2] != "\x00\xff.\r\n" {
		t.Errorf("%s, %v, %q", summary(outs), err, s.data)
	}
	c.Quit()
}

// BenchmarkSend is messages over one connection to a sink in this process.
func BenchmarkSend(b *testing.B) {
	c, err := New(b.Context(), new(sink).serve(b, nil), "box.example.test")
	if err == nil {
		err = c.Hello(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	m := message("Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 60), "bob@example.test")
	start := time.Now()
	for b.Loop() {
		if outs, err := c.Send(b.Context(), m); err != nil || outs[0].Fate != mail.Relayed {
			b.Fatal(outs, err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
}

// serveSASL is serve with another backend.
func serveSASL(t testing.TB, s *saslSink) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gosmtp.NewServer(s)
	server.Domain, server.TLSConfig = "mx.example.test", s.config
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}
