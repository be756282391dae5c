// Package dns_test loads the zones that dnsplan prints, to the byte, into
// servers that others wrote, and looks at them with what an owner would.
package dns_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"homemail/dnsplan"
	"homemail/resolver"
	"homemail/test/need"
)

// The zones that the servers have. Both name servers have addresses of which
// the resolver of the test knows where they really are.
const (
	ascii = "example.org"
	idn   = "xn--r8jz45g.xn--zckzah" // 例え.テスト

	knotAddr, bindAddr = "198.51.100.1:53", "198.51.100.2:53"
)

// head is what stands in a zone before the records of the plan: what others
// have put there. The texts are too many for one datagram.
func head(zone string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL 300\n%[1]s. IN SOA ns1.%[1]s. hostmaster.%[1]s. 1 3600 600 86400 300\n", zone)
	fmt.Fprintf(&b, "%[1]s. IN NS ns1.%[1]s.\n%[1]s. IN NS ns2.%[1]s.\nns1.%[1]s. IN A 198.51.100.1\nns2.%[1]s. IN A 198.51.100.2\nwww.%[1]s. IN A 198.51.100.80\n", zone)
	for i := range 12 {
		fmt.Fprintf(&b, "%s. IN TXT \"somebody-%02d=%s\"\n", zone, i, strings.Repeat("x", 180))
	}
	return b.String()
}

// root delegates to both zones, and vouches for keys.
const root = `$TTL 300
. IN SOA ns. hostmaster. 1 3600 600 86400 300
. IN NS ns.
ns. IN A 198.51.100.53
example.org. IN NS ns1.example.org.
example.org. IN NS ns2.example.org.
ns1.example.org. IN A 198.51.100.1
ns2.example.org. IN A 198.51.100.2
xn--r8jz45g.xn--zckzah. IN NS ns1.xn--r8jz45g.xn--zckzah.
ns1.xn--r8jz45g.xn--zckzah. IN A 198.51.100.1
mailgun.org. IN TXT "v=spf1 ip4:192.0.2.0/24 ~all"
`

const knotConf = `server:
  listen: 127.0.0.1@%[2]d
  rundir: "%[1]s"
  user: root
database:
  storage: "%[1]s/db"
policy:
  - id: p
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: "%[1]s"
    file: knot-%%s.zone
    zonefile-load: difference-no-serial
    zonefile-sync: -1
    journal-content: all
zone:
  - domain: .
    file: root.zone
  - domain: example.org.
%[3]s
  - domain: xn--r8jz45g.xn--zckzah.
%[3]s
`

const namedConf = `options {
	directory "%[1]s"; key-directory "%[1]s/keys"; pid-file none; session-keyfile none;
	listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; allow-transfer { none; }; notify no; dnssec-validation no;
};
controls { };
zone "example.org" { type primary; file "bind-example.org.zone"; %[3]s };
zone "xn--r8jz45g.xn--zckzah" { type primary; file "bind-xn--r8jz45g.xn--zckzah.zone"; %[3]s };
`

const unboundConf = `server:
  interface: 127.0.0.1@%[2]d
  directory: "%[1]s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
%[4]s
stub-zone:
  name: "."
  stub-addr: 127.0.0.1@%[3]d
stub-zone:
  name: "example.org."
  stub-addr: 127.0.0.1@%[3]d
stub-zone:
  name: "xn--r8jz45g.xn--zckzah."
  stub-addr: 127.0.0.1@%[3]d
`

// A world is Knot and BIND, which are both responsible for the zones, and
// Unbound, which asks Knot.
type world struct {
	t                   *testing.T
	dir                 string
	knot, bind, unbound int // ports
	daemons             map[string]*exec.Cmd
	resolver            *resolver.Resolver
}

