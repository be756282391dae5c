// Package bridge lets the bridge fetch from a real Dovecot, by IMAP and POP3,
// while its process is killed again and again and mail keeps coming: every
// message has to be here once in the end. The bridge runs in a process of its
// own, which is this test's program started again.
package bridge

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/bridge"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// fetchEnv makes this program fetch instead of testing.
const fetchEnv = "HOMEMAIL_TEST_FETCH"

func TestMain(m *testing.M) {
	if o := os.Getenv(fetchEnv); o != "" {
		if err := fetch(o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A task is what the fetching process does.
type task struct {
	Dir      string
	Cert     string
	Accounts []bridge.Account // each goes to the person with the same name
}

// fetch runs the bridge until its input ends.
func fetch(o string) (err error) {
	var k task
	if err := json.Unmarshal([]byte(o), &k); err != nil {
		return err
	}
	pem, err := os.ReadFile(k.Cert)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := store.Open(k.Dir, store.Options{Log: log, Reserve: 1 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b := bridge.New(s, bridge.Options{Log: log, Roots: pool, Poll: 100 * time.Millisecond, Waits: []time.Duration{50 * time.Millisecond}})
	if err := setUp(s, b, k.Accounts); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { // ends with the process
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go count(ctx, b)
	return b.Run(ctx)
}

// count says how many messages were fetched, whenever it has changed.
func count(ctx context.Context, b *bridge.Bridge) {
	last := 0
	for ctx.Err() == nil {
		list, err := b.Statuses()
		if err != nil {
			return
		}
		n := 0
		for _, s := range list {
			n += s.Fetched + s.Removed
		}
		if n != last {
			fmt.Println(n)
		}
		last = n
		time.Sleep(time.Millisecond)
	}
}

// setUp makes what a killed process before did not make.
func setUp(s *store.Store, b *bridge.Bridge, accounts []bridge.Account) error {
	if err := s.AddDomain("home.test"); err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	have, err := b.List()
	if err != nil {
		return err
	}
	for _, a := range accounts {
		who, err := s.Account(here(a.User))
		if errors.Is(err, store.ErrNotFound) {
			who, err = s.AddAccount(store.Profile{Address: here(a.User)})
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(have, func(o bridge.Account) bool { return o.User == a.User }) {
			continue
		}
		a.Into = who.ID
		if _, err := b.Add(a, password); err != nil {
			return err
		}
	}
	return nil
}

func here(user string) mail.Path { return mail.Path(user + "@home.test") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A message is one that was put into a mailbox there.
type message struct {
	body  string
	flags []imap.Flag
	date  time.Time
}

func sample(n int) message {
	m := message{date: time.Date(2001+n%20, time.Month(1+n%12), 1+n%28, n%24, n%60, 7, 0, time.UTC)}
	for i, f := range []imap.Flag{imap.FlagSeen, imap.FlagFlagged, imap.FlagAnswered, "$Forwarded"} {
		if n>>i&1 == 1 {
			m.flags = append(m.flags, f)
		}
	}
	size := 1 + n*37%3000
	if n%50 == 0 {
		size = 700_000
	}
	line := fmt.Sprintf(".%d is a line with a dot before it, and the next has none\r\nfiller\r\n", n)
	m.body = fmt.Sprintf("From: bert@example.test\r\nTo: anna@example.test\r\nMessage-ID: <%d@example.test>\r\nSubject: %d\r\n\r\n%s",
		n, n, strings.Repeat(line, 1+size/len(line)))
	return m
}

const (
	lives    = 22 // the last is not killed
	eachLife = 15
	messages = lives * eachLife
)

// TestDovecot kills the bridge while it starts, fetches and deletes.
func TestDovecot(t *testing.T) {
	d := startDovecot(t)
	account := func(user string, kind bridge.Kind, tls bridge.Security, port, keep int) bridge.Account {
		return bridge.Account{Address: mail.Path(user + "@example.test"), Kind: kind, Host: "localhost", Port: port, TLS: tls, User: user, KeepDays: keep}
	}
	k := task{Dir: filepath.Join(t.TempDir(), "data"), Cert: d.cert, Accounts: []bridge.Account{
		account("imap", bridge.IMAP, bridge.Implicit, d.imaps, bridge.Forever),
		account("imap0", bridge.IMAP, bridge.StartTLS, d.imap, 0),
		account("pop", bridge.POP3, bridge.StartTLS, d.pop3, bridge.Forever),
		account("pop0", bridge.POP3, bridge.Implicit, d.pop3s, 0),
	}}
	senders := make([]sender, len(k.Accounts))
	for i, a := range k.Accounts {
		senders[i] = d.as(t, a.User)
	}
	r, busy := rand.New(rand.NewPCG(3, 4)), 0
	for n := range lives {
		p := start(t, k)
		sent := make(chan error, 1)
		go func() { sent <- send(senders, n) }()
		if n == lives-1 {
			must(t, <-sent)
			p.finish(t, d, k)
			break
		}
		if p.reaches(1 + r.IntN(3*eachLife)) {
			busy++
		}
		must(t, p.cmd.Process.Kill())
		p.cmd.Wait()
		must(t, <-sent)
	}
	check(t, k)
	for i, a := range k.Accounts {
		want := messages
		if a.KeepDays == 0 {
			want = 0
		}
		if n := senders[i].left(t); n != want {
			t.Errorf("%s: %d messages are left there, want %d", a.User, n, want)
		}
	}
	if t.Logf("%d kills, %d of them at work", lives-1, busy); busy < lives/2 {
		t.Errorf("only %d kills came while it fetched", busy)
	}
}

// send puts the messages of a life into all mailboxes.
func send(senders []sender, life int) error {
	for i := range eachLife {
		for _, s := range senders {
			if err := s.put(sample(life*eachLife + i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A process is a run of the bridge.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	count chan int // of what it has done
}

// reaches waits until the process has fetched or deleted so many messages. It
// reports false if it does nothing for a while.
func (p process) reaches(n int) bool {
	for {
		select {
		case c, ok := <-p.count:
			if !ok || c >= n {
				return ok
			}
		case <-time.After(time.Second):
			return false
		}
	}
}

func start(t *testing.T, k task) process {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	o, err := json.Marshal(k)
	must(t, err)
	p := process{cmd: exec.Command(self), count: make(chan int, 10_000)}
	p.cmd.Env = append(os.Environ(), fetchEnv+"="+string(o))
	p.cmd.SysProcAttr = child()
	if testing.Verbose() {
		p.cmd.Stderr = os.Stderr
	}
	p.stdin, err = p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	go func() { // until the process has ended
		defer close(p.count)
		for n := 0; ; {
			if _, err := fmt.Fscanln(out, &n); err != nil {
				return
			}
			p.count <- n
		}
	}()
	return p
}

// finish waits until a process has nothing left to do, and ends it in order.
func (p process) finish(t *testing.T, d *dovecot, k task) {
	t.Helper()
	for _, a := range k.Accounts {
		s := d.as(t, a.User)
		for i := 0; a.KeepDays == 0 && s.left(t) > 0; i++ {
			if i > 600 {
				t.Fatalf("%s is never emptied", a.User)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	time.Sleep(2 * time.Second) // for what is not deleted there; a message that is too late fails the test
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// check holds what is here against what was put there.
func check(t *testing.T, k task) {
	t.Helper()
	s := storetest.Open(t, k.Dir, nil)
	for _, a := range k.Accounts {
		who, err := s.Account(here(a.User))
		must(t, err)
		inbox, err := who.MailboxFor(mail.Inbox)
		must(t, err)
		entries, err := who.Entries(inbox.ID)
		must(t, err)
		byBody := map[string]int{}
		for n := range messages {
			byBody[sample(n).body] = n
		}
		seen := map[int]int{}
		for _, e := range entries {
			m, err := who.Message(inbox.ID, e.UID)
			must(t, err)
			b, err := io.ReadAll(who.Body(m))
			must(t, err)
			n, ok := byBody[string(b)]
			if !ok {
				t.Errorf("%s: a message of nobody: %.80q", a.User, b)
				continue
			}
			if seen[n]++; seen[n] > 1 {
				t.Errorf("%s: message %d is here %d times", a.User, n, seen[n])
			}
			if a.Kind == bridge.IMAP {
				same(t, a.User, n, e, m)
			}
		}
		if len(seen) != messages {
			t.Errorf("%s: %d of %d messages are here", a.User, len(seen), messages)
		}
	}
}

// same compares flags and date.
func same(t *testing.T, user string, n int, e store.Entry, m *store.Message) {
	t.Helper()
	want := sample(n)
	var got []imap.Flag
	for _, f := range append(e.Flags.AppendNames(nil), e.Keywords...) {
		got = append(got, imap.Flag(f))
	}
	slices.Sort(got)
	slices.Sort(want.flags)
	if !slices.Equal(got, want.flags) || !m.Date.Equal(want.date) {
		t.Errorf("%s: message %d has %v of %v, want %v of %v", user, n, got, m.Date.UTC(), want.flags, want.date)
	}
}
