package reports

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A row of a report for tests.
type testRow struct {
	ip        string
	n         int
	dkim, spf string
	auth      string
}

// report writes an aggregate report as Google does.
func report(org, id, domain string, day time.Time, rows ...testRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>%s</org_name>
    <email>noreply@reports.test</email>
    <extra_contact_info>https://reports.test/dmarc?a=1&b=2</extra_contact_info>
    <report_id>%s</report_id>
    <date_range><begin>%d</begin><end>%d</end></date_range>
  </report_metadata>
  <policy_published><domain>%s</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct><np>none</np></policy_published>
`, org, id, day.Unix(), day.Add(24*time.Hour-time.Second).Unix(), domain)
	for _, r := range rows {
		fmt.Fprintf(&b, `  <record>
    <row><source_ip>%s</source_ip><count>%d</count>
      <policy_evaluated><disposition>none</disposition><dkim>%s</dkim><spf>%s</spf></policy_evaluated></row>
    <identifiers><header_from>%s</header_from></identifiers>
    <auth_results>%s</auth_results>
  </record>
`, r.ip, r.n, r.dkim, r.spf, domain, r.auth)
	}
	return b.String() + "</feedback>\n"
}

func gz(t testing.TB, s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, files ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, s := range files {
		f, err := w.Create(fmt.Sprintf("%d.xml", i))
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(s))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// As mail.ru writes them: another order of elements.
const russian = `<?xml version="1.0" encoding="utf-8"?><feedback><report_metadata><date_range><begin>1361304000</begin><end>1361390400</end></date_range>
<email>dmarc@corp.test</email><org_name>Post &amp; Co</org_name><report_id>1361304000874948</report_id></report_metadata>
<policy_published><adkim>r</adkim><aspf>r</aspf><domain>Example.TEST.</domain><p>none</p><pct>100</pct></policy_published>
<record><auth_results><dkim><domain>example.test</domain><result>pass</result></dkim><spf><domain>bounce.test</domain><result>softfail</result></spf></auth_results>
<identifiers><header_from>example.test</header_from></identifiers>
<row><count>20</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated><source_ip>192.0.2.1</source_ip></row></record></feedback>`

// As AOL wrote them: an old encoding, a namespace with a prefix.
const old = "<?xml version=\"1.0\" encoding=\"windows-1252\"?>\r\n<ns1:feedback xmlns:ns1='http://dmarc.org/dmarc-xml/0.1'>\r\n" +
	"<report_metadata><org_name>Caf\xe9</org_name><report_id>website.com_1504828800</report_id><date_range><begin>1504742400</begin><end>1504828800</end></date_range></report_metadata>\r\n" +
	"<policy_published><domain>example.test</domain><p>reject</p></policy_published>\r\n" +
	"<record><row><source_ip>2001:DB8::1</source_ip><count>1</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf><reason><type>mailing_list</type><comment>x</comment></reason></policy_evaluated></row>" +
	"<identifiers><header_from>example.test</header_from></identifiers><auth_results><dkim><domain>example.test</domain><result>fail</result></dkim></auth_results></record></ns1:feedback>"

// As RFC 9990 has them, with a stray element that is never closed around all,
// as one reporter had it.
const newer = `<?xml version="1.0"?><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="x">
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>
<report_metadata><org_name>New</org_name><email>r@new.test</email><report_id>3v98abbp8ya9n3va8yr8oa3ya</report_id>
<date_range><begin>1302832800</begin><end>1302919199</end></date_range><generator>Example DMARC Aggregate Reporter v1.2</generator></report_metadata>
<policy_published><domain>example.test</domain><p>quarantine</p><np>none</np><testing>n</testing><discovery_method>treewalk</discovery_method></policy_published>
<record><row><source_ip>192.0.2.123</source_ip><count>123</count><policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><envelope_from>example.test</envelope_from><header_from>example.test</header_from></identifiers>
<auth_results><dkim><domain>example.test</domain><selector>abc123</selector><result>pass</result></dkim><spf><domain>example.test</domain><result>fail</result></spf></auth_results></record></feedback>`

// tlsReport writes a TLS report as Google does.
func tlsReport(id, domain string, day time.Time, good, bad int, kind string) string {
	failures := ""
	if bad > 0 {
		failures = fmt.Sprintf(`,"failure-details":[{"result-type":%q,"sending-mta-ip":"192.0.2.9","receiving-ip":"203.0.113.7","receiving-mx-hostname":"mx.%s","failed-session-count":%d}]`, kind, domain, bad)
	}
	return fmt.Sprintf(`{"organization-name":"Google Inc.","date-range":{"start-datetime":%q,"end-datetime":%q},"contact-info":"smtp-tls-reporting@google.com","report-id":%q,
"policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: testing","mx: mx.%[4]s","max_age: 86400"],"policy-domain":%[4]q,"mx-host":["mx.%[4]s"]},
"summary":{"total-successful-session-count":%d,"total-failure-session-count":%d}%s}]}`,
		day.Format(time.RFC3339), day.Add(24*time.Hour-time.Second).Format(time.RFC3339), id, domain, good, bad, failures)
}

// render writes a report that Parse reads as the same again.
func render(report any) []byte {
	switch r := report.(type) {
	case *DMARC:
		return renderDMARC(r)
	case *TLS:
		return renderTLS(r)
	}
	return nil
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func renderDMARC(r *DMARC) []byte {
	var b strings.Builder
	p := func(name, v string) { fmt.Fprintf(&b, "<%s>%s</%[1]s>", name, escaper.Replace(v)) }
	pass := func(ok bool) string {
		if ok {
			return "pass"
		}
		return "fail"
	}
	b.WriteString("<feedback><report_metadata>")
	p("org_name", r.Org)
	p("email", r.Email)
	p("report_id", r.ID)
	fmt.Fprintf(&b, "<date_range><begin>%d</begin><end>%d</end></date_range></report_metadata><policy_published>", r.Begin.Unix(), r.End.Unix())
	p("domain", r.Domain)
	p("p", r.Policy)
	b.WriteString("</policy_published>")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated>", row.Source, row.Count)
		p("disposition", row.Disposition)
		p("dkim", pass(row.DKIM))
		p("spf", pass(row.SPF))
		for _, why := range row.Reasons {
			b.WriteString("<reason>")
			p("type", why)
			b.WriteString("</reason>")
		}
		b.WriteString("</policy_evaluated></row><identifiers>")
		p("header_from", row.From)
		b.WriteString("</identifiers><auth_results>")
		for _, d := range row.Passed {
			fmt.Fprintf(&b, "<spf><domain>%s</domain><result>pass</result></spf>", d)
		}
		for _, d := range row.Unsealed {
			fmt.Fprintf(&b, "<dkim><domain>%s</domain><result>fail</result></dkim>", d)
		}
		b.WriteString("</auth_results></record>")
	}
	b.WriteString("</feedback>")
	return []byte(b.String())
}

func renderTLS(r *TLS) []byte {
	type m = map[string]any
	policies := []m{}
	for _, p := range r.Policies {
		failures := []m{}
		for _, f := range p.Failures {
			one := m{"result-type": f.Type, "receiving-mx-hostname": f.MX, "failed-session-count": f.Count, "failure-reason-code": f.Reason}
			if f.From.IsValid() {
				one["sending-mta-ip"] = f.From.String()
			}
			failures = append(failures, one)
		}
		policies = append(policies, m{
			"policy":          m{"policy-type": p.Type, "policy-domain": p.Domain},
			"summary":         m{"total-successful-session-count": p.Successes, "total-failure-session-count": p.Failed},
			"failure-details": failures,
		})
	}
	b, err := json.Marshal(m{
		"organization-name": r.Org, "contact-info": r.Contact, "report-id": r.ID, "policies": policies,
		"date-range": m{"start-datetime": r.Begin.Format(time.RFC3339), "end-datetime": r.End.Format(time.RFC3339)},
	})
	if err != nil {
		panic(err)
	}
	return b
}
