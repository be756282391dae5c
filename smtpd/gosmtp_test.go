package smtpd

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"homemail/mail"
)

// What follows are traps of go-smtp that conn and session close.

// TestBrokenChunk breaks the connection within the last chunk, which go-smtp
// would take for its end.
func TestBrokenChunk(t *testing.T) {
	for _, in := range []string{
		"BDAT 100 LAST\r\n" + letter[:50], "BDAT 100 LAST\r\n", "BDAT 50\r\n" + letter[:50] + "BDAT 10 LAST\r\n", "BDAT 0\r\n", "BDAT 50\r\n" + letter[:50], "BDAT 0\r\nQUIT\r\n",
	} {
		s, dir := quiet(MX)
		out := play(s, preamble+in)
		if len(dir.messages) > 0 || dir.open != 0 {
			t.Errorf("%q: %d stored, %d open", in, len(dir.messages), dir.open)
		}
		if _, said, _ := strings.Cut(out, "gets this\r\n"); strings.Contains(said, "stored") || strings.Contains(said, "554") {
			t.Errorf("%q: said %q", in, said)
		}
		if lost := s.Stats().Lost; (lost == 1) == strings.HasSuffix(in, "QUIT\r\n") {
			t.Errorf("%q: %d lost", in, lost)
		}
	}
}

// TestStaleChunks gives messages up in the middle, again and again: what
// becomes of one must not be told to the next.
func TestStaleChunks(t *testing.T) {
	s, dir := quiet(MX)
	var in strings.Builder
	in.WriteString(preamble)
	const rounds = 200
	for i := range rounds {
		giveUp := []string{"RSET\r\n", "EHLO again.test\r\n"}[i%2]
		fmt.Fprintf(&in, "BDAT %d\r\n%s%s", i%7, letter[:i%7], giveUp)
		fmt.Fprintf(&in, "MAIL FROM:<>\r\nRCPT TO:<anna@example.test>\r\nBDAT %d\r\n%sBDAT 0 LAST\r\n", len(letter), letter)
		in.WriteString("MAIL FROM:<>\r\nRCPT TO:<anna@example.test>\r\n")
	}
	out := play(s, in.String())
	if told := strings.Count(out, "stored as "); told != rounds || len(dir.messages) != rounds {
		t.Fatalf("%d stored, %d told", len(dir.messages), told)
	}
	for i, line := range strings.Split(out, "\r\n") {
		if line != "" && line[0] != '2' {
			t.Fatalf("reply %d is %q", i, line)
		}
	}
	for _, m := range dir.messages {
		if m.data != letter {
			t.Fatalf("stored %q", m.data)
		}
	}
}

// TestNotStartTLS says what go-smtp takes for STARTTLS.
func TestNotStartTLS(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.ready()
	c.say("STARTTLSX", "starttls now", "STARTTLS\tnow", "NOOP")
	c.want("501 5.5.4", "501 5.5.4", "501 5.5.4", "250")
}

// TestBinaryStaysBinary makes go-smtp forget that a message is binary.
func TestBinaryStaysBinary(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.ready()
	c.say("MAIL FROM:<a@b.test> BODY=BINARYMIME", "MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA")
	c.want("250", "503", "250", "354")
	c.send("From: a@b.test\r\n\r\na\nb\r\n.\r\n")
	c.want("550 5.6.11")
	c.wantEnd()
}

