package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"homemail/mail"
	"homemail/resolver"
)

// The words of a TLSA record, RFC 7218. SMTP knows the two usages that need no
// CA, RFC 7672 §3.1.
const (
	usageTA      = 2 // a certificate that has signed the server's
	usageEE      = 3 // the server's certificate
	wholeCert    = 0
	publicKey    = 1
	asItIs       = 0
	hashedSHA256 = 1
	hashedSHA512 = 2
	maxTLSA      = 20 // records that are looked at; a domain in the middle of a change has four
)

// records returns the TLSA records of a host and the name they stand under, RFC
// 7672 §2.2. Without DNSSEC all the way there are none. An error is about this
// host alone: it must not get mail as if it had none (§2.2.1).
func (r *Relay) records(ctx context.Context, p *plan, h *host) (base string, list []resolver.TLSA, err error) {
	if !p.secure || !h.secure || h.name == "" {
		return "", nil, nil
	}
	names := []string{h.name}
	if h.canon != "" && h.canon != h.name { // §2.2.2: the name after CNAMEs first
		names = []string{h.canon, h.name}
	}
	for _, base := range names {
		answer, err := r.o.Resolver.TLSA(ctx, fmt.Sprintf("_%d._tcp.%s", p.port, base))
		switch {
		case notFound(err), err == nil && !answer.Secure:
			continue
		case err != nil:
			return "", nil, blocked(mail.Temporary, mail.CauseDNS, "4.7.5",
				"looking up the TLSA records of "+base+": "+err.Error())
		}
		if n := len(answer.List); n > 0 {
			return base, answer.List[:min(n, maxTLSA)], nil
		}
	}
	return "", nil, nil
}

// usable reports whether one of the records can prove anything, RFC 7672 §3.1.
func usable(list []resolver.TLSA) bool { return slices.ContainsFunc(list, usableRecord) }

func usableRecord(t resolver.TLSA) bool {
	if t.Usage != usageTA && t.Usage != usageEE || t.Selector > publicKey {
		return false
	}
	switch t.Matching {
	case asItIs:
		return len(t.Data) > 0
	case hashedSHA256:
		return len(t.Data) == sha256.Size
	case hashedSHA512:
		return len(t.Data) == sha512.Size
	}
	return false
}

// checkDANE looks for a record that proves the chain, RFC 7672 §3.1.1, §3.1.2.
func checkDANE(chain []*x509.Certificate, records []resolver.TLSA, names []string) error {
	why := errors.New("it matches no TLSA record")
	for _, t := range records {
		if !usableRecord(t) {
			continue
		}
		if t.Usage == usageEE { // neither name nor date counts
			if matches(t, chain[0]) {
				return nil
			}
			continue
		}
		for _, anchor := range anchors(t, chain) {
			if err := checkAnchored(chain, anchor, names); err != nil {
				why = err
				continue
			}
			return nil
		}
	}
	return why
}

// matches reports whether a record is about a certificate, RFC 6698 §2.1.
func matches(t resolver.TLSA, c *x509.Certificate) bool {
	data := c.Raw
	if t.Selector == publicKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch t.Matching {
	case hashedSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case hashedSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return bytes.Equal(data, t.Data)
}

// anchors are the certificates that a DANE-TA record makes trusted: those of the
// chain that it matches, and one that it holds itself. A bare key that no
// certificate of the chain has proves nothing here, as in OpenSSL by default.
func anchors(t resolver.TLSA, chain []*x509.Certificate) []*x509.Certificate {
	var list []*x509.Certificate
	for _, c := range chain {
		if matches(t, c) {
			list = append(list, c)
		}
	}
	if t.Selector == wholeCert && t.Matching == asItIs && list == nil {
		if c, err := x509.ParseCertificate(t.Data); err == nil {
			list = append(list, c)
		}
	}
	return list
}

// checkAnchored verifies a chain up to an anchor, for one of the names.
func checkAnchored(chain []*x509.Certificate, anchor *x509.Certificate, names []string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(anchor)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: time.Now()}); err != nil {
		return err
	}
	var err error
	for _, name := range names {
		if err = chain[0].VerifyHostname(name); err == nil {
			return nil
		}
	}
	return err
}
