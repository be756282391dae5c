package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"homemail/mail"
)

// serverTLS makes a certificate that nobody trusts.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func anyTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestStartTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		want   mail.Cause
	}{
		"works":          {"< STARTTLS\n> 220 go\ntls\n< EHLO\n> 250-mx\n> 250 PIPELINING", ""},
		"refused":        {"< STARTTLS\n> 454 not now", mail.CauseReply},
		"no such":        {"< STARTTLS\n> 502 no", mail.CauseReply},
		"injected reply": {"< STARTTLS\n>> \"220 go\\r\\n250-mx\\r\\n250 AUTH PLAIN\\r\\n\"\n<all", mail.CauseBroken},
		"no TLS":         {"< STARTTLS\n> 220 go\n<octets 5\n> 250 what?\n<all", mail.CauseTLS},
		"silent":         {"< STARTTLS\n> 220 go\nhang", mail.CauseTimeout},
		"closed":         {"< STARTTLS\n> 220 go\nclose", mail.CauseTLS},
		"closed before":  {"< STARTTLS\nclose", mail.CauseLost},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, hello+"\n"+tt.script, func(t *testing.T, nc net.Conn) {
				c := dial(t, nc)
				err := c.StartTLS(t.Context(), anyTLS())
				if cause(err) != tt.want {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				if err != nil {
					if c.TLS() != nil {
						t.Error("said to be encrypted")
					}
					return
				}
				if c.Offers("PIPELINING") {
					t.Error("what was offered before TLS still counts")
				}
				if err := c.Hello(t.Context()); err != nil || !c.Offers("PIPELINING") || c.TLS() == nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestImplicitTLS(t *testing.T) {
	p := play(t, "tls\n> 220 hi\n< EHLO\n> 250 mx", func(t *testing.T, nc net.Conn) {
		c, err := NewTLS(t.Context(), nc, "box.example.test", anyTLS())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Hello(t.Context()); err != nil || c.TLS() == nil {
			t.Error(err)
		}
	})
	if p.Err != nil {
		t.Error(p.Err)
	}
}

func leafOf(config *tls.Config) []*x509.Certificate {
	c, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		panic(err)
	}
	return []*x509.Certificate{c}
}
