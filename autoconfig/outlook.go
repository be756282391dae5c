package autoconfig

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"homemail/mail"
)

// Bounds of a request. Outlook's has under 1 KiB, 3 levels and some 20 tokens.
const (
	// MaxOutlookRequest is the most octets of a request that are read.
	MaxOutlookRequest = 16 << 10
	maxDepth          = 8
	maxTokens         = 200
)

// What ParseOutlook can say.
var (
	// ErrOutlookRequest says that something is no request.
	ErrOutlookRequest = errors.New("not a request for autodiscover")
	// ErrOutlookSchema says that a request wants settings of a kind that we do
	// not have, such as those of ActiveSync.
	ErrOutlookSchema = errors.New("no settings of the kind that is asked for")
)

// outlookSpace names the settings for POP, IMAP and SMTP.
const outlookSpace = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

// ParseOutlook reads a POX autodiscover request and returns the address that it
// asks about. A document type declaration is refused, and with it every entity
// but XML's own five.
func ParseOutlook(r io.Reader) (mail.Path, error) {
	d := xml.NewDecoder(&io.LimitedReader{R: r, N: MaxOutlookRequest + 1})
	q := request{texts: map[string]string{}}
	for range maxTokens {
		t, err := d.RawToken()
		if err == io.EOF {
			return q.result()
		}
		if err != nil || d.InputOffset() > MaxOutlookRequest {
			return "", ErrOutlookRequest
		}
		if err := q.take(t); err != nil {
			return "", err
		}
	}
	return "", ErrOutlookRequest
}

// A request is what has been read of one. Names count without their spaces,
// which differ between programs.
type request struct {
	open  []xml.Name
	done  bool
	texts map[string]string
}

// The elements that say something.
const (
	pathAddress = "Autodiscover/Request/EMailAddress"
	pathSchema  = "Autodiscover/Request/AcceptableResponseSchema"
)

func (q *request) take(t xml.Token) error {
	switch t := t.(type) {
	case xml.Directive: // DOCTYPE
		return ErrOutlookRequest
	case xml.StartElement:
		q.open = append(q.open, t.Name)
		if _, twice := q.texts[q.path()]; q.done || twice || len(q.open) > maxDepth {
			return ErrOutlookRequest
		}
		if p := q.path(); p == pathAddress || p == pathSchema {
			q.texts[p] = ""
		}
	case xml.EndElement:
		n := len(q.open)
		if n == 0 || q.open[n-1] != t.Name {
			return ErrOutlookRequest
		}
		q.open = q.open[:n-1]
		q.done = n == 1
	case xml.CharData:
		if len(q.open) == 0 && strings.Trim(string(t), "\ufeff \t\r\n") != "" { // .NET may write a byte order mark
			return ErrOutlookRequest
		}
		if s, wanted := q.texts[q.path()]; wanted {
			q.texts[q.path()] = s + string(t)
		}
	}
	return nil
}

func (q *request) path() string {
	names := make([]string, len(q.open))
	for i, n := range q.open {
		names[i] = n.Local
	}
	return strings.Join(names, "/")
}

func (q *request) result() (mail.Path, error) {
	if !q.done {
		return "", ErrOutlookRequest
	}
	if s, ok := q.texts[pathSchema]; ok && !strings.EqualFold(strings.TrimSpace(s), outlookSpace) {
		return "", ErrOutlookSchema
	}
	addr, err := mail.ParsePath(strings.TrimSpace(q.texts[pathAddress]))
	if err != nil || addr.Domain() == "" {
		return "", ErrOutlookRequest
	}
	return addr, nil
}

type (
	autodiscover struct {
		XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
		Response any
	}
	outlookResponse struct {
		XMLName xml.Name       `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
		Name    string         `xml:"User>DisplayName"`
		Account outlookAccount `xml:"Account"`
	}
	outlookAccount struct {
		Type      string `xml:"AccountType"`
		Action    string `xml:"Action"`
		Protocols []outlookProtocol
	}
	outlookProtocol struct {
		XMLName        xml.Name `xml:"Protocol"`
		Type           string
		Server         string
		Port           uint16
		DomainRequired string
		LoginName      string
		SPA            string // NTLM
		SSL            string
		Encryption     string // says more than SSL, and wins over it
		AuthRequired   string
		UsePOPAuth     string `xml:",omitempty"` // as one signs in for reading
		SMTPLast       string `xml:",omitempty"` // no need to read before one sends
	}
	outlookError struct {
		XMLName xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Response"`
		Error   struct {
			Code    int    `xml:"ErrorCode"`
			Message string `xml:"Message"`
			Debug   string `xml:"DebugData"`
		}
	}
)

// Outlook returns the answer to a request about an address: the best door of
// each protocol, in the order in which Outlook is to try them.
func Outlook(s Server, addr mail.Path) ([]byte, error) {
	s, err := s.checked()
	if err != nil {
		return nil, err
	}
	user, err := s.userName(addr)
	if err != nil {
		return nil, err
	}
	a := outlookAccount{Type: "email", Action: "settings"}
	for _, p := range []struct {
		name string
		open []Service
	}{{"IMAP", s.IMAP}, {"POP3", s.POP3}, {"SMTP", s.Submission}} {
		if len(p.open) > 0 {
			a.Protocols = append(a.Protocols, s.protocol(p.name, p.open[0], user))
		}
	}
	return document(autodiscover{Response: outlookResponse{Name: user, Account: a}})
}

func (s Server) protocol(name string, d Service, user string) outlookProtocol {
	p := outlookProtocol{
		Type: name, Server: s.Host, Port: d.Port, LoginName: user,
		DomainRequired: "off", SPA: "off", SSL: "on", Encryption: "TLS", AuthRequired: "on",
	}
	if d.TLS == Implicit {
		p.Encryption = "SSL"
	}
	if name == "SMTP" {
		p.UsePOPAuth, p.SMTPLast = "on", "off"
	}
	return p
}

// OutlookError returns the answer to a request that ParseOutlook or Outlook has
// refused, [MS-ASCMD] §2.2.3.64.
func OutlookError(why error) ([]byte, error) {
	var e outlookError
	e.Error.Code, e.Error.Message = 600, "Invalid Request"
	if errors.Is(why, ErrOutlookSchema) {
		e.Error.Code, e.Error.Message = 601, "Provider is not available"
	}
	b, err := document(autodiscover{Response: e})
	if err != nil {
		return nil, fmt.Errorf("write an answer of autodiscover: %w", err)
	}
	return b, nil
}
