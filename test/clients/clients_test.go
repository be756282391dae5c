// Package clients lets the mail programs that people have talk to the whole
// server, the binary that is shipped: what they send has to be what they read,
// byte for byte. It owns no figures and no attacks.
package clients

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"homemail/test/need"
)

// binary is where TestMain has room for the server.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "homemail-clients-")
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

const (
	wrongPassword = "wrong-password-71kd9"
	canary        = "kanarienvogel" // in what we send; no log may have it
	patience      = 60 * time.Second
)

// A server is a `homemail try` of one test, with two accounts.
type server struct {
	t       *testing.T
	flags   []string
	dir     string // for whatever the test wants to keep
	cmd     *exec.Cmd
	exited  chan error
	secrets []string

	Host        string
	Data        string
	SMTP        int
	Submission  int
	Submissions int
	IMAP        int
	IMAPS       int
	POP3        int
	POP3S       int
	Accounts    []account
}

type account struct{ Address, Password string }

func (s *server) anna() account { return s.Accounts[0] }
func (s *server) bert() account { return s.Accounts[1] }

// cert is the file of the certificate that the server made itself.
func (s *server) cert() string { return filepath.Join(s.Data, "tls", "self-signed.crt") }

// start starts a server with n messages in anna's INBOX. At the end of the test
// it is stopped, what it stored is checked, and so is what it logged.
func start(t *testing.T, n int, tools ...string) *server {
	t.Helper()
	need.Tools(t, tools...)
	t.Parallel()
	dir := t.TempDir()
	s := &server{t: t, dir: dir, Data: filepath.Join(dir, "data"), flags: []string{"-messages", fmt.Sprint(n)}}
	s.run()
	t.Cleanup(s.finish)
	return s
}

// run starts the process and learns from it where the doors are.
func (s *server) run() {
	s.t.Helper()
	path, err := binary()
	must(s.t, err)
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(s.t, err)
	defer log.Close()
	s.cmd = exec.Command(path, append([]string{"try", "-v", "-json", "-data", s.Data}, s.flags...)...)
	s.cmd.Stderr, s.cmd.SysProcAttr = log, child()
	out, err := s.cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, s.cmd.Start())
	if err := json.NewDecoder(out).Decode(s); err != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.t.Fatalf("the server did not start: %v\n%s", err, s.log())
	}
	for _, a := range s.Accounts {
		s.secrets = append(s.secrets, a.Password)
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(s.cmd, s.exited)
}

// signal ends the process and waits until it is gone.
func (s *server) signal(sig os.Signal) error {
	s.cmd.Process.Signal(sig)
	select {
	case err := <-s.exited:
		return err
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.exited
		return errors.New("the server did not stop in time")
	}
}

// crash is kill -9 and a new start on what is left. The accounts get new
// passwords.
func (s *server) crash() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	s.run()
}

// finish stops the server and looks at what it leaves.
func (s *server) finish() {
	if err := s.signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("stopping the server: %v", err)
	}
	path, _ := binary()
	out, err := exec.Command(path, "check", "store", "-bodies", "-data", s.Data).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(": 0 findings\n")) {
		s.t.Errorf("check store: %v\n%s", err, out)
	}
	s.checkLog()
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", s.log())
	}
}

func (s *server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *server) log() []byte {
	b, err := os.ReadFile(s.logFile())
	must(s.t, err)
	return b
}

// checkLog looks for what no log may have: passwords, plain or as SASL sends
// them, and what is in the mail. It also looks for what must not happen.
func (s *server) checkLog() {
	log := s.log()
	if !bytes.Contains(log, []byte("msg=listening")) {
		s.t.Error("there is no log")
	}
	for _, secret := range append(s.secrets, wrongPassword) {
		forms := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))}
		for _, a := range s.Accounts {
			forms = append(forms, base64.StdEncoding.EncodeToString([]byte("\x00"+a.Address+"\x00"+secret)))
		}
		for _, form := range forms {
			if bytes.Contains(log, []byte(form)) {
				s.t.Errorf("a password is in the log, as %q", form)
			}
		}
	}
	for _, word := range []string{canary, "panic", "DATA RACE", "level=ERROR"} {
		if bytes.Contains(log, []byte(word)) {
			s.t.Errorf("the log has the word %q", word)
		}
	}
}

// A result is what a program said and how it ended.
type result struct {
	out  string
	code int
}

// tool runs a program in a directory of its own as its home.
func (s *server) tool(stdin string, name string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "LC_ALL=C.UTF-8", "TZ=UTC", "TERM=vt100", "no_proxy=*")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		s.t.Fatalf("%s %q took too long:\n%s", name, args, out)
	}
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		s.t.Fatalf("%s: %v", name, err)
	}
	return result{string(out), cmd.ProcessState.ExitCode()}
}

// ok runs a program that has to succeed, and returns what it says.
func (s *server) ok(stdin string, name string, args ...string) string {
	s.t.Helper()
	r := s.tool(stdin, name, args...)
	if r.code != 0 {
		s.t.Fatalf("%s %q ended with %d:\n%s", name, args, r.code, r.out)
	}
	return r.out
}

// write puts a file in the test's directory and returns its path.
func (s *server) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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
	const most = 4000
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes)", text[:most], len(text))
}

// trace is what delivery puts before a message, RFC 5321 §4.4 and RFC 8601 §4.1.
var trace = regexp.MustCompile(`^Return-Path: <[^\r\n]*>\r\nDelivered-To: [^\r\n]+\r\n(?:Authentication-Results: [^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*)?Received: [^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)+$`)

// same says whether got is want, byte for byte, after the trace.
func same(got, want string) error {
	if !strings.HasSuffix(got, want) {
		return fmt.Errorf("%d bytes came back as\n%q", len(want), shorten(got))
	}
	if prefix := strings.TrimSuffix(got, want); !trace.MatchString(prefix) {
		return fmt.Errorf("before the message is\n%q", shorten(prefix))
	}
	return nil
}

// lf is a message as programs under Unix keep it.
func lf(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// letter is a plain message.
func letter(from, to, subject string) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s %s\r\nDate: Tue, 03 Mar 2026 09:30:00 +0900\r\nMessage-ID: <%s@client.test>\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\nDas ist der %s.\r\n.\r\n..zwei\r\nこんにちは\r\n", from, to, canary, subject,
		strings.Map(func(r rune) rune {
			if r > ' ' && r < 0x7f {
				return r
			}
			return '-'
		}, subject), canary)
}
