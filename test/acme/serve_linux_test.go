package acme

import (
	"bytes"
	"context"
	"crypto/tls"
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
	"syscall"
	"testing"
	"time"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/test/need"
)

// A house of its own network: the test runs once more in a namespace in which
// the ports are those of the real world, and where nobody else is.
const (
	stage     = "HOMEMAIL_ACME_STAGE" // set there: where the programs are
	domain    = "example.test"
	houseAddr = "203.0.113.25"
	nsAddr    = "198.51.100.1"
	dnsAddr   = "198.51.100.53"

	// inUse is from the records to a certificate at all doors. A computer that
	// does other things beside may take noise times as long.
	inUse = 30 * time.Second
	noise = 3
)

// TestServe is what an owner sees: the binary that is shipped, a domain without
// records, the printed zone published at Knot, Unbound between, Pebble as the CA.
func TestServe(t *testing.T) {
	need.Root(t)
	need.Tools(t, "go", "ip", "knotd", "knotc", "unbound", "openssl", "python3")
	if os.Getenv(stage) == "" {
		enter(t)
		return
	}
	w := newWorld(t)
	w.first(t)
	w.agree(t)
	w.publish(t)
	w.programs(t)
	w.restart(t)
}

// enter runs this test in a network of its own.
func enter(t *testing.T) {
	tools.once.Do(func() { tools.failed = build() })
	if tools.failed != nil {
		t.Fatal("Pebble cannot be built: ", tools.failed)
	}
	bin := filepath.Join(t.TempDir(), "homemail")
	if out, err := exec.Command("go", "build", "-o", bin, "homemail/cmd/homemail").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestServe$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), stage+"="+strings.Join([]string{tools.bin, tools.certs, bin}, ":"))
	cmd.SysProcAttr = child()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%s", out)
}

// A world is one house, the servers that it needs, and what it did so far.
type world struct {
	dir, binary string
	ca          *ca
	askedCA     func() int64 // connections to the CA
	house       *exec.Cmd
	exited      chan error
}

func newWorld(t *testing.T) *world {
	programs := strings.Split(os.Getenv(stage), ":")
	tools.once.Do(func() { tools.bin, tools.certs, tools.lent = programs[0], programs[1], true })
	w := &world{dir: t.TempDir(), binary: programs[2]}
	command(t, "ip", "link", "set", "lo", "up")
	for _, a := range []string{houseAddr, nsAddr, dnsAddr} {
		command(t, "ip", "addr", "add", a+"/32", "dev", "lo")
	}
	w.serveDNS(t)
	w.ca = startCA(t, caPlan{http: 80, tls: 443, dns: nsAddr + ":53"})
	at, seen := relay(t, strings.TrimSuffix(strings.TrimPrefix(w.ca.directory, "https://"), "/dir"))
	w.askedCA = seen.Load
	conf := fmt.Sprintf(houseConf, host, w.path("data"), "https://"+at+"/dir", filepath.Join(tools.certs, "pebble.minica.pem"), dnsAddr)
	for _, d := range doors {
		conf += fmt.Sprintf("%s = [\"%s:%d\"]\n", d.name, houseAddr, d.port)
	}
	w.write(t, "config.toml", conf)
	w.write(t, "issued.pem", string(w.ca.root))
	w.start(t)
	return w
}

const houseConf = `host_name = %q
data = %q
[acme]
directory = %q
roots = %q
[dns]
server = %q
[lan]
name = ""
router = false
[connections]
smtp_per_ip = 100
imap_per_ip = 100
pop3_per_ip = 100
web_per_ip = 100
new_per_second = 1000
new_at_once = 1000
[listen]
status = []
lan_only = []
`

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs a program that has to succeed, and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.Bytes(), said.Bytes())
	}
	return out.String()
}

// daemon runs a program until the test ends.
func (w *world) daemon(t *testing.T, name string, args ...string) (cmd *exec.Cmd, exited chan error) {
	t.Helper()
	log, err := os.OpenFile(w.path(filepath.Base(name)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd = exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, child()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited = make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", name, b)
		}
	})
	return cmd, exited
}

