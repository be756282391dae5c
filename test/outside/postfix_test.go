package outside

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A mta is a far end that has mail for every name below its domain.
type mta struct {
	domain  string // postfix.test
	address string
	dir     string
	log     string
	field   string // has the address that a message came for
}

// received returns what has come for an address, each message as it is stored.
func (m *mta) received(t testing.TB, address string) (list []string) {
	t.Helper()
	return slices.DeleteFunc(maildir(t, filepath.Join(m.dir, "mail")), func(text string) bool {
		return !strings.Contains(text, m.field+": "+address+"\r\n")
	})
}

// arrives waits for the one message to an address that has all of the words.
func (m *mta) arrives(t testing.TB, address string, words ...string) (text string) {
	t.Helper()
	defer m.explain(t)
	eventually(t, fmt.Sprintf("a message with %q for %s", words, address), func() bool {
		for _, text = range m.received(t, address) {
			if hasAll(text, words...) {
				return true
			}
		}
		return false
	})
	return text
}

// notes is what the far end has noted.
func (m *mta) notes(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(m.log)
	must(t, err)
	return string(b)
}

// explain shows what the far end noted, if the test has failed.
func (m *mta) explain(t testing.TB) {
	if b, err := os.ReadFile(m.log); t.Failed() && err == nil {
		t.Logf("the log of %s:\n%s", m.domain, tail(string(b), 4000))
	}
}

func maildir(t testing.TB, dir string) (list []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		list = append(list, crlf(b))
	}
	return list
}

