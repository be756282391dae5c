package autoconfig

import (
	"fmt"
	"strings"

	"homemail/mail"
)

// Facts are what to type into a program that finds nothing by itself. There is
// no password in them.
type Facts struct {
	User  string // to sign in with: the whole address
	Host  string
	Doors []Door // IMAP, POP3 and SMTP, those that are open
}

// A Door is the best way to speak a protocol.
type Door struct {
	Protocol string // "IMAP", "POP3" or "SMTP"
	Service
}

// Security is what programs call a way to make a connection secure.
func (t TLS) Security() string {
	if t == Implicit {
		return "SSL/TLS"
	}
	return "STARTTLS"
}

// AccountFacts returns what to type in for an address of the server's domain.
func AccountFacts(s Server, addr mail.Path) (Facts, error) {
	s, err := s.checked()
	if err != nil {
		return Facts{}, err
	}
	user, err := s.userName(addr)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{User: user, Host: s.Host}
	for _, p := range []struct {
		protocol string
		open     []Service
	}{{"IMAP", s.IMAP}, {"POP3", s.POP3}, {"SMTP", s.Submission}} {
		if len(p.open) > 0 {
			f.Doors = append(f.Doors, Door{p.protocol, p.open[0]})
		}
	}
	return f, nil
}

// AccountText says the same in words.
func AccountText(s Server, addr mail.Path, lang string) (string, error) {
	f, err := AccountFacts(s, addr)
	if err != nil {
		return "", err
	}
	name, server, port := "User name", "Server", "port"
	if lang == "ja" {
		name, server, port = "ユーザー名", "サーバー", "ポート"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n%s: %s\n", name, f.User, server, f.Host)
	for _, d := range f.Doors {
		fmt.Fprintf(&b, "%s: %s %d, %s\n", d.Protocol, port, d.Port, d.TLS.Security())
	}
	return b.String(), nil
}
