package autoconfig

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"homemail/mail"
)

// plist reads a property list with keys that stand once in it.
func plist(t *testing.T, doc []byte) map[string]string {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	got := map[string]string{}
	key, text := "", ""
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			text = ""
		case xml.CharData:
			text += string(tok)
		case xml.EndElement:
			switch tok.Name.Local {
			case "key":
				key = text
			case "string", "integer":
				got[key] = text // the account, if the profile has it, too
			case "true":
				got[key] = "true"
			}
		}
	}
}

func TestApple(t *testing.T) {
	b, err := Apple(home(), Device{Address: "Anna@Example.test", Name: "Anna <3", Password: "k9 & <m>"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), xml.Header+"<!DOCTYPE plist PUBLIC") || !strings.Contains(string(b), `<plist version="1.0">`) {
		t.Errorf("got %s", b)
	}
	got := plist(t, b)
	for k, want := range map[string]string{
		"EmailAccountType":                       "EmailTypeIMAP",
		"EmailAddress":                           "Anna@example.test",
		"EmailAccountName":                       "Anna <3",
		"EmailAccountDescription":                "Anna & <Ben>",
		"IncomingMailServerHostName":             "mail.example.test",
		"IncomingMailServerPortNumber":           "993",
		"IncomingMailServerUseSSL":               "true",
		"IncomingMailServerAuthentication":       "EmailAuthPassword",
		"IncomingMailServerUsername":             "Anna@example.test",
		"IncomingPassword":                       "k9 & <m>",
		"OutgoingMailServerPortNumber":           "465",
		"OutgoingMailServerUseSSL":               "true",
		"OutgoingMailServerUsername":             "Anna@example.test",
		"OutgoingPasswordSameAsIncomingPassword": "true",
		"PayloadDescription":                     "Mail for Anna@example.test",
		"PayloadType":                            "com.apple.mail.managed",
	} {
		if got[k] != want {
			t.Errorf("%s: got %q, want %q", k, got[k], want)
		}
	}
}

func TestAppleWithoutPassword(t *testing.T) {
	s := home()
	s.IMAP = nil
	b, err := Apple(s, Device{Address: "anna@example.test", Lang: "ja"})
	if err != nil {
		t.Fatal(err)
	}
	got := plist(t, b)
	if _, has := got["IncomingPassword"]; has || got["EmailAccountType"] != "EmailTypePOP" || got["IncomingMailServerPortNumber"] != "995" {
		t.Errorf("got %v", got)
	}
	if got["PayloadDescription"] != "anna@example.test のメール" {
		t.Errorf("got %q", got["PayloadDescription"])
	}
	if _, err := Apple(s, Device{Address: "anna@example.test", Password: "a\x01b"}); err == nil {
		t.Error("a password that would be changed on its way is accepted")
	}
}

// A profile replaces the one before of the same address, and no other.
func TestAppleIdentity(t *testing.T) {
	id := func(addr mail.Path) string {
		b, err := Apple(home(), Device{Address: addr})
		if err != nil {
			t.Fatal(err)
		}
		words := texts(t, b)["string"]
		i := slices.IndexFunc(words, func(s string) bool { return strings.HasPrefix(s, "homemail.") })
		return words[i]
	}
	if id("anna@example.test") != id("anna@EXAMPLE.test") || id("anna@example.test") == id("ben@example.test") {
		t.Errorf("got %s, %s, %s", id("anna@example.test"), id("anna@EXAMPLE.test"), id("ben@example.test"))
	}
}

// What goes into a profile comes out of it, whatever it is made of.
func FuzzApple(f *testing.F) {
	f.Add("anna@example.test", "Anna", "secret")
	f.Add("\"a]]>b\"@example.test", "<key>x</key>", "a\rb")
	f.Add("花@example.test", "\x00\xff", "\ufffe\ufffd")
	f.Fuzz(func(t *testing.T, addr, name, password string) {
		p, err := mail.ParsePath(addr)
		if err != nil {
			return
		}
		b, err := Apple(home(), Device{Address: p, Name: name, Password: password})
		if err != nil {
			return
		}
		got := plist(t, b)
		if got["IncomingMailServerUsername"] != p.Wire() || got["IncomingPassword"] != password || got["IncomingMailServerPortNumber"] != "993" {
			t.Errorf("%q, %q: got %v", p, password, got)
		}
	})
}

// chain makes a certificate and the authority that issued it.
func chain(t *testing.T, rsaKey bool) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	ca, caKey := issue(t, nil, nil, false)
	leaf, key := issue(t, ca, caKey, rsaKey)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: key}, pool
}

func issue(t *testing.T, parent *x509.Certificate, parentKey any, rsaKey bool) (*x509.Certificate, any) {
	t.Helper()
	var key any
	var public any
	if rsaKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail.example.test"}, DNSNames: []string{"mail.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		tmpl.SerialNumber, tmpl.Subject.CommonName = big.NewInt(1), "Test CA"
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestSignApple(t *testing.T) {
	profile, err := Apple(home(), Device{Address: "anna@example.test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, rsaKey := range []bool{false, true} {
		cert, pool := chain(t, rsaKey)
		signed, err := SignApple(profile, cert)
		if err != nil {
			t.Fatal(err)
		}
		p7, err := pkcs7.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		if err := p7.VerifyWithChain(pool); err != nil || !bytes.Equal(p7.Content, profile) {
			t.Errorf("RSA %v: %v; content %q", rsaKey, err, p7.Content)
		}
		i := bytes.Index(signed, []byte("993"))
		signed[i] = '8'
		if p7, err = pkcs7.Parse(signed); err == nil && p7.VerifyWithChain(pool) == nil {
			t.Error("a changed profile is still signed")
		}
	}
}

func TestSignAppleRefuses(t *testing.T) {
	self, key := issue(t, nil, nil, false)
	cert, _ := chain(t, false)
	for name, c := range map[string]*tls.Certificate{
		"none":        nil,
		"empty":       {},
		"self-signed": {Certificate: [][]byte{self.Raw}, PrivateKey: key},
		"no key":      {Certificate: cert.Certificate},
		"wrong chain": {Certificate: [][]byte{cert.Certificate[0], self.Raw}, PrivateKey: cert.PrivateKey},
		"broken":      {Certificate: [][]byte{{1, 2}}, PrivateKey: key},
	} {
		if b, err := SignApple([]byte("x"), c); err == nil || b != nil {
			t.Errorf("%s: signed", name)
		}
	}
}
