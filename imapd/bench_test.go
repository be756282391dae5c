package imapd

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/store"
)

// fill puts n messages into a mailbox.
func (h *house) fill(mailbox string, n int) {
	h.t.Helper()
	box, err := h.acct.Mailbox(mailbox)
	must(h.t, err)
	uids := []mail.UID{h.deliver(mailbox, nested)}
	for len(uids) < min(n, 1000) {
		uids = append(uids, h.deliver(mailbox, hello))
	}
	for have := len(uids); have < n; have += len(uids) {
		_, err := h.acct.Copy(box.ID, uids[:min(len(uids), n-have)], box.ID)
		must(h.t, err)
	}
}

// drain runs a command and reads its answer without looking at it.
func (c *client) drain(text string) int64 {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d ", c.n)
	c.send(tag + text + "\r\n")
	size := int64(0)
	for {
		line, err := c.r.ReadSlice('\n')
		if err != bufio.ErrBufferFull { // a long line passes in pieces
			must(c.t, err)
		}
		size += int64(len(line))
		if strings.HasPrefix(string(line[:min(len(line), len(tag))]), tag) {
			if !strings.HasPrefix(string(line[len(tag):]), "OK") {
				c.t.Fatalf("%s: %s", text, line)
			}
			return size
		}
	}
}

func BenchmarkAppend4K(b *testing.B) {
	c := newHouse(b).login()
	c.c.SetDeadline(time.Time{})
	text := "Subject: x\r\nX: 00000000\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64)
	for i := 0; b.Loop(); i++ {
		m := strings.Replace(text, "00000000", fmt.Sprintf("%08d", i), 1)
		c.send(fmt.Sprintf("a APPEND INBOX {%d}\r\n", len(m)))
		c.line()
		c.send(m + "\r\n")
		if _, st := c.until("a"); !strings.HasPrefix(st, "OK") {
			b.Fatal(st)
		}
	}
}

func BenchmarkSignIn(b *testing.B) {
	h := newHouse(b)
	b.SetParallelism(2)
	conf := h.clientTLS()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			conn, err := net.Dial("tcp", h.tls)
			if err != nil {
				b.Error(err)
				return
			}
			tc := tls.Client(conn, conf)
			fmt.Fprintf(tc, "a LOGIN %s %s\r\nb LOGOUT\r\n", anna, password)
			rest, err := io.ReadAll(tc)
			if err != nil || !strings.Contains(string(rest), "a OK") || !strings.Contains(string(rest), "b OK") {
				b.Errorf("%q %v", rest, err)
			}
			tc.Close()
		}
	})
}

// The whole of a large mailbox. Messages per second are what counts.
func BenchmarkFetch(b *testing.B) {
	const n = 20000
	h := newHouse(b)
	h.fill("INBOX", n)
	for _, command := range []string{
		"SELECT INBOX", "FETCH 1:* FLAGS", "UID FETCH 1:* (FLAGS RFC822.SIZE)", "FETCH 1:* (UID ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)",
		"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID References)])", "FETCH 1:* BODY.PEEK[]",
		"SEARCH UNSEEN", "SEARCH FROM nobody", "SEARCH TEXT nowhere",
	} {
		b.Run(strings.ReplaceAll(command, " ", "_"), func(b *testing.B) {
			c := h.open("INBOX")
			c.c.SetDeadline(time.Time{})
			size := int64(0)
			for b.Loop() {
				size = c.drain(command)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(size), "B")
		})
	}
}

// Ten changes in a large mailbox: the time must not depend on its size.
func BenchmarkResync(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHouse(b)
			h.fill("INBOX", n)
			box, err := h.acct.Mailbox("INBOX")
			must(b, err)
			since := box.ModSeq
			_, err = h.acct.Expunge(box.ID, []mail.UID{5, 6, mail.UID(n / 2)})
			must(b, err)
			_, _, err = h.acct.StoreFlags(box.ID, []mail.UID{9, 10, 11, 700, 701, 702, 703}, store.FlagChange{Mode: store.AddFlags, Flags: mail.Seen})
			must(b, err)
			c := h.login()
			c.c.SetDeadline(time.Time{})
			c.ok("ENABLE QRESYNC")
			c.ok("EXAMINE INBOX") // once after a start the UIDs are read
			for b.Loop() {
				c.drain(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", box.UIDValidity, since))
			}
		})
	}
}

// What an idle connection takes, with TLS and the client's end of it, which is
// the larger part: the client has buffers of its own.
func BenchmarkIdleMemory(b *testing.B) {
	const n = 90
	h := newHouse(b)
	h.fill("INBOX", 100)
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for b.Loop() {
		before := memory()
		for range n {
			c := h.open("INBOX")
			c.c.SetDeadline(time.Time{})
			c.send("i IDLE\r\n")
			c.line()
		}
		b.ReportMetric(float64(memory()-before)/n, "B/conn")
	}
}
