package firstboot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"
)

// A dnsWorld is all the DNS there is.
type dnsWorld struct {
	mu   sync.Mutex
	rows map[string][]dns.RR // by name and type
}

// zones are those that the world has.
func zones() []string {
	return []string{".", "jp.", "test.", "example.jp.", "friend.test.", "provider.test."}
}

func serveDNS(t *testing.T) *dnsWorld {
	t.Helper()
	w := &dnsWorld{rows: map[string][]dns.RR{}}
	pc, err := net.ListenPacket("udp", dnsAddress+":53")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", dnsAddress+":53")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: w}, {Listener: l, Handler: w}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	for _, z := range zones() {
		w.set(t, z, "NS", "ns.provider.test.")
		w.set(t, z, "SOA", "ns.provider.test. hostmaster.provider.test. 1 3600 600 86400 5")
	}
	w.set(t, "ns.provider.test.", "A", dnsAddress)
	w.set(t, "smtp.provider.test.", "A", smartAddress)
	w.set(t, "friend.test.", "TXT", `"v=spf1 ip4:127.0.0.1 -all"`)
	w.set(t, "_dmarc.friend.test.", "TXT", `"v=DMARC1; p=reject"`)
	w.set(t, "friend.test.", "MX", "10 smtp.provider.test.")
	w.set(t, "example.jp.", "MX", "10 mx.provider.test.") // where the domain's mail went so far
	return w
}

// set says what stands at a name.
func (w *dnsWorld) set(t *testing.T, name, rtype string, values ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	name = dns.Fqdn(strings.ToLower(name))
	var list []dns.RR
	for _, v := range values {
		rr, err := dns.NewRR(fmt.Sprintf("%s 5 IN %s %s", name, rtype, v))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rr)
	}
	w.rows[name+rtype] = list
}

func (w *dnsWorld) ServeDNS(to dns.ResponseWriter, q *dns.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	name := strings.ToLower(q.Question[0].Name)
	m.Answer = w.rows[name+dns.TypeToString[q.Question[0].Qtype]]
	if len(m.Answer) == 0 {
		zone := "."
		for _, z := range zones() {
			if dns.IsSubDomain(z, name) && len(z) > len(zone) {
				zone = z
			}
		}
		m.Ns = w.rows[zone+"SOA"]
		m.Rcode = dns.RcodeNameError
		for at := range w.rows {
			if strings.HasPrefix(at, name) || strings.Contains(at, "."+name) {
				m.Rcode = dns.RcodeSuccess
			}
		}
	}
	to.WriteMsg(m)
}

// An authority makes certificates that our child processes trust.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	last int64
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.last), time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour)
	by, with := a.cert, a.key
	if by == nil {
		by, with = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// server makes the certificate of a name, and the files that it is in.
func (a *authority) server(name string) (pair tls.Certificate, cert, key string) {
	a.t.Helper()
	c, k := a.sign(&x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = a.write(name+".pem", "CERTIFICATE", c.Raw), a.write(name+".key", "PRIVATE KEY", der)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k}, cert, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// smarthost is the provider that takes the house's mail: it knows one password.
type smarthost struct {
	mu    sync.Mutex
	taken []string // senders and recipients
}

const smartPassword = "smarthost secret"

func serveSmarthost(t *testing.T, cert tls.Certificate) *smarthost {
	t.Helper()
	h := &smarthost{}
	s := smtp.NewServer(h)
	s.Domain, s.TLSConfig = "smtp.provider.test", &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := tls.Listen("tcp", smartAddress+":465", s.TLSConfig)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return h
}

func (h *smarthost) NewSession(*smtp.Conn) (smtp.Session, error) { return &smartSession{h: h}, nil }

type smartSession struct {
	h        *smarthost
	from, to string
	in       bool
}

func (s *smartSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smartSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.in = user == "taro" && password == smartPassword; !s.in {
			return errors.New("who is that")
		}
		return nil
	}), nil
}

func (s *smartSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.from = from; !s.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *smartSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }
func (s *smartSession) Reset()                                    {}
func (s *smartSession) Logout() error                             { return nil }

func (s *smartSession) Data(r io.Reader) error {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.taken = append(s.h.taken, s.from+" "+s.to)
	_, err := io.Copy(io.Discard, r)
	return err
}
