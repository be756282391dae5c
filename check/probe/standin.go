package probe

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxStandIn is how many connections a stand-in answers: a probe makes one, and
// strangers find an open port within minutes.
const maxStandIn = 8

// standIn listens at those ports where nobody does, shows the token to whoever
// connects, and stops when the function that it returns is called. A port that
// cannot be had is somebody's: then that one answers.
func (c *Client) standIn(network string, ports []uint16, token string) (stop func()) {
	var open []net.Listener
	var wg sync.WaitGroup
	cert, err := passing()
	for _, port := range ports {
		if err != nil {
			break
		}
		l, err := c.o.Listen(network, ":"+strconv.Itoa(int(port)))
		if err != nil {
			continue
		}
		open = append(open, l)
		if port == 443 || port == 465 || port == 993 {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
		wg.Go(func() { c.show(l, port, token) })
	}
	return func() {
		for _, l := range open {
			l.Close()
		}
		wg.Wait()
	}
}

// show answers connections one after another: each has a moment.
func (c *Client) show(l net.Listener, port uint16, token string) {
	for range maxStandIn {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(time.Second))
		if port == 80 || port == 443 {
			if r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, maxPage))); err == nil && c.asked(strings.TrimPrefix(r.URL.Path, TokenPath), conn.RemoteAddr().String()) {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
			}
		} else {
			word := "421" // whoever brings mail now keeps it and comes again, RFC 5321 §3.8
			if port == 993 {
				word = "* BYE" // RFC 9051 §7.1.5
			}
			fmt.Fprintf(conn, "%s homemail-probe %s\r\n", word, token)
		}
		conn.Close()
	}
}

// passing makes a certificate for a moment: the token proves who we are.
func passing() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
