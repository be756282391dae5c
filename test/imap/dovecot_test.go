package imap

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
	"testing"
	"time"

	"homemail/test/need"
)

const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/log
protocols = imap
ssl = required
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
mail_location = mdbox:~/mdbox
mail_attachment_detection_options =
mailbox_list_index = yes
mail_fsync = never
first_valid_uid = 1
first_valid_gid = 1
mail_attribute_dict = file:%%h/attributes
mail_plugins =
protocol imap {
  imap_metadata = yes
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Archive {
    auto = subscribe
    special_use = \Archive
  }
  mailbox Drafts {
    auto = subscribe
    special_use = \Drafts
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \Trash
  }
}
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
    port = 0
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[2]d
  }
}
`

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certificate makes one that vouches for itself.
func certificate(t testing.TB) (cert, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// startDovecot returns the address of a Dovecot that lets anybody in.
func startDovecot(t testing.TB, cert, key []byte) string {
	t.Helper()
	need.Root(t)
	need.Tools(t, "dovecot")
	dir, err := os.MkdirTemp("", "dovecot-") // one that other users may enter
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "mail"), 0o777))
	must(t, os.Chmod(filepath.Join(dir, "mail"), 0o777))
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	conf := filepath.Join(dir, "dovecot.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, dovecotConf, dir, port), 0o644))
	cmd := exec.Command("dovecot", "-F", "-c", conf)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, child()
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot's log ends:\n%s", log[max(0, len(log)-3000):])
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for range 300 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("Dovecot does not start")
	return ""
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}
