package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homemail/admin"
	"homemail/store"
)

// homemail runs a command line and returns what it prints and its exit code.
func homemail(t *testing.T, stdin string, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	in := &invocation{stdout: &b, stderr: &b, stdin: strings.NewReader(stdin)}
	code = in.run(t.Context(), args)
	return b.String(), code
}

// must runs a command line that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, code := homemail(t, "", args...)
	if code != 0 {
		t.Fatalf("homemail %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func TestTryOnce(t *testing.T) {
	out := must(t, "try", "-once", "-data", t.TempDir())
	for i, step := range []string{"submitted", "announced", "imap-read", "pop3-read", "relayed", "bounced"} {
		lines := strings.Split(out, "\n")
		if len(lines) < 6 || !strings.HasPrefix(lines[i], "ok  "+step+"  ") {
			t.Fatalf("no %s in\n%s", step, out)
		}
	}
}

func TestTryKeepsItsData(t *testing.T) {
	dir := t.TempDir()
	must(t, "try", "-once", "-data", dir)
	must(t, "try", "-once", "-data", dir)
	out := must(t, "mailbox", "list", "anna@example.test", "-data", dir, "-json")
	var boxes []admin.Mailbox
	if err := json.Unmarshal([]byte(out), &boxes); err != nil {
		t.Fatal(err)
	}
	if boxes[0].Name != "INBOX" || boxes[0].Messages != 18 {
		t.Errorf("%+v", boxes[0])
	}
	must(t, "check", "store", "-bodies", "-data", dir)
}

// TestTryJSON runs try as a program would and asks the server that runs.
func TestTryJSON(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target.json")
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		in := &invocation{stdout: w, stderr: io.Discard, stdin: strings.NewReader("")}
		ended <- in.run(ctx, []string{"try", "-json", "-data", dir, "-messages", "3", "-users", "2", "-target", target})
	}()
	var said struct {
		SMTP, IMAPS int
		Accounts    []person
		Data        string
		PID         int
	}
	if err := json.NewDecoder(r).Decode(&said); err != nil {
		t.Fatal(err)
	}
	if said.SMTP == 0 || said.IMAPS == 0 || len(said.Accounts) != 2 || said.Data != dir || said.PID != os.Getpid() {
		t.Errorf("%+v", said)
	}
	var loads struct{ Users int }
	if b, err := os.ReadFile(target); err != nil || json.Unmarshal(b, &loads) != nil || loads.Users != 2 {
		t.Errorf("target file: %v %+v", err, loads)
	}
	if out := must(t, "status", "-data", dir); !strings.Contains(out, "runs since") || !strings.HasSuffix(out, "all is well\n") && !strings.HasSuffix(out, "mail is taken and kept\n") {
		t.Errorf("status of a running server: %s", out)
	}
	must(t, "account", "disable", "bert@example.test", "-data", dir)
	if out := must(t, "account", "list", "-data", dir); !strings.Contains(out, "disabled") {
		t.Errorf("accounts: %s", out)
	}
	stop()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it did not stop")
	}
}

func TestOwnerCommandsWithoutServer(t *testing.T) {
	d := "-data=" + t.TempDir()
	must(t, "domain", "add", "example.test", d)
	if out := must(t, "domain", "add", "second.test", "-json", d); strings.TrimSpace(out) != "{}" {
		t.Errorf("a command without an answer prints %q for programs", out)
	}
	must(t, "account", "add", "anna@example.test", "-name", "Anna", "-quota", "5GB", d)
	must(t, "account", "add", "bert@example.test", d)
	must(t, "alias", "add", "family@example.test", "anna@example.test", "bert@example.test", d)
	must(t, "alias", "add", "@example.test", "anna@example.test", d)
	var device admin.NewDevice
	if err := json.Unmarshal([]byte(must(t, "device", "add", "anna@example.test", "Phone", "-json", d)), &device); err != nil || len(device.Password) < 26 {
		t.Errorf("device %+v, %v", device, err)
	}
	if out := must(t, "device", "list", "anna@example.test", d); !strings.Contains(out, "Phone") || strings.Contains(out, device.Password) {
		t.Errorf("devices: %s", out)
	}
	must(t, "device", "revoke", "anna@example.test", "Phone", d)
	must(t, "account", "quota", "anna@example.test", "0", d)
	must(t, "account", "keep", "anna@example.test", "14", d)
	if out, code := homemail(t, "long enough a password\n", "password", "anna@example.test", d); code != 0 {
		t.Errorf("password: %s", out)
	}
	if _, code := homemail(t, "short\n", "password", "anna@example.test", d); code != 1 {
		t.Error("a short password was taken")
	}
	if _, code := homemail(t, "no\n", "account", "remove", "bert@example.test", d); code != 1 {
		t.Error("an account was removed without a yes")
	}
	must(t, "account", "remove", "bert@example.test", "-yes", d)
	if out := must(t, "alias", "list", d); strings.Contains(out, "bert") {
		t.Errorf("aliases: %s", out)
	}
	must(t, "alias", "remove", "family@example.test", d)
	must(t, "check", "store", "-bodies", d)
	must(t, "maintain", d)
	for _, bad := range [][]string{
		{"account", "add", "nobody@elsewhere.test"}, {"account", "add", "not an address"}, {"account", "disable", "ghost@example.test"},
		{"alias", "add", "x@example.test", "ghost@example.test"}, {"domain", "remove", "example.test"}, {"domain", "add", "-"},
	} {
		if out, code := homemail(t, "", append(bad, d)...); code == 0 || out == "" {
			t.Errorf("%v: exit %d, %q", bad, code, out)
		}
	}
}

