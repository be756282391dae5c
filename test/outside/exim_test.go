package outside

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

const eximConf = `primary_hostname = mx.exim.test
exim_path = %[2]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/%%slog
log_selector = +tls_cipher +dkim_verbose
local_interfaces = 192.0.2.20
daemon_smtp_ports = 25
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
smtputf8_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
dsn_advertise_hosts = *
smtp_accept_max_per_host = 50
smtp_accept_queue_per_connection = 0
queue_run_max = 2
deliver_drop_privilege = true
domainlist here = *.exim.test
hostlist ours = 192.0.2.21
acl_smtp_rcpt = rcpt
acl_smtp_data = data

begin acl
rcpt:
  accept  hosts = +ours
  deny    !domains = +here
          message = relay not permitted
  deny    local_parts = ^nobody
          message = Unknown user
  defer   local_parts = ^grey
          !ratelimit = 1.5 / 1h / strict / $local_part@$domain
          message = Greylisted, please come back in a while
  accept
data:
  deny    condition = ${if match{$h_subject:}{unwanted}}
          message = we do not want this
  accept

begin routers
houses:
  driver = manualroute
  domains = !+here
  route_data = ${lookup{$domain}lsearch{%[1]s/houses}}
  transport = out
mailboxes:
  driver = accept
  transport = box

begin transports
box:
  driver = appendfile
  directory = %[1]s/mail
  maildir_format
  user = Debian-exim
  group = Debian-exim
  envelope_to_add
  return_path_add
  delivery_date_add

out:
  driver = smtp
  interface = 192.0.2.20
  dkim_domain = author.exim.test
  dkim_selector = exim
  dkim_private_key = %[1]s/dkim.pem
  tls_verify_certificates =
  hosts_try_dane =

begin retry
* * F,1h,5s
`

// theExim is to names below exim.test what thePostfix is to postfix.test, but
// that all of its mail is in one mailbox.
var theExim = sync.OnceValues(func() (*mta, error) {
	m := &mta{domain: "exim.test", address: "192.0.2.20", field: "Envelope-to", dir: filepath.Join(theWorld.dir, "exim")}
	m.log = filepath.Join(m.dir, "mainlog")
	spool, mail := filepath.Join(m.dir, "spool"), filepath.Join(m.dir, "mail")
	for _, d := range []string{m.dir, spool, mail} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	for dir, uid := range map[string]int{m.dir: eximID, spool: eximID, mail: eximID} {
		if err := os.Chown(dir, uid, uid); err != nil {
			return nil, err
		}
	}
	for _, key := range []string{"key.pem", "dkim.pem"} {
		if err := os.Chown(filepath.Join(m.dir, key), eximID, eximID); err != nil {
			return nil, err
		}
	}
	conf := filepath.Join(m.dir, "exim.conf")
	if err := os.WriteFile(filepath.Join(m.dir, "houses"), []byte(toHouses("h%02d.test: 198.51.100.1%02[1]d\n")), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, eximConf, m.dir, theWorld.exim), 0o644); err != nil {
		return nil, err
	}
	log, err := theWorld.daemon(theWorld.names.asking(theWorld.exim, "-C", conf, "-bdf", "-q5s"))
	if err != nil {
		return nil, err
	}
	if err := answers(m.address + ":25"); err != nil {
		b, _ := os.ReadFile(log)
		return nil, fmt.Errorf("exim: %w\n%s", err, b)
	}
	return m, nil
})

var announceExim sync.Once

// exim returns the Exim of the world.
func exim(t *testing.T) *mta {
	t.Helper()
	w := live(t, "exim4")
	announceExim.Do(func() {
		dir := filepath.Join(w.dir, "exim")
		must(t, os.MkdirAll(dir, 0o755))
		save(t, dir, w.ca.issue(t, "mx.exim.test"))
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		must(t, err)
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
		must(t, os.WriteFile(filepath.Join(dir, "dkim.pem"), pem.EncodeToMemory(block), 0o600))
		w.names.say(t, zone{
			"TXT exim._domainkey.author.exim.test": {"v=DKIM1; p=" + base64.StdEncoding.EncodeToString(public)},
			"TXT author.exim.test":                 {"v=spf1 mx -all"},
			"MX author.exim.test":                  {"10 mx.exim.test."},
			"TXT _dmarc.author.exim.test":          {"v=DMARC1; p=reject; adkim=s; aspf=s"},
			"A mx.exim.test":                       {"192.0.2.20"},
			"MX *.exim.test":                       {"10 mx.exim.test."},
			"PTR 192.0.2.20":                       {"mx.exim.test."},
		})
	})
	m, err := theExim()
	must(t, err)
	return m
}
