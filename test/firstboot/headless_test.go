package firstboot

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/firstboot"
	"homemail/test/need"
)

// The bar: from the start of the program on an empty disk to the first mail, and
// what its owner has to say for that.
const (
	mostTime   = 60 * time.Second
	mostInputs = 25
)

const answers = `language = "en"
[you]
name = "Taro"
password = "bicycle lantern umbrella 42"
[address]
kind = "own"
domain = "example.jp"
local = "taro"
[line]
mode = "smarthost"
[connection]
host = "smtp.provider.test"
port = "465"
tls = "tls"
user = "taro"
password = "` + smartPassword + `"
[dns]
kind = "copy"
[switch]
confirm = true
untested = true
[safe]
alert = "taro@friend.test"
[people]
devices = ["phone"]
`

const settings = `host_name = "mail.example.jp"
data = %q
[tls]
cert = %q
key = %q
[dns]
server = %q
[lan]
name = ""
router = false
[queue]
private_networks = ["10.77.0.0/24"]
[store]
reserve = "1 MiB"
`

// A box is a homemail as it is shipped, on an empty disk.
type box struct {
	t            *testing.T
	dir, binary  string
	config, data string
	log          *os.File
	server       *exec.Cmd
	said         bytes.Buffer // by apply; to be read when it has ended
	ended        chan error
}

func newBox(t *testing.T, cert, key string) *box {
	t.Helper()
	need.Root(t)
	need.Tools(t, "go", "ip")
	dir := t.TempDir()
	b := &box{t: t, dir: dir, binary: filepath.Join(dir, "homemail"), config: filepath.Join(dir, "config.toml"), data: filepath.Join(dir, "data")}
	if out, err := exec.Command("go", "build", "-o", b.binary, "homemail/cmd/homemail").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b.write(b.config, fmt.Sprintf(settings, b.data, cert, key, dnsAddress))
	return b
}

