package outside

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// zone is what the DNS says, in the words of mailtest.Zone: "MX far.test" and
// its records as in a zone file. TXT records are written without quotes.
type zone map[string][]string

// Names below these are signed; those of all others are not.
const (
	signedZone = "signed" // the resolver can validate it
	bogusZone  = "bogus"  // signed, with another key than the resolver trusts
)

const (
	knotPort   = 5301
	namesPort  = 5300
	namesThere = "127.0.0.1:5300"
)

// names is the DNS of the world: Knot has all zones, and Unbound validates.
type names struct {
	dir string
	mu  sync.Mutex
	all zone
}

const knotConf = `server:
    listen: 127.0.0.1@%[2]d
    rundir: %[1]s
    user: root
log:
  - target: stderr
    any: info
database:
    storage: %[1]s/db
control:
    listen: %[1]s/knot.sock
policy:
  - id: p
    algorithm: ecdsap256sha256
    single-type-signing: on
    dnskey-ttl: 1
    zone-max-ttl: 1
template:
  - id: default
    storage: %[1]s
    file: %%s.zone
    zonefile-load: difference-no-serial
    zonefile-sync: -1
    journal-content: all
zone:
  - domain: .
    file: root.zone
  - domain: signed.
    dnssec-signing: on
    dnssec-policy: p
  - domain: bogus.
    dnssec-signing: on
    dnssec-policy: p
`

// The zones that resolvers answer by themselves, RFC 6303 and RFC 6761, are to
// be asked for like all others.
const unboundConf = `server:
  interface: 127.0.0.1@%[2]d
  interface: 127.0.0.9@53
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
  local-zone: "test." nodefault
  local-zone: "2.0.192.in-addr.arpa." nodefault
  local-zone: "100.51.198.in-addr.arpa." nodefault
  local-zone: "8.b.d.0.1.0.0.2.ip6.arpa." nodefault
  trust-anchor: "%[4]s"
  trust-anchor: "bogus. DS 1 13 2 00000000000000000000000000000000000000000000000000000000000000ff"
stub-zone:
  name: "."
  stub-addr: 127.0.0.1@%[3]d
`

func startNames(w *world) (*names, error) {
	n := &names{dir: filepath.Join(w.dir, "dns"), all: zone{}}
	if err := os.MkdirAll(filepath.Join(n.dir, "db"), 0o700); err != nil {
		return nil, err
	}
	if err := n.write(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(n.resolv(), []byte("nameserver 127.0.0.9\n"), 0o644); err != nil {
		return nil, err
	}
	conf := filepath.Join(n.dir, "knot.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, knotConf, n.dir, knotPort), 0o600); err != nil {
		return nil, err
	}
	log, err := w.daemon([]string{"knotd", "-c", conf})
	if err != nil {
		return nil, err
	}
	trusted, err := n.anchor()
	if err != nil {
		b, _ := os.ReadFile(log)
		return nil, fmt.Errorf("knot: %w\n%s", err, b)
	}
	conf = filepath.Join(n.dir, "unbound.conf")
	text := fmt.Appendf(nil, unboundConf, n.dir, namesPort, knotPort, trusted)
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		return nil, err
	}
	if log, err = w.daemon([]string{"unbound", "-c", conf}); err != nil {
		return nil, err
	}
	if err := answers(namesThere); err != nil {
		b, _ := os.ReadFile(log)
		return nil, fmt.Errorf("unbound: %w\n%s", err, b)
	}
	return n, nil
}

// anchor waits until the signed zone is, and returns the DS record of its key.
func (n *names) anchor() (ds string, err error) {
	var out []byte
	for range 100 {
		time.Sleep(50 * time.Millisecond)
		if err := n.knotc("zone-check"); err != nil {
			continue
		}
		out, err = exec.Command("keymgr", "-c", filepath.Join(n.dir, "knot.conf"), signedZone+".", "ds").CombinedOutput()
		if ds, _, found := strings.Cut(string(out), "\n"); err == nil && found {
			return ds, nil
		}
	}
	return "", fmt.Errorf("no key: %w\n%s", err, out)
}

func answers(server string) (err error) {
	for range 100 {
		var c net.Conn
		if c, err = net.Dial("tcp", server); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func (n *names) knotc(args ...string) error {
	out, err := exec.Command("knotc", append([]string{"-b", "-c", filepath.Join(n.dir, "knot.conf")}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("knotc %s: %w: %s", args, err, out)
	}
	return nil
}

// asking is a command line that runs a program for which the DNS of the world
// is the system's.
func (n *names) asking(words ...string) []string {
	return append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, n.resolv()}, words...)
}

func (n *names) resolv() string { return filepath.Join(n.dir, "resolv.conf") }

// say lets the DNS say more, and in place of what it said of the same names.
// Records of which there are none go away.
func (n *names) say(t testing.TB, z zone) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.Copy(n.all, z)
	must(t, n.write())
	must(t, n.knotc("zone-reload"))
}

// write writes the files of all zones.
func (n *names) write() error {
	files := map[string]*strings.Builder{"root": {}, signedZone: {}, bogusZone: {}}
	for name, b := range files {
		fmt.Fprintf(b, "$ORIGIN %s\n$TTL 1\n@ SOA ns.test. root.test. 1 3600 600 86400 1\n@ NS ns.test.\n", strings.Replace(name+".", "root.", ".", 1))
	}
	fmt.Fprintf(files["root"], "ns.test. A 127.0.0.1\nsigned. NS ns.test.\nbogus. NS ns.test.\n")
	for _, key := range slices.Sorted(maps.Keys(n.all)) {
		kind, name, _ := strings.Cut(key, " ")
		labels := strings.Split(name, ".")
		b := files[labels[len(labels)-1]]
		if b == nil {
			b = files["root"]
		}
		if kind == "PTR" {
			name = reverse(name)
		}
		for _, v := range n.all[key] {
			if kind == "TXT" {
				v = quote(v)
			}
			fmt.Fprintf(b, "%s. %s %s\n", name, kind, v)
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name+".zone"), []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// quote splits a text into the strings of a TXT record, of 255 bytes at most.
func quote(text string) string {
	var parts []string
	for part := range slices.Chunk([]byte(text), 255) {
		parts = append(parts, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(part))+`"`)
	}
	return strings.Join(parts, " ")
}

// reverse is the name of an IPv4 address in the DNS.
func reverse(addr string) string {
	parts := strings.Split(addr, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + ".in-addr.arpa"
}
