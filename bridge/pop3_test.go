package bridge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// pop starts a server and a house that fetches from it.
func pop(t *testing.T, p *popServer, a Account) *house {
	t.Helper()
	address := listen(t, p.serve)
	h := newHouse(t, options(func() string { return address }))
	a.Kind = POP3
	if p.starttls {
		a.TLS = StartTLS
	}
	h.add(a)
	return h
}

func fillPop(p *popServer, from, to int) {
	for n := from; n < to; n++ {
		p.put(fmt.Sprintf("id-%d", n), sample(n))
	}
}

func TestPOP3(t *testing.T) {
	for _, starttls := range []bool{false, true} {
		p := &popServer{starttls: starttls, noCapa: starttls}
		fillPop(p, 0, 70)
		h := pop(t, p, Account{KeepDays: Forever})
		h.visited()
		h.want(samples(0, 70)...)
		fillPop(p, 70, 75)
		h.b = New(h.s, h.b.o) // a new start
		h.visited()
		h.visited()
		h.want(samples(0, 75)...)
		if st := h.status(); st.Fetched != 5 || st.Problem != "" || p.left() != 75 {
			t.Errorf("%+v, %d left", st, p.left())
		}
	}
}

func TestPOP3DeletesAtOnce(t *testing.T) {
	p := &popServer{}
	fillPop(p, 0, 5)
	h := pop(t, p, Account{KeepDays: 0})
	h.run(func() bool { return p.left() == 0 })
	h.want(samples(0, 5)...)
}

// TestPOP3KeepsDays: a message goes when it was here for so many days, but not
// while nobody knows what day it is.
func TestPOP3KeepsDays(t *testing.T) {
	p := &popServer{}
	fillPop(p, 0, 5)
	h := pop(t, p, Account{KeepDays: 10})
	h.visited()
	today := day(time.Now())
	for n := range 3 { // as if they had come at other times
		path := fmt.Sprintf("%s%s/INBOX/pop3/id-%d", notesAt, h.id, n)
		must(t, h.s.UpdateState(path, func(old []byte) ([]byte, error) {
			note, err := decodeNote(old)
			note.day = today - 9 - n
			return note.encode(), err
		}))
	}
	h.b.o.ClockIsRight = func() bool { return false }
	h.visited()
	if p.left() != 5 {
		t.Errorf("%d left by a clock that is not right", p.left())
	}
	h.b.o.ClockIsRight = func() bool { return true }
	h.visited()
	if p.left() != 3 || h.status().Removed != 2 {
		t.Errorf("%d left", p.left())
	}
	h.want(samples(0, 5)...)
}

// TestPOP3NoDelete: a server that lets nothing be deleted is told of, and mail
// goes on coming.
func TestPOP3NoDelete(t *testing.T) {
	p := &popServer{answer: func(c string) string { return when(strings.HasPrefix(c, "DELE"), "-ERR read only\r\n") }}
	fillPop(p, 0, 5)
	h := pop(t, p, Account{KeepDays: 0})
	h.run(func() bool { return h.status().State == Failing })
	fillPop(p, 5, 6)
	h.run(func() bool { return h.status().Fetched == 6 })
	h.want(samples(0, 6)...)
	if st := h.status(); !strings.Contains(st.Problem, "delete") {
		t.Errorf("%+v", st)
	}
}

// TestFetchNow: an owner need not wait.
func TestFetchNow(t *testing.T) {
	p := &popServer{}
	address := listen(t, p.serve)
	o := options(func() string { return address })
	o.Poll = time.Hour
	h := newHouse(t, o)
	h.add(Account{Kind: POP3, KeepDays: Forever})
	filled := false
	h.run(func() bool {
		if st := h.status(); st.State == Waiting && !filled {
			filled = true
			fillPop(p, 0, 1)
			must(t, h.b.FetchNow(h.id))
		}
		return h.status().Fetched == 1
	})
}

// TestPOP3Cut cuts the connection at each command in turn.
func TestPOP3Cut(t *testing.T) {
	const cuts = 30
	p := &popServer{}
	fillPop(p, 0, 10)
	seen, next := 0, 1
	p.cut = func(string) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if seen++; seen == next && next < cuts {
			seen, next = 0, next+1
			return true
		}
		return false
	}
	h := pop(t, p, Account{KeepDays: 0})
	h.run(func() bool { return p.left() == 0 })
	h.want(samples(0, 10)...)
}