func (b *box) write(path, text string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// command is a homemail that trusts the test's authority.
func (b *box) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.binary, append(args, "-config", b.config)...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(b.dir, "ca.pem"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b *box) start() {
	b.t.Helper()
	var err error
	if b.log, err = os.Create(filepath.Join(b.dir, "log")); err != nil {
		b.t.Fatal(err)
	}
	b.server = b.command(context.Background(), "serve", "-ports", "high")
	b.server.Stdout, b.server.Stderr = b.log, b.log
	if err := b.server.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.stop)
	b.await("its doors", func() bool {
		c, err := net.Dial("tcp", smtpDoor)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// The doors of -ports high.
const (
	smtpDoor        = "127.0.0.1:2525"
	submissionsDoor = "127.0.0.1:2465"
)

func (b *box) stop() {
	b.server.Process.Signal(syscall.SIGTERM)
	if err := b.server.Wait(); err != nil {
		b.t.Error("the server ended: ", err)
	}
	said, _ := os.ReadFile(b.log.Name())
	for _, word := range []string{smartPassword, "panic", "level=ERROR"} {
		if bytes.Contains(said, []byte(word)) {
			b.t.Errorf("the log has %q", word)
		}
	}
	if b.t.Failed() {
		b.t.Logf("the server's log:\n%s", said)
	}
	b.log.Close()
}

func (b *box) await(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(2 * mostTime); !ok(); time.Sleep(200 * time.Millisecond) {
		select {
		case err := <-b.ended:
			b.t.Fatalf("%s: setup -apply -wait has ended: %v\n%s", what, err, &b.said)
		default:
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: not within %v\n%s", what, 2*mostTime, b.status())
		}
	}
}

// setUp has a file applied, and waits in the background until all is done.
func (b *box) setUp(file string) {
	b.t.Helper()
	apply := b.command(b.t.Context(), "setup", "-apply", file, "-wait")
	apply.Stdout, apply.Stderr = &b.said, &b.said
	if err := apply.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.ended = make(chan error, 1)
	go func() { b.ended <- apply.Wait() }()
}

// ask runs a command that prints JSON.
func (b *box) ask(answer any, args ...string) error {
	out, err := b.command(b.t.Context(), append(args, "-json")...).Output()
	if bad := json.Unmarshal(out, answer); bad != nil {
		return fmt.Errorf("homemail %q: %w, %w: %s", args, err, bad, out)
	}
	return nil
}

func (b *box) status() string {
	out, _ := b.command(context.Background(), "setup", "-status").CombinedOutput()
	return string(out)
}

func (b *box) step(id firstboot.ID) (v firstboot.View) {
	var o firstboot.Overview
	if b.ask(&o, "setup", "-status") != nil {
		return v // it starts again with another name, perhaps
	}
	for _, s := range o.Steps {
		if s.ID == id {
			v = s
		}
	}
	return v
}

// copyRecords does what the owner does at the provider's page.
func (b *box) copyRecords(w *dnsWorld, also func(dnsplan.Record) bool) {
	b.t.Helper()
	var p admin.DNSPlan
	b.await("the records", func() bool { return b.ask(&p, "dns", "example.jp") == nil && len(p.Records) > 0 })
	for _, r := range p.Records {
		if len(r.Values) > 0 && also(r) {
			values := append([]string(nil), r.Values...)
			for i, v := range values {
				switch r.Type {
				case "TXT":
					values[i] = quoted(v)
				case "MX":
					values[i] = v + "."
				}
			}
			w.set(b.t, r.Name, r.Type, values...)
		}
	}
}

// quoted is a TXT record's text in strings of 255 bytes at most.
func quoted(v string) string {
	s := ""
	for len(v) > 255 {
		s, v = s+fmt.Sprintf("%q ", v[:255]), v[255:]
	}
	return s + fmt.Sprintf("%q", v)
}

// TestHeadless is a box without a screen: a file that says it all, an owner who
// copies records, a friend who writes, and an answer to the friend.
func TestHeadless(t *testing.T) {
	if testing.Short() {
		t.Skip("takes up to a minute")
	}
	need.Root(t)
	world := serveDNS(t)
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	_, cert, key := ca.server("mail.example.jp")
	b := newBox(t, cert, key)
	ca.dir = b.dir
	ca.write("ca.pem", "CERTIFICATE", ca.cert.Raw)
	pair, _, _ := ca.server("smtp.provider.test")
	out := serveSmarthost(t, pair)
	file := filepath.Join(b.dir, "homemail.toml")
	b.write(file, answers)

	began := time.Now()
	b.start()
	started := time.Since(began)
	b.setUp(file)
	b.await("the records that somebody copies", func() bool { return b.step(firstboot.DNS).Status == firstboot.Waiting })
	b.copyRecords(world, func(r dnsplan.Record) bool { return r.Type != "MX" })
	b.await("the records", func() bool { return b.step(firstboot.DNS).Status == firstboot.Done })
	records := time.Since(began)
	b.copyRecords(world, func(r dnsplan.Record) bool { return r.Type == "MX" })
	if err := <-b.ended; err != nil {
		t.Fatalf("setup -apply -wait: %v\n%s", err, &b.said)
	}

	text := "From: Mari <mari@friend.test>\r\nTo: taro@example.jp\r\nSubject: hello\r\nMessage-ID: <1@friend.test>\r\n\r\nAre you there?\r\n"
	friend, err := smtp.DialStartTLS(smtpDoor, &tls.Config{InsecureSkipVerify: true}) // as servers do without MTA-STS
	if err != nil {
		t.Fatal(err)
	}
	defer friend.Close()
	if err := friend.SendMail("mari@friend.test", []string{"taro@example.jp"}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	var letter *firstboot.Letter
	b.await("the first mail", func() bool { letter = b.step(firstboot.FirstMail).Found.Arrived; return letter != nil })
	shown := time.Since(began)
	t.Logf("the first mail is shown: %+v", *letter)
	if letter.From != "mari@friend.test" || letter.SPF != "pass" || letter.DMARC != "pass" || letter.Junk {
		t.Errorf("%+v", *letter)
	}

	var d admin.NewDevice
	if err := b.ask(&d, "device", "add", "taro@example.jp", "laptop"); err != nil {
		t.Fatal(err)
	}
	reply(t, d)
	b.await("the answer", func() bool { return b.step(firstboot.FirstMail).Status == firstboot.Done })
	all := time.Since(began)
	inputs := strings.Count(answers, " = ")
	t.Logf("started after %.1f s, records after %.1f s, first mail shown after %.1f s (at most %.0f), all done after %.1f s, %d inputs (at most %d)\n%s",
		started.Seconds(), records.Seconds(), shown.Seconds(), mostTime.Seconds(), all.Seconds(), inputs, mostInputs, b.status())
	if shown > mostTime || inputs > mostInputs {
		t.Error("that is too much")
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if !strings.Contains(strings.Join(out.taken, "\n"), "taro@example.jp mari@friend.test") {
		t.Errorf("the provider has taken %q", out.taken)
	}
	if left, err := os.ReadFile(file); err != nil || bytes.Contains(left, []byte(smartPassword)) || bytes.Contains(left, []byte("umbrella")) {
		t.Errorf("the file still has its secrets: %v\n%s", err, left)
	}
}

// reply answers the friend with a mail program.
func reply(t *testing.T, d admin.NewDevice) {
	t.Helper()
	c, err := smtp.DialTLS(submissionsDoor, &tls.Config{InsecureSkipVerify: true}) // whether it is right is asked elsewhere
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", string(d.Address), d.Password)); err != nil {
		t.Fatal(err)
	}
	text := "From: taro@example.jp\r\nTo: mari@friend.test\r\nSubject: Re: hello\r\nMessage-ID: <2@example.jp>\r\nDate: " + time.Now().Format(time.RFC1123Z) + "\r\n\r\nYes.\r\n"
	if err := c.SendMail("taro@example.jp", []string{"mari@friend.test"}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}