// start starts the house and waits until it can be asked.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.house, w.exited = w.daemon(t, w.binary, "serve", "-config", w.path("config.toml"))
	await(t, "a house that runs", patience, func() bool {
		c, err := net.Dial("tcp", houseAddr+":443")
		if err != nil {
			return false // a command would open the store itself
		}
		c.Close()
		return exec.Command(w.binary, "certificate", "-config", w.path("config.toml")).Run() == nil
	})
}

// ask runs a command of the owner's, which has to succeed.
func (w *world) ask(t *testing.T, words ...string) string {
	t.Helper()
	return command(t, w.binary, append(words, "-config", w.path("config.toml"))...)
}

const head = `$TTL 300
example.test. IN SOA ns.example.test. hostmaster.example.test. %d 3600 600 86400 3600
example.test. IN NS ns.example.test.
ns.example.test. IN A ` + nsAddr + `
`

const knotConf = `server:
  listen: ` + nsAddr + `@53
  rundir: "%[1]s"
database:
  storage: "%[1]s/db"
zone:
  - domain: example.test.
    file: "%[1]s/example.zone"
    zonefile-sync: -1
`

// unboundConf remembers for long that there was nothing, as resolvers do.
const unboundConf = `server:
  interface: ` + dnsAddr + `
  access-control: 0.0.0.0/0 allow
  directory: "%[1]s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  local-zone: "test." nodefault
stub-zone:
  name: "example.test."
  stub-addr: ` + nsAddr + `
`

// serveDNS starts the servers of a zone in which nothing stands yet.
func (w *world) serveDNS(t *testing.T) {
	t.Helper()
	w.write(t, "example.zone", fmt.Sprintf(head, 1))
	w.write(t, "knot.conf", fmt.Sprintf(knotConf, w.dir))
	w.write(t, "unbound.conf", fmt.Sprintf(unboundConf, w.dir))
	if err := os.Mkdir(w.path("db"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.daemon(t, "knotd", "-c", w.path("knot.conf"))
	w.daemon(t, "unbound", "-c", w.path("unbound.conf"))
	await(t, "the DNS", patience, func() bool {
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, dnsAddr+":53")
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.LookupHost(ctx, "ns."+domain)
		return err == nil
	})
}

// A door is where certificates are shown.
type door struct {
	name  string
	port  int
	names []string
	up    [][2]string // what to say before TLS, and what the last line of the answer begins with
}

var doors = func() []door {
	esmtp := [][2]string{{"", "220 "}, {"EHLO client.example\r\n", "250 "}, {"STARTTLS\r\n", "220 "}}
	return []door{
		{"smtp", 25, names[:1], esmtp},
		{"submission", 587, names[:1], esmtp},
		{"submissions", 465, names[:1], nil},
		{"imap", 143, names[:1], [][2]string{{"", "* OK"}, {"a STARTTLS\r\n", "a OK"}}},
		{"imaps", 993, names[:1], nil},
		{"pop3", 110, names[:1], [][2]string{{"", "+OK"}, {"STLS\r\n", "+OK"}}},
		{"pop3s", 995, names[:1], nil},
		{"https", 443, names, nil},
		{"http", 80, nil, nil},
	}
}()

// shown is what a door shows to a client that trusts the CA only.
func (w *world) shown(d door, name string) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(houseAddr, strconv.Itoa(d.port)), 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	for _, step := range d.up {
		if err := say(conn, step[0], step[1]); err != nil {
			return nil, err
		}
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: w.ca.issued, ServerName: name})
	if err := secure.Handshake(); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", d.name, name, err)
	}
	return secure.ConnectionState().PeerCertificates[0].Raw, nil
}

// say reads no further than the answer: after it TLS begins.
func say(c net.Conn, text, answer string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return err
		}
		if line = append(line, b[0]); b[0] != '\n' {
			continue
		}
		if bytes.HasPrefix(line, []byte(answer)) {
			return nil
		}
		line = nil
	}
}

