package smtpd

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// serverTLS is a configuration with a certificate made once.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.test"}, NotAfter: time.Now().Add(24 * time.Hour * 365)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

var clientTLS = &tls.Config{InsecureSkipVerify: true}

// A client says exactly what it is told to.
type client struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

// dial connects and reads the banner.
func (d *door) dial() *client {
	d.t.Helper()
	nc, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	if d.s.o.ImplicitTLS {
		nc = tls.Client(nc, clientTLS)
	}
	return greeted(d.t, nc)
}

func greeted(t *testing.T, nc net.Conn) *client {
	t.Helper()
	c := &client{t: t, nc: nc, r: bufio.NewReader(nc)}
	t.Cleanup(func() { nc.Close() })
	c.want("220")
	return c
}

// ready connects and says all that is needed before MAIL.
func (d *door) ready() *client {
	d.t.Helper()
	c := d.dial()
	c.say("EHLO client.test")
	c.want("250")
	if d.s.o.Kind == Submission {
		if !d.s.o.ImplicitTLS {
			c.startTLS()
		}
		c.say("AUTH PLAIN AGFubmFAZXhhbXBsZS50ZXN0AHJpZ2h0")
		c.want("235 2.0.0")
	}
	return c
}

func (c *client) startTLS() {
	c.t.Helper()
	c.say("STARTTLS")
	c.want("220")
	c.nc = tls.Client(c.nc, clientTLS)
	c.r.Reset(c.nc)
	c.say("EHLO client.test")
	c.want("250")
}

// say sends lines, ending each with CRLF, in one write.
func (c *client) say(lines ...string) {
	c.t.Helper()
	c.send(strings.Join(lines, "\r\n") + "\r\n")
}

func (c *client) send(s string) {
	c.t.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Logf("C: %v", err) // the server may have hung up, which want shows
	}
}

// reply reads a whole reply, "" at the end.
func (c *client) reply() string {
	c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return all.String()
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return all.String()
		}
	}
}

// want reads replies and checks how each starts.
func (c *client) want(starts ...string) (last string) {
	c.t.Helper()
	for _, start := range starts {
		if last = c.reply(); !strings.HasPrefix(last, start) {
			c.t.Fatalf("got %q, want %s", last, start)
		}
	}
	return last
}

// wantEnd checks that the server has hung up.
func (c *client) wantEnd() {
	c.t.Helper()
	if got := c.reply(); got != "" {
		c.t.Fatalf("got %q, want the end", got)
	}
}

// envelope says MAIL, RCPT and DATA for a message from anna to anna.
func (c *client) envelope() {
	c.t.Helper()
	c.say("MAIL FROM:<anna@example.test>", "RCPT TO:<anna@example.test>", "DATA")
	c.want("250", "250", "354")
}
