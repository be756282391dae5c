package autoconfig

import (
	"errors"
	"strings"
	"testing"
)

const outlookRequest = `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>anna@example.test</EMailAddress>
    <AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
  </Request>
</Autodiscover>`

// ask is a request with something in the place of its address.
func ask(s string) string { return strings.ReplaceAll(outlookRequest, "anna@example.test", s) }

func TestParseOutlook(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		err            error
	}{
		{"Outlook's", outlookRequest, "anna@example.test", nil},
		{"byte order mark", "\ufeff" + outlookRequest, "anna@example.test", nil},
		{"no schema", "<Autodiscover><Request><EMailAddress>a@b.test</EMailAddress></Request></Autodiscover>", "a@b.test", nil},
		{"prefixes", `<x:Autodiscover xmlns:x="y"><x:Request><x:EMailAddress>a@b.test</x:EMailAddress></x:Request></x:Autodiscover>`, "a@b.test", nil},
		{"spaces", ask("\n anna@example.test\n"), "anna@example.test", nil},
		{"escaped", ask("o&apos;neil&amp;co@example.test"), "o'neil&co@example.test", nil},
		{"CDATA", ask("<![CDATA[anna@example.test]]>"), "anna@example.test", nil},
		{"comment", ask("anna<!-- x -->@example.test"), "anna@example.test", nil},
		{"ActiveSync", strings.ReplaceAll(outlookRequest, "outlook/responseschema/2006a", "mobilesync/responseschema/2006"), "", ErrOutlookSchema},
		{"empty", "", "", ErrOutlookRequest},
		{"no address", ask(""), "", ErrOutlookRequest},
		{"no domain", ask("postmaster"), "", ErrOutlookRequest},
		{"no element for it", "<Autodiscover><Request/></Autodiscover>", "", ErrOutlookRequest},
		{"address elsewhere", "<Autodiscover><EMailAddress>a@b.test</EMailAddress></Autodiscover>", "", ErrOutlookRequest},
		{"two addresses", ask("a@b.test</EMailAddress><EMailAddress>c@d.test"), "", ErrOutlookRequest},
		{"cut", outlookRequest[:len(outlookRequest)-3], "", ErrOutlookRequest},
		{"crossed", "<Autodiscover><Request></Autodiscover></Request>", "", ErrOutlookRequest},
		{"two roots", outlookRequest + outlookRequest[strings.Index(outlookRequest, "<Auto"):], "", ErrOutlookRequest},
		{"text behind", outlookRequest + "x", "", ErrOutlookRequest},
		{"other charset", strings.Replace(outlookRequest, "utf-8", "utf-16", 1), "", ErrOutlookRequest},
		{"XXE", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + ask("&e;@b.test"), "", ErrOutlookRequest},
		{"DOCTYPE alone", "<!DOCTYPE Autodiscover>" + outlookRequest[strings.Index(outlookRequest, "<Auto"):], "", ErrOutlookRequest},
		{"entity", ask("&nbsp;@b.test"), "", ErrOutlookRequest},
		{"deep", strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1), "", ErrOutlookRequest},
		{"wide", strings.Replace(outlookRequest, "<Request>", "<Request>"+strings.Repeat("<a/>", maxTokens/2), 1), "", ErrOutlookRequest},
		{"long", outlookRequest + strings.Repeat(" ", MaxOutlookRequest-len(outlookRequest)+1), "", ErrOutlookRequest},
		{"as long as may be", outlookRequest + strings.Repeat(" ", MaxOutlookRequest-len(outlookRequest)), "anna@example.test", nil},
	} {
		got, err := ParseOutlook(strings.NewReader(tt.in))
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestOutlook(t *testing.T) {
	got, err := Outlook(home(), "anna@example.test")
	if err != nil {
		t.Fatal(err)
	}
	protocol := func(kind, port, more string) string {
		return `
      <Protocol>
        <Type>` + kind + `</Type>
        <Server>mail.example.test</Server>
        <Port>` + port + `</Port>
        <DomainRequired>off</DomainRequired>
        <LoginName>anna@example.test</LoginName>
        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>SSL</Encryption>
        <AuthRequired>on</AuthRequired>` + more + `
      </Protocol>`
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
  <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
    <User>
      <DisplayName>anna@example.test</DisplayName>
    </User>
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>` + protocol("IMAP", "993", "") + protocol("POP3", "995", "") + protocol("SMTP", "465", `
        <UsePOPAuth>on</UsePOPAuth>
        <SMTPLast>off</SMTPLast>`) + `
    </Account>
  </Response>
</Autodiscover>
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func TestOutlookStartTLS(t *testing.T) {
	s := home()
	s.IMAP, s.POP3, s.Submission = []Service{{143, StartTLS}}, nil, []Service{{587, StartTLS}}
	b, err := Outlook(s, "anna@example.test")
	if err != nil {
		t.Fatal(err)
	}
	got := texts(t, b)
	if strings.Join(got["Encryption"], " ") != "TLS TLS" || strings.Join(got["Port"], " ") != "143 587" {
		t.Errorf("got %v", got)
	}
}

func TestOutlookError(t *testing.T) {
	for err, want := range map[error]string{ErrOutlookRequest: "600", ErrOutlookSchema: "601", errOther: "600"} {
		b, werr := OutlookError(err)
		if werr != nil {
			t.Fatal(werr)
		}
		if got := texts(t, b)["ErrorCode"]; len(got) != 1 || got[0] != want {
			t.Errorf("%v: got %s", err, b)
		}
	}
}

// A request that is accepted asks about an address with a domain, which comes
// back in an answer that is well-formed; and with a document type before it, no
// request is accepted.
func FuzzParseOutlook(f *testing.F) {
	f.Add(outlookRequest)
	f.Add(ask("&lt;a&gt;@b.test"))
	f.Add(ask("<![CDATA[\"a b\"@example.test]]>"))
	f.Add("<!-- c --><Autodiscover><Request><EMailAddress>花@日本.test</EMailAddress></Request></Autodiscover>")
	f.Add(strings.Repeat("<a>", 20))
	f.Add("<?xml version=\"1.1\"?><a b='&#0;'/>")
	f.Fuzz(func(t *testing.T, in string) {
		addr, err := ParseOutlook(strings.NewReader(in))
		if err != nil {
			if addr != "" {
				t.Errorf("%q with %v", addr, err)
			}
			return
		}
		body := in
		if strings.HasPrefix(in, "<?xml") {
			body = in[strings.Index(in, "?>")+len("?>"):]
		}
		if _, err := ParseOutlook(strings.NewReader("<!DOCTYPE a>" + body)); err == nil {
			t.Error("a document type is accepted")
		}
		s := home()
		if s.Domain = addr.Domain(); strings.HasPrefix(s.Domain, "[") {
			return
		}
		b, err := Outlook(s, addr)
		if err != nil {
			if writable("", addr.Wire()) == nil {
				t.Errorf("%q: %v", addr, err)
			}
			return
		}
		for _, user := range texts(t, b)["LoginName"] {
			if user != addr.Wire() {
				t.Errorf("asked about %q, answered about %q", addr.Wire(), user)
			}
		}
	})
}
