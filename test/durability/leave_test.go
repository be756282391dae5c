package durability

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"homemail/internal/torture"
)

// leavingConf is of a server whose whole world is this test. It may send as
// fast as it can.
const leavingConf = `
host_name = "mail.example.test"
data = %q
[listen]
smtp = []
submission = []
submissions = ["127.0.0.1:0"]
imap = []
imaps = ["127.0.0.1:0"]
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
new_per_second = 1000
new_at_once = 1000
[limits]
submissions_per_hour = 100000
submissions_per_day = 100000
new_recipients_per_day = 100000
[dns]
server = %q
[queue]
retry = ["1s"]
private_networks = ["127.0.0.0/8"]
[store]
reserve = "64 MiB"
`

// leaving is a server that mail leaves from, through all its lives.
type leaving struct {
	book
	*outside
	t            *testing.T
	binary, conf string
	accounts     []struct{ Address, Password string }
	r            *rand.Rand
	letters      atomic.Int64

	killedEarly, killedLate int
}

// TestKillLeaving kills the real program again and again while mail leaves.
// What it took has to arrive at the far ends, or be reported to its sender:
// once, and once more at most for each time that it was on its way at a kill.
func TestKillLeaving(t *testing.T) {
	needAll(t)
	const cycles = 60
	l := newLeaving(t)
	for i := range cycles {
		if err := l.cycle(i); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
	}
	l.drain()
	before := l.post.Arrivals()
	for range 2 { // what was done stays done
		s := l.begin()
		l.retry()
		time.Sleep(2 * time.Second)
		l.stop(s)
	}
	if n := l.post.Arrivals() - before; n != 0 {
		l.bad("%d messages left after all had left", n)
	}
	out := l.cli("check", "store", "-bodies")
	if !strings.Contains(out, ": 0 findings\n") {
		l.bad("%s", out)
	}
	l.book.wrong = append(append(l.book.wrong, l.faults...), l.post.Verify()...)
	l.report(t, "%d cycles, %d of them killed while starting, %d while stopping; %s; %s", cycles, l.killedEarly, l.killedLate,
		l.post.Figures(), strings.TrimSpace(out))
}

func newLeaving(t *testing.T) *leaving {
	dir := t.TempDir()
	l := &leaving{t: t, outside: newOutside(t, torture.NewPost()), binary: filepath.Join(dir, "homemail"), conf: filepath.Join(dir, "config.toml"),
		r: rand.New(rand.NewPCG(3, 40))}
	command(t, "go", "build", "-o", l.binary, "homemail/cmd/homemail")
	conf := fmt.Sprintf(leavingConf, filepath.Join(dir, "data"), l.dns)
	if err := os.WriteFile(l.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := l.begin()
	l.cli("domain", "add", "example.test")
	l.cli("route", "set", "default", "direct")
	for _, address := range []string{sender, "bert@example.test"} {
		l.cli("account", "add", address)
		a := struct{ Address, Password string }{}
		if err := json.Unmarshal([]byte(l.cli("device", "add", address, "laptop", "-json")), &a); err != nil {
			t.Fatal(err)
		}
		a.Address = address
		l.accounts = append(l.accounts, a)
	}
	l.stop(s)
	return l
}

func (l *leaving) bad(format string, args ...any) { l.outside.bad(fmt.Sprintf(format, args...)) }

// cli runs a command that has to succeed.
func (l *leaving) cli(args ...string) string {
	l.t.Helper()
	return command(l.t, l.binary, append(args, "-config", l.conf)...) + "\n"
}

// retry has everything tried that waits. It fails if nothing does, or if the
// server is killed meanwhile.
func (l *leaving) retry() { exec.Command(l.binary, "queue", "retry", "all", "-config", l.conf).Run() }

// A departing is a life of the server.
type departing struct {
	*server
	life  int
	ready chan struct{} // its doors are open, or it is gone
	heard chan struct{} // all that it said
}

// launch starts the server.
func (l *leaving) launch() (*departing, error) {
	d := &departing{server: newServer(exec.Command(l.binary, "serve", "-config", l.conf)), life: l.post.Begin(),
		ready: make(chan struct{}), heard: make(chan struct{})}
	d.Accounts = l.accounts
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go l.listenTo(d, out)
	return d, nil
}

var (
	doorLine = regexp.MustCompile(`msg=listening door=(\S+) address=\S+:(\d+)`)
	endLine  = regexp.MustCompile(`msg=(relayed|failed) id=(\S+) to=(\S+) `)
)

// listenTo hears where the doors are, and who is done: that is said after it
// was written down.
func (l *leaving) listenTo(d *departing, out io.Reader) {
	defer close(d.heard)
	ready := sync.OnceFunc(func() { close(d.ready) })
	defer ready()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(&d.logs, line)
		if m := doorLine.FindStringSubmatch(line); m != nil {
			port, _ := strconv.Atoi(m[2])
			*map[string]*int{"submissions": &d.Submissions, "imaps": &d.IMAPS}[m[1]] = port
			if d.Submissions != 0 && d.IMAPS != 0 {
				ready()
			}
		}
		if m := endLine.FindStringSubmatch(line); m != nil {
			l.post.Note(d.life, m[2], m[3], m[1])
		}
		if strings.Contains(line, "level=ERROR") || strings.HasPrefix(line, "panic:") {
			l.bad("life %d: %s", d.life, line)
		}
	}
}

