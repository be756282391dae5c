// Package autoconfig writes the settings of a mail account in the forms that
// phones and programs look for: Thunderbird's autoconfig, Outlook's
// autodiscover, Apple's configuration profile, a QR code, and plain text. It
// only renders: it knows no account, opens no connection, and says the same of
// every address of a domain, so that nobody can ask it who lives here.
package autoconfig

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"homemail/mail"
)

// A TLS says how a connection is made secure. There is no third way: a password
// never goes over an open one.
type TLS string

// The ways.
const (
	Implicit TLS = "tls"      // from the first byte, RFC 8314 §3.3
	StartTLS TLS = "starttls" // RFC 2595, RFC 3207
)

// A Service is one open door.
type Service struct {
	Port uint16
	TLS  TLS
}

// A Server is what mail programs have to know to be set up for a domain. Doors
// that are shut are left out; the order of the others is ours to choose.
type Server struct {
	Host   string // of the doors, and in their certificate
	Domain string // of the addresses
	Brand  string // shown to people; "" for Domain

	IMAP, POP3, Submission []Service
}

// What rendering can say.
var (
	errHost       = errors.New("host name of the mail server is not valid")
	errDomain     = errors.New("domain of the mail server is not valid")
	errAddress    = errors.New("address has no domain")
	errOther      = errors.New("address is of another domain")
	errNoIncoming = errors.New("neither IMAP nor POP3 is open")
	errNoOutgoing = errors.New("submission is not open")
)

const maxBrand = 200 // octets: a name, not a text

// checked returns s in the form in which it is rendered: names as A-labels,
// doors without TLS left out, those with TLS from the start first (RFC 8314
// §3). It refuses a server that no program could use.
func (s Server) checked() (Server, error) {
	var err error
	if s.Host, err = hostName(s.Host); err != nil {
		return s, errHost
	}
	if s.Domain, err = hostName(s.Domain); err != nil {
		return s, errDomain
	}
	s.Brand = strings.ToValidUTF8(s.Brand[:min(len(s.Brand), maxBrand)], "")
	if strings.TrimSpace(s.Brand) == "" {
		s.Brand = s.Domain
	}
	s.IMAP, s.POP3, s.Submission = usable(s.IMAP), usable(s.POP3), usable(s.Submission)
	switch {
	case len(s.IMAP)+len(s.POP3) == 0:
		return s, errNoIncoming
	case len(s.Submission) == 0:
		return s, errNoOutgoing
	}
	return s, nil
}

// incoming is the best way to read mail: IMAP, if it is open.
func (s Server) incoming() (imap bool, best Service) {
	if len(s.IMAP) > 0 {
		return true, s.IMAP[0]
	}
	return false, s.POP3[0]
}

func usable(list []Service) []Service {
	list = slices.Clone(list)
	list = slices.DeleteFunc(list, func(d Service) bool { return d.Port == 0 || d.TLS != Implicit && d.TLS != StartTLS })
	slices.SortStableFunc(list, func(a, b Service) int { return cmp.Compare(rank(a.TLS), rank(b.TLS)) })
	return list
}

func rank(t TLS) int {
	if t == Implicit {
		return 0
	}
	return 1
}

// hostName brings a name into lower case and A-labels.
func hostName(s string) (string, error) {
	p, err := mail.ParsePath("a@" + strings.TrimSuffix(s, "."))
	if err != nil {
		return "", err
	}
	if d := p.Domain(); !strings.HasPrefix(d, "[") { // an address literal is no name
		return d, nil
	}
	return "", errDomain
}

// userName is the name to sign in with: the whole address, as it goes over the
// wire. It must be of the server's domain and must survive the way through XML.
func (s Server) userName(addr mail.Path) (string, error) {
	switch d := addr.Domain(); {
	case d == "":
		return "", errAddress
	case d != s.Domain:
		return "", errOther
	}
	user := addr.Wire()
	return user, writable("address", user)
}

// writable reports whether XML 1.0 can hold a value as it is (§2.2): what is
// replaced in a name is ugly, in a user name or password it is wrong.
func writable(what, s string) error {
	for i, r := range s {
		if r < ' ' || r == '\uFFFE' || r == '\uFFFF' || r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") {
			return fmt.Errorf("%s has a character that settings cannot hold", what)
		}
	}
	return nil
}
