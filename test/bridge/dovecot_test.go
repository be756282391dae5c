package bridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"homemail/test/need"
)

const password = "geheim"

// A dovecot is a Dovecot with any users there may be.
type dovecot struct {
	where                    string
	cert                     string // file; it vouches for itself
	pool                     *x509.CertPool
	imap, imaps, pop3, pop3s int
}

const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/log
protocols = imap pop3
ssl = required
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
mail_location = maildir:~/Maildir
mail_fsync = never
mail_max_userip_connections = 1000
first_valid_uid = 1
first_valid_gid = 1
default_process_limit = 100
passdb {
  driver = static
  args = password=` + password + `
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=%[1]s/mail/%%u
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[2]d
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[3]d
  }
}
service pop3-login {
  inet_listener pop3 {
    address = 127.0.0.1
    port = %[4]d
  }
  inet_listener pop3s {
    address = 127.0.0.1
    port = %[5]d
  }
}
`

func startDovecot(t *testing.T) *dovecot {
	t.Helper()
	need.Root(t)
	need.Tools(t, "dovecot")
	dir, err := os.MkdirTemp("", "dovecot-") // one that other users may enter
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "mail"), 0o777))
	must(t, os.Chmod(filepath.Join(dir, "mail"), 0o777))
	d := &dovecot{where: dir, cert: filepath.Join(dir, "cert.pem"), imap: freePort(t), imaps: freePort(t), pop3: freePort(t), pop3s: freePort(t)}
	d.makeCert(t)
	conf := filepath.Join(dir, "dovecot.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, dovecotConf, dir, d.imap, d.imaps, d.pop3, d.pop3s), 0o644))
	cmd := exec.Command("dovecot", "-F", "-c", conf)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, child()
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot's log ends:\n%s", log[max(0, len(log)-4000):])
		}
	})
	for range 200 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.imaps))
		if err == nil {
			c.Close()
			return d
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("Dovecot does not start")
	return nil
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (d *dovecot) makeCert(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(t, os.WriteFile(d.cert, cert, 0o644))
	must(t, os.WriteFile(filepath.Join(d.where, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	d.pool = x509.NewCertPool()
	d.pool.AppendCertsFromPEM(cert)
}

// A sender puts messages into a user's INBOX.
type sender struct{ c *imapclient.Client }

func (d *dovecot) as(t *testing.T, user string) sender {
	t.Helper()
	c, err := imapclient.DialTLS(fmt.Sprintf("127.0.0.1:%d", d.imaps), &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: d.pool, ServerName: "localhost"},
	})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.Login(user, password).Wait())
	return sender{c}
}

func (s sender) put(m message) error {
	cmd := s.c.Append("INBOX", int64(len(m.body)), &imap.AppendOptions{Flags: m.flags, Time: m.date})
	if _, err := strings.NewReader(m.body).WriteTo(cmd); err != nil {
		return err
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	_, err := cmd.Wait()
	return err
}

func (s sender) left(t *testing.T) int {
	t.Helper()
	st, err := s.c.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
	must(t, err)
	return int(*st.NumMessages)
}