// begin starts a server that has to become ready.
func (l *leaving) begin() *departing {
	l.t.Helper()
	begun := time.Now()
	d, err := l.launch()
	if err != nil {
		l.t.Fatal(err)
	}
	<-d.ready
	if d.IMAPS == 0 {
		l.t.Fatalf("the server did not start: %s", tail(d.logs.String(), 2000))
	}
	l.opens++
	l.slow = max(l.slow, time.Since(begun))
	return d
}

// end waits until the server is gone and all that it said was heard.
func (d *departing) end() error {
	<-d.heard
	return d.cmd.Wait()
}

// stop ends the server in order.
func (l *leaving) stop(d *departing) {
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.end(); err != nil {
		l.bad("stopping the server: %v: %s", err, tail(d.logs.String(), 1000))
	}
}

// cycle starts the server, sends mail and kills it.
func (l *leaving) cycle(n int) error {
	fate := l.r.IntN(10)
	if fate == 0 {
		l.killedEarly++
		d, err := l.launch()
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(l.r.IntN(200)) * time.Millisecond)
		l.kill(d)
		return nil
	}
	d := l.begin()
	var clients sync.WaitGroup
	for w := range 3 {
		clients.Go(func() { l.submit(d, rand.New(rand.NewPCG(uint64(n), uint64(w)))) })
	}
	wait := time.Duration(100+l.r.IntN(900)) * time.Millisecond
	if l.r.IntN(2) == 0 { // what was put off for long is tried again
		time.Sleep(wait / 2)
		l.retry()
	}
	time.Sleep(wait / 2)
	if fate == 1 {
		l.killedLate++
		d.cmd.Process.Signal(syscall.SIGTERM)
		time.Sleep(time.Duration(l.r.IntN(50)) * time.Millisecond)
	}
	l.kill(d)
	clients.Wait()
	return nil
}

func (l *leaving) kill(d *departing) {
	d.cmd.Process.Kill()
	if d.end() != nil { // else it had ended in order
		l.post.Killed()
	}
}

// submit sends letters until the server is gone.
func (l *leaving) submit(d *departing, r *rand.Rand) {
	conn, err := d.Dial(d.Submissions, true)
	if err != nil {
		return
	}
	c := smtp.NewClient(conn)
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", sender, d.password(sender))); err != nil {
		return
	}
	for {
		letter, text, to := l.letter(r)
		l.post.Submit(letter)
		err := c.SendMail(sender, to, bytes.NewReader(text))
		var reply *smtp.SMTPError
		switch {
		case err == nil:
			l.post.Answer(letter.ID, true)
		case errors.As(err, &reply) && reply.Code != 421:
			l.post.Answer(letter.ID, false)
			l.bad("%s was turned down: %v", letter.ID, err)
		default:
			return
		}
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
	}
}

// letter writes to one to three people outside, and perhaps to one inside.
func (l *leaving) letter(r *rand.Rand) (letter torture.Letter, text []byte, to []string) {
	letter.ID = fmt.Sprintf("letter-%d", l.letters.Add(1))
	if r.IntN(12) == 0 {
		letter.ID += badLetter
	}
	letter.Refused = map[string]bool{}
	for i := range 1 + r.IntN(3) {
		domain, name := outsideDomains[r.IntN(len(outsideDomains))], "friend"
		if r.IntN(2) == 0 {
			name = "nobody" // as strict.test says
		}
		address := fmt.Sprintf("%s%d@%s", name, i, domain)
		letter.To = append(letter.To, address)
		letter.Refused[address] = refuses(address) || domain == strict && strings.HasSuffix(letter.ID, badLetter)
	}
	to = letter.To
	if letter.Local = r.IntN(4) == 0; letter.Local {
		to = append(to[:len(to):len(to)], "bert@example.test")
	}
	text = torture.Compose(r, letter.ID, 300+r.IntN(20<<10))
	var m torture.MessageNow
	m.Hold(text)
	letter.SHA = m.SHA
	return letter, text, to
}

// drain lets everything leave and looks at the mailboxes.
func (l *leaving) drain() {
	l.calm.Store(true)
	d := l.begin()
	const patience = time.Minute
	for late := time.Now().Add(patience); ; time.Sleep(300 * time.Millisecond) {
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(l.cli("queue", "list", "-json")), &list); err != nil {
			l.t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		if time.Now().After(late) {
			l.bad("%d messages are still in the queue: %s", len(list), l.cli("queue", "list"))
			break
		}
		l.retry()
	}
	for _, a := range l.accounts {
		l.readInbox(d, a.Address)
	}
	l.stop(d)
}

var aboutWhom = regexp.MustCompile(`(?m)^Final-Recipient: rfc822; *(\S+)\r$`)

// readInbox reads the reports to the sender and the copies of the other.
func (l *leaving) readInbox(d *departing, account string) {
	c, err := d.SignIn(account)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		l.t.Fatal(err)
	}
	body := &imap.FetchItemBodySection{Peek: true}
	list, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range list {
		text := m.FindBodySection(body)
		id := arrival(text).ID
		if account != sender {
			l.hear(l.post.Copy(id))
			continue
		}
		header, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
		whom := aboutWhom.FindAllSubmatch(text, -1)
		if !bytes.Contains(header, []byte("\r\nAuto-Submitted: auto-replied")) || len(whom) == 0 {
			l.bad("the sender of %q got what is no report: %.300q", id, text)
		}
		for _, w := range whom {
			l.hear(l.post.Report(id, string(w[1])))
		}
	}
}

func (l *leaving) hear(wrong string) {
	if wrong != "" {
		l.bad("%s", wrong)
	}
}
