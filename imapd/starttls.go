package imapd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"homemail/imapd/wire"
)

const (
	plainCommands = 10               // before STARTTLS: two or three are usual
	plainLine     = 1024             // bytes of a command before STARTTLS
	plainTimeout  = 30 * time.Second // from the greeting to STARTTLS
)

var (
	errNoTLS     = errors.New("client did not start TLS")
	errInjection = errors.New("plaintext after STARTTLS")
)

// starttls speaks IMAP on a connection without TLS until the client sends
// STARTTLS (RFC 9051 §6.2.1). There is nothing else to do here: no password is
// taken and LOGINDISABLED says so. Whatever the client sent behind STARTTLS
// ends the connection, so that nobody can slip commands into the TLS session.
func (s *Server) starttls(c net.Conn) error {
	c.SetDeadline(time.Now().Add(plainTimeout))
	caps := "IMAP4rev2 IMAP4rev1 LITERAL- LOGINDISABLED"
	if s.o.TLS != nil {
		caps += " STARTTLS"
	}
	r := bufio.NewReaderSize(c, plainLine)
	fmt.Fprintf(c, "* OK [CAPABILITY %s] %s IMAP ready\r\n", caps, s.o.Host)
	for range plainCommands {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		tag, name, ok := plainCommand(string(line))
		if !ok {
			break
		}
		switch name {
		case "CAPABILITY":
			fmt.Fprintf(c, "* CAPABILITY %s\r\n%s OK CAPABILITY completed\r\n", caps, tag)
		case "NOOP":
			fmt.Fprintf(c, "%s OK NOOP completed\r\n", tag)
		case "LOGOUT":
			fmt.Fprintf(c, "* BYE Logging out\r\n%s OK LOGOUT completed\r\n", tag)
			return errNoTLS
		case "LOGIN", "AUTHENTICATE":
			fmt.Fprintf(c, "%s NO [PRIVACYREQUIRED] Use STARTTLS first\r\n", tag)
		case "STARTTLS":
			if s.o.TLS == nil {
				fmt.Fprintf(c, "%s NO STARTTLS is not set up\r\n", tag)
				continue
			}
			if r.Buffered() > 0 {
				return errInjection
			}
			if _, err := fmt.Fprintf(c, "%s OK Begin TLS negotiation now\r\n", tag); err != nil {
				return err
			}
			return c.SetDeadline(time.Time{})
		default: // no guessing: a browser made to talk to us says GET or POST
			fmt.Fprintf(c, "%s BAD Unknown command\r\n", tag)
		}
	}
	io.WriteString(c, "* BYE Use STARTTLS\r\n")
	return errNoTLS
}

// plainCommand splits a command line. A literal, or a tag that is none, is not ok.
func plainCommand(line string) (tag, name string, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if _, _, lit := wire.LiteralAt([]byte(line)); lit && strings.HasSuffix(line, "+}") {
		return "", "", false // its bytes would be read as commands
	}
	f := strings.Fields(line)
	if len(f) < 2 || strings.ContainsAny(f[0], "(){%*\"\\+") {
		return "", "", false
	}
	return f[0], strings.ToUpper(f[1]), true
}
