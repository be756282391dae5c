package outside

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A stranger is a mail server that does what no program of others could be
// made to do. It is polite unless the test says otherwise.
type stranger struct {
	t       testing.TB
	address string
	l       net.Listener

	mu       sync.Mutex
	manners  manners
	sessions int
	came     []came   // complete messages, also those that were not acknowledged
	said     []string // command lines
	cleared  []string // of them, those without TLS
}

// came is a message as it came.
type came struct {
	from string
	to   []string
	text string
	bare bool // a CR or LF stood alone in it
	tls  bool
	n    int // of the session
}

// manners are how a stranger behaves.
type manners struct {
	cert   *tls.Certificate // offers STARTTLS
	utf8   bool             // offers SMTPUTF8
	only7  bool             // offers nothing at all
	size   int              // the largest message that it takes, if not 0
	answer func(session int, verb, line string) string
}

// What answer can return beside a reply: "" is the usual reply. The verb of the
// greeting is CONNECT, that of a complete message is its final dot. After "354
// and cut" the connection breaks in the middle of the message.
const (
	cut    = "cut"      // break the connection at once
	stall  = "stall"    // never answer
	begin  = "354 and " // after DATA
	drip   = "drip "    // and a reply: one byte a second
	longer = 10 * time.Minute
)

// newStranger lets a stranger listen at an address.
func newStranger(t testing.TB, address string, m manners) *stranger {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "25"))
	must(t, err)
	s := &stranger{t: t, address: address, l: l, manners: m}
	var open sync.Map
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			go func() {
				s.serve(c)
				c.Close()
				open.Delete(c)
			}()
		}
	}()
	return s
}

// become gives a stranger other manners.
func (s *stranger) become(m manners) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manners = m
}

// messages are what has come so far.
func (s *stranger) messages() []came {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]came(nil), s.came...)
}

// seen are all connections so far, and all lines of commands.
func (s *stranger) seen() (sessions int, lines string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions, strings.Join(s.said, "\n")
}

// inTheClear are the lines of commands that came without TLS.
func (s *stranger) inTheClear() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.cleared, "\n")
}

// A talk is one connection to a stranger.
type talk struct {
	s    *stranger
	n    int
	m    manners
	c    net.Conn
	r    *bufio.Reader
	tls  bool
	from string
	to   []string
	last string
}

func (s *stranger) serve(c net.Conn) {
	c.SetDeadline(time.Now().Add(longer))
	s.mu.Lock()
	s.sessions++
	k := &talk{s: s, n: s.sessions, m: s.manners, c: c, r: bufio.NewReader(c)}
	s.mu.Unlock()
	if !k.say("CONNECT", "", "220 stranger.test ESMTP") {
		return
	}
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.said = append(s.said, line)
		if !k.tls {
			s.cleared = append(s.cleared, line)
		}
		s.mu.Unlock()
		if !k.command(line) {
			return
		}
	}
}

// say answers. It reports whether the connection is still there.
func (k *talk) say(verb, line, usual string) bool {
	reply := usual
	if k.m.answer != nil {
		if r := k.m.answer(k.n, verb, line); r != "" {
			reply = r
		}
	}
	k.last = reply
	switch {
	case reply == cut:
		k.reset()
		return false
	case reply == stall:
		k.r.ReadByte() // until the other side has had enough
		return false
	case strings.HasPrefix(reply, drip):
		for _, b := range []byte(strings.TrimPrefix(reply, drip) + "\r\n") {
			if _, err := k.c.Write([]byte{b}); err != nil {
				return false
			}
			time.Sleep(time.Second)
		}
		return true
	}
	_, err := fmt.Fprintf(k.c, "%s\r\n", reply)
	return err == nil
}

// reset breaks the connection as a dying machine does.
func (k *talk) reset() {
	if t, ok := k.c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	k.c.Close()
}

func (k *talk) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO":
		return k.say(verb, line, k.features())
	case "STARTTLS":
		if !k.say(verb, line, "220 2.0.0 go ahead") || !strings.HasPrefix(k.last, "220") {
			return k.last != cut
		}
		c := tls.Server(k.c, &tls.Config{Certificates: []tls.Certificate{*k.m.cert}})
		if c.Handshake() != nil {
			return false
		}
		k.c, k.r, k.tls = c, bufio.NewReader(c), true
		return true
	case "MAIL":
		k.from, k.to = rest, nil
		return k.say(verb, line, "250 2.1.0 ok")
	case "RCPT":
		ok := k.say(verb, line, "250 2.1.5 ok")
		if strings.HasPrefix(k.last, "250") {
			k.to = append(k.to, rest)
		}
		return ok
	case "DATA":
		if len(k.to) == 0 {
			return k.say(verb, line, "554 5.5.1 no recipients")
		}
		return k.data(line)
	case "QUIT":
		k.say(verb, line, "221 2.0.0 bye")
		return false
	case "RSET", "NOOP", "HELO":
		return k.say(verb, line, "250 2.0.0 ok")
	}
	return k.say(verb, line, "500 5.5.1 what?")
}

func (k *talk) features() string {
	list := []string{"stranger.test", "PIPELINING", "8BITMIME", "SIZE 50000000", "ENHANCEDSTATUSCODES"}
	if k.m.size > 0 {
		list[3] = "SIZE " + itoa(k.m.size)
	}
	if k.m.only7 {
		return "250 stranger.test"
	}
	if k.m.cert != nil && !k.tls {
		list = append(list, "STARTTLS")
	}
	if k.m.utf8 {
		list = append(list, "SMTPUTF8")
	}
	return "250-" + strings.Join(list[:len(list)-1], "\r\n250-") + "\r\n250 " + list[len(list)-1]
}

// data reads a message.
func (k *talk) data(line string) bool {
	usual := "354 go ahead"
	if k.m.answer != nil {
		if r := k.m.answer(k.n, "DATA", line); strings.HasPrefix(r, begin) {
			fmt.Fprintf(k.c, "%s\r\n", usual)
			k.r.ReadString('\n')
			k.reset()
			return false
		}
	}
	if !k.say("DATA", line, usual) || !strings.HasPrefix(k.last, "354") {
		return k.last != cut
	}
	var text strings.Builder
	bare := false
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return false
		}
		if body, ok := strings.CutSuffix(line, "\r\n"); !ok || strings.Contains(body, "\r") {
			bare = true
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	k.s.mu.Lock()
	k.s.came = append(k.s.came, came{from: k.from, to: k.to, text: text.String(), bare: bare, tls: k.tls, n: k.n})
	k.s.mu.Unlock()
	return k.say(".", "", "250 2.0.0 taken")
}