func TestPOP3Hostile(t *testing.T) {
	flood := strings.Repeat("x", 1<<20)
	for name, answer := range map[string]func(string) string{
		"endless line":    func(c string) string { return when(c == "CAPA", "+OK "+flood) },
		"endless CAPA":    func(c string) string { return when(c == "CAPA", "+OK\r\n"+strings.Repeat("X\r\n", 1000)) },
		"UIDL of nothing": func(c string) string { return when(c == "UIDL", "+OK\r\n1\r\n.\r\n") },
		"no status":       func(c string) string { return when(c == "UIDL", "HELLO\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			p := &popServer{answer: answer}
			fillPop(p, 0, 2)
			h := pop(t, p, Account{KeepDays: 0})
			h.run(func() bool { return h.status().State == Failing })
			h.want()
			if p.left() != 2 || h.status().Problem == "" {
				t.Errorf("%d left; %+v", p.left(), h.status())
			}
		})
	}
}

func when(is bool, s string) string {
	if is {
		return s
	}
	return ""
}

// TestPOP3Endless is about a message that is longer than was said, and does
// not end.
func TestPOP3Endless(t *testing.T) {
	p := &popServer{}
	fillPop(p, 0, 3)
	p.answer = func(c string) string { return when(c == "RETR 2", "+OK\r\n"+strings.Repeat("x\r\n", 1<<16)) }
	address := listen(t, p.serve)
	o := options(func() string { return address })
	o.MaxMessage = 4 << 10
	h := newHouse(t, o)
	h.add(Account{Kind: POP3, KeepDays: 0})
	h.run(func() bool { return p.left() == 1 })
	h.want(sample(0), sample(2))
	if st := h.status(); st.TooLarge != 1 {
		t.Errorf("%+v", st)
	}
}

func TestPOP3Twins(t *testing.T) {
	p := &popServer{}
	p.put("same", sample(1))
	p.put("same", sample(2))
	p.put(strings.Repeat("long", 100), sample(3))
	h := pop(t, p, Account{KeepDays: Forever})
	h.visited()
	h.visited()
	h.want(samples(1, 4)...)
}

// TestPOP3Renamed is about a server that gives all its messages new names.
func TestPOP3Renamed(t *testing.T) {
	p := &popServer{}
	fillPop(p, 0, 5)
	h := pop(t, p, Account{KeepDays: Forever})
	h.visited()
	p.mu.Lock()
	for i := range p.messages {
		p.messages[i].id += "-new"
	}
	p.mu.Unlock()
	fillPop(p, 5, 6)
	h.visited()
	h.want(samples(0, 6)...)
	if st := h.status(); st.Known != 5 {
		t.Errorf("%+v", st)
	}
}

func TestPOP3NoUIDL(t *testing.T) {
	p := &popServer{noUIDL: true}
	fillPop(p, 0, 2)
	h := pop(t, p, Account{KeepDays: 0})
	h.run(func() bool { return h.status().State == Failing })
	h.want()
	if p.left() != 2 || !strings.Contains(h.status().Problem, "IMAP instead") {
		t.Errorf("%d left; %+v", p.left(), h.status())
	}
}

// TestPOP3BadMessage is about one message that the server cannot give.
func TestPOP3BadMessage(t *testing.T) {
	p := &popServer{}
	fillPop(p, 0, 5)
	p.answer = func(c string) string { return when(c == "RETR 3", "-ERR the file is damaged\r\n") }
	h := pop(t, p, Account{KeepDays: 0})
	h.run(func() bool { return p.left() == 1 })
	h.want(sample(0), sample(1), sample(3), sample(4))
	if st := h.status(); st.Stuck != 1 {
		t.Errorf("%+v", st)
	}
}

// FuzzDots: what a server that stuffs dots sends for a message is read as that
// message, to its end and not further.
func FuzzDots(f *testing.F) {
	for _, s := range []string{"", "a\r\n", ".\r\n", "..\r\n.", "\n.\r\n\r\n", "\r\r\n.\r.\r\n", ".\r", "a\r\n.\ra\r\n.\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		const after = "+OK next\r\n"
		whole := body
		if !strings.HasSuffix(whole, "\r\n") && whole != "" {
			whole += "\r\n"
		}
		stuffed := ""
		if whole != "" {
			stuffed = stuff(whole)
		}
		r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(stuffed + ".\r\n" + after)))
		got, err := io.ReadAll(&dotReader{r: r})
		if err != nil || string(got) != whole {
			t.Errorf("%q came as %q, %v", whole, got, err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != after {
			t.Errorf("%q is left of %q", rest, after)
		}
	})
}

// FuzzDotsAny: whatever a server sends, the reader stops at the first line of
// one dot and nowhere else.
func FuzzDotsAny(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb"))
	f.Add([]byte(".\n.\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		_, err := io.ReadAll(&dotReader{r: r})
		rest, _ := io.ReadAll(r)
		end := bytes.Index(append([]byte("\r\n"), in...), []byte("\r\n.\r\n"))
		switch {
		case end < 0 && err == nil:
			t.Errorf("%q has no end", in)
		case end >= 0 && (err != nil || !bytes.Equal(rest, in[end+len(".\r\n"):])):
			t.Errorf("%q: %q is left, %v", in, rest, err)
		}
	})
}
