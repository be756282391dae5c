package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"homemail/internal/mailtest"
	"homemail/relay/mtasts"
	"homemail/resolver"
)

const addr = "192.0.2.1:25"

func enforce(mx ...string) policies {
	return policies{"example.test": {Mode: mtasts.Enforce, MX: mx}}
}

// signed is oneMX with DNSSEC and a TLSA record.
func signed(tlsa ...string) mailtest.Zone {
	z := mailtest.Zone{
		"MX example.test":      {"SECURE", "10 mx.example.test"},
		"A mx.example.test":    {"SECURE", "192.0.2.1"},
		"AAAA mx.example.test": {"SECURE"},
	}
	if tlsa != nil {
		z["TLSA _25._tcp.mx.example.test"] = tlsa
	}
	return z
}

// TestSecurity has the policies about TLS, and that nothing leaves in the clear
// where one forbids it.
func TestSecurity(t *testing.T) {
	ca := newAuthority(t)
	whole, bare := "3 0 0 "+hex.EncodeToString(ca.cert.Raw), "2 1 1 "+hash256(ca.cert.RawSubjectPublicKeyInfo)
	byTA, wrong := "2 0 1 "+hash256(ca.cert.Raw), "3 1 1 "+strings.Repeat("ab", 32)
	const refusesTLS = greetS + "< STARTTLS\n> 220 go\nclose"
	const broken = "> 554 broken"
	for name, tt := range map[string]struct {
		zone    mailtest.Zone
		server  string
		policy  policies
		names   []string // in the certificate
		require bool
		want    string
		tls     string
	}{
		"may: none offered":                 {oneMX(), greet + takes + quit, nil, nil, false, "relayed", ""},
		"may: good certificate":             {oneMX(), tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified"},
		"may: any certificate":              {oneMX(), tlsOn + takes + quit, nil, []string{"other.test"}, false, "relayed", "TLS 1.3, certificate not verified"},
		"may: TLS fails, on without":        {oneMX(), refusesTLS + "---" + greetS + takes + quit, nil, nil, false, "relayed", ""},
		"may: STARTTLS refused, on without": {oneMX(), greetS + "< STARTTLS\n> 454 no\n" + quit + "---" + greetS + takes + quit, nil, nil, false, "relayed", ""},
		"may: injected reply, on without":   {oneMX(), greetS + "< STARTTLS\n>> \"220 go\\r\\n250 mx\\r\\n\"\n<all---" + greetS + takes + quit, nil, nil, false, "relayed", ""},

		"MTA-STS: good":                  {oneMX(), tlsOn + takes + quit, enforce("mx.example.test"), nil, false, "relayed", "TLS 1.3, certificate verified by MTA-STS"},
		"MTA-STS: wildcard":              {oneMX(), tlsOn + takes + quit, enforce("*.example.test"), []string{"*.example.test"}, false, "relayed", "TLS 1.3, certificate verified by MTA-STS"},
		"MTA-STS: host not named":        {oneMX(), tlsOn + takes, enforce("mx2.example.test"), nil, false, "temporary tls 4.7.5", ""},
		"MTA-STS: other certificate":     {oneMX(), tlsOn, enforce("mx.example.test"), []string{"other.test"}, false, "temporary tls 4.7.5", ""},
		"MTA-STS: certificate of domain": {oneMX(), tlsOn, enforce("mx.example.test"), []string{"example.test"}, false, "temporary tls 4.7.5", ""},
		"MTA-STS: no STARTTLS":           {oneMX(), greet + takes, enforce("mx.example.test"), nil, false, "temporary tls 4.7.5", ""},
		"MTA-STS: TLS fails":             {oneMX(), refusesTLS + "---" + greetS + takes, enforce("mx.example.test"), nil, false, "temporary tls 4.7.5", ""},
		"MTA-STS: STARTTLS refused":      {oneMX(), greetS + "< STARTTLS\n> 454 4.7.0 no\n" + quit + "---" + greetS + takes, enforce("mx.example.test"), nil, false, "temporary reply 4.7.0 no", ""},
		"MTA-STS testing: all wrong":     {oneMX(), greet + takes + quit, policies{"example.test": {Mode: mtasts.Testing, MX: []string{"x.test"}}}, nil, false, "relayed", ""},
		"MTA-STS none":                   {oneMX(), greet + takes + quit, policies{"example.test": {Mode: mtasts.None}}, nil, false, "relayed", ""},

		"DANE: EE":                     {signed("SECURE", "3 1 1 LEAF"), tlsOn + takes + quit, nil, []string{"other.test"}, false, "relayed", "TLS 1.3, certificate verified by DANE"},
		"DANE: TA":                     {signed("SECURE", byTA), tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified by DANE"},
		"DANE: TA key":                 {signed("SECURE", bare), tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified by DANE"},
		"DANE: TA, name of the domain": {signed("SECURE", byTA), tlsOn + takes + quit, nil, []string{"example.test"}, false, "relayed", "TLS 1.3, certificate verified by DANE"},
		"DANE: TA, other name":         {signed("SECURE", byTA), tlsOn, nil, []string{"other.test"}, false, "temporary tls 4.7.5", ""},
		"DANE: EE of another":          {signed("SECURE", wrong), tlsOn, nil, nil, false, "temporary tls 4.7.5", ""},
		"DANE: CA as EE":               {signed("SECURE", whole), tlsOn, nil, nil, false, "temporary tls 4.7.5", ""},
		"DANE: one of two":             {signed("SECURE", wrong, byTA), tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified by DANE"},
		"DANE: no STARTTLS":            {signed("SECURE", byTA), greet + takes, nil, nil, false, "temporary tls 4.7.5", ""},
		"DANE: TLS fails":              {signed("SECURE", byTA), refusesTLS + "---" + greetS + takes, nil, nil, false, "temporary tls 4.7.5", ""},
		"DANE: unusable":               {signed("SECURE", "1 1 1 "+strings.Repeat("ab", 32)), tlsOn + takes + quit, nil, []string{"other.test"}, false, "relayed", "TLS 1.3, certificate not verified"},
		"DANE: unusable, no STARTTLS":  {signed("SECURE", "3 1 9 abab"), greet + takes, nil, nil, false, "temporary tls 4.7.5", ""},
		"DANE: lookup fails":           {signed("SERVFAIL"), tlsOn + takes, nil, nil, false, "temporary dns 4.7.5", ""},
		"DANE: lookup silent":          {signed("TIMEOUT"), tlsOn + takes, nil, nil, false, "temporary dns 4.7.5", ""},
		"DANE: not signed":             {signed(wrong), tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified"},
		"DANE: MX not signed": {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "A mx.example.test": {"SECURE", "192.0.2.1"}, "AAAA mx.example.test": {"SECURE"},
			"TLSA _25._tcp.mx.example.test": {"SECURE", wrong}}, tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified"},
		"DANE: address not signed": {mailtest.Zone{"MX example.test": {"SECURE", "10 mx.example.test"}, "A mx.example.test": {"192.0.2.1"},
			"TLSA _25._tcp.mx.example.test": {"SERVFAIL"}}, tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified"},
		"DANE: none":                   {signed(), greet + takes + quit, nil, nil, false, "relayed", ""},
		"DANE before MTA-STS":          {signed("SECURE", "3 1 1 LEAF"), tlsOn + takes + quit, enforce("mx2.example.test"), []string{"other.test"}, false, "relayed", "TLS 1.3, certificate verified by DANE"},
		"DANE fails, MTA-STS would do": {signed("SECURE", wrong), tlsOn, enforce("mx.example.test"), nil, false, "temporary tls 4.7.5", ""},
		"no MX, DANE":                  {mailtest.Zone{"MX example.test": {"SECURE"}, "A example.test": {"SECURE", "192.0.2.1"}, "AAAA example.test": {"SECURE"}, "TLSA _25._tcp.example.test": {"SECURE", "3 1 1 LEAF"}}, tlsOn + takes + quit, nil, nil, false, "relayed", "TLS 1.3, certificate verified by DANE"},

		"REQUIRETLS: DNSSEC":            {signed(), tlsOn + takes + quit, nil, nil, true, "relayed", "TLS 1.3, certificate verified"},
		"REQUIRETLS: DANE":              {signed("SECURE", byTA), tlsOn + takes + quit, nil, nil, true, "relayed", "TLS 1.3, certificate verified by DANE"},
		"REQUIRETLS: MTA-STS":           {oneMX(), tlsOn + takes + quit, enforce("mx.example.test"), nil, true, "relayed", "TLS 1.3, certificate verified by MTA-STS"},
		"REQUIRETLS: nobody vouches":    {oneMX(), tlsOn + takes, nil, nil, true, "permanent needs-tls 5.7.30", ""},
		"REQUIRETLS: not offered":       {signed(), tlsOld + quit, nil, nil, true, "permanent needs-tls 5.7.30", ""},
		"REQUIRETLS: no STARTTLS":       {signed(), greet + quit, nil, nil, true, "permanent needs-tls 5.7.30", ""},
		"REQUIRETLS: other certificate": {signed(), tlsOn, nil, []string{"other.test"}, true, "permanent needs-tls 5.7.30", ""},
		"REQUIRETLS: TLS fails":         {signed(), refusesTLS, nil, nil, true, "temporary tls 4.7.5", ""},
		"REQUIRETLS: nobody there":      {signed(), broken, nil, nil, true, "temporary reply broken", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{zone: tt.zone, servers: map[string]string{addr: tt.server}, policy: tt.policy, ca: ca}
			if tt.names != nil {
				w.certs = map[string][]string{addr: tt.names}
			}
			w.leafTLSA()
			bubble(t, w, func(t *testing.T) {
				m := message("bob@example.test")
				m.Envelope.RequireTLS = tt.require
				outs := w.send(w.relay(), "mx:example.test", m)
				if got := brief(outs); got != tt.want || outs[0].TLS != tt.tls {
					t.Errorf("got %q, TLS %q: %+v", got, outs[0].TLS, outs)
				}
			})
			for _, p := range w.played[addr] {
				if tt.want == "relayed" && p.Err != nil && !strings.Contains(tt.server, "close") {
					t.Error(p.Err)
				} else if tt.want != "relayed" && strings.Contains(p.Heard, "MAIL") {
					t.Errorf("said %q", p.Heard)
				}
			}
		})
	}
}

// TestTestingLogs: a policy in testing mode is only told about.
func TestTestingLogs(t *testing.T) {
	w := &world{zone: oneMX(), servers: map[string]string{addr: tlsOn + takes + quit}, certs: map[string][]string{addr: {"other.test"}},
		policy: policies{"example.test": {Mode: mtasts.Testing, MX: []string{"mx.example.test"}}}}
	bubble(t, w, func(t *testing.T) {
		if outs := w.send(w.relay(), "mx:example.test", message("bob@example.test")); brief(outs) != "relayed" {
			t.Error(outs)
		}
	})
	if !strings.Contains(w.log.String(), "testing mode would refuse the certificate") {
		t.Error(w.log.String())
	}
}

// TestSecondHostIsSafe: a policy that the better server breaks does not keep
// mail from one that keeps it.
func TestSecondHostIsSafe(t *testing.T) {
	w := &world{zone: twoMX(), policy: enforce("*.example.test"),
		servers: map[string]string{addr: greet + quit, "192.0.2.2:25": tlsOn + takes + quit},
		certs:   map[string][]string{"192.0.2.2:25": {"mx2.example.test"}}}
	bubble(t, w, func(t *testing.T) {
		if outs := w.send(w.relay(), "mx:example.test", message("bob@example.test")); brief(outs) != "relayed" || outs[0].Remote != "mx2.example.test [192.0.2.2]:25" {
			t.Error(outs)
		}
	})
}

// TestOldTLS: TLS below 1.2 is as good as none. An old way to agree on keys is
// better than none where nobody demands TLS, and only there.
func TestOldTLS(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.test"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	}
	for _, tt := range []struct {
		level level
		max   uint16
		ok    bool
	}{{may, tls.VersionTLS12, true}, {may, tls.VersionTLS11, false}, {encrypt, tls.VersionTLS12, false}} {
		server.MaxVersion = tt.max
		var how string
		ours, theirs := net.Pipe()
		go tls.Server(theirs, server).Handshake()
		err := tls.Client(ours, (&security{level: tt.level}).config(nil, &how)).Handshake()
		ours.Close()
		if (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func hash256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// leafTLSA puts the key of the server's certificate in place of LEAF.
func (w *world) leafTLSA() {
	for name, list := range w.zone {
		for i, s := range list {
			if strings.Contains(s, "LEAF") {
				if w.leafKey == nil {
					w.leafKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				}
				der, _ := x509.MarshalPKIXPublicKey(w.leafKey.Public())
				w.zone[name][i] = strings.Replace(s, "LEAF", hash256(der), 1)
			}
		}
	}
}

// TestCheckDANE has what RFC 7672 §3.1 says about one chain.
func TestCheckDANE(t *testing.T) {
	ca := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old := sign(t, &x509.Certificate{DNSNames: []string{"mx.example.test"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}, ca.cert, key, ca.key)
	leaf := sign(t, &x509.Certificate{DNSNames: []string{"mx.example.test"}}, ca.cert, key, ca.key)
	sha512sum := sha512.Sum512(leaf.RawSubjectPublicKeyInfo)
	sha256sum := sha256.Sum256(leaf.Raw)
	caSum := sha512.Sum512(ca.cert.Raw)
	names := []string{"mx.example.test"}
	for name, tt := range map[string]struct {
		chain []*x509.Certificate
		rec   resolver.TLSA
		names []string
		ok    bool
	}{
		"EE, whole":                     {chain(leaf), resolver.TLSA{Usage: 3, Selector: 0, Matching: 0, Data: leaf.Raw}, names, true},
		"EE, key":                       {chain(leaf), resolver.TLSA{Usage: 3, Selector: 1, Matching: 0, Data: leaf.RawSubjectPublicKeyInfo}, names, true},
		"EE, SHA-256":                   {chain(leaf), resolver.TLSA{Usage: 3, Selector: 0, Matching: 1, Data: sha256sum[:]}, names, true},
		"EE, SHA-512":                   {chain(leaf), resolver.TLSA{Usage: 3, Selector: 1, Matching: 2, Data: sha512sum[:]}, []string{"other.test"}, true},
		"EE, expired":                   {chain(old), resolver.TLSA{Usage: 3, Selector: 0, Matching: 0, Data: old.Raw}, names, true},
		"EE record, second in chain":    {chain(leaf, ca.cert), resolver.TLSA{Usage: 3, Selector: 0, Matching: 0, Data: ca.cert.Raw}, names, false},
		"TA, in the chain":              {chain(leaf, ca.cert), resolver.TLSA{Usage: 2, Selector: 0, Matching: 2, Data: caSum[:]}, names, true},
		"TA, not in the chain":          {chain(leaf), resolver.TLSA{Usage: 2, Selector: 0, Matching: 2, Data: caSum[:]}, names, false},
		"TA, in the DNS":                {chain(leaf), resolver.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: ca.cert.Raw}, names, true},
		"TA, expired":                   {chain(old, ca.cert), resolver.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: ca.cert.Raw}, names, false},
		"TA, other name":                {chain(leaf, ca.cert), resolver.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: ca.cert.Raw}, []string{"a.test", "b.test"}, false},
		"TA, one of the names":          {chain(leaf, ca.cert), resolver.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: ca.cert.Raw}, []string{"a.test", "mx.example.test"}, true},
		"TA, of another CA":             {chain(leaf, newAuthority(t).cert), resolver.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: newAuthority(t).cert.Raw}, names, false},
		"TA in chain, but did not sign": {chain(leaf, old), resolver.TLSA{Usage: 2, Selector: 0, Matching: 0, Data: old.Raw}, names, false},
		"PKIX-EE does not count":        {chain(leaf), resolver.TLSA{Usage: 1, Selector: 0, Matching: 0, Data: leaf.Raw}, names, false},
		"short hash":                    {chain(leaf), resolver.TLSA{Usage: 3, Selector: 0, Matching: 1, Data: sha256sum[:31]}, names, false},
	} {
		if err := checkDANE(tt.chain, []resolver.TLSA{tt.rec}, tt.names); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func chain(list ...*x509.Certificate) []*x509.Certificate { return list }

// TestAlias: TLSA records stand under the name behind a CNAME, or else under
// the one before, RFC 7672 §2.2.2.
func TestAlias(t *testing.T) {
	for _, under := range []string{"real.test", "mx.example.test"} {
		w := &world{t: t, zone: mailtest.Zone{
			"MX example.test": {"SECURE", "10 mx.example.test"}, "CNAME mx.example.test": {"SECURE", "real.test"}, "A real.test": {"SECURE", "192.0.2.1"}, "AAAA real.test": {"SECURE"},
			"TLSA _25._tcp." + under: {"SECURE", "3 1 1 " + strings.Repeat("ab", 32)},
		}}
		r := w.relay()
		p, err := r.planMX(t.Context(), "example.test")
		if err != nil {
			t.Fatal(err)
		}
		sec, err := r.secure(t.Context(), p, &p.hosts[0], false)
		if err != nil || sec.level != verify || sec.name != under || fmt.Sprint(sec.names) != fmt.Sprint([]string{under, "mx.example.test", "example.test"}) {
			t.Errorf("%s: %+v, %v", under, sec, err)
		}
	}
}
