package outside

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// A raw is an SMTP session in which every byte is ours to choose.
type raw struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

// rawSubmission signs in as anna.
func (h *house) rawSubmission() *raw {
	h.t.Helper()
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.ports+1), &tls.Config{InsecureSkipVerify: true})
	must(h.t, err)
	must(h.t, c.SetDeadline(time.Now().Add(patience)))
	k := &raw{h.t, c, bufio.NewReader(c)}
	k.reply()
	k.ask("EHLO laptop.test")
	answer := k.ask("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+h.anna.Address+"\x00"+h.anna.Password)))
	if !strings.HasPrefix(answer, "235") {
		h.t.Fatal(answer)
	}
	return k
}

// ask sends a command, or several lines of which the last is answered.
func (k *raw) ask(text string) string {
	k.t.Helper()
	end := "\r\n"
	if strings.HasPrefix(text, "BDAT ") {
		end = ""
	}
	_, err := k.c.Write([]byte(text + end))
	must(k.t, err)
	return k.reply()
}

func (k *raw) reply() string {
	k.t.Helper()
	for {
		line, err := k.r.ReadString('\n')
		must(k.t, err)
		if len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}
