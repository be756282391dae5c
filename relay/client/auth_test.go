package client

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/xdg-go/scram"

	"homemail/mail"
)

// b64 is for scripts.
func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// secured is a server that offers mechanisms over TLS.
func secured(auth string) string {
	return plainHello + "\n< STARTTLS\n> 220 go\ntls\n< EHLO\n> 250-mx\n> 250 " + auth + "\n"
}

func TestAuth(t *testing.T) {
	plain := b64("\x00anna\x00s3cret")
	const clear = "> 220 mx\n< EHLO\n> 250-mx\n> 250 AUTH PLAIN\n<all"
	token := b64("user=anna\x01auth=Bearer s3cret\x01\x01")
	for name, tt := range map[string]struct {
		script, mechanism string
		want              mail.Cause
	}{
		"plain":                 {secured("AUTH LOGIN PLAIN") + "< AUTH PLAIN " + plain + "\n> 235 2.7.0 ok", "", ""},
		"plain, lower case":     {secured("auth login plain") + "< AUTH PLAIN " + plain + "\n> 235 ok", "", ""},
		"login":                 {secured("AUTH=LOGIN") + "< AUTH LOGIN\n> 334 VXNlcm5hbWU6\n< " + b64("anna") + "\n> 334 UGFzc3dvcmQ6\n< " + b64("s3cret") + "\n> 235 ok", "", ""},
		"named":                 {secured("AUTH PLAIN LOGIN") + "< AUTH LOGIN\n> 334\n< " + b64("anna") + "\n> 334\n< " + b64("s3cret") + "\n> 235 ok", "login", ""},
		"wrong":                 {secured("AUTH PLAIN") + "< AUTH\n> 535 5.7.8 no", "", mail.CauseAuth},
		"not now":               {secured("AUTH PLAIN") + "< AUTH\n> 454 4.7.0 later", "", mail.CauseAuth},
		"busy":                  {secured("AUTH PLAIN") + "< AUTH\n> 421 4.7.0 too many", "", mail.CauseReply},
		"closed":                {secured("AUTH PLAIN") + "< AUTH\nclose", "", mail.CauseLost},
		"silent":                {secured("AUTH PLAIN") + "< AUTH\nhang", "", mail.CauseTimeout},
		"asks for more":         {secured("AUTH PLAIN") + "< AUTH\n> 334 more\n< *\n> 501 ok", "", mail.CauseAuth},
		"asks for ever":         {secured("AUTH LOGIN") + "< AUTH\n> 334 eA==\n< YW5uYQ==\n> 334 eA==\n< czNjcmV0\n> 334 eA==\n< *\n> 501 ok", "", mail.CauseAuth},
		"not base64":            {secured("AUTH LOGIN") + "< AUTH\n> 334 !!\n< *\n> 501 ok", "", mail.CauseAuth},
		"none offered":          {secured("SIZE"), "", mail.CauseAuth},
		"none in common":        {secured("AUTH GSSAPI NTLM"), "", mail.CauseAuth},
		"not offered":           {secured("AUTH PLAIN"), "SCRAM-SHA-256", mail.CauseAuth},
		"not known":             {secured("AUTH NTLM"), "NTLM", mail.CauseAuth},
		"xoauth2":               {secured("AUTH PLAIN XOAUTH2") + "< AUTH XOAUTH2 " + token + "\n> 235 ok", "xoauth2", ""},
		"xoauth2, old token":    {secured("AUTH XOAUTH2") + "< AUTH XOAUTH2\n> 334 " + b64(`{"status":"400"}`) + "\n< \r\n> 535 5.7.8 no", "xoauth2", mail.CauseAuth},
		"xoauth2 is not chosen": {secured("AUTH XOAUTH2"), "", mail.CauseAuth},
		"too much work":         {secured("AUTH SCRAM-SHA-256 PLAIN") + "< AUTH SCRAM-SHA-256\n> 334 " + b64("r=x,s=AAAA,i=99999999") + "\n< *\n> 501 ok", "", mail.CauseAuth},
		"in cleartext":          {clear, "", mail.CauseAuth},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, tt.script, func(t *testing.T, nc net.Conn) {
				c := dial(t, nc)
				if tt.script != clear {
					if err := c.StartTLS(t.Context(), anyTLS()); err != nil {
						t.Fatal(err)
					}
					if err := c.Hello(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				err := c.Auth(t.Context(), Credentials{User: "anna", Secret: "s3cret", Mechanism: tt.mechanism})
				if cause(err) != tt.want {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), plain)) {
					t.Errorf("the password is in %q", err)
				}
			})
			if p.Err != nil {
				t.Error(p.Err)
			}
			if tt.script == clear && strings.Contains(p.Heard, "AUTH") {
				t.Error("signs in without TLS")
			}
		})
	}
}

// A saslSink signs in with what another library has.
type saslSink struct {
	sink
	config *tls.Config
	offers []string
	used   string
}

