package outside

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A house is a `homemail serve` of one test, with the accounts anna and bert at
// a domain of its own, and no way out unless the test sets one.
type house struct {
	t       *testing.T
	w       *world
	dir     string
	Domain  string // h03.test
	Host    string // mail.h03.test
	Address string // of its port 25
	ports   int    // the first of its ports on 127.0.0.1
	cmd     *exec.Cmd
	exited  chan error
	wrapper []string // runs the server
	anna    account
	bert    account
}

type account struct{ Address, Password string }

const houseConf = `
host_name = %q
data = %q
[listen]
smtp = [%q]
submission = ["127.0.0.1:%d"]
submissions = ["127.0.0.1:%d"]
imaps = ["127.0.0.1:%d"]
imap = []
pop3 = []
pop3s = []
http = []
https = []
status = []
[lan]
name = ""
router = false
[check]
watch = false
[connections]
smtp_per_ip = 50
new_per_second = 1000
new_at_once = 1000
[limits]
submissions_per_hour = 5000
submissions_per_day = 5000
new_recipients_per_day = 5000
[dns]
server = %q
[queue]
%s
[inbound]
%s
[log]
level = "debug"
`

// quick is a queue that does not let a test wait.
const quick = `retry = ["1s"]
give_up = "1h"
notice = "1h"
`

// maxHouses is how many there can be: the number is in an address.
const maxHouses = 95

// A plan is what is special about a house.
type plan struct {
	queue   string   // settings in place of quick
	inbound string   // settings
	off     bool     // no way out
	another bool     // the test has one already, and this one is a stranger to it
	wrapper []string // a program that runs it
}

// newHouse starts a house. At the end of the test it is stopped, what it stored
// is checked, and so is what it logged.
func newHouse(t *testing.T, p plan, tools ...string) *house {
	t.Helper()
	w := live(t, tools...)
	if !p.another {
		t.Parallel()
	}
	w.mu.Lock()
	w.count++
	n := w.count
	w.mu.Unlock()
	h := &house{t: t, w: w, dir: t.TempDir(), Domain: fmt.Sprintf("h%02d.test", n), Address: fmt.Sprintf("198.51.100.1%02d", n), ports: 20000 + 10*n, wrapper: p.wrapper}
	h.Host = "mail." + h.Domain
	if p.another { // a stranger to the first: not at an address of this computer
		h.Address = fmt.Sprintf("192.0.2.%d", 160+n)
	} else {
		must(t, exec.Command("ip", "addr", "add", h.Address+"/32", "dev", "lo").Run())
	}
	w.names.say(t, zone{
		"MX " + h.Domain:   {"10 " + h.Host + "."},
		"A " + h.Host:      {h.Address},
		"PTR " + h.Address: {h.Host + "."},
		"TXT " + h.Domain:  {"v=spf1 ip4:" + ourAddress + " ip4:" + h.Address + " -all"},
	})
	if p.queue == "" {
		p.queue = quick
	}
	conf := fmt.Sprintf(houseConf, h.Host, filepath.Join(h.dir, "data"), h.Address+":25",
		h.ports, h.ports+1, h.ports+2, namesThere, p.queue, p.inbound)
	must(t, os.WriteFile(h.config(), []byte(conf), 0o600))
	t.Cleanup(h.finish)
	h.run()
	h.cli("domain", "add", h.Domain)
	h.anna, h.bert = h.account("anna"), h.account("bert")
	if !p.off {
		h.cli("route", "set", "default", "direct")
	}
	return h
}

// account makes an account and a password for a device.
func (h *house) account(name string) (a account) {
	h.t.Helper()
	a.Address = name + "@" + h.Domain
	h.cli("account", "add", a.Address)
	h.ask(&a, "device", "add", a.Address, "laptop")
	return a
}

func (h *house) config() string  { return filepath.Join(h.dir, "config.toml") }
func (h *house) logFile() string { return filepath.Join(h.dir, "log") }

func (h *house) log() string {
	b, err := os.ReadFile(h.logFile())
	must(h.t, err)
	return string(b)
}

