package mailauth

import (
	"strings"

	"homemail/mail"
)

// maxWords is how much of a reason is written down.
const maxWords = 100

// Results returns an Authentication-Results field, RFC 8601, with folding and a
// CRLF at its end. Whatever is in v, the field is one field: values are quoted
// where they have to be, and hold printable ASCII only.
func Results(host string, v mail.Verdict) []byte {
	var b strings.Builder
	b.WriteString("Authentication-Results: " + value(host))
	method := func(name string, c mail.Check, properties ...string) {
		if c.Result == "" {
			return
		}
		b.WriteString(";\r\n\t" + name + "=" + value(string(c.Result)))
		if c.Reason != "" {
			b.WriteString("\r\n\t reason=" + quoted(c.Reason))
		}
		for i := 0; i+1 < len(properties); i += 2 {
			if properties[i+1] != "" {
				b.WriteString("\r\n\t " + properties[i] + "=" + value(properties[i+1]))
			}
		}
	}
	spf, identity := v.SPF, "smtp.mailfrom"
	if rest, ok := strings.CutPrefix(spf.Reason, heloIdentity); ok {
		spf.Reason, identity = strings.TrimSpace(rest), "smtp.helo"
	}
	method("spf", spf, identity, spf.Domain)
	for _, s := range v.DKIM {
		method("dkim", s.Check, "header.d", s.Domain, "header.s", s.Selector, "header.a", s.Algorithm, "header.b", s.Start)
	}
	if len(v.DKIM) == 0 {
		method("dkim", mail.Check{Result: mail.ResultNone})
	}
	method("dmarc", v.DMARC.Check, "header.from", v.DMARC.Domain)
	if v.DMARC.Policy != "" {
		b.WriteString("\r\n\t (" + comment("p="+v.DMARC.Policy) + " " + comment("dis="+dispositionWord(v)) + ")")
	}
	if v.ARC.Result != "" && v.ARC.Result != mail.ResultNone {
		method("arc", v.ARC.Check)
		if len(v.ARC.Sealers) > 0 {
			sealers := v.ARC.Sealers[max(0, len(v.ARC.Sealers)-3):]
			b.WriteString("\r\n\t (sealed by " + comment(strings.Join(sealers, ", ")) + ")")
		}
	}
	method("iprev", v.IPRev)
	if v.IPRev.Domain != "" {
		b.WriteString("\r\n\t (" + comment(v.IPRev.Domain) + ")")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// dispositionWord is what was done about the policy, in the words of DMARC
// reports.
func dispositionWord(v mail.Verdict) string {
	switch {
	case v.DMARC.Override != "":
		return "none, " + v.DMARC.Override
	case v.Disposition == mail.ToJunk:
		return "quarantine"
	}
	return "none"
}

// value writes a value as a token, or quoted if it cannot be one.
func value(s string) string {
	s = clean(s, maxDNSName)
	if s == "" || strings.ContainsAny(s, ` ()<>,;:\"/[]?=`) {
		return quoted(s)
	}
	return s
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(s, maxDNSName)) + `"`
}

// comment is text that cannot leave its comment.
func comment(s string) string {
	return strings.NewReplacer("(", "[", ")", "]", `\`, "/").Replace(clean(s, maxDNSName))
}

// clean keeps the printable ASCII of a text, and so much of it.
func clean(s string, most int) string {
	s = s[:min(len(s), most)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