// everywhere returns what each door shows for each of its names.
func (w *world) everywhere() (map[string]string, error) {
	seen := map[string]string{}
	for _, d := range doors {
		for _, name := range d.names {
			raw, err := w.shown(d, name)
			if err != nil {
				return nil, err
			}
			seen[d.name+" "+name] = string(raw)
		}
	}
	return seen, nil
}

// first is a fresh house: it answers with a certificate of its own, and nobody
// hears of it.
func (w *world) first(t *testing.T) {
	w.ask(t, "domain", "add", domain)
	w.ask(t, "account", "add", "anna@"+domain)
	w.ask(t, "route", "set", "default", "direct")
	time.Sleep(time.Second)
	if out := w.ask(t, "certificate"); !strings.Contains(out, "homemail certificate agree") || !strings.Contains(out, "made by this server itself") {
		t.Errorf("before the owner has agreed:\n%s", out)
	}
	if n := w.askedCA(); n != 0 || w.ca.accounts()+w.ca.orders() != 0 {
		t.Errorf("%d connections to the CA before the owner has agreed", n)
	}
}

// agree is not enough as long as the names lead nowhere.
func (w *world) agree(t *testing.T) {
	w.ask(t, "certificate", "agree", "-email", "anna@"+domain)
	want := host + " is not in the DNS yet: publish the records that `homemail dns` shows"
	await(t, "the name that is not there yet", patience, func() bool {
		return strings.Contains(strings.ToLower(w.ask(t, "certificate")), strings.ToLower(want))
	})
	if w.ca.orders() != 0 {
		t.Error("an order for a name that leads nowhere")
	}
	if out, err := exec.Command(w.binary, "dns", domain, "-ip", houseAddr, "-config", w.path("config.toml")).CombinedOutput(); err == nil {
		t.Errorf("no record is there, but all is well:\n%s", out)
	}
}

// publish puts what homemail prints into the zone, to the byte.
func (w *world) publish(t *testing.T) {
	zone := w.ask(t, "dns", domain, "-zone", "-ip", houseAddr)
	w.write(t, "example.zone", fmt.Sprintf(head, 2)+zone)
	command(t, "knotc", "-b", "-c", w.path("knot.conf"), "zone-reload", domain)
	var last error
	began := time.Now()
	for {
		if _, last = w.everywhere(); last == nil || time.Since(began) > noise*inUse {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if last != nil {
		t.Fatalf("%v after %v\n%s", last, time.Since(began), w.ask(t, "certificate"))
	}
	t.Logf("%v from the records to certificates of %d names in use at %d doors", time.Since(began).Round(10*time.Millisecond), len(names), len(doors)-1)
	if w.ca.orders() != len(names) || w.ca.accounts() != 1 {
		t.Errorf("%d orders for %d names, %d accounts", w.ca.orders(), len(names), w.ca.accounts())
	}
	if out := w.ask(t, "certificate"); strings.Count(out, "trusted: by Pebble") != len(names) || !strings.Contains(out, "Fingerprint of the certificate of "+host) {
		t.Errorf("homemail certificate:\n%s", out)
	}
}

// web fetches a page over HTTPS that is verified, from the house.
func (w *world) web(t *testing.T, url string) []byte {
	t.Helper()
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.ca.issued},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(houseAddr, port))
		},
		DisableKeepAlives: true,
	}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", url, resp.Status, err, b)
	}
	return b
}

