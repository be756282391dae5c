// Package acme lets the certificates of this server come from Pebble, the small
// ACME server that Let's Encrypt tests clients with, through real ports and a
// real DNS server, all on the loopback interface.
package acme

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"homemail/test/need"
)

const (
	pebbleModule = "github.com/letsencrypt/pebble/v2"
	pebbleTag    = "v2.10.1"
	patience     = 30 * time.Second // from records published to a certificate in use everywhere
)

// tools are where TestMain put Pebble, built from its module.
var tools struct {
	once   sync.Once
	bin    string // the program
	certs  string // the certificate that its own door shows, and who signed it
	lent   bool   // by who runs us
	failed error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if tools.bin != "" && !tools.lent {
		os.RemoveAll(filepath.Dir(tools.bin))
	}
	os.Exit(code)
}

// build installs Pebble, once, in a directory of its own.
func build() error {
	dir, err := os.MkdirTemp("", "homemail-pebble-")
	if err != nil {
		return err
	}
	tools.bin = filepath.Join(dir, "pebble")
	install := exec.Command("go", "install", pebbleModule+"/cmd/pebble@"+pebbleTag)
	install.Env = append(os.Environ(), "GOBIN="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, out)
	}
	out, err := exec.Command("go", "mod", "download", "-json", pebbleModule+"@"+pebbleTag).Output()
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	tools.certs = filepath.Join(module.Dir, "test", "certs")
	return nil
}

// A ca is a running Pebble.
type ca struct {
	directory string
	roots     *x509.CertPool // of its door
	issued    *x509.CertPool // of the certificates that it gives
	root      []byte         // of these, PEM
	manage    string
	client    *http.Client

	mu  sync.Mutex
	log bytes.Buffer
}

// A caPlan says how Pebble is to behave.
type caPlan struct {
	addr, manage string // where it listens; chosen if empty
	http, tls    int    // ports that it asks for challenges
	dns          string // the server that it asks
	refuse       []string
	env          []string
}

// startCA starts Pebble until the test ends.
func startCA(t *testing.T, p caPlan) *ca {
	t.Helper()
	need.Tools(t, "go")
	tools.once.Do(func() { tools.failed = build() })
	if tools.failed != nil {
		t.Fatal("Pebble cannot be built: ", tools.failed)
	}
	if p.addr == "" {
		p.addr = free(t)
	}
	if p.manage == "" {
		p.manage = free(t)
	}
	conf := map[string]any{"pebble": map[string]any{
		"listenAddress": p.addr, "managementListenAddress": p.manage, "httpPort": p.http, "tlsPort": p.tls,
		"certificate": filepath.Join(tools.certs, "localhost/cert.pem"), "privateKey": filepath.Join(tools.certs, "localhost/key.pem"),
		"domainBlocklist": p.refuse, "keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 3, "order": 5},
		"profiles": map[string]any{"default": map[string]any{"description": "90 days", "validityPeriod": 90 * 24 * 3600}},
	}}
	text, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	minica, err := os.ReadFile(filepath.Join(tools.certs, "pebble.minica.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c := &ca{directory: "https://" + p.addr + "/dir", manage: "https://" + p.manage, roots: x509.NewCertPool(), issued: x509.NewCertPool()}
	c.roots.AppendCertsFromPEM(minica)
	c.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.roots}}}

	cmd := exec.Command(tools.bin, "-config", file, "-dnsserver", p.dns)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = child()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); c.collect(out) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-read
		cmd.Wait()
		if t.Failed() {
			t.Logf("Pebble said:\n%s", c.said())
		}
	})
	c.awaitRoot(t)
	return c
}

func (c *ca) collect(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		c.mu.Lock()
		fmt.Fprintln(&c.log, s.Text())
		c.mu.Unlock()
	}
}

func (c *ca) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// count is how many lines of its log have a text.
func (c *ca) count(text string) int { return strings.Count(c.said(), text) }

func (c *ca) orders() int   { return c.count("Added order ") }
func (c *ca) accounts() int { return c.count("accounts in memory") }

func (c *ca) awaitRoot(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := c.client.Get(c.manage + "/roots/0")
		if err != nil {
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && c.issued.AppendCertsFromPEM(b) {
			c.root = b
			return
		}
	}
	t.Fatalf("Pebble does not answer:\n%s", c.said())
}

// renewNow has it say that a certificate should have been renewed yesterday.
func (c *ca) renewNow(t *testing.T, pem []byte) {
	t.Helper()
	day := func(d int) string { return time.Now().AddDate(0, 0, d).UTC().Format(time.RFC3339) }
	body, err := json.Marshal(map[string]string{
		"Certificate": string(pem),
		"ARIResponse": fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, day(-2), day(-1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.client.Post(c.manage+"/set-renewal-info/", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
}

// lastPort is the last that free returned. The system gives those below 32768
// to nobody who does not ask for them.
var lastPort atomic.Int32

// free returns a loopback address that nobody listens on, another each time.
func free(t *testing.T) string {
	t.Helper()
	lastPort.CompareAndSwap(0, int32(20000+os.Getpid()%1000*10))
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", lastPort.Add(1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
