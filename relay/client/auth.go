package client

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"homemail/mail"
)

// Credentials are what we sign in with.
type Credentials struct {
	User   string
	Secret string // the password; for XOAUTH2 the token
	// Mechanism is the one to use, "" for the strongest that the server has.
	// XOAUTH2 has to be named: its secret is no password.
	Mechanism string
}

// The mechanisms. SCRAM does not show the password to the server, and -PLUS
// makes sure that nobody sits between (RFC 5802, RFC 7677, RFC 9266).
const (
	Scram256Plus = "SCRAM-SHA-256-PLUS"
	Scram256     = "SCRAM-SHA-256"
	Scram1Plus   = "SCRAM-SHA-1-PLUS"
	Scram1       = "SCRAM-SHA-1"
	Plain        = "PLAIN"   // RFC 4616
	Login        = "LOGIN"   // draft-murchison-sasl-login
	XOAuth2      = "XOAUTH2" // Google's and Microsoft's
)

// maxIterations bounds the work that a server can ask for; none asks for more
// than some 600,000.
const maxIterations = 2_000_000

// maxChallenges is how often a server may ask back; SCRAM needs two.
const maxChallenges = 4

// byStrength returns the mechanisms that may be chosen, the strongest first.
func byStrength() []string {
	return []string{Scram256Plus, Scram256, Scram1Plus, Scram1, Plain, Login}
}

// A dialogue is a mechanism at work. Next answers a challenge; the first one of
// a mechanism in which the client begins is empty.
type dialogue struct {
	name  string
	first bool // the client begins: SASL-IR of RFC 4954 §4
	next  func(challenge string) (string, error)
	done  func() error // whether the server has proved itself, nil if it cannot
}

// Auth signs in, RFC 4954, only over TLS. An error that has mail.CauseAuth says
// that the server does not take the credentials, or that we have no mechanism in
// common.
func (c *Conn) Auth(ctx context.Context, cred Credentials) error {
	if c.tls == nil {
		return &Error{Cause: mail.CauseAuth, Doing: "signing in", Err: errNoTLS}
	}
	d, err := c.mechanism(cred)
	if err != nil {
		return &Error{Cause: mail.CauseAuth, Doing: "signing in", Err: err}
	}
	defer c.watch(ctx)()
	r, err := c.converse(d)
	if err != nil {
		return err
	}
	if r.code != 235 {
		e := refused("signing in with "+d.name, r)
		e.Cause = mail.CauseAuth
		return e
	}
	if d.done != nil {
		if err := d.done(); err != nil {
			return &Error{Cause: mail.CauseAuth, Doing: "signing in with " + d.name, Err: err}
		}
	}
	return nil
}

func (c *Conn) converse(d *dialogue) (reply, error) {
	line := "AUTH " + d.name
	if d.first {
		text, err := d.next("")
		if err != nil {
			return reply{}, &Error{Cause: mail.CauseAuth, Doing: "signing in", Err: err}
		}
		line += " " + encode(text)
	}
	r, err := c.ask("AUTH", line, authTime)
	for n := 0; err == nil && r.code == 334; n++ {
		if n == maxChallenges {
			return r, broken("signing in", errReplyForm)
		}
		var text string
		challenge, bad := base64.StdEncoding.DecodeString(strings.TrimSpace(r.lines[0]))
		if bad == nil {
			text, bad = d.next(string(challenge))
		}
		if bad != nil { // RFC 4954 §4: cancel
			c.ask("AUTH", "*", authTime)
			return r, &Error{Cause: mail.CauseAuth, Doing: "signing in with " + d.name, Err: bad}
		}
		answer := base64.StdEncoding.EncodeToString([]byte(text))
		r, err = c.ask("AUTH", answer, authTime)
	}
	return r, err
}

// encode is base64 with "=" for nothing, RFC 4954 §4.
func encode(s string) string {
	if s == "" {
		return "="
	}
	return base64.StdEncoding.EncodeToString([]byte(s))
}