// newWorld starts the servers with what dnsplan printed for each zone; stale is
// what BIND has for the ASCII one, if it is another.
func newWorld(t *testing.T, printed map[string]string, stale *string, signed bool) *world {
	t.Helper()
	need.Tools(t, "knotd", "keymgr", "named", "unbound")
	w := &world{t: t, dir: t.TempDir(), knot: freePort(t), bind: freePort(t), unbound: freePort(t), daemons: map[string]*exec.Cmd{}}
	for _, d := range []string{"db", "keys"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, zone := range []string{ascii, idn} {
		w.write("printed-"+zone+".zone", printed[zone])
		w.write("knot-"+zone+".zone", head(zone)+"$INCLUDE "+w.path("printed-"+zone+".zone")+"\n")
		body := printed[zone]
		if zone == ascii && stale != nil {
			body = *stale
		}
		w.write("late-"+zone+".zone", body)
		w.write("bind-"+zone+".zone", head(zone)+"$INCLUDE "+w.path("late-"+zone+".zone")+"\n")
	}
	knotSign, bindSign, anchor := "", "", ""
	if signed {
		knotSign, bindSign = "    dnssec-signing: on\n    dnssec-policy: p", "dnssec-policy default; inline-signing yes;"
	}
	w.write("root.zone", root)
	w.write("knot.conf", fmt.Sprintf(knotConf, w.dir, w.knot, knotSign))
	w.write("named.conf", fmt.Sprintf(namedConf, w.dir, w.bind, bindSign))
	w.start("knotd", "-c", w.path("knot.conf"))
	w.start("named", "-g", "-c", w.path("named.conf"))
	for _, zone := range []string{ascii, idn} {
		w.await("knotd", w.knot, zone, signed)
		w.await("named", w.bind, zone, signed)
	}
	if signed {
		anchor = w.vouch()
	}
	w.write("unbound.conf", fmt.Sprintf(unboundConf, w.dir, w.unbound, w.knot, anchor))
	w.start("unbound", "-c", w.path("unbound.conf"))
	w.await("unbound", w.unbound, ascii, false)
	w.resolver = resolver.New(resolver.Options{Server: fmt.Sprintf("127.0.0.1:%d", w.unbound), CacheSize: -1, Dial: w.dial})
	return w
}

// vouch puts Knot's key into the root, and returns what Unbound trusts.
func (w *world) vouch() string {
	out, err := exec.Command("keymgr", "-c", w.path("knot.conf"), ascii+".", "ds").CombinedOutput()
	if err != nil {
		w.t.Fatalf("keymgr: %v\n%s", err, out)
	}
	ds := strings.Split(strings.TrimSpace(string(out)), "\n")[0]
	owner, rest, _ := strings.Cut(ds, " DS ")
	w.write("root.zone", strings.Replace(root, ". 1 3600", ". 2 3600", 1)+owner+" IN DS "+rest+"\n")
	if out, err := exec.Command("knotc", "-b", "-c", w.path("knot.conf"), "zone-reload", ".").CombinedOutput(); err != nil {
		w.t.Fatalf("knotc: %v\n%s", err, out)
	}
	return `  trust-anchor: "` + ds + `"`
}

// dial finds the servers where they really are.
func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	switch addr {
	case knotAddr:
		addr = fmt.Sprintf("127.0.0.1:%d", w.knot)
	case bindAddr:
		addr = fmt.Sprintf("127.0.0.1:%d", w.bind)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (w *world) comparer() *dnsplan.Comparer {
	return dnsplan.NewComparer(dnsplan.Options{DNS: w.resolver})
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(name string, args ...string) {
	w.t.Helper()
	log, err := os.Create(w.path(name + ".log"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, w.dir
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.daemons[name] = cmd
	w.t.Cleanup(func() { w.stop(name) })
}

func (w *world) stop(name string) {
	if cmd := w.daemons[name]; cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
		delete(w.daemons, name)
	}
}

// await waits until a server has a zone, and has signed it.
func (w *world) await(name string, port int, zone string, signed bool) {
	w.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(zone+".", dns.TypeSOA)
	if signed {
		m.SetQuestion(zone+".", dns.TypeDNSKEY)
	}
	client := &dns.Client{Timeout: 200 * time.Millisecond, Net: "tcp"}
	for range 200 {
		if in, _, err := client.Exchange(m, fmt.Sprintf("127.0.0.1:%d", port)); err == nil && len(in.Answer) > 0 {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	log, _ := os.ReadFile(w.path(name + ".log"))
	w.t.Fatalf("%s does not have %s:\n%s", name, zone, log)
}

// freePort is one that is free over both protocols.
func freePort(t *testing.T) int {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr)
		c, err := net.ListenPacket("udp", addr.String())
		l.Close()
		if err == nil {
			c.Close()
			return addr.Port
		}
	}
	t.Fatal("no free port")
	return 0
}