// programs are what looks at a house from outside: the comparison of its
// records, other mail servers, mail programs, phones.
func (w *world) programs(t *testing.T) {
	// The DNS that is between remembers for an hour that there was nothing; the
	// comparison has to say what is so.
	var plan admin.DNSPlan
	if err := json.Unmarshal([]byte(w.ask(t, "dns", domain, "-json")), &plan); err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, r := range plan.Results {
		if r.State != dnsplan.Correct || len(r.Servers) != 1 || r.Servers[0].State != dnsplan.Correct {
			t.Errorf("%s %s is %s: %+v", r.Record.Type, r.Record.Name, r.State, r.Servers)
		}
		if r.Record.Name == "_mta-sts."+domain {
			id = r.Record.Values[0]
		}
	}
	policy := string(w.web(t, "https://mta-sts."+domain+"/.well-known/mta-sts.txt"))
	if policy != dnsplan.STSPolicy("testing", host) || !strings.Contains(id, dnsplan.STSID(policy)) {
		t.Errorf("the policy %q does not have the id of %q", policy, id)
	}
	w.thunderbird(t)
	w.phone(t)
	for _, name := range []string{host, "autoconfig." + domain} {
		page := string(w.web(t, "https://"+name+"/setup?address=anna%40"+domain))
		if !strings.Contains(page, "anna@"+domain+"</h1>") || !strings.Contains(page, "<dd>993</dd>") || !strings.Contains(page, "<svg ") {
			t.Errorf("the page at %s:\n%s", name, page)
		}
	}
}

// thunderbird reads its settings with Expat, as Thunderbird does.
func (w *world) thunderbird(t *testing.T) {
	w.write(t, "config-v1.1.xml", string(w.web(t, "https://autoconfig."+domain+"/mail/config-v1.1.xml?emailaddress=anna%40"+domain)))
	got := command(t, "python3", "-c", `import sys, xml.etree.ElementTree as x
r = x.parse(sys.argv[1]).getroot().find("emailProvider")
print(*[r.find(k).findtext(v) for k in ("incomingServer", "outgoingServer") for v in ("hostname", "port", "socketType", "username")])`, w.path("config-v1.1.xml"))
	if want := host + " 993 SSL %EMAILADDRESS% " + host + " 465 SSL %EMAILADDRESS%"; strings.TrimSpace(got) != want {
		t.Errorf("Thunderbird is told %q, want %q", got, want)
	}
}

// phone verifies the signature of a profile with OpenSSL, as a device does
// before it shows whom it is from, and reads it with Python's plistlib.
func (w *world) phone(t *testing.T) {
	w.write(t, "mail.mobileconfig", string(w.web(t, "https://"+host+"/.mobileconfig?address=anna%40"+domain)))
	command(t, "openssl", "cms", "-verify", "-inform", "DER", "-in", w.path("mail.mobileconfig"), "-CAfile", w.path("issued.pem"),
		"-purpose", "sslserver", "-signer", w.path("signer.pem"), "-out", w.path("mail.plist"))
	if out := command(t, "openssl", "x509", "-in", w.path("signer.pem"), "-noout", "-checkhost", host); !strings.Contains(out, "does match certificate") {
		t.Errorf("it is signed by another: %s", out)
	}
	got := command(t, "python3", "-c", `import sys, plistlib
p, = plistlib.load(open(sys.argv[1], "rb"))["PayloadContent"]
print(p["PayloadType"], p["EmailAddress"], *[p[k + v] for k in ("IncomingMailServer", "OutgoingMailServer") for v in ("HostName", "PortNumber", "UseSSL", "Username")])`, w.path("mail.plist"))
	anna := "anna@" + domain
	if want := "com.apple.mail.managed " + anna + " " + host + " 993 True " + anna + " " + host + " 465 True " + anna; strings.TrimSpace(got) != want {
		t.Errorf("the profile has %q, want %q", got, want)
	}
}

// restart shows what is stored, at once, and orders nothing.
func (w *world) restart(t *testing.T) {
	before, err := w.everywhere()
	if err != nil {
		t.Fatal(err)
	}
	w.house.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-w.exited:
		w.exited <- err
		if err != nil {
			t.Errorf("stopping: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the house does not stop")
	}
	w.start(t)
	after, err := w.everywhere()
	if err != nil {
		t.Fatal(err)
	}
	for d, raw := range before {
		if after[d] != raw {
			t.Errorf("%s shows another certificate after a restart", d)
		}
	}
	rest := func() bool { return strings.Count(w.ask(t, "certificate"), "trusted: by Pebble") == len(names) }
	await(t, "rest", patience, rest)
	time.Sleep(3 * time.Second)
	if w.ca.orders() != len(names) || !rest() {
		t.Errorf("%d orders after a restart", w.ca.orders())
	}
}
