// Package api_test lets a program in another language use the API of the whole
// server, the binary that is shipped.
package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"homemail/test/need"
)

const patience = 30 * time.Second

// binary is where TestMain has room for the server.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "homemail-api-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "homemail")
	out, err := exec.Command("go", "build", "-o", path, "homemail/cmd/homemail").CombinedOutput()
	if err != nil {
		return path, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("HOMEMAIL_TOOLS") == "1" {
		if path, _ := binary(); path != "" {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// A house is a server of its own, whose only doors are those of the web.
type house struct {
	t      *testing.T
	binary string
	config string
	url    string
	cert   string
}

func start(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, binary: path, config: filepath.Join(dir, "config.toml")}
	at := freePort(t)
	data := filepath.Join(dir, "data")
	h.url, h.cert = "https://localhost:"+at, filepath.Join(data, "tls", "self-signed.crt")
	settings := fmt.Sprintf("host_name = \"localhost\"\ndata = %q\n[listen]\nhttps = [\"127.0.0.1:%s\"]\n", data, at)
	for _, door := range []string{"smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http", "status"} {
		settings += door + " = []\n"
	}
	settings += "[dns]\nserver = \"127.0.0.1:9\"\n"  // nobody is there
	settings += "[connections]\nnew_at_once = 200\n" // urllib makes one for each request
	if err := os.WriteFile(h.config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, h.binary, "serve", "-config", h.config)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &log, &log, patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the server said:\n%s", &log)
		}
	})
	h.wait("127.0.0.1:" + at)
	return h
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (h *house) wait(addr string) {
	h.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	h.t.Fatal("the server does not listen")
}

// token makes a token as an owner does.
func (h *house) token(name, scope string) string {
	h.t.Helper()
	out, err := exec.Command(h.binary, "token", "add", name, "-scope", scope, "-expires", "1h", "-json", "-config", h.config).Output()
	var made struct{ Token string }
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	return made.Token
}

func TestPython(t *testing.T) {
	need.Tools(t, "python3")
	h := start(t)
	at, err := json.Marshal(map[string]string{
		"url": h.url, "cert": h.cert, "token": h.token("script", "people,mail,names"), "reader": h.token("prometheus", "metrics"),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("python3", "-X", "utf8", "testdata/walk.py", string(at)).CombinedOutput()
	if err != nil || string(out) != "ok\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCurl asks as docs/api.md shows.
func TestCurl(t *testing.T) {
	need.Tools(t, "curl")
	h := start(t)
	token := h.token("script", "people,mail,names")
	curl := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("curl", append([]string{"-sS", "--cacert", h.cert, "-H", "Authorization: Bearer " + token}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := curl("-X", "POST", h.url+"/api/v1/queue.list"); out != "[]\n" {
		t.Errorf("queue.list: %s", out)
	}
	out := curl("-H", "Content-Type: application/json", "-d", `{"address":"anna@example.org","name":"Phone"}`, h.url+"/api/v1/device.add")
	if !bytes.Contains([]byte(out), []byte(`"code":"not_found"`)) {
		t.Errorf("device.add for nobody: %s", out)
	}
}
