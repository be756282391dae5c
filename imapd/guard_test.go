package imapd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"homemail/mail"
)

// guarded is a guard with the client's end of its connection.
func guarded(t *testing.T) (*guard, *tls.Conn) {
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	go client.Handshake()
	must(t, server.Handshake())
	return newGuard(t.Context(), server, time.Now(), false), client
}

func TestStrangerHasAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, client := guarded(t)
		defer client.Close()
		ended, said := make(chan bool), make(chan string)
		go func() { // one byte now and then does not help
			for err := error(nil); err == nil; time.Sleep(5 * time.Second) {
				_, err = client.Write([]byte("x"))
			}
			close(ended)
		}()
		go func() {
			b, _ := io.ReadAll(client)
			said <- string(b)
		}()
		begun := time.Now()
		_, err := io.Copy(io.Discard, g)
		if d := time.Since(begun); err != nil || d < 55*time.Second || d > loginTimeout {
			t.Errorf("ended after %v with %v", d, err)
		}
		if s := <-said; !strings.HasPrefix(s, "* BYE Autologout") {
			t.Errorf("said %q", s)
		}
		<-ended
	})
}

func TestIdleMayTakeHalfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, client := guarded(t)
		defer client.Close()
		g.signedIn()
		go func() {
			time.Sleep(31 * time.Minute)
			client.Write([]byte("DONE\r\n"))
			io.Copy(io.Discard, client)
		}()
		r := bufio.NewReader(g)
		if line, err := r.ReadString('\n'); line != "DONE\r\n" || err != nil {
			t.Errorf("%q, %v", line, err)
		}
		if _, err := r.ReadString('\n'); err != io.EOF {
			t.Errorf("then %v", err)
		}
	})
}

// A client that takes nothing is cut off.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, client := guarded(t)
		defer client.Close()
		begun := time.Now()
		if _, err := g.Write(make([]byte, 1<<20)); err == nil || time.Since(begun) > writeTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		g.Close()
	})
}

// Nor does it keep BYE waiting.
func TestByeToClientThatDoesNotRead(t *testing.T) {
	g, client := guarded(t)
	defer client.Close()
	time.AfterFunc(20*time.Millisecond, func() { g.bye("x", 50*time.Millisecond) })
	begun := time.Now()
	if _, err := g.Write(make([]byte, 1<<20)); err == nil || time.Since(begun) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	g.Close()
}

// A damaged message is a NO, and the others stay readable.
func TestDamagedMessage(t *testing.T) {
	dir := t.TempDir()
	h := newHouseAt(t, dir, Options{})
	text := func(name string) string {
		return "Subject: " + name + "\r\n\r\n" + strings.Repeat("what a preview shows\r\n", 40) + // is kept beside the record
			strings.Repeat("this is the text of "+name+"\r\n", 400)
	}
	for _, name := range []string{"first", "second", "third"} {
		h.deliver("INBOX", text(name))
	}
	h.close()
	flip(t, dir, []byte("the text of second"))

	h = newHouseAt(t, dir, Options{})
	c := h.open("INBOX")
	got, status := c.cmd("FETCH 1:3 (UID BODY.PEEK[])")
	if len(got) != 2 || !strings.Contains(got[0], text("first")) || !strings.Contains(got[1], text("third")) || !strings.HasPrefix(status, "NO [CORRUPTION]") {
		t.Errorf("%d responses, %s", len(got), status)
	}
	c.fails("FETCH 2 BODY[]", "NO [CORRUPTION]")
	if got := c.ok("FETCH 2 ENVELOPE"); !strings.Contains(got[0], `"second"`) {
		t.Errorf("%q", got)
	}
	c.exactly(c.ok("SEARCH BODY text"), "* SEARCH 1 3")
	c.ok("FETCH 3 BODY[]")
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	must(t, func() error { _, err := h.acct.Expunge(box.ID, []mail.UID{2}); return err }())
	c.ok("NOOP")
	c.ok("FETCH 1:* BODY[]")
}

// flip damages every place where the files of dir have a text.
func flip(t *testing.T, dir string, text []byte) {
	found := false
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if i := bytes.Index(b, text); i >= 0 {
			found = true
			b[i] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		return err
	}))
	if !found {
		t.Fatal("the text is in no file")
	}
}
