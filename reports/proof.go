package reports

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"homemail/mail"
	"homemail/mail/message"
)

// arrival is what delivery wrote before a message.
type arrival struct {
	to     mail.Path // through which it came
	author string    // the domain of From that DMARC passed for
	signed []string  // domains that DKIM passed for
}

// readPrefix reads what stands before a message. All of it is from us: a field
// in the message itself is never looked at. Host is our name in it.
func readPrefix(prefix []byte, host string) (a arrival) {
	judged := false
	for name, value := range message.Fields(prefix) {
		switch strings.ToLower(name) {
		case "delivered-to":
			if p, err := mail.ParsePath(strings.TrimSpace(unfold(value))); err == nil && a.to.IsNull() {
				a.to = p
			}
		case "authentication-results":
			if !judged {
				judged = true
				a.judge(unfold(value), host)
			}
		}
	}
	return a
}

func unfold(b []byte) string { return strings.NewReplacer("\r", "", "\n", "").Replace(string(b)) }

// judge reads an Authentication-Results field of ours, RFC 8601 §2.2.
func (a *arrival) judge(value, host string) {
	statements := split(value)
	if len(statements[0]) == 0 || !strings.EqualFold(statements[0][0], host) {
		return
	}
	for _, s := range statements[1:] {
		if len(s) == 0 {
			continue
		}
		switch s[0] {
		case "dmarc=pass":
			a.author = domain(property(s, "header.from="))
		case "dkim=pass":
			a.signed = add(a.signed, domain(property(s, "header.d=")))
		}
	}
}

// reporter is the domain that a message is proven to come from: that of From,
// which passed DMARC or has a signature of the same organisation. The signature
// of another, such as who sends for many, proves nothing about who wrote.
func (a arrival) reporter(from []message.Address) string {
	if len(from) != 1 {
		return ""
	}
	d := domain(from[0].Host)
	if d == "" || d == a.author {
		return d
	}
	for _, s := range a.signed {
		if organisation(s) == organisation(d) {
			return d
		}
	}
	return ""
}

func property(words []string, name string) string {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, name); ok {
			return v
		}
	}
	return ""
}

// split cuts a field into statements and these into words, without comments. A
// word holds its quoted strings unquoted, so that what is in quotes can neither
// end a statement nor begin a word.
func split(s string) (statements [][]string) {
	var words []string
	var word strings.Builder
	quoted, depth := false, 0
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && (quoted || depth > 0):
			if i++; i < len(s) && quoted {
				word.WriteByte(s[i])
			}
		case quoted:
			if quoted = c != '"'; quoted {
				word.WriteByte(c)
			}
		case c == '(':
			depth++
			end()
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == '"':
			quoted = true
		case c == ';':
			end()
			statements, words = append(statements, words), nil
		case c == ' ' || c == '\t':
			end()
		default:
			word.WriteByte(c)
		}
	}
	end()
	return append(statements, words)
}

// known are domains that large reporters send from, and whose mail no stranger
// can have them sign. Others count once mail went there, or if the owner says.
var known = []string{
	"google.com", "microsoft.com", "dmarc.yahoo.com", "yahooinc.com", "corp.mail.ru", "amazonses.com",
	"fastmaildmarc.com", "emailsrvr.com", "mimecastreport.com", "dmarc25.jp", "agari.com", "comcastmailservice.net",
	"cisco.com", "sicher.gmx.net", "sicher.web.de", "seznam.cz", "zohocorp.com", "dmarcreport.apple.com",
}

// freemail are domains under which anybody can have an address: a signature of
// theirs says nothing about who reports.
var freemail = []string{
	"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "ymail.com", "yahoo.co.jp", "aol.com",
	"icloud.com", "me.com", "mac.com", "gmx.net", "gmx.de", "gmx.com", "web.de", "mail.ru", "yandex.ru", "proton.me", "protonmail.com",
	"docomo.ne.jp", "ezweb.ne.jp", "au.com", "softbank.ne.jp", "i.softbank.jp", "qq.com", "163.com", "126.com", "naver.com", "t-online.de",
	"orange.fr", "free.fr", "laposte.net", "libero.it", "comcast.net", "fastmail.com", "zoho.com", "onmicrosoft.com",
}

// under reports whether a domain is one of a list, or below one.
func under(d string, list []string) bool {
	for _, l := range list {
		if d == l || strings.HasSuffix(d, "."+l) {
			return true
		}
	}
	return false
}

// organisation is the domain that somebody has registered.
func organisation(d string) string {
	if o, err := publicsuffix.EffectiveTLDPlusOne(d); err == nil {
		return o
	}
	return d
}