// run starts the process and waits until it can be asked.
func (h *house) run() {
	h.t.Helper()
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(h.t, err)
	defer log.Close()
	words := append(h.wrapper, h.w.binary, "serve", "-config", h.config())
	h.cmd = exec.Command(words[0], words[1:]...)
	h.cmd.Stderr, h.cmd.Stdout = log, log
	h.cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+h.w.ca.file, "SSL_CERT_DIR=/nonexistent")
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(h.t, start(h.cmd))
	h.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(h.cmd, h.exited)
	within(h.t, 20*time.Second, "a server that runs", func() bool {
		select {
		case err := <-h.exited:
			h.exited <- err
			h.t.Fatalf("the server ended: %v", err)
		default:
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.ports+2))
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// signal ends the process and waits until it is gone.
func (h *house) signal(sig os.Signal) error {
	h.cmd.Process.Signal(sig)
	select {
	case err := <-h.exited:
		return err
	case <-time.After(patience):
		h.cmd.Process.Kill()
		<-h.exited
		return errors.New("the server did not stop in time")
	}
}

// crash is kill -9 and a new start on what is left.
func (h *house) crash() {
	h.t.Helper()
	h.signal(syscall.SIGKILL)
	h.run()
}

// finish stops the server and looks at what it leaves.
func (h *house) finish() {
	if err := h.signal(syscall.SIGTERM); err != nil && h.wrapper == nil {
		h.t.Errorf("stopping the server: %v", err)
	}
	if out, err := h.try("check", "store", "-bodies"); err != nil || !strings.Contains(out, ": 0 findings\n") {
		h.t.Errorf("check store: %v\n%s", err, out)
	}
	log := h.log()
	for _, word := range []string{h.anna.Password, canary, "panic", "DATA RACE", "level=ERROR"} {
		if word != "" && strings.Contains(log, word) {
			h.t.Errorf("the log has the word %q", word)
		}
	}
	if h.t.Failed() {
		h.t.Logf("the log of the server:\n%s", tail(log, 12000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// try runs a command of homemail's.
func (h *house) try(args ...string) (string, error) { return h.tryWith("", args...) }

func (h *house) tryWith(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.w.binary, append(args, "-config", h.config())...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+h.w.ca.file)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cli runs a command of homemail's that has to succeed.
func (h *house) cli(args ...string) string {
	h.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.t.Fatalf("homemail %q: %v\n%s", args, err, out)
	}
	return out
}

// ask is cli with an answer in JSON.
func (h *house) ask(v any, args ...string) {
	h.t.Helper()
	out := h.cli(append(args, "-json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		h.t.Fatalf("homemail %q: %v\n%s", args, err, out)
	}
}

// A posting is what is special about a message to send.
type posting struct {
	mail smtp.MailOptions
	rcpt smtp.RcptOptions
}

// submit signs in and sends a message; what it was answered is returned.
func (h *house) submit(a account, text string, p posting, to ...string) error {
	h.t.Helper()
	c, err := h.signIn(a)
	must(h.t, err)
	defer c.Close()
	return transact(c, a.Address, text, p, to...)
}

func (h *house) signIn(a account) (*smtp.Client, error) {
	c, err := smtp.DialTLS(fmt.Sprintf("127.0.0.1:%d", h.ports+1), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	return c, c.Auth(sasl.NewPlainClient("", a.Address, a.Password))
}

// sendMany submits n messages from anna in one session.
func (h *house) sendMany(n int, text func(int) string, to ...string) error {
	c, err := h.signIn(h.anna)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range n {
		if err := transact(c, h.anna.Address, text(i), posting{}, to...); err != nil {
			return err
		}
	}
	return c.Quit()
}

func transact(c *smtp.Client, from, text string, p posting, to ...string) error {
	if err := c.Mail(from, &p.mail); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r, &p.rcpt); err != nil {
			return err
		}
	}
	d, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := d.Write([]byte(text)); err != nil {
		return err
	}
	return d.Close()
}

// send submits a message from anna that has to be taken.
func (h *house) send(text string, to ...string) {
	h.t.Helper()
	must(h.t, h.submit(h.anna, text, posting{}, to...))
}

// canary is in what we send; no log may have it.
const canary = "kanarienvogel"

// letter is a message of anna's. The subject is how tests find it.
func (h *house) letter(subject string, to ...string) string {
	return letter(h.anna.Address, subject, to...)
}

func letter(from, subject string, to ...string) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s %s\r\nDate: Tue, 03 Mar 2026 09:30:00 +0900\r\nMessage-ID: <%s-%d@client.test>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nDas ist der %s.\r\n.\r\n..zwei\r\n.drei\r\nこんにちは\r\n",
		from, strings.Join(to, ", "), canary, subject, canary, time.Now().UnixNano(), subject)
}

// mailbox reads all of a mailbox, each message as it is.
func (h *house) mailbox(a account, name string) (list []string) {
	h.t.Helper()
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.ports+2), &tls.Config{InsecureSkipVerify: true})
	must(h.t, err)
	must(h.t, conn.SetDeadline(time.Now().Add(patience)))
	c := imapclient.New(conn, nil)
	defer c.Close()
	must(h.t, c.Login(a.Address, a.Password).Wait())
	box, err := c.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	must(h.t, err)
	if box.NumMessages == 0 {
		return nil
	}
	all := imap.SeqSet{}
	all.AddRange(1, box.NumMessages)
	body := &imap.FetchItemBodySection{Peek: true}
	messages, err := c.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	must(h.t, err)
	for _, m := range messages {
		list = append(list, string(m.FindBodySection(body)))
	}
	return list
}

// arrives waits for the first message in a mailbox that has all of the words.
func (h *house) arrives(a account, name string, words ...string) (text string) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("a message with %q in %s of %s", words, name, a.Address), func() bool {
		for _, m := range h.mailbox(a, name) {
			if hasAll(m, words...) {
				text = m
				return true
			}
		}
		return false
	})
	return text
}

func hasAll(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// same says whether got is want, byte for byte, after fields that were put
// before it.
func same(got, want string) error {
	if !strings.HasSuffix(got, want) {
		return fmt.Errorf("%d bytes came as\n%s", len(want), shorten(got))
	}
	return nil
}

func crlf(text []byte) string { return string(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))) }