func (s *saslSink) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	return &saslSession{saslSink: s, conn: c}, nil
}

type saslSession struct {
	*saslSink
	conn *gosmtp.Conn
}

func (s *saslSession) AuthMechanisms() []string { return s.offers }
func (s *saslSession) Auth(mech string) (sasl.Server, error) {
	s.used = mech
	hash := scram.SHA256
	if strings.Contains(mech, "SHA-1") {
		hash = scram.SHA1
	}
	client, err := hash.NewClient("anna", "s3cret", "")
	if err != nil {
		return nil, err
	}
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) {
		if user != "anna" {
			return scram.StoredCredentials{}, errors.New("nobody")
		}
		return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "saltsalt", Iters: 4096})
	})
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(mech, "-PLUS") {
		return &scramServer{conv: server.NewConversation()}, nil
	}
	state, ok := s.conn.TLSConnectionState()
	if !ok {
		return nil, errors.New("no TLS")
	}
	bind, err := scram.NewTLSExporterBinding(&state)
	if state.Version < tls.VersionTLS13 {
		bind, err = scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: leafOf(s.config)})
	}
	if err != nil {
		return nil, err
	}
	return &scramServer{conv: server.NewConversationWithChannelBinding(bind)}, nil
}

type scramServer struct{ conv *scram.ServerConversation }

func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	if s.conv.Done() {
		return nil, true, nil
	}
	out, err := s.conv.Step(string(response))
	if err != nil {
		return nil, false, err
	}
	return []byte(out), false, nil
}

func TestScram(t *testing.T) {
	for _, tt := range []struct {
		offers string
		max    uint16
		secret string
		used   string
		ok     bool
	}{
		{"PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS", tls.VersionTLS13, "s3cret", Scram256Plus, true},
		{"PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS", tls.VersionTLS12, "s3cret", Scram256Plus, true},
		{"PLAIN SCRAM-SHA-1 SCRAM-SHA-256", tls.VersionTLS13, "s3cret", Scram256, true},
		{"PLAIN SCRAM-SHA-1", tls.VersionTLS13, "s3cret", Scram1, true},
		{"SCRAM-SHA-1-PLUS SCRAM-SHA-1", tls.VersionTLS13, "s3cret", Scram1Plus, true},
		{"SCRAM-SHA-256", tls.VersionTLS13, "wrong", Scram256, false},
	} {
		t.Run(fmt.Sprint(tt.used, tt.max, tt.ok), func(t *testing.T) {
			config := serverTLS(t)
			config.MaxVersion = tt.max
			s := &saslSink{config: config, offers: strings.Fields(tt.offers)}
			c := dial(t, serveSASL(t, s))
			if err := c.StartTLS(t.Context(), anyTLS()); err != nil {
				t.Fatal(err)
			}
			if err := c.Hello(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := c.Auth(t.Context(), Credentials{User: "anna", Secret: tt.secret})
			if (err == nil) != tt.ok || s.used != tt.used || !tt.ok && cause(err) != mail.CauseAuth {
				t.Errorf("%v with %s", err, s.used)
			}
		})
	}
}

// TestScramLiar: a server that says yes and cannot prove that it knows the
// password is none of ours.
func TestScramLiar(t *testing.T) {
	p := play(t, secured("AUTH SCRAM-SHA-256")+"< AUTH SCRAM-SHA-256\n> 235 2.7.0 welcome", func(t *testing.T, nc net.Conn) {
		c := dial(t, nc)
		if err := errors.Join(c.StartTLS(t.Context(), anyTLS()), c.Hello(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(t.Context(), Credentials{User: "anna", Secret: "s3cret"}); cause(err) != mail.CauseAuth {
			t.Error(err)
		}
	})
	if p.Err != nil {
		t.Error(p.Err)
	}
}

func TestStrongestFirst(t *testing.T) {
	list := byStrength()
	if !slices.IsSortedFunc(list, func(a, b string) int { return rank(a) - rank(b) }) {
		t.Error(list)
	}
}

// rank: first what hides the password, then what the network cannot bend.
func rank(name string) int {
	n := 0
	if !strings.HasPrefix(name, "SCRAM") {
		n += 10
	}
	if strings.HasPrefix(name, "SCRAM-SHA-1") {
		n += 5
	}
	if !strings.HasSuffix(name, "-PLUS") {
		n++
	}
	return n
}

// TestIterations: a server cannot make us work for it.
func TestIterations(t *testing.T) {
	for challenge, ok := range map[string]bool{
		"": true, "r=i,s=i,i=4096": true, "r=x,s=y,i=600000": true, "i=2000001": false, "i=x": false, "i=99999999999999999999": false, "v=abc": true,
	} {
		if err := boundIterations(challenge); (err == nil) != ok {
			t.Errorf("%s: %v", challenge, err)
		}
	}
}
