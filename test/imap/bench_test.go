package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/test/need"
)

// drain runs a command and reads its answer without looking at it.
func (c *client) drain(command string) time.Duration {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d ", c.n)
	begun := time.Now()
	fmt.Fprintf(c.c, "%s%s\r\n", tag, command)
	for {
		line, err := c.r.ReadSlice('\n')
		if len(line) > len(tag) && string(line[:len(tag)]) == tag {
			if !strings.HasPrefix(string(line[len(tag):]), "OK") {
				c.t.Fatalf("%s: %s", command, line)
			}
			return time.Since(begun)
		}
		if err != nil && !strings.Contains(err.Error(), "buffer full") {
			c.t.Fatal(err)
		}
	}
}

// fill puts n messages of some 3 KB into INBOX.
func (c *client) fill(n int) {
	c.t.Helper()
	some := min(n, 500)
	for i := range some {
		text := fmt.Sprintf("From: \"Person %d\" <p%d@example.test>\r\nTo: anna@example.test, b%d@example.test\r\nSubject: message number %d\r\n"+
			"Date: Sat, 21 Nov 2026 10:%02d:%02d +0000\r\nMessage-ID: <%d@example.test>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n"+
			"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>%s</p>\r\n--b--\r\n",
			i, i%50, i%7, i, i/60%60, i%60, i, strings.Repeat("some words of text \r\n", 60), strings.Repeat("some words of text ", 60))
		if _, status := c.run(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text)); !strings.HasPrefix(status, "OK") {
			c.t.Fatal(status)
		}
	}
	c.run("SELECT INBOX")
	for have := some; have < n; {
		more := min(have, n-have)
		if _, status := c.run(fmt.Sprintf("COPY 1:%d INBOX", more)); !strings.HasPrefix(status, "OK") {
			c.t.Fatal(status)
		}
		have += more
		c.run("NOOP")
	}
	c.run("UNSELECT")
}

// BenchmarkAgainstDovecot tells how much quicker we are than Dovecot, by medians of
// runs in turn: "x" is Dovecot's time through ours.
func BenchmarkAgainstDovecot(b *testing.B) {
	need.Tools(b, "dovecot")
	const n = 10000
	cert, key := certificate(b)
	theirs, ours := newClient(b, startDovecot(b, cert, key)), newClient(b, startOurs(b, cert, key))
	for _, c := range []*client{theirs, ours} {
		c.c.SetDeadline(time.Now().Add(20 * time.Minute))
		c.fill(n)
	}
	time.Sleep(20 * time.Second) // for what we make in the background
	for _, command := range []string{
		"SELECT INBOX", "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)", "FETCH 1:* FLAGS", "FETCH 1:* BODY.PEEK[]",
		"UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID References)])",
		"SEARCH ALL", "SEARCH UNSEEN", "SEARCH SINCE 1-Jan-2020", "SEARCH FROM nobody", "SORT (DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
		"STORE 1:* +FLAGS.SILENT (\\Flagged)", "STORE 1:* -FLAGS.SILENT (\\Flagged)",
	} {
		b.Run(strings.ReplaceAll(command, " ", "_"), func(b *testing.B) {
			var a, z []time.Duration
			for range 5 {
				a, z = append(a, theirs.drain(command)), append(z, ours.drain(command))
			}
			slices.Sort(a)
			slices.Sort(z)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(a[2])/float64(z[2]), "x")
			b.ReportMetric(float64(a[2].Microseconds())/1000, "dovecot-ms")
			b.ReportMetric(float64(z[2].Microseconds())/1000, "ours-ms")
		})
	}
}
