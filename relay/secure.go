package relay

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"homemail/mail"
	"homemail/relay/mtasts"
	"homemail/resolver"
)

// A level is how much TLS a server must have.
type level int

const (
	none    level = iota // no TLS at all: a smarthost on this machine
	may                  // if it works, RFC 3207 and RFC 7435
	encrypt              // any certificate will do
	verify               // the certificate proves who the server is
)

// A security says what TLS must do at one server. Two connections are as good
// as each other if key says the same.
type security struct {
	level    level
	implicit bool     // TLS from the first octet
	name     string   // for SNI and PKIX
	names    []string // any of them will do for DANE-TA, RFC 7672 §3.2.2
	tlsa     []resolver.TLSA
	pin      string // SHA-256 of the certificate in hex; instead of PKIX
	by       string // who demands it: "DANE", "MTA-STS"
	required bool   // REQUIRETLS: the server must offer that too
	testing  bool   // MTA-STS in testing mode: tell if it would have failed
	user     string // who signs in
}

func (s *security) key() string {
	return fmt.Sprint(s.level, s.implicit, s.name, s.names, s.tlsa, s.pin, s.by, s.required, s.user)
}

// secure decides what a host must do. DANE goes before MTA-STS, RFC 8461 §2.
func (r *Relay) secure(ctx context.Context, p *plan, h *host, required bool) (*security, error) {
	s := &security{level: may, name: h.name, required: required}
	if p.smarthost != nil {
		return p.smarthost.security(s), nil
	}
	base, records, err := r.records(ctx, p, h)
	if err != nil {
		return nil, err
	}
	named := p.sts.Mode != "" && p.sts.Mode != mtasts.None && p.sts.Matches(h.name)
	switch {
	case usable(records):
		s.level, s.by, s.tlsa = verify, "DANE", records
		s.name, s.names = base, []string{base, h.name, p.domain}
	case len(records) > 0: // RFC 7672 §2.2: TLS without proof
		s.level, s.by = encrypt, "DANE"
	case p.sts.Mode == mtasts.Enforce && !named:
		return nil, blocked(mail.Temporary, mail.CauseTLS, "4.7.5",
			"the MTA-STS policy of "+p.domain+" does not name its mail server "+h.name)
	case p.sts.Mode == mtasts.Enforce:
		s.level, s.by = verify, "MTA-STS"
	case p.sts.Mode == mtasts.Testing:
		s.testing = true
		if !named {
			r.log.Warn("MTA-STS in testing mode would refuse", "domain", p.domain, "host", h.name)
		}
	}
	if required && s.level != verify {
		if h.name != p.domain && !p.secure && !named { // RFC 8689 §4.2.1
			return nil, blocked(mail.Permanent, mail.CauseNeedsTLS, "5.7.30",
				"the sender demands REQUIRETLS, and nothing vouches for the mail servers of "+p.domain)
		}
		s.level, s.by = verify, "REQUIRETLS"
	}
	return s, nil
}

// A certError says why a certificate will not do.
type certError struct {
	by  string
	err error
}

func (e *certError) Error() string {
	return fmt.Sprintf("certificate not accepted (%s): %v", e.by, e.err)
}
func (e *certError) Unwrap() error { return e.err }

// config makes the settings of one handshake. What it found out about the
// certificate goes to how.
func (s *security) config(roots *x509.CertPool, how *string) *tls.Config {
	return &tls.Config{
		CipherSuites:       s.suites(),
		ServerName:         s.name,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it, as the policy wants it
		VerifyConnection: func(cs tls.ConnectionState) error {
			var err error
			*how, err = s.verify(cs, roots)
			return err
		},
	}
}

// suites are Go's own, nil, where somebody demands TLS. Where not, those without
// forward secrecy too, which Go has left out since 1.22: old servers have no
// others, and the alternative is to send in the clear (RFC 7435 §3).
func (s *security) suites() []uint16 {
	if s.level > may {
		return nil
	}
	list := []uint16{
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	}
	for _, c := range tls.CipherSuites() {
		list = append(list, c.ID)
	}
	return list // Go puts them in order
}

// verify checks the server's certificate and says how it was proved, "" if it
// was not and need not be.
func (s *security) verify(cs tls.ConnectionState, roots *x509.CertPool) (how string, err error) {
	if len(cs.PeerCertificates) == 0 {
		return "", &certError{s.by, errors.New("there is none")}
	}
	switch {
	case s.pin != "":
		how, err = "certificate pinned", s.checkPin(cs.PeerCertificates[0])
	case len(s.tlsa) > 0:
		how, err = "certificate verified by DANE", checkDANE(cs.PeerCertificates, s.tlsa, s.names)
	default:
		how, err = "certificate verified", checkPKIX(cs.PeerCertificates, roots, s.name)
		if s.by == "MTA-STS" {
			how += " by MTA-STS"
		}
	}
	switch {
	case err == nil:
		return how, nil
	case s.level == verify:
		return "", &certError{s.by, err}
	}
	return "", nil
}

// checkPKIX is the check of the web: RFC 5280 and RFC 6125, as RFC 8461 §4.2
// wants it. A Common Name does not count.
func checkPKIX(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	if name == "" {
		return errors.New("the server has no name to check")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, DNSName: name, CurrentTime: time.Now(),
	})
	return err
}

func (s *security) checkPin(leaf *x509.Certificate) error {
	sum := sha256.Sum256(leaf.Raw)
	if got := hex.EncodeToString(sum[:]); got != fingerprint(s.pin) {
		return fmt.Errorf("its fingerprint is %s", got)
	}
	return nil
}

// fingerprint brings a fingerprint into one form: people paste colons.
func fingerprint(s string) string {
	return strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(s))
}

// describe says for people how a connection is secured: "TLS 1.3, certificate
// verified by DANE".
func describe(cs *tls.ConnectionState, how string) string {
	switch {
	case cs == nil:
		return ""
	case how == "":
		how = "certificate not verified"
	}
	return tls.VersionName(cs.Version) + ", " + how
}
