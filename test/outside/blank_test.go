package outside

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// elsewhere are the system calls of a trace that reach for another computer.
func elsewhere(t *testing.T, trace string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(trace)
	must(t, err)
	if !strings.Contains(string(b), "exit_group") {
		t.Errorf("the trace is no trace: %q", tail(string(b), 500))
	}
	call := regexp.MustCompile(`(?m)^.*(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET6?.*$`)
	ours := regexp.MustCompile(`inet_addr\("127\.[0-9.]+"\)|"::1"|sin_port=htons\(0\)`)
	for _, line := range call.FindAllString(string(b), -1) {
		if !ours.MatchString(line) || strings.Contains(line, "htons(25)") {
			list = append(list, line)
		}
	}
	return list
}

// stracing runs a server so that what it reaches for is written down.
func stracing(trace string) []string {
	return []string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=connect,sendto,sendmsg,sendmmsg,exit_group", "-e", "signal=none"}
}

// TestBlank: while no way out is set, nothing leaves: mail for others is refused
// in words, and nobody is so much as called.
func TestBlank(t *testing.T) {
	s := meet(t, "192.0.2.130", "blank.test", manners{})
	trace := filepath.Join(t.TempDir(), "trace")
	h := newHouse(t, plan{off: true, wrapper: stracing(trace)}, "strace", "swaks")
	err := h.submit(h.anna, h.letter("into the blue", "carl@blank.test"), posting{}, "carl@blank.test")
	if err == nil || !strings.Contains(err.Error(), "550") || !strings.Contains(err.Error(), "not set up") {
		t.Errorf("submission: %v", err)
	}
	t.Logf("it says: %v", err)
	h.cli("forward", h.bert.Address, "carl@blank.test")
	for _, to := range []string{h.anna.Address, h.bert.Address, "nobody@" + h.Domain, "carl@blank.test"} {
		h.swaks("192.0.2.131", "carl@blank.test", to, "--h-Subject", canary)
	}
	h.arrives(h.anna, "INBOX", "carl@blank.test")
	h.arrives(h.bert, "INBOX", "carl@blank.test")
	time.Sleep(2 * time.Second)
	h.stopTraced()
	if list := elsewhere(t, trace); len(list) > 0 {
		t.Errorf("it reached for\n%s", strings.Join(list, "\n"))
	}
	if n, lines := s.seen(); n > 0 {
		t.Errorf("%d connections came:\n%s", n, lines)
	}
}

// stopTraced ends a server below its tracer, and starts it again without.
func (h *house) stopTraced() {
	h.t.Helper()
	must(h.t, exec.Command("pkill", "-TERM", "-P", itoa(h.cmd.Process.Pid)).Run())
	select {
	case err := <-h.exited:
		must(h.t, err)
	case <-time.After(patience):
		h.t.Fatal("the server did not stop")
	}
	h.wrapper = nil
	h.run()
}

// TestTryStaysHome: `homemail try` shows mail that leaves, and none does.
func TestTryStaysHome(t *testing.T) {
	w := live(t, "strace")
	t.Parallel()
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	words := append(stracing(trace), w.binary, "try", "-json", "-messages", "2", "-data", filepath.Join(dir, "data"))
	cmd := exec.Command(words[0], words[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, start(cmd))
	var v any
	err = json.NewDecoder(out).Decode(&v)
	exec.Command("pkill", "-TERM", "-P", itoa(cmd.Process.Pid)).Run()
	cmd.Wait()
	must(t, err)
	if list := elsewhere(t, trace); len(list) > 0 {
		t.Errorf("it reached for\n%s", strings.Join(list, "\n"))
	}
}