// The passwords of the far ends' own people.
const (
	smarthostUser     = "family"
	smarthostPassword = "long-enough-93k"
)

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
myhostname = mx.postfix.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.9/32
alias_maps =
alias_database =
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
smtp_dns_support_level = disabled
smtp_bind_address = 192.0.2.10
smtp_tls_security_level = may
smtpd_peername_lookup = no
smtputf8_enable = yes
mailbox_size_limit = 0
message_size_limit = 60000000
virtual_mailbox_domains = regexp:%[1]s/etc/domains
virtual_mailbox_base = %[1]s
virtual_mailbox_maps = static:mail/
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
virtual_uid_maps = static:8
virtual_gid_maps = static:8
transport_maps = regexp:%[1]s/etc/transport
header_checks = regexp:%[1]s/etc/header_checks
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:10024
smtpd_sasl_authenticated_header = yes
minimal_backoff_time = 2s
queue_run_delay = 2s
`

const postfixMaster = `192.0.2.10:25 inet n - n - - smtpd
192.0.2.10:587 inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 2   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
verify    unix  - - n -   1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -   - proxymap
proxywrite unix - - n -   1 proxymap
smtp      unix  - - n -   - smtp
showq     unix  n - n -   - showq
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
virtual   unix  - n n -   - virtual
anvil     unix  - - n -   1 anvil
scache    unix  - - n -   1 scache
postlog   unix-dgram n - n - 1 postlogd
`

const dovecotConf = `protocols =
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = %[1]s/passwd
}
userdb {
  driver = static
  args = uid=mail gid=mail
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = 10024
  }
}
service anvil { # it makes those wait who have had a wrong password
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
`

// thePostfix takes mail for all names below postfix.test and postfix.signed. It
// says "come back later" once to recipients whose names begin with "grey", does
// not know those that begin with "nobody", and refuses a message whose subject
// has the word "unwanted" when it has all of it. People who sign in on port 587
// may send through it. What is for names that begin with "bounces" it hands on
// to 192.0.2.11.
var thePostfix = sync.OnceValues(func() (*mta, error) {
	m := &mta{domain: "postfix.test", address: "192.0.2.10", field: "Delivered-To", dir: filepath.Join(theWorld.dir, "postfix")}
	for _, d := range []string{"etc", "queue", "data", "mail"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"main.cf":       fmt.Sprintf(postfixMain, m.dir),
		"master.cf":     postfixMaster,
		"domains":       "/\\.postfix\\.(test|signed)$/ ok\n",
		"transport":     "/^bounces@/ smtp:[192.0.2.11]:25\n" + toHouses("/@h%02d\\.test$/ smtp:[198.51.100.1%02[1]d]:25\n"),
		"header_checks": "/^Subject: .*unwanted/ REJECT we do not want this\n",
	} {
		if err := os.WriteFile(filepath.Join(m.dir, "etc", name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if out, err := exec.Command("sh", "-c", fmt.Sprintf("chown mail:mail %[1]s/mail && chown postfix %[1]s/data && cp /etc/postfix/dynamicmaps.cf %[1]s/etc/", m.dir)).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if err := startDovecot(); err != nil {
		return nil, err
	}
	if err := startPolicy(); err != nil {
		return nil, err
	}
	var err error
	m.log = filepath.Join(m.dir, "log")
	if _, err = theWorld.daemon([]string{"postfix", "-c", filepath.Join(m.dir, "etc"), "start-fg"}); err != nil {
		return nil, err
	}
	if err := answers(m.address + ":25"); err != nil {
		b, _ := os.ReadFile(m.log)
		return nil, fmt.Errorf("postfix: %w\n%s", err, b)
	}
	return m, nil
})

// toHouses repeats a line for every house that there can be.
func toHouses(line string) string {
	var b strings.Builder
	for n := range maxHouses {
		fmt.Fprintf(&b, line, n+1)
	}
	return b.String()
}

// startDovecot starts what Postfix asks about passwords.
func startDovecot() error {
	dir := filepath.Join(theWorld.dir, "dovecot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "passwd"), []byte(smarthostUser+":{PLAIN}"+smarthostPassword+"\n"), 0o644); err != nil {
		return err
	}
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, dovecotConf, dir), 0o644); err != nil {
		return err
	}
	if _, err := theWorld.daemon([]string{"dovecot", "-F", "-c", conf}); err != nil {
		return err
	}
	return answers("127.0.0.1:10024")
}

// startPolicy starts a policy service of Postfix's that lists in grey.
func startPolicy() error {
	l, err := net.Listen("tcp", "127.0.0.1:10023")
	if err != nil {
		return err
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var recipient string
				for lines := bufio.NewScanner(c); lines.Scan(); {
					name, v, _ := strings.Cut(lines.Text(), "=")
					switch name {
					case "recipient":
						recipient = v
					case "":
						mu.Lock()
						action := "DUNNO"
						if strings.HasPrefix(recipient, "nobody") {
							action = "550 5.1.1 User unknown"
						}
						if strings.HasPrefix(recipient, "grey") && !seen[recipient] {
							action = "DEFER Greylisted, please come back in a while"
						}
						seen[recipient] = true
						mu.Unlock()
						fmt.Fprintf(c, "action=%s\n\n", action)
					}
				}
			}()
		}
	}()
	return nil
}

var announcePostfix sync.Once

// postfix returns the Postfix of the world, which is started when the first
// test asks for it.
func postfix(t *testing.T) *mta {
	t.Helper()
	w := live(t, "postfix", "dovecot")
	announcePostfix.Do(func() {
		dir := filepath.Join(w.dir, "postfix")
		must(t, os.MkdirAll(dir, 0o755))
		cert := w.ca.issue(t, "mx.postfix.test", "mx.postfix.signed")
		save(t, dir, cert)
		w.names.say(t, zone{
			"A mx.postfix.test":               {"192.0.2.10"},
			"MX *.postfix.test":               {"10 mx.postfix.test."},
			"PTR 192.0.2.10":                  {"mx.postfix.test."},
			"A mx.postfix.signed":             {"192.0.2.10"},
			"MX *.postfix.signed":             {"10 mx.postfix.signed."},
			"TLSA _25._tcp.mx.postfix.signed": {tlsa(cert)},
		})
	})
	m, err := thePostfix()
	must(t, err)
	return m
}
