package arc

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"homemail/mail"
	"homemail/mailauth/rfc6376"
)

// A hop is an ARC set before it is signed: @B@ and @BH@ stand for what is
// computed. An empty field is left out.
type hop struct{ as, ams, aar string }

func (h *hop) field(name string) *string {
	return map[string]*string{"as": &h.as, "ams": &h.ams, "aar": &h.aar}[name]
}

// A step changes the set of one hop before it is signed, or after.
type step struct {
	hop             int
	field, old, new string
	after           bool
}

// before changes what is signed, after what was signed.
func before(hop int, field, old, new string) step { return step{hop, field, old, new, false} }
func after(hop int, field, old, new string) step  { return step{hop, field, old, new, true} }

const (
	suiteHeader = "MIME-Version: 1.0\r\nReceived: by 10.157.14.6 with HTTP; Tue, 3 Jan 2017 12:22:54 -0800 (PST)\r\n" +
		"Message-ID: <1@d1.example.org>\r\nDate: Thu, 14 Jan 2015 15:00:01 -0800\r\n" +
		"From: John Q Doe <jqd@d1.example.org>\r\nTo: arc@dmarc.org\r\nSubject: Example 1\r\n"
	suiteBody = "Hey gang,\r\nThis is a  test message.\r\n--J.\r\n"
)

var suiteKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for selector, bits := range map[string]int{"dummy": 1024, "other": 2048} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[selector] = k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	keys["ed"] = ed
	return keys
})

func suiteZone(t testing.TB) zone {
	z := zone{"invalid._domainkey.example.org": "v=DKIM1; k=rsa; omgwhatsgoingon", "slow._domainkey.example.org": "SERVFAIL",
		"revoked._domainkey.example.org": "v=DKIM1; p="}
	for selector, k := range suiteKeys() {
		kind, p := "rsa", []byte(nil)
		if pub, ok := k.Public().(ed25519.PublicKey); ok {
			kind, p = "ed25519", pub
		} else {
			var err error
			if p, err = x509.MarshalPKIXPublicKey(k.Public()); err != nil {
				t.Fatal(err)
			}
		}
		z[selector+"._domainkey.example.org"] = "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(p)
	}
	return z
}

// forge makes a message with n hops. It signs with whatever the tags say, as a
// signer would that takes no care.
func forge(t testing.TB, n int, steps ...step) string {
	t.Helper()
	header := suiteHeader
	var sets []rfc6376.Field
	for i := 1; i <= n; i++ {
		cv := "pass"
		if i == 1 {
			cv = "none"
		}
		h := hop{
			fmt.Sprintf("ARC-Seal: a=rsa-sha256;\r\n    b=@B@; cv=%s; d=example.org; i=%d; s=dummy;\r\n    t=%d\r\n", cv, i, 12344+i),
			fmt.Sprintf("ARC-Message-Signature: a=rsa-sha256;\r\n    b=@B@;\r\n    bh=@BH@; c=relaxed/relaxed;\r\n"+
				"    d=example.org; h=from:to:date:subject:mime-version:arc-authentication-results;\r\n    i=%d; s=dummy; t=%d\r\n", i, 12344+i),
			fmt.Sprintf("ARC-Authentication-Results: i=%d; lists.example.org;\r\n    spf=pass smtp.mfrom=jqd@d1.example;\r\n    dmarc=pass\r\n", i),
		}
		change(t, &h, i, steps, false)
		signMessage(&h, header)
		signSeal(&h, sets)
		sets = append(sets, rfc6376.Field(h.aar), rfc6376.Field(h.ams), rfc6376.Field(h.as))
		change(t, &h, i, steps, true)
		header = h.as + h.ams + h.aar + fmt.Sprintf("Received: by hop%d.example.org\r\n", i) + header
	}
	return header + "\r\n" + suiteBody
}

func change(t testing.TB, h *hop, i int, steps []step, after bool) {
	t.Helper()
	for _, s := range steps {
		if s.hop != i || s.after != after {
			continue
		}
		f := h.field(s.field)
		if s.old == "" { // the whole field
			*f = s.new
			continue
		}
		if !strings.Contains(*f, s.old) {
			t.Fatalf("%q is not in %q", s.old, *f)
		}
		*f = strings.Replace(*f, s.old, s.new, 1)
	}
}

// tagsOf is lenient: a test wants even bad fields signed.
func tagsOf(field string) map[string]string {
	tags := map[string]string{}
	_, value, _ := strings.Cut(field, ":")
	for spec := range strings.SplitSeq(value, ";") {
		k, v, _ := strings.Cut(spec, "=")
		tags[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return tags
}

func signMessage(h *hop, header string) {
	tags := tagsOf(h.ams)
	relaxedHeader, relaxedBody, _ := rfc6376.Canonical(tags["c"])
	sum := sha256.New()
	body := rfc6376.NewBody(sum, relaxedBody)
	_, _ = body.Write([]byte(suiteBody)) // a hash never fails
	_ = body.Close()
	h.ams = strings.Replace(h.ams, "@BH@", base64.StdEncoding.EncodeToString(sum.Sum(nil)), 1)
	chosen := rfc6376.Select(rfc6376.Fields([]byte(h.aar+header)), rfc6376.SplitList(tags["h"]))
	h.ams = fill(h.ams, tags["s"], rfc6376.Digest(chosen, rfc6376.Field(h.ams), relaxedHeader))
}

func signSeal(h *hop, sets []rfc6376.Field) {
	if cv := tagsOf(h.as)["cv"]; cv == "fail" {
		sets = nil
	}
	chosen := append(append([]rfc6376.Field(nil), sets...), rfc6376.Field(h.aar), rfc6376.Field(h.ams))
	h.as = fill(h.as, tagsOf(h.as)["s"], rfc6376.Digest(chosen, rfc6376.Field(h.as), true))
}

func fill(field, selector string, digest []byte) string {
	key, ok := suiteKeys()[selector]
	if !ok {
		key = suiteKeys()["dummy"]
	}
	b, err := rfc6376.Sign(key, digest)
	if err != nil {
		panic(err)
	}
	return strings.Replace(field, "@B@", b[:60]+"\r\n    "+b[60:], 1)
}

// TestSuite has the cases of the published suite's manifest, by their names,
// and ours after them. A case that changes a field before it is signed shows
// that the form alone decides.
func TestSuite(t *testing.T) {
	for _, tt := range suite() {
		t.Run(tt.name, func(t *testing.T) {
			msg := forge(t, tt.hops, tt.steps...)
			if tt.old != "" {
				if !strings.Contains(msg, tt.old) {
					t.Fatalf("%q is not in the message", tt.old)
				}
				msg = strings.Replace(msg, tt.old, tt.new, 1)
			}
			c := verify(suiteZone(t), msg)
			if c.Result != tt.want {
				t.Errorf("%+v, want %s\n%s", c, tt.want, msg)
			}
			if (c.Reason == "") != (c.Result == mail.ResultPass || c.Result == mail.ResultNone) {
				t.Errorf("result %s with the reason %q", c.Result, c.Reason)
			}
		})
	}
}
