package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	lookTime = 8 * time.Second // one port: two lost SYNs, and a greeting that is a little slow
	maxPage  = 4 << 10         // bytes of an HTTP reply that are read

	maxStatus = 64 // of its first line that is shown
)

// A Dial connects, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Look connects to one port and says what it saw there. It reads a greeting, or
// asks for the page with the token, and says goodbye: it never sends mail.
func Look(ctx context.Context, dial Dial, to netip.AddrPort, token string) Seen {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	conn, err := dial(ctx, "tcp", to.String())
	if err != nil {
		return Seen{Reached: reached(err), Detail: printable(err.Error())}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	seen := Seen{Reached: Open}
	if err := seen.talk(ctx, conn, to, token); err != nil {
		seen.Detail = printable(err.Error())
	}
	return seen
}

// talk finds out who is there.
func (s *Seen) talk(ctx context.Context, conn net.Conn, to netip.AddrPort, token string) error {
	port := to.Port()
	if port == 443 || port == 465 || port == 993 {
		// Any certificate will do: whoever asks knows its own.
		t := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := t.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		s.Key = Key(t.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
		conn = t
	}
	if port == 80 || port == 443 {
		return s.page(conn, to, token)
	}
	return s.greeting(conn, port)
}

// greeting reads the first line, and leaves: RFC 5321 §4.1.1.10, RFC 9051 §6.1.3.
func (s *Seen) greeting(conn net.Conn, port uint16) error {
	line, err := bufio.NewReaderSize(io.LimitReader(conn, maxLine), maxLine).ReadString('\n')
	s.Line = printable(line)
	bye := "QUIT\r\n"
	if port == 993 {
		bye = "a LOGOUT\r\n"
	}
	io.WriteString(conn, bye)
	if errors.Is(err, io.EOF) && s.Line != "" {
		err = nil
	}
	return err
}

// page asks for the page with the token, and keeps the end of what comes.
func (s *Seen) page(conn net.Conn, to netip.AddrPort, token string) error {
	host := to.Addr().String()
	if to.Addr().Is6() {
		host = "[" + host + "]"
	}
	if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: homemail-probe\r\nConnection: close\r\n\r\n", TokenPath, token, host); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(conn, maxPage))
	head, body, _ := strings.Cut(string(b), "\r\n\r\n")
	status, _, _ := strings.Cut(head, "\r\n")
	status = printable(status)
	s.Line = strings.TrimSpace(printable(status[:min(len(status), maxStatus)] + " " + body))
	if s.Line != "" {
		err = nil // whatever came then, somebody answered
	}
	return err
}

// reached says how an attempt to connect ended.
func reached(err error) Reached {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Closed
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return Silent
	}
	return Nowhere
}
