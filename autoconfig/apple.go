package autoconfig

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/smallstep/pkcs7"

	"homemail/mail"
)

// A Device is whom and what an Apple profile is for.
type Device struct {
	Address mail.Path
	Name    string // in From of what is sent; "" lets the device ask
	Lang    string // of what people read: "ja", else English

	// Password is "" but for a password that was made for this one device: a
	// profile is a file, which is kept and handed on. Without it the device asks.
	Password string
}

// AppleType is the media type of a profile: iOS opens the settings by it.
const AppleType = "application/x-apple-aspen-config"

// A word of a property list, PropertyList-1.0.dtd: key, string, integer, true,
// dict or array with what is in it.
type word struct {
	XMLName xml.Name
	Version string `xml:"version,attr,omitempty"`
	Text    string `xml:",chardata"`
	Words   []word
}

func key(s string) word { return word{XMLName: xml.Name{Local: "key"}, Text: s} }

func text(s string) word { return word{XMLName: xml.Name{Local: "string"}, Text: s} }

func number[N ~int | ~uint16](n N) word {
	return word{XMLName: xml.Name{Local: "integer"}, Text: strconv.Itoa(int(n))}
}

func yes() word { return word{XMLName: xml.Name{Local: "true"}} }

func array(words ...word) word { return word{XMLName: xml.Name{Local: "array"}, Words: words} }

// dict is made of keys and values in turn.
func dict(words ...word) word { return word{XMLName: xml.Name{Local: "dict"}, Words: words} }

const plistType = `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n"

// Apple returns a configuration profile with one mail account, which iOS and
// macOS set up when it is opened. A profile for the same address replaces the
// one before.
func Apple(s Server, d Device) ([]byte, error) {
	s, err := s.checked()
	if err != nil {
		return nil, err
	}
	user, err := s.userName(d.Address)
	if err != nil {
		return nil, err
	}
	if err := writable("password", d.Password); err != nil {
		return nil, err
	}
	note := "Mail for " + user
	if d.Lang == "ja" {
		note = user + " のメール"
	}
	id := "homemail." + s.Domain + "." + uuid("identifier", s.Domain, user)
	profile := dict(
		key("PayloadType"), text("Configuration"),
		key("PayloadVersion"), number(1),
		key("PayloadIdentifier"), text(id),
		key("PayloadUUID"), text(uuid("profile", s.Host, user)),
		key("PayloadDisplayName"), text(s.Brand),
		key("PayloadOrganization"), text(s.Brand),
		key("PayloadDescription"), text(note),
		key("PayloadContent"), array(s.account(id, user, d)),
	)
	plist := word{XMLName: xml.Name{Local: "plist"}, Version: "1.0", Words: []word{profile}}
	b, err := document(plist)
	if err != nil {
		return nil, err
	}
	return bytes.Replace(b, []byte(xml.Header), []byte(xml.Header+plistType), 1), nil
}

// account is the payload com.apple.mail.managed. "UseSSL" is also right for
// STARTTLS: the device finds out which of the two a port speaks.
func (s Server) account(id, user string, d Device) word {
	kind, out := "EmailTypePOP", s.Submission[0]
	imap, in := s.incoming()
	if imap {
		kind = "EmailTypeIMAP"
	}
	words := []word{
		key("PayloadType"), text("com.apple.mail.managed"),
		key("PayloadVersion"), number(1),
		key("PayloadIdentifier"), text(id + ".mail"),
		key("PayloadUUID"), text(uuid("account", s.Host, user)),
		key("PayloadDisplayName"), text(user),
		key("EmailAccountDescription"), text(s.Brand),
		key("EmailAccountType"), text(kind),
		key("EmailAddress"), text(user),
		key("IncomingMailServerHostName"), text(s.Host),
		key("IncomingMailServerPortNumber"), number(in.Port),
		key("IncomingMailServerUseSSL"), yes(),
		key("IncomingMailServerAuthentication"), text("EmailAuthPassword"),
		key("IncomingMailServerUsername"), text(user),
		key("OutgoingMailServerHostName"), text(s.Host),
		key("OutgoingMailServerPortNumber"), number(out.Port),
		key("OutgoingMailServerUseSSL"), yes(),
		key("OutgoingMailServerAuthentication"), text("EmailAuthPassword"),
		key("OutgoingMailServerUsername"), text(user),
		key("OutgoingPasswordSameAsIncomingPassword"), yes(),
	}
	if d.Name != "" {
		words = append(words, key("EmailAccountName"), text(d.Name))
	}
	if d.Password != "" {
		words = append(words, key("IncomingPassword"), text(d.Password))
	}
	return dict(words...)
}

// uuid is the same for the same parts, by which a device knows what it replaces:
// version 8 of RFC 9562 §5.8.
func uuid(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16]))
}

// errSigner says that a signature would convince nobody.
var errSigner = errors.New("certificate is not one that devices trust")

// SignApple puts a profile into CMS SignedData (RFC 5652), signed by the
// server's own certificate: the device shows who made the profile. A self-signed
// one is refused, for what it signs looks worse than what nobody has signed.
func SignApple(profile []byte, cert *tls.Certificate) ([]byte, error) {
	if cert == nil || len(cert.Certificate) == 0 {
		return nil, errSigner
	}
	chain := make([]*x509.Certificate, len(cert.Certificate))
	for i, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("sign a profile: %w", err)
		}
		chain[i] = c
	}
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok || bytes.Equal(chain[0].RawIssuer, chain[0].RawSubject) {
		return nil, errSigner
	}
	sd, err := pkcs7.NewSignedData(profile)
	if err != nil {
		return nil, fmt.Errorf("sign a profile: %w", err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSignerChain(chain[0], signer, chain[1:], pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("sign a profile: %w", err)
	}
	signed, err := sd.Finish()
	if err != nil {
		return nil, fmt.Errorf("sign a profile: %w", err)
	}
	return signed, nil
}
