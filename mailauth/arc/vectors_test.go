package arc

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/mail"
)

// zone answers with TXT records from a map; a value SERVFAIL is a failure that
// may pass.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	txt, ok := z[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case txt == "SERVFAIL":
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return []string{txt}, nil
}

func verify(z zone, message string) Chain {
	v := NewVerifier(Options{LookupTXT: z.LookupTXT, ClockTrusted: true})
	_, _ = v.Write([]byte(message)) // never fails
	return v.Verify(context.Background())
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func vector(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return crlf(string(b))
}

// valimail is the zone of the published suite.
var valimail = zone{"dummy._domainkey.example.org": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id" +
	"Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lx" +
	"j+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"}

// TestVectors verifies messages that others have signed.
func TestVectors(t *testing.T) {
	for name, sets := range map[string]int{"cv_pass_i1_1": 1, "cv_pass_i2_1": 2, "cv_pass_i2_2": 2} {
		msg := vector(t, name)
		c := verify(valimail, msg)
		if c.Result != mail.ResultPass || c.Sets != sets || len(c.Sealers) != sets || c.Sealers[0] != "example.org" {
			t.Errorf("%s: %+v", name, c)
		}
		if !strings.HasPrefix(c.First, " i=1; lists.example.org;") || !strings.Contains(c.Newest, "dmarc=pass") {
			t.Errorf("%s: first %q, newest %q", name, c.First, c.Newest)
		}
		if lf := verify(valimail, strings.ReplaceAll(msg, "\r", "")); lf.Result != mail.ResultPass {
			t.Errorf("%s with bare line feeds: %+v", name, lf)
		}
	}
}

// TestSignVectors changes a signed message as the suite's signing tests do,
// which expect one and the same b= for all: the canonical form is the same.
func TestSignVectors(t *testing.T) {
	for _, tt := range []struct{ name, old, new string }{
		{"message_body_eol_wsp", "gang,\n", "gang,  \n"},
		{"message_body_inl_wsp", "a test", "a   test"},
		{"message_body_end_lines", "--J.\n", "--J.\n\n\n"},
		{"message_body_trail_crlf", "--J.\n", "--J."},
		{"headers_field_name_case", "\nFrom:", "\nFROM:"},
		{"headers_field_unfold", "Doe <", "Doe\n  <"},
		{"headers_eol_wsp", "1.0\n", "1.0   \n"},
		{"headers_inl_wsp", "Jan 2015 15", "Jan   2015   15"},
		{"headers_col_wsp", "From: ", "From:   "},
	} {
		msg := vector(t, "cv_pass_i1_1")
		changed := strings.Replace(msg, crlf(tt.old), crlf(tt.new), 1)
		if changed == msg {
			t.Errorf("%s changes nothing", tt.name)
		}
		if c := verify(valimail, changed); c.Result != mail.ResultPass {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}
