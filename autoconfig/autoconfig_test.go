package autoconfig

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"homemail/mail"
)

func home() Server {
	return Server{
		Host: "Mail.Example.test", Domain: "example.test", Brand: "Anna & <Ben>",
		IMAP:       []Service{{143, StartTLS}, {993, Implicit}, {144, "none"}, {0, Implicit}},
		POP3:       []Service{{995, Implicit}},
		Submission: []Service{{587, StartTLS}, {465, Implicit}},
	}
}

func TestServerThatNobodyCouldUse(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*Server)
		want error
	}{
		{"good", func(s *Server) {}, nil},
		{"POP3 alone", func(s *Server) { s.IMAP = nil }, nil},
		{"no host", func(s *Server) { s.Host = "" }, errHost},
		{"address as host", func(s *Server) { s.Host = "[192.0.2.1]" }, errHost},
		{"number as host", func(s *Server) { s.Host = "192.0.2.1" }, errHost},
		{"markup as host", func(s *Server) { s.Host = "a<b>.test" }, errHost},
		{"two domains", func(s *Server) { s.Domain = "a.test@b.test" }, errDomain},
		{"nothing to read with", func(s *Server) { s.IMAP, s.POP3 = nil, nil }, errNoIncoming},
		{"only without TLS", func(s *Server) { s.IMAP, s.POP3 = []Service{{143, "none"}}, nil }, errNoIncoming},
		{"no submission", func(s *Server) { s.Submission = []Service{{0, Implicit}} }, errNoOutgoing},
	} {
		s := home()
		tt.do(&s)
		_, terr := Thunderbird(s)
		_, oerr := Outlook(s, "a@example.test")
		_, aerr := Apple(s, Device{Address: "a@example.test"})
		if !errors.Is(terr, tt.want) || !errors.Is(oerr, tt.want) || !errors.Is(aerr, tt.want) {
			t.Errorf("%s: got %v, %v, %v, want %v", tt.name, terr, oerr, aerr, tt.want)
		}
	}
}

func TestAddressOfAnother(t *testing.T) {
	for addr, want := range map[mail.Path]error{
		"postmaster":                 errAddress,
		"a@other.test":               errOther,
		"a@mail.example.test":        errOther,
		"a@EXAMPLE.test":             nil,
		"\"a b\"@example.test":       nil,
		"anna@example.test\u0000":    errOther,
		"an\ufffea@example.test":     errAny,
		"\"a\\\u0001\"@example.test": errAny,
	} {
		_, err := Outlook(home(), addr)
		if want == errAny && err == nil || want != errAny && !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", addr, err, want)
		}
	}
}

var errAny = errors.New("any")

func TestThunderbird(t *testing.T) {
	got, err := Thunderbird(home())
	if err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.test">
    <domain>example.test</domain>
    <displayName>Anna &amp; &lt;Ben&gt;</displayName>
    <displayShortName>Anna &amp; &lt;Ben&gt;</displayShortName>
    <incomingServer type="imap">
      <hostname>mail.example.test</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <incomingServer type="imap">
      <hostname>mail.example.test</hostname>
      <port>143</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>mail.example.test</hostname>
      <port>995</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mail.example.test</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </outgoingServer>
    <outgoingServer type="smtp">
      <hostname>mail.example.test</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </outgoingServer>
  </emailProvider>
</clientConfig>
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func TestBrand(t *testing.T) {
	for brand, want := range map[string]string{
		"":                              "example.test",
		" \t":                           "example.test",
		"家族のメール":                        "家族のメール",
		"a\xff\x00b":                    "a\uFFFDb", // a control character is replaced
		strings.Repeat("x", maxBrand+1): strings.Repeat("x", maxBrand),
		strings.Repeat("あ", maxBrand):   strings.Repeat("あ", maxBrand/3),
	} {
		s := home()
		s.Brand = brand
		b, err := Thunderbird(s)
		if err != nil {
			t.Fatal(err)
		}
		var c clientConfig
		if err := xml.Unmarshal(b, &c); err != nil || c.Provider.Name != want {
			t.Errorf("%q: got %q, want %q (%v)", brand, c.Provider.Name, want, err)
		}
	}
}

func TestInternationalDomain(t *testing.T) {
	s := home()
	s.Domain, s.Host = "日本.test", "メール.日本.test."
	b, err := Outlook(s, "花子@日本.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<LoginName>花子@xn--wgv71a.test</LoginName>", "<Server>xn--4dkua4c.xn--wgv71a.test</Server>"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}

// texts reads a document and returns the texts of its elements by their names.
func texts(t *testing.T, doc []byte) map[string][]string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(doc)))
	got := map[string][]string{}
	name := ""
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
			name = tok.Name.Local
			if name == "string" || name == "key" {
				got[name] = append(got[name], "") // also if it is empty
			}
		case xml.CharData:
			if s := string(tok); name != "" && (name == "string" || name == "key") {
				got[name][len(got[name])-1] += s
			} else if strings.TrimSpace(s) != "" {
				got[name] = append(got[name], s)
			}
		case xml.EndElement:
			name = ""
		}
	}
}
