package bench

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"homemail/test/need"
)

// A homemail is a `homemail serve` whose mail all leaves through the sink.
type homemail struct {
	label, binary, config string
	port                  int // of submissions
	cmd                   *exec.Cmd
	password              string
}

const homemailConf = `host_name = "mail.house.test"
data = %q
[listen]
smtp = []
submission = []
submissions = ["127.0.0.1:%d"]
imap = []
imaps = []
pop3 = []
pop3s = []
http = []
https = []
status = []
[lan]
name = ""
router = false
[check]
watch = false
[connections]
smtp_per_ip = 100
new_per_second = 1000
new_at_once = 1000
[limits]
submissions_per_hour = 1000000
submissions_per_day = 1000000
new_recipients_per_day = 1000000
[dns]
server = "127.0.0.1:1"
[queue]
%s`

const anna = "anna@house.test"

// program builds homemail.
func program(b *testing.B) string {
	need.Tools(b, "go")
	path := filepath.Join(b.TempDir(), "homemail")
	must(b, exec.Command("go", "build", "-o", path, "homemail/cmd/homemail").Run())
	return path
}

// newHomemail starts a server with some settings of its queue.
func newHomemail(b *testing.B, label, binary string, sink *sink, queue string) *homemail {
	dir := b.TempDir()
	h := &homemail{label: label, binary: binary, config: filepath.Join(dir, "config.toml"), port: freePort(b)}
	must(b, os.WriteFile(h.config, fmt.Appendf(nil, homemailConf, filepath.Join(dir, "data"), h.port, queue), 0o600))
	h.start(b)
	b.Cleanup(h.stop)
	h.cli(b, "domain", "add", "house.test")
	h.cli(b, "account", "add", anna)
	var device struct{ Password string }
	must(b, json.Unmarshal(h.cli(b, "device", "add", anna, "bench", "-json"), &device))
	h.password = device.Password
	h.cli(b, "smarthost", "add", "sink", "-host", "127.0.0.1", "-port", fmt.Sprint(sink.port), "-tls", "none", "-untried", "-default")
	return h
}

func (h *homemail) start(b *testing.B) {
	log, err := os.OpenFile(filepath.Join(filepath.Dir(h.config), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(b, err)
	defer log.Close()
	h.cmd = exec.Command(h.binary, "serve", "-config", h.config)
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(b, h.cmd.Start())
	answers(b, h.port)
}

// stop ends the server, if it runs.
func (h *homemail) stop() {
	if h.cmd.ProcessState == nil {
		h.cmd.Process.Signal(syscall.SIGTERM)
		h.cmd.Wait()
	}
}

func (h *homemail) cli(b *testing.B, args ...string) []byte {
	b.Helper()
	out, err := exec.Command(h.binary, append(args, "-config", h.config)...).CombinedOutput()
	if err != nil {
		b.Fatalf("homemail %q: %v\n%s", args, err, out)
	}
	return out
}

func (h *homemail) name() string { return h.label }
func (h *homemail) pid() int     { return h.cmd.Process.Pid }

func (h *homemail) hold(b *testing.B)    { h.cli(b, "sending", "pause", anna) }
func (h *homemail) release(b *testing.B) { h.cli(b, "sending", "resume", anna) }

// settled waits for what is written behind the answers.
func (h *homemail) settled(*testing.B) { time.Sleep(time.Second) }

func (h *homemail) sender(b *testing.B) session {
	c, err := smtp.DialTLS(fmt.Sprintf("127.0.0.1:%d", h.port), &tls.Config{InsecureSkipVerify: true})
	must(b, err)
	must(b, c.Auth(sasl.NewPlainClient("", anna, h.password)))
	return client{c}
}

// A client is a session by SMTP.
type client struct{ *smtp.Client }

func (c client) quit() { c.Quit() }

func (c client) send(to, text string) error { return c.sendAs(anna, to, text) }

func (c client) sendAs(from, to, text string) error {
	if err := c.Mail(from, nil); err != nil {
		return err
	}
	if err := c.Rcpt(to, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	return w.Close()
}
