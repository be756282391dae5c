// Package outside lets the whole server, the binary that is shipped, exchange
// mail with programs that others wrote: Postfix and Exim as far ends, Knot and
// Unbound as the DNS, swaks, OpenDKIM and dkimpy. Where these are too well
// behaved, a server of our own plays a part. It owns no figures.
//
// All of it runs in a network, with processes, that nobody else sees: what is
// left over at the end ends with it, and no packet can leave.
package outside

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"homemail/test/need"
)

// inside is set in the environment of the tests' own world.
const inside = "HOMEMAIL_OUTSIDE_WORLD"

const patience = 30 * time.Second

// The networks of the world. Every address in them is on this computer, without
// being one of the addresses that it says it has: strangers are there.
const (
	ourAddress    = "198.51.100.1" // from which we connect
	strangersNet  = "192.0.2.0/24"
	strangersNet6 = "2001:db8::/32"
)

func TestMain(m *testing.M) {
	if os.Getenv("HOMEMAIL_TOOLS") != "1" || os.Geteuid() != 0 {
		os.Exit(m.Run()) // each test says what it needs
	}
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "a world of our own:", err)
		os.Exit(1)
	}
	code := m.Run()
	theWorld.end()
	os.Exit(code)
}

// enter runs this program once more, in namespaces of its own.
func enter() int {
	dir, err := os.MkdirTemp("", "homemail-outside-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = cmd.Run()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		fmt.Fprintln(os.Stderr, "a world of our own:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// build makes the network, and a /proc that knows our processes.
func build() error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	for _, line := range []string{
		"ip link set lo up",
		"ip addr add " + ourAddress + "/32 dev lo",
		"ip route add local " + strangersNet + " dev lo src " + ourAddress,
		"ip -6 route add local " + strangersNet6 + " dev lo",
		"sysctl -q -w net.ipv6.ip_nonlocal_bind=1",
	} {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	// Whoever asks the system's DNS gets no answer: homemail is to ask whom its
	// settings name.
	dir := os.Getenv(inside)
	if err := os.Chmod(dir, 0o755); err != nil { // others than root run here
		return err
	}
	file := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		return err
	}
	return errors.Join(cover("/etc/resolv.conf", file), addUser(dir, "/etc/passwd", eximUser+":x:990:990::/:/bin/false"), addUser(dir, "/etc/group", eximUser+":x:990:"))
}

// eximUser is in Debian's Exim from its build, which wants it to be there.
const (
	eximUser = "Debian-exim"
	eximID   = 990
)

// addUser adds a line to a file of the system's, for us alone.
func addUser(dir, file, line string) error {
	b, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(b), eximUser+":") {
		return err
	}
	ours := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(ours, append(b, line+"\n"...), 0o644); err != nil {
		return err
	}
	return cover(file, ours)
}

// cover lets a file of ours be seen in place of another.
func cover(file, ours string) error {
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	return syscall.Mount(ours, target, "", syscall.MS_BIND, "")
}

// A world is what all tests share. It is made when the first test asks for it.
type world struct {
	dir    string
	binary string
	exim   string // the program
	ca     *authority
	names  *names

	mu    sync.Mutex
	ends  []func()
	count int // of houses
}

var (
	theWorld = &world{}
	makeOnce = sync.OnceValue(theWorld.make)
)

// live returns the world, for a test that needs the programs named besides.
func live(t *testing.T, tools ...string) *world {
	t.Helper()
	need.Root(t)
	need.Tools(t, append([]string{"go", "ip", "sysctl", "knotd", "knotc", "keymgr", "unbound"}, tools...)...)
	must(t, makeOnce())
	return theWorld
}

func (w *world) make() (err error) {
	w.dir = os.Getenv(inside)
	w.binary = filepath.Join(w.dir, "homemail")
	if out, err := exec.Command("go", "build", "-o", w.binary, "homemail/cmd/homemail").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	if w.exim, err = exec.LookPath("exim4"); err != nil {
		w.exim = "exim4" // the tests that need it say so
	}
	if w.ca, err = newAuthority(filepath.Join(w.dir, "ca.pem")); err != nil {
		return err
	}
	w.names, err = startNames(w)
	return err
}

// daemon starts a program that ends with the world. What it says goes to a file,
// whose path is returned.
func (w *world) daemon(words []string) (log string, err error) {
	path := filepath.Join(w.dir, fmt.Sprintf("daemon-%d.log", len(w.ends)))
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return path, err
	}
	defer out.Close()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := start(cmd); err != nil {
		return path, err
	}
	w.atEnd(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
		}
	})
	return path, nil
}

// starter is a thread that never ends: the kernel ends a child with the thread
// that started it, and Go ends threads at will.
var starter = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

func start(cmd *exec.Cmd) error {
	done := make(chan error)
	starter() <- func() { done <- cmd.Start() }
	return <-done
}

func (w *world) atEnd(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, f)
}

func (w *world) end() {
	for i := len(w.ends) - 1; i >= 0; i-- {
		w.ends[i]()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok is.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		switch {
		case ok():
			return
		case time.Now().After(end):
			t.Fatalf("after %v there is still not: %s", d, what)
		}
	}
}

// contains fails the test for every one of the words that text does not have.
func contains(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, shorten(text))
		}
	}
}

func shorten(text string) string {
	const most = 6000
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes)", text[:most], len(text))
}
