package line

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/test/need"
)

// binary builds homemail once, as it is shipped.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("/run", "homemail-") // which ends with us
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "homemail")
	if out, err := exec.Command("go", "build", "-o", path, "homemail/cmd/homemail").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// A home is a homemail in the house of a street, with a friend's probe in the
// world.
type home struct {
	*street
	dir, config, binary string
	probe, server       *exec.Cmd
	log                 *bytes.Buffer // of the server; to be read when it has ended
}

// newHome starts the world, the probe and the server.
func newHome(t *testing.T, l line, prefix string) *home {
	t.Helper()
	need.Root(t)
	need.Tools(t, "ip", "nft", "sysctl", "go")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	h := &home{street: &street{t: t, prefix: prefix}, dir: t.TempDir(), binary: path, log: new(bytes.Buffer)}
	h.build(l)
	h.spawn(h.play(internet))
	friend := h.write("friend.toml", "host_name = \"probe.test\"\ndata = %q\n", filepath.Join(h.dir, "friend"))
	h.probe = h.homemail("world", "probe", "-config", friend)
	urls := h.spawn(h.probe, "urls = ")
	h.config = h.write("config.toml", "host_name = %q\ndata = %q\n[dns]\nserver = %q\n[probe]\n%s\n[lan]\nname = \"\"\nrouter = false\n[store]\nreserve = \"1 MiB\"\n",
		host, filepath.Join(h.dir, "data"), probe4, urls)
	h.must("domain", "add", "example.test")
	h.must("route", "set", "default", "direct")
	h.server = h.homemail("house", "serve", "-config", h.config)
	h.server.Stderr = h.log
	if err := h.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := h.knock()
		if err == nil {
			return h
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the server does not start: ", err)
		}
	}
}

// stop ends the server, if it runs.
func (h *home) stop() {
	if h.server.ProcessState != nil {
		return
	}
	h.server.Process.Signal(os.Interrupt)
	if err := h.server.Wait(); err != nil || h.t.Failed() {
		h.t.Logf("the server: %v\n%s", err, h.log)
	}
}

func (h *home) write(name, format string, args ...any) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// homemail is the binary in a namespace.
func (h *home) homemail(ns string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.prefix + ns, h.binary}, args...)...)
}

