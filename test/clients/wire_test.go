package clients

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// A wire is a connection on which every byte is ours to choose, for what no
// mail program would send.
type wire struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func newWire(t testing.TB, c net.Conn) *wire { return &wire{t, c, bufio.NewReader(c)} }

func (w *wire) line() string {
	w.t.Helper()
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("reading an answer: %v", err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// mx connects to port 25.
func (s *server) mx() *wire {
	s.t.Helper()
	w := newWire(s.t, s.dialPlain(s.SMTP))
	w.reply()
	w.want("250", "EHLO mx.example.net")
	return w
}

// reply is an answer in SMTP; of several lines it is the last.
func (w *wire) reply() string {
	w.t.Helper()
	for {
		line := w.line()
		if len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

// ask sends a line and returns the answer in SMTP.
func (w *wire) ask(line string) string {
	w.t.Helper()
	_, err := io.WriteString(w.c, line+"\r\n")
	must(w.t, err)
	return w.reply()
}

func (w *wire) want(code, line string) {
	w.t.Helper()
	if got := w.ask(line); !strings.HasPrefix(got, code) {
		w.t.Fatalf("%s: %s", line, got)
	}
}

// try sends a message and returns what the server says at its end.
func (w *wire) try(from, text string, to ...string) string {
	w.t.Helper()
	w.want("250", "MAIL FROM:<"+from+"> BODY=8BITMIME")
	for _, p := range to {
		w.want("250", "RCPT TO:<"+p+">")
	}
	w.want("354", "DATA")
	stuffed := strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n..")[2:]
	if _, err := io.WriteString(w.c, stuffed+".\r\n"); err != nil {
		w.t.Fatalf("sending %d bytes: %v", len(stuffed), err)
	}
	return w.reply()
}

// send sends a message that has to be taken, and leaves.
func (w *wire) send(from, text string, to ...string) {
	w.t.Helper()
	if got := w.try(from, text, to...); !strings.HasPrefix(got, "250") {
		w.t.Fatalf("after the message: %s", got)
	}
	w.want("221", "QUIT")
}

// pop3 signs in to POP3.
func (s *server) pop3(a account) *wire {
	s.t.Helper()
	w := newWire(s.t, s.dial(s.POP3S))
	contains(s.t, w.line(), "+OK")
	w.pop("USER %s", a.Address)
	w.pop("PASS %s", a.Password)
	return w
}

// pop sends a command that has to succeed, and returns its answer.
func (w *wire) pop(format string, args ...any) string {
	w.t.Helper()
	line := fmt.Sprintf(format, args...)
	_, err := io.WriteString(w.c, line+"\r\n")
	must(w.t, err)
	answer := w.line()
	if !strings.HasPrefix(answer, "+OK") {
		w.t.Fatalf("%.4s: %s", line, answer)
	}
	return answer
}

// retrieve is RETR: the message without what the protocol puts around it.
func (w *wire) retrieve(n int) string {
	w.t.Helper()
	w.pop("RETR %d", n)
	var text strings.Builder
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("RETR: %v", err)
		}
		if line == ".\r\n" {
			return text.String()
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
}