func TestCommandLineMistakes(t *testing.T) {
	for _, args := range [][]string{{"no-such"}, {"account"}, {"account", "add"}, {"status", "extra"}, {"status", "-no-such-flag"}} {
		if _, code := homemail(t, "", args...); code != 2 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
	if out, code := homemail(t, ""); code != 0 || !strings.Contains(out, "homemail try") && !strings.Contains(out, "  try") {
		t.Errorf("help: exit %d\n%s", code, out)
	}
	if out, code := homemail(t, "", "queue", "lst"); code != 2 || strings.Contains(out, "account") || !strings.Contains(out, "queue list") {
		t.Errorf("half a command: exit %d\n%s", code, out)
	}
	must(t, "queue", "-h")
	if out := must(t, "version"); !strings.HasPrefix(out, "homemail ") {
		t.Errorf("version: %s", out)
	}
	if out := must(t, "config", "-data", "/somewhere/else"); !strings.Contains(out, "/somewhere/else") || !strings.Contains(out, "-data") {
		t.Errorf("config: %s", out)
	}
}

// TestOutsideMistakes: who sets up how mail leaves is told what to do, in words
// that are not those of a delivery report.
func TestOutsideMistakes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	dir, secretFile := t.TempDir(), filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secretFile, []byte("geheim"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "domain", "add", "example.test", "-data", dir)
	must(t, "account", "add", "anna@example.test", "-data", dir)
	must(t, "sending", "pause", "anna@example.test", "-reason", "to see it", "-data", dir)
	if out := must(t, "status", "-data", dir); !strings.Contains(out, "mail of anna@example.test does not leave: ") || strings.Contains(out, "all is well") {
		t.Errorf("an account is paused, and status says\n%s", out)
	}
	must(t, "bridge", "add", "anna@there.test", "anna@example.test", "-host", "127.0.0.1", "-port", port, "-untried", "-password-file", secretFile, "-data", dir)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"127.0.0.1 cannot be reached at port " + port, []string{"smarthost", "add", "isp", "-host", "127.0.0.1", "-port", port, "-user", "anna@example.test"}},
		{"no domain", []string{"route", "sender", "anna", "isp"}},
		{"cannot be reached at port " + port, []string{"bridge", "password", "anna@there.test"}},
		{"not found", []string{"bridge", "password", "bert@there.test"}},
		{"without a smarthost", []string{"route", "set", "default", "direct", "isp"}},
		{"nothing waits for there.test", []string{"queue", "retry", "@There.Test"}},
		{"not found", []string{"queue", "release", "1"}},
	} {
		out, code := homemail(t, "geheim\n", append(c.args, "-data", dir)...)
		if code != 1 || !strings.Contains(out, c.want) || strings.Contains(out, "Your message") {
			t.Errorf("%v: exit %d\n%s", c.args, code, out)
		}
	}
	if out := must(t, "queue", "retry", "all", "-data", dir); out != "trying 0\n" {
		t.Error(out)
	}
	if out, code := homemail(t, "geheim\n", "bridge", "password", "anna@there.test", "-untried", "-data", dir); code != 0 {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestHealth asks a running server for its figures and its sign of life.
func TestHealth(t *testing.T) {
	c := trySettings(t.TempDir())
	listenOn(&c, func(string) int { return 0 })
	c.Listen.Status = []string{"127.0.0.1:0"}
	h, err := openHouse(t.Context(), c, world{}, quietLog(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx) }()
	at := ""
	for _, l := range h.doors {
		if l.Door().Name == "status" {
			at = l.Addr().String()
		}
	}
	for path, want := range map[string]string{"/healthz": "", "/metrics": "homemail_store_flushes_total"} {
		resp, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s\n%s", path, resp.Status, b)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := store.Open(c.Data, store.Options{}); err != nil {
		t.Errorf("the store was not closed: %v", err)
	}
}

// TestNoOutside asks a house that has none what it would have to ask outside.
func TestNoOutside(t *testing.T) {
	n, err := newNeighbour()
	if err != nil {
		t.Fatal(err)
	}
	defer n.l.Close()
	h, err := openTry(t.Context(), t.TempDir(), n.world(), quietLog(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if _, err := fillTry(h, tryOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]string{"dns.plan": `{"domain":"example.test"}`, "line.check": `{}`} {
		if _, err := h.admin().Do(t.Context(), name, []byte(request)); err == nil {
			t.Errorf("%s has an answer", name)
		}
	}
}
