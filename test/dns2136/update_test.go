// Package dns2136 publishes a plan to a Knot of its own by dynamic updates that
// are signed, RFC 2136 and RFC 8945.
package dns2136

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/test/need"
)

const (
	key     = "aG9tZW1haWwgaG9tZW1haWwgaG9tZW1haWwgaG9tZSE="
	fullRSA = "v=DKIM1; k=rsa; p=" // and 392 characters of a key of 2048 bits
)

const conf = `server:
    listen: %[2]s
    rundir: %[1]s
    user: root
log:
  - target: stderr
    any: info
database:
    storage: %[1]s/db
control:
    listen: %[1]s/knot.sock
key:
  - id: homemail
    algorithm: hmac-sha256
    secret: %[3]s
acl:
  - id: ours
    key: homemail
    action: [transfer, update]
policy:
  - id: p
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: %[1]s
    file: %%s.zone
    acl: ours
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
  - domain: example.org
    dnssec-signing: on
    dnssec-policy: p
`

const zone = `$ORIGIN example.org.
$TTL 3600
@ SOA ns1.example.org. hostmaster.example.org. 1 3600 600 86400 300
@ NS ns1
@ A 198.51.100.80
@ MX 1 mx.mailhost.example.
@ MX 5 mx2.mailhost.example.
@ 7200 TXT "google-site-verification=abc"
@ 7200 TXT "caf\195\169 \"x\" \\ y" "two"
@ 7200 TXT "v=spf1 include:_spf.mailhost.example -all"
_dmarc TXT "v=DMARC1; p=none; rua=mailto:reports@others.example"
autodiscover CNAME autodiscover.mailhost.example.
ns1 A 127.0.0.1
www CNAME web.example.
`

// start runs a Knot with a zone at an address, which it returns.
func start(t *testing.T, host, port, zone string) string {
	t.Helper()
	need.Tools(t, "knotd", "knotc")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "knot.conf"), fmt.Sprintf(conf, dir, host+"@"+port, key))
	write(t, filepath.Join(dir, "example.org.zone"), zone)
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("knotd", "-c", filepath.Join(dir, "knot.conf"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s", b)
		}
	})
	server := net.JoinHostPort(host, port)
	for range 100 {
		if list, err := lookup(server, "example.org", dns.TypeSOA); err == nil && len(list) > 0 {
			return server
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("Knot does not answer")
	return ""
}

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

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lookup asks the server as anybody does.
func lookup(server, name string, rtype uint16) ([]string, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), rtype)
	c := dns.Client{Net: "tcp", Timeout: time.Second}
	a, _, err := c.Exchange(m, server)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rr := range a.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return out, nil
}

func plan(t *testing.T) []dnsplan.Record {
	t.Helper()
	list, err := dnsplan.Plan(dnsplan.Input{
		Domain: "example.org", Host: "mail.example.org", Mode: dnsplan.Direct,
		Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")},
		DKIM:  []dnsplan.TXT{{Name: "k1._domainkey", Value: fullRSA + strings.Repeat("QUJD", 98)}},
		Ports: dnsplan.Ports{Submissions: 465, IMAPS: 993, HTTPS: 443}, STSMode: "testing", Web: true,
		CA:   dnsplan.CA{Domain: "ca.example", Account: "https://ca.example/acct/1"},
		TLSA: [][]byte{make([]byte, 32)}, Signed: true,
		DMARCReports: "dmarc@example.org",
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func open(t *testing.T, server, secret string) publish.Zone {
	t.Helper()
	p, err := publish.Open("rfc2136", map[string]string{"server": server, "key_name": "homemail", "key": secret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return publish.Zone{Name: "example.org", Provider: p}
}

type shelf map[string][]byte

var errNothing = errors.New("nothing")

func (s shelf) State(path string) ([]byte, error) {
	if v, ok := s[path]; ok {
		return v, nil
	}
	return nil, errNothing
}

func (s shelf) PutState(path string, v []byte) error { s[path] = v; return nil }

func TestKnot(t *testing.T) {
	server := start(t, "127.0.0.1", freePort(t), zone)
	p := publish.New(publish.Options{Store: shelf{}, NotFound: errNothing})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := p.Plan(ctx, open(t, server, "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3JvbmchIQ=="), plan(t)); err == nil {
		t.Fatal("read with a wrong key")
	}
	z := open(t, server, key)
	c, err := p.Plan(ctx, z, plan(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", c)
	if r, err := p.Apply(ctx, z, c); err != nil {
		t.Fatal(err, r.Text().EN)
	}
	see := func(name string, rtype uint16, want ...string) {
		t.Helper()
		got, err := lookup(server, name, rtype)
		if err != nil || !sameSet(got, want) {
			t.Errorf("%s %s: %q %v, want %q", name, dns.TypeToString[rtype], got, err, want)
		}
	}
	old := []string{"1 mx.mailhost.example.", "5 mx2.mailhost.example."}
	see("example.org", dns.TypeMX, old...)
	see("example.org", dns.TypeTXT, `"google-site-verification=abc"`, `"caf\195\169 \"x\" \\ y" "two"`, `"v=spf1 a:mail.example.org include:_spf.mailhost.example -all"`)
	see("example.org", dns.TypeA, "198.51.100.80")
	see("mail.example.org", dns.TypeAAAA, "2001:db8::25")
	see("autodiscover.example.org", dns.TypeCNAME, "mail.example.org.")
	see("_25._tcp.mail.example.org", dns.TypeTLSA, "3 1 1 "+strings.Repeat("00", 32))
	see("mail.example.org", dns.TypeCAA, `0 issue "ca.example; accounturi=https://ca.example/acct/1"`)
	if got, err := lookup(server, "k1._domainkey.example.org", dns.TypeTXT); err != nil || len(got) != 1 || strings.ReplaceAll(got[0], `" "`, "") != `"`+fullRSA+strings.Repeat("QUJD", 98)+`"` {
		t.Errorf("DKIM: %q %v", got, err)
	}
	if again, err := p.Plan(ctx, z, plan(t)); err != nil || len(again.Steps) > 0 || len(again.MX) != 1 {
		t.Errorf("planned again: %v\n%s", err, again)
	}
	if _, err := p.SwitchMX(ctx, z, c); err != nil {
		t.Fatal(err)
	}
	see("example.org", dns.TypeMX, "10 mail.example.org.")
	if again, err := p.Plan(ctx, z, plan(t)); err != nil || !again.None() {
		t.Errorf("planned at the end: %v\n%s", err, again)
	}
	if c, err = p.PlanRestoreMX(ctx, z, "example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.RestoreMX(ctx, z, c); err != nil {
		t.Fatal(err)
	}
	see("example.org", dns.TypeMX, old...)
}

func sameSet(a, b []string) bool {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