// mechanism chooses what to sign in with.
func (c *Conn) mechanism(cred Credentials) (*dialogue, error) {
	offered := c.ext.mechanisms()
	list := byStrength()
	if cred.Mechanism != "" {
		list = []string{strings.ToUpper(cred.Mechanism)}
	}
	for _, name := range list {
		if slices.Contains(offered, name) {
			return c.dialogue(name, cred, offered)
		}
	}
	if len(offered) == 0 {
		return nil, errors.New("the server offers no way to sign in")
	}
	return nil, fmt.Errorf("the server offers only %s", printable(strings.Join(offered, " ")))
}

func (c *Conn) dialogue(name string, cred Credentials, offered []string) (*dialogue, error) {
	switch name {
	case Plain:
		text := "\x00" + cred.User + "\x00" + cred.Secret
		return fixed(name, true, text), nil
	case Login:
		return fixed(name, false, cred.User, cred.Secret), nil
	case XOAuth2: // after an error in JSON the server wants an empty answer
		text := "user=" + cred.User + "\x01auth=Bearer " + cred.Secret + "\x01\x01"
		return fixed(name, true, text, ""), nil
	case Scram256, Scram256Plus:
		return c.scram(name, scram.SHA256, cred, offered)
	case Scram1, Scram1Plus:
		return c.scram(name, scram.SHA1, cred, offered)
	}
	return nil, fmt.Errorf("%q is no mechanism that we have", name)
}

// fixed is a dialogue in which the server's words do not matter.
func fixed(name string, first bool, answers ...string) *dialogue {
	return &dialogue{name: name, first: first, next: func(string) (string, error) {
		if len(answers) == 0 {
			return "", errors.New("the server asks for more than the mechanism has")
		}
		text := answers[0]
		answers = answers[1:]
		return text, nil
	}}
}

func (c *Conn) scram(name string, hash scram.HashGeneratorFcn, cred Credentials, offered []string) (*dialogue, error) {
	client, err := hash.NewClient(cred.User, cred.Secret, "")
	if err != nil {
		return nil, err
	}
	conv := client.NewConversation()
	if strings.HasSuffix(name, "-PLUS") {
		bind, err := c.binding()
		if err != nil {
			return nil, err
		}
		conv = client.NewConversationWithChannelBinding(bind)
	} else if !slices.Contains(offered, name+"-PLUS") && c.canBind() {
		conv = client.NewConversationAdvertisingChannelBinding() // RFC 5802 §6: shows who strips -PLUS
	}
	next := func(challenge string) (string, error) {
		if conv.Done() { // some servers send an empty challenge after theirs
			return "", nil
		}
		if err := boundIterations(challenge); err != nil {
			return "", err
		}
		return conv.Step(challenge)
	}
	done := func() error {
		if !conv.Valid() {
			return errors.New("the server has not proved that it knows the password")
		}
		return nil
	}
	return &dialogue{name: name, first: true, next: next, done: done}, nil
}

// binding is tls-exporter where TLS has it unconditionally (RFC 9266 §3), else
// the server's certificate.
func (c *Conn) binding() (scram.ChannelBinding, error) {
	if c.tls.Version >= tls.VersionTLS13 {
		return scram.NewTLSExporterBinding(c.tls)
	}
	return scram.NewTLSServerEndpointBinding(c.tls)
}

func (c *Conn) canBind() bool {
	_, err := c.binding()
	return err == nil
}

// boundIterations looks for i= in a server-first-message, RFC 5802 §7.
func boundIterations(challenge string) error {
	for part := range strings.SplitSeq(challenge, ",") {
		if count, ok := strings.CutPrefix(part, "i="); ok {
			if n, err := strconv.Atoi(count); err != nil || n > maxIterations {
				return errors.New("the server asks for too much work")
			}
		}
	}
	return nil
}