func (h *home) must(args ...string) {
	h.t.Helper()
	if out, err := h.homemail("house", append(args, "-config", h.config)...).CombinedOutput(); err != nil {
		h.t.Fatalf("homemail %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// spawn starts a program that runs as long as the test, and returns the first of
// its lines that begins with a word.
func (h *home) spawn(cmd *exec.Cmd, word ...string) string {
	h.t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if len(word) == 0 || strings.HasPrefix(lines.Text(), word[0]) {
			return lines.Text()
		}
	}
	h.t.Fatalf("%v ended without a word", cmd.Args)
	return ""
}

// look runs homemail check, and holds its exit code against what it prints.
func (h *home) look(names ...string) admin.Line {
	h.t.Helper()
	cmd := h.homemail("house", append(append([]string{"check"}, names...), "-json", "-config", h.config)...)
	out, err := cmd.Output()
	var l admin.Line
	if bad := json.Unmarshal(out, &l); bad != nil {
		h.t.Fatalf("%v, %v: %s", err, bad, out)
	}
	if got := cmd.ProcessState.ExitCode(); got != l.Worst.ExitCode() || got != worst(l.Results) {
		h.t.Errorf("exit code %d where the worst is %s", got, l.Worst)
	}
	return l
}

// worst is the exit code that the results ask for, counted here.
func worst(list []check.Result) (code int) {
	for _, r := range list {
		if r.Needed {
			code = max(code, map[check.State]int{check.Good: 0, check.Waiting: 1, check.CouldNotTest: 1, check.Bad: 2}[r.State])
		}
	}
	return code
}

// hold compares one result.
func (h *home) hold(l admin.Line, name string, state check.State, code string) {
	h.t.Helper()
	i := slices.IndexFunc(l.Results, func(r check.Result) bool { return r.Name == name })
	if i < 0 {
		h.t.Fatalf("no result of %s", name)
	}
	if r := l.Results[i]; r.State != state || code != "" && r.Code != code {
		h.t.Errorf("%s is %s (%s), want %s (%s): %s %v", name, r.State, r.Code, state, code, r.Detail, r.Data)
	}
}

// knock has SMTP greet at the house's port 25, from inside.
func (h *home) knock() error {
	cmd := h.play(knocks)
	cmd.Stderr = nil // is in the output
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// find is a line of the table by its name.
func find(name string) line {
	return lines[slices.IndexFunc(lines, func(l line) bool { return l.name == name })]
}

// TestHouse runs the program that is shipped on lines of the table, and has it
// looked at by another, as a friend would.
func TestHouse(t *testing.T) {
	for i, name := range []string{"real IPv4", "OP25B", "router closed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := find(name)
			h := newHome(t, l, fmt.Sprintf("h%d-", i))
			got := h.look()
			if got.Recommend.Mode != l.mode || got.Recommend.Code != l.why {
				t.Errorf("%s because of %s, want %s because of %s", got.Recommend.Mode, got.Recommend.Code, l.mode, l.why)
			}
			for _, r := range got.Results {
				silent := r.Name == "nat" && r.Code == "unknown" // this router tells nothing
				if want := l.want[r.Name]; want != "" && r.Code != want && !silent {
					t.Errorf("%s %s, want %s: %s %v", r.Name, r.Code, want, r.Detail, r.Data)
				}
			}
			if t.Failed() {
				t.Log(report{Results: got.Results}.brief())
			}
		})
	}
}

// TestHouseFollows: what comes in is seen to come in, then to be blocked, then
// nobody is there to tell; the exit codes say so.
func TestHouseFollows(t *testing.T) {
	t.Parallel()
	h := newHome(t, find("real IPv4"), "f-")
	in25 := func(state check.State, code string, exit int) {
		t.Helper()
		l := h.look("in25")
		h.hold(l, "in25", state, code)
		if l.Worst.ExitCode() != exit {
			t.Errorf("exit code %d, want %d", l.Worst.ExitCode(), exit)
		}
	}
	in25(check.Good, "open", 0)
	h.more("carrier", `add rule ip filter forward oifname "down" tcp dport 25 drop`)
	in25(check.Bad, "closed", 2)
	h.stop() // without a server the command itself stands where it would
	h.hold(h.look("in465"), "in465", check.Good, "open")
	in25(check.Bad, "closed", 2)
	h.probe.Process.Kill()
	h.probe.Wait()
	in25(check.CouldNotTest, "because", 1)
	out, err := h.homemail("house", "check", "in25", "-last", "-lang", "ja", "-config", h.config).Output()
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 1 || !strings.Contains(string(out), "外の協力サーバーが応答しない") {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// TestSilentWorld: with every remote silent a check ends within a minute, and
// meanwhile mail comes in as ever.
func TestSilentWorld(t *testing.T) {
	t.Parallel()
	h := newHome(t, find("real IPv4"), "s-")
	h.more("carrier", `add rule ip filter forward iifname "down" meta l4proto tcp drop`)
	began := time.Now()
	done := make(chan admin.Line)
	go func() { done <- h.look() }()
	times, longest := 0, time.Duration(0)
	for {
		select {
		case l := <-done:
			took := time.Since(began)
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
			h.hold(l, "dns", check.Good, "works")
			h.hold(l, "out25", check.Bad, "blocked")
			h.hold(l, "in25", check.CouldNotTest, "because")
			if times < 5 {
				t.Errorf("only %d greetings meanwhile", times)
			}
			t.Logf("a check of %v, meanwhile %d greetings within %v each", took.Round(time.Millisecond), times, longest.Round(time.Millisecond))
			return
		case <-time.After(time.Second / 2):
			at := time.Now()
			if err := h.knock(); err != nil {
				t.Error("no greeting while a check runs: ", err)
			}
			times, longest = times+1, max(longest, time.Since(at))
		}
	}
}
