// Package durability tests the promise: what was acknowledged survives a
// killed process, a power cut, a full disk, failing system calls and flipped
// bits, or is reported. The store runs in a process of its own, which is this
// test's program started again; the ledger of what it acknowledged is kept
// here. The tests need Linux, root and some programs, see package need.
package durability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"homemail/internal/torture"
	"homemail/test/need"
)

// tortureEnv makes this program work on a store instead of testing.
const tortureEnv = "HOMEMAIL_TORTURE"

func TestMain(m *testing.M) {
	if o := os.Getenv(tortureEnv); o != "" {
		os.Exit(torture.Run(o, os.Stdin, os.Stdout, os.Stderr))
	}
	if os.Getenv("HOMEMAIL_TOOLS") == "1" && os.Geteuid() == 0 && os.Getenv(apartEnv) == "" {
		os.Exit(apart())
	}
	os.Exit(m.Run())
}

// apartEnv says that this program has mounts of its own.
const apartEnv = "HOMEMAIL_TORTURE_APART"

// apart runs the tests where nobody else sees what they mount. Another test
// that makes a namespace meanwhile would have a copy of our mounts in it, and
// a disk that was unmounted would stay in use.
func apart() int {
	runtime.LockOSThread() // Pdeathsig goes by the thread
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c := exec.Command(self, os.Args[1:]...)
	c.Env = append(os.Environ(), apartEnv+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); c.ProcessState == nil || !c.ProcessState.Exited() {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return c.ProcessState.ExitCode()
}

// openMax is how long a start may take. It is far above what is usual: the
// machine may be busy.
const openMax = 10 * time.Second

// A book is the ledger of a store through all its lives.
type book struct {
	ledger *torture.Ledger
	wrong  []string
	opens  int
	slow   time.Duration // the longest opening
}

// A life is a run of the process under torture.
type life struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	ready  chan struct{} // closed when the state was verified, or all is over
	over   chan struct{}
	logs   bytes.Buffer
	opened bool
	state  *torture.State
	failed string             // why it ended by itself
	damage []string           // that it found when it opened the store
	closed bool               // in order
	phase  chan torture.State // the states that follow a phase
}

// live starts the process on a store, holds the state that it finds against
// the ledger, notes what it acknowledges, and calls end, which must make it
// end. Wrap is a command that is to run it.
func (b *book) live(t *testing.T, o torture.Options, end func(*life), wrap ...string) *life {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	l := &life{cmd: exec.Command(args[0], args[1:]...), ready: make(chan struct{}), over: make(chan struct{}), phase: make(chan torture.State, 1000)}
	l.cmd.Env = append(os.Environ(), tortureEnv+"="+string(options))
	l.cmd.Stderr = &l.logs
	if len(wrap) > 0 {
		l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.over)
		if err := b.listen(l, out); err != nil {
			b.bad("reading what the process says: %v", err)
			l.cmd.Process.Kill()
		}
	}()
	watchdog := time.AfterFunc(2*time.Minute, l.kill)
	end(l)
	<-l.over
	l.cmd.Wait()
	if !watchdog.Stop() {
		b.bad("the process did not end")
	}
	if b.ledger != nil {
		b.ledger.Died()
	}
	b.checkExit(l)
	return l
}

func (b *book) bad(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// listen takes all that a process says. State first, then work.
func (b *book) listen(l *life, out io.Reader) error {
	var boxes []torture.BoxNow
	isReady := false
	ready := func() {
		if !isReady {
			isReady = true
			close(l.ready)
		}
	}
	defer ready()
	return torture.ReadLines(out, func(line torture.Line) {
		switch line.T {
		case "open":
			l.opened, l.damage = true, line.Damage
			b.opens++
			b.slow = max(b.slow, time.Duration(line.MS)*time.Millisecond)
		case "box":
			boxes = append(boxes, *line.Box)
		case "state":
			l.state = line.State
			l.state.Boxes, boxes = boxes, nil
			b.verify(*l.state)
			if l.state.Phase != "" {
				l.phase <- *l.state
			}
			ready()
		case "begin", "end":
			b.ledger.Hear(line)
		case "failed":
			l.failed = line.Err
		case "closed":
			l.closed = true
		}
	})
}

func (b *book) verify(st torture.State) {
	if b.ledger == nil {
		b.ledger = torture.NewLedger(st)
		return
	}
	b.wrong = append(b.wrong, b.ledger.Verify(st)...)
}

// checkExit notes deaths that nobody wanted.
func (b *book) checkExit(l *life) {
	ws, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() && ws.Signal() != syscall.SIGKILL {
		b.bad("the process died of %v", ws.Signal())
	}
	if ok && ws.Exited() && ws.ExitStatus() == 2 {
		b.bad("the process panicked: %s", crash(l.logs.String()))
	}
}

// crash returns the beginning of what a crashing program says.
func crash(logs string) string {
	for _, word := range []string{"panic:", "fatal error:", "unexpected fault"} {
		if i := strings.Index(logs, word); i >= 0 {
			return logs[i:min(len(logs), i+2000)]
		}
	}
	return tail(logs, 2000)
}

// kill ends the process without warning. Under a wrapper the wrapper's child
// has to go too, so the whole group is killed if it is one.
func (l *life) kill() {
	if l.cmd.SysProcAttr != nil && l.cmd.SysProcAttr.Setpgid {
		syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL)
	}
	l.cmd.Process.Kill()
}

// close asks the process to stop in order.
func (l *life) close() { l.stdin.Close() }

// untilReady returns when the state was verified; false if that never came.
func (l *life) untilReady() bool {
	<-l.ready
	return l.state != nil
}

// report fails the test for what is wrong, and tells the rest in a line.
func (b *book) report(t *testing.T, format string, args ...any) {
	t.Helper()
	const some = 20
	for i, w := range b.wrong {
		if i == some {
			t.Errorf("... and %d more", len(b.wrong)-some)
			break
		}
		t.Error(w)
	}
	if b.slow > openMax {
		t.Errorf("opening the store took %v", b.slow)
	}
	known := ""
	if b.ledger != nil {
		known = "; " + b.ledger.Figures()
	}
	t.Logf("%s: %s%s; %d wrong; longest opening %d ms", t.Name(), fmt.Sprintf(format, args...), known, len(b.wrong), b.slow.Milliseconds())
}

// tail returns the end of a text.
func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-n):]
}

// options are those that all tests start from: a small journal, so that
// segments change and are released often.
func options(dir string) torture.Options {
	return torture.Options{
		Dir: dir, Accounts: []string{"anna@example.test", "ben@example.test", "clara@example.test"},
		State: true, Work: true, Workers: 6, Messages: 25, Large: 1 << 20,
		Reserve: 16 << 20, Segment: 1 << 20, JournalMax: 8 << 20,
	}
}

func needAll(t *testing.T, tools ...string) {
	t.Helper()
	need.Root(t)
	need.Tools(t, tools...)
}

// inOrder notes what no undamaged store says when it opens.
func (b *book) inOrder(l *life) {
	for _, d := range l.damage {
		b.bad("damage that nobody did: %s", d)
	}
	if l.failed != "" {
		b.bad("the process gave up: %s", l.failed)
	}
}

// inspect opens and closes the store in order, twice.
func (b *book) inspect(t *testing.T, o torture.Options) {
	t.Helper()
	o.Work = false
	for range 2 {
		l := b.live(t, o, func(l *life) {
			l.untilReady()
			l.close()
		})
		b.inOrder(l)
		if !l.closed {
			b.bad("the store was not closed in order: %s", tail(l.logs.String(), 2000))
		}
	}
}
