package dns2136

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/test/need"
)

// The network of the test: Knot and whoever asks it on the one side, the house
// on the other, whose public address is one of its own interfaces.
const (
	knotAddress = "198.51.100.53"
	firstHome   = "203.0.113.25"
	secondHome  = "203.0.113.99"
)

// lived is a zone that somebody has used for mail elsewhere, and for other
// things.
const lived = `$ORIGIN example.org.
$TTL 3600
@ SOA ns1.example.org. hostmaster.example.org. 1 3600 600 86400 5
@ NS ns1
@ A 198.51.100.80
@ MX 1 mx.mailhost.example.
@ MX 5 mx2.mailhost.example.
@ 7200 TXT "google-site-verification=abc"
@ 7200 TXT "caf\195\169 \"x\" \\ y" "two"
@ 7200 TXT "v=spf1 ip4:198.51.100.80 -all"
ns1 A 198.51.100.53
www 1800 A 198.51.100.80
www 1800 TXT "of" "somebody else"
`

// inside is set in the environment of the network that is ours alone.
const inside = "HOMEMAIL_DNS2136_NETWORK"

func TestMain(m *testing.M) {
	if os.Getenv("HOMEMAIL_TOOLS") != "1" || os.Geteuid() != 0 {
		os.Exit(m.Run()) // each test says what it needs
	}
	if os.Getenv(inside) != "" {
		if err := words("ip link set lo up", "ip addr add "+knotAddress+"/32 dev lo"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		fmt.Fprintln(os.Stderr, "a network of our own:", err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// words runs programs, each given as words with spaces between.
func words(lines ...string) error {
	for _, line := range lines {
		w := strings.Fields(line)
		if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return nil
}

// A house is a `homemail serve` in a network of its own.
type house struct {
	t      *testing.T
	binary string
	data   string
	config string
	log    string
	cmd    *exec.Cmd
}

const houseConf = `host_name = "mail.example.org"
data = %q
[dns]
server = %q
[log]
level = "info"
`

func serve(t *testing.T) *house {
	t.Helper()
	need.Root(t)
	need.Tools(t, "go", "ip", "nsenter", "sh", "knotd", "knotc")
	dir := t.TempDir()
	h := &house{t: t, binary: filepath.Join(dir, "homemail"), data: filepath.Join(dir, "data"), config: filepath.Join(dir, "config.toml"), log: filepath.Join(dir, "log")}
	if out, err := exec.Command("go", "build", "-o", h.binary, "homemail/cmd/homemail").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	write(t, h.config, fmt.Sprintf(houseConf, h.data, knotAddress))
	log, err := os.Create(h.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// It waits for its network before it becomes the server.
	h.cmd = exec.Command("sh", "-c", `read go && exec "$0" serve -config "$1"`, h.binary, h.config)
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	start, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	if err := words(fmt.Sprintf("ip link add va type veth peer name vb netns %d", h.cmd.Process.Pid), "ip addr add 10.1.1.1/24 dev va", "ip link set va up"); err != nil {
		t.Fatal(err)
	}
	h.net("link set lo up", "link set vb up", "addr add 10.1.1.2/24 dev vb", "route add default via 10.1.1.1", "addr add "+firstHome+"/32 dev lo")
	fmt.Fprintln(start, "go")
	start.Close()
	h.await("the server runs", 20*time.Second, func() bool { return strings.Contains(h.said(), "door=imaps") })
	return h
}

// net changes the network that the house is in.
func (h *house) net(lines ...string) {
	h.t.Helper()
	for _, l := range lines {
		if err := words(fmt.Sprintf("nsenter -t %d -n ip %s", h.cmd.Process.Pid, l)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) stop() {
	h.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- h.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			h.t.Error("the server ended: ", err)
		}
	case <-time.After(30 * time.Second):
		h.cmd.Process.Kill()
		h.t.Error("the server did not stop")
	}
	said := h.said()
	for _, word := range []string{key, "panic", "level=ERROR"} {
		if strings.Contains(said, word) {
			h.t.Errorf("the log has %q", word)
		}
	}
	if h.t.Failed() {
		h.t.Logf("the server's log:\n%s", said)
	}
}

func (h *house) said() string {
	b, err := os.ReadFile(h.log)
	if err != nil {
		h.t.Error(err)
	}
	return string(b)
}

func (h *house) try(stdin string, args ...string) (string, error) {
	cmd := exec.Command(h.binary, append(args, "-config", h.config)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cli runs a command that has to succeed.
func (h *house) cli(stdin string, args ...string) string {
	h.t.Helper()
	out, err := h.try(stdin, args...)
	if err != nil {
		h.t.Fatalf("homemail %q: %v\n%s", args, err, out)
	}
	return out
}

// refused runs a command that has to fail, and say some words.
func (h *house) refused(stdin string, say []string, args ...string) {
	h.t.Helper()
	out, err := h.try(stdin, args...)
	if err == nil {
		h.t.Errorf("homemail %q succeeds:\n%s", args, out)
	}
	for _, w := range say {
		if !strings.Contains(out, w) {
			h.t.Errorf("homemail %q does not say %q:\n%s", args, w, out)
		}
	}
}

func (h *house) await(what string, limit time.Duration, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// wrong are the records that are not right, as `homemail dns` sees them.
func (h *house) wrong() (list []string) {
	h.t.Helper()
	cmd := exec.Command(h.binary, "dns", "example.org", "-json", "-config", h.config)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, _ := cmd.Output() // which is 1 if some are not
	var p admin.DNSPlan
	if err := json.Unmarshal(out, &p); err != nil || len(p.Results) < 10 {
		h.t.Fatalf("%v, %d results: %s%s", err, len(p.Results), out, &errs)
	}
	for _, r := range p.Results {
		if r.State != dnsplan.Correct {
			list = append(list, fmt.Sprintf("%s %s %s", r.Record.Name, r.Record.Type, r.State))
		}
	}
	return list
}

// TestHouse is an owner's way from a domain with mail elsewhere to one here, and
// back, and what becomes of it when the address changes.
func TestHouse(t *testing.T) {
	need.Root(t)
	knot := start(t, knotAddress, "53", lived)
	h := serve(t)
	see := func(name string, rtype uint16) []string {
		t.Helper()
		list, err := lookup(knot, name, rtype)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(list)
		return list
	}
	others := func() string {
		texts := slices.DeleteFunc(see("example.org", dns.TypeTXT), func(s string) bool { return strings.Contains(s, "v=spf1") })
		return fmt.Sprint(see("www.example.org", dns.TypeA), see("www.example.org", dns.TypeTXT), texts, see("example.org", dns.TypeA), see("example.org", dns.TypeNS), see("ns1.example.org", dns.TypeA))
	}
	before, oldMX := others(), see("example.org", dns.TypeMX)
	h.cli("", "domain", "add", "example.org")
	h.cli("", "account", "add", "postmaster@example.org")
	h.cli("", "route", "set", "default", "direct")

	h.refused("", []string{"no DNS provider is set", "homemail dns provider set example.org"}, "dns", "push", "example.org", "-yes")
	credentials := "server=" + knotAddress + "\nkey_name=homemail\nkey="
	h.refused(credentials+"d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3JvbmchIQ==\n", []string{"nothing was kept"}, "dns", "provider", "set", "example.org", "rfc2136")
	h.refused(credentials+key+"\n", []string{"nothing was kept", "in the zone example.org"}, "dns", "provider", "set", "mail.example.org", "rfc2136")
	if out := h.cli("", "dns", "provider", "list"); strings.Contains(out, "rfc2136") {
		t.Errorf("kept:\n%s", out)
	}
	h.cli("# ours\n"+credentials+key+"\n", "dns", "provider", "set", "Example.org", "rfc2136")
	if out := h.cli("", "dns", "provider", "list", "-json"); !strings.Contains(out, `"example.org"`) || strings.Contains(out, key) {
		t.Errorf("listed:\n%s", out)
	}

	h.refused("n\n", []string{"+ mail.example.org A " + firstHome, "Make these changes?", "nothing was changed"}, "dns", "push", "example.org", "-ip", firstHome)
	if got := see("mail.example.org", dns.TypeA); len(got) > 0 {
		t.Fatalf("changed without a yes: %v", got)
	}
	h.refused("", []string{"are not right yet", "mail.example.org A"}, "dns", "mx", "switch", "example.org", "-yes")
	t.Log("\n" + h.cli("", "dns", "push", "example.org", "-yes", "-ip", firstHome))
	if got := h.wrong(); len(got) != 1 || got[0] != "example.org MX differs" {
		t.Errorf("not right after the push: %q", got)
	}
	if got := see("example.org", dns.TypeMX); !slices.Equal(got, oldMX) {
		t.Errorf("the MX was touched: %q", got)
	}
	if out := h.cli("", "dns", "push", "example.org", "-yes"); !strings.Contains(out, "Nothing has to be changed") {
		t.Errorf("pushed again:\n%s", out)
	}
	h.cli("", "dns", "mx", "switch", "example.org", "-yes")
	if got := h.wrong(); len(got) > 0 {
		t.Errorf("not right in the end: %q", got)
	}
	if out := h.cli("", "dns", "mx", "show", "example.org"); !strings.Contains(out, "now: 10 mail.example.org\n") || !strings.Contains(out, "before: 1 mx.mailhost.example, 5 mx2.mailhost.example (until ") {
		t.Errorf("shown:\n%s", out)
	}
	h.cli("y\n", "dns", "mx", "restore", "example.org")
	if got := see("example.org", dns.TypeMX); !slices.Equal(got, oldMX) {
		t.Errorf("restored: %q, not %q", got, oldMX)
	}

	h.cli("", "dns", "provider", "follow", "example.org", "on")
	h.await("the first address", time.Minute, func() bool {
		return strings.Contains(h.said(), "address changed none -> "+firstHome)
	})
	h.net("addr add "+secondHome+"/32 dev lo", "addr del "+firstHome+"/32 dev lo")
	h.await("the new address in the DNS", 90*time.Second, func() bool {
		return slices.Equal(see("mail.example.org", dns.TypeA), []string{secondHome})
	})
	line := "address changed " + firstHome + " -> " + secondHome + ", DNS updated"
	h.await("a line in the log", 20*time.Second, func() bool { return strings.Contains(h.said(), line) })
	if n := strings.Count(h.said(), secondHome); n != 1 {
		t.Errorf("the log has the new address %d times", n)
	}
	if out := h.cli("", "dns", "provider", "list"); !strings.Contains(out, secondHome+"  told ") {
		t.Errorf("listed:\n%s", out)
	}
	if got := h.wrong(); len(got) != 1 || got[0] != "example.org MX differs" {
		t.Errorf("not right with another address: %q", got)
	}
	if after := others(); after != before {
		t.Errorf("others' records:\n%s\nwere:\n%s", after, before)
	}
	h.cli("", "dns", "provider", "remove", "example.org")
}