// TestPostmaster has no domain, in the clear and under TLS, but only there.
func TestPostmaster(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.dial()
	c.say("EHLO x")
	c.want("250")
	for range 2 {
		c.say("MAIL FROM:<>", "RCPT TO:<PostMaster> NOTIFY=NEVER", "rcpt to:postmaster", "RCPT TO:<postmaster@mx.example.test>", "RCPT TO:<postmasters>", "DATA")
		c.want("250", "250", "501", "550 5.7.1", "501", "354")
		c.send("RCPT TO:<postmaster>\r\n.\r\n")
		c.want("250 2.0.0 OK: stored")
		got := d.dir.got()
		last := got[len(got)-1]
		if len(last.env.To) != 1 || last.env.To[0].Path != "postmaster" || last.env.To[0].Notify[0] != "NEVER" || last.data != "RCPT TO:<postmaster>\r\n" {
			t.Errorf("stored %+v", last)
		}
		if !strings.Contains(last.trace.Protocol, "ESMTPS") {
			c.startTLS()
		}
	}
}

// TestEnvelope looks at what go-smtp has decoded and we need as it was.
func TestEnvelope(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.ready()
	c.say(`MAIL FROM:<"a \"b\\"@c.test> ENVID=a+3Db+2B`, `RCPT TO:<"anna"@example.test> ORCPT=rfc822;o+2Bx@example.test`, "DATA")
	c.want("250", "250", "354")
	c.send(".\r\n")
	c.want("250")
	e := d.dir.got()[0].env
	if e.From != `"a \"b\\"@c.test` || e.EnvelopeID != "a+3Db+2B" || e.To[0].Path != "anna@example.test" || e.To[0].Original != "rfc822;o+2Bx@example.test" {
		t.Errorf("envelope %+v", e)
	}
}

// A countedScript counts the packets that the server sends.
type countedScript struct {
	script
	writes int
}

func (s *countedScript) Write(p []byte) (int, error) {
	s.writes++
	return s.script.Write(p)
}

// TestOnePacket: replies to pipelined commands do not go out one by one.
func TestOnePacket(t *testing.T) {
	s, _ := quiet(MX)
	nc := &countedScript{script: script{in: bytes.NewReader([]byte(preamble + "DATA\r\n" + letter + ".\r\nQUIT\r\n"))}}
	s.serve(t.Context(), newConn(s, net.Conn(nc)))
	if replies := strings.Count(nc.out.String(), "\r\n"); nc.writes > 2 || replies < 15 {
		t.Errorf("%d lines in %d packets", replies, nc.writes)
	}
}

// A clumsy directory panics at a point, which is to cost one connection.
type clumsy struct {
	*directory
	at string
}

func (d clumsy) Room(int64) error {
	if d.at == "Room" {
		panic(d.at)
	}
	return nil
}

func (d clumsy) Begin(from mail.Path, by mail.AccountID) Transaction {
	return clumsyTransaction{d.directory.Begin(from, by), d.at}
}

type clumsyTransaction struct {
	Transaction
	at string
}

func (t clumsyTransaction) Write(p []byte) (int, error) {
	if t.at == "Write" {
		panic(t.at)
	}
	return t.Transaction.Write(p)
}

func (t clumsyTransaction) Discard() {
	t.Transaction.Discard()
	if t.at == "Discard" {
		panic(t.at)
	}
}

func TestPanic(t *testing.T) {
	for at, in := range map[string]string{
		"Room":    preamble,
		"Write":   preamble + "BDAT 3\r\nTo:BDAT 0 LAST\r\n",
		"Discard": preamble + "BDAT 3\r\nTo:",
	} {
		s, dir := quiet(MX)
		s.o.Directory = clumsy{dir, at}
		out := play(s, in)
		if told := strings.Contains(out, "\r\n421 4.0.0 "); told != (at == "Room" || at == "Write") {
			t.Errorf("%s: said %q", at, out)
		}
		if dir.open != 0 {
			t.Errorf("%s: %d transactions were never discarded", at, dir.open)
		}
	}
	// In Read, where only we can catch it.
	s, _ := quiet(MX)
	c := newConn(s, &script{in: bytes.NewReader([]byte("NOOP\r\n"))})
	c.session = nil // which is never so
	if n, err := c.Read(make([]byte, 10)); n != 0 || err != nil || !c.over {
		t.Error(n, err, c.over)
	}
}
