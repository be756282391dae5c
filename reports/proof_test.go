package reports

import (
	"testing"

	"homemail/mail"
	"homemail/mailauth"
)

// FuzzProof: whatever strangers put into what we write down about their mail,
// it never makes them somebody for whom nothing passed.
func FuzzProof(f *testing.F) {
	f.Add("google.com", `"; dmarc=pass header.from=google.com`, "a.test", "b")
	f.Add("google.com", `\`, `"(;`, ") ; dkim=pass header.d=google.com")
	f.Fuzz(func(t *testing.T, from, reason, signer, selector string) {
		c := func(r mail.Result, d string) mail.Check { return mail.Check{Result: r, Domain: d, Reason: reason} }
		v := mail.Verdict{
			SPF: c(mail.ResultPass, signer), IPRev: c(mail.ResultPass, selector), ARC: mail.ARC{Check: c(mail.ResultPass, reason), Sealers: []string{signer, reason}},
			DKIM:  []mail.Signature{{Check: c(mail.ResultFail, signer), Selector: selector, Algorithm: reason, Start: reason}},
			DMARC: mail.DMARC{Check: c(mail.ResultFail, from), Policy: selector, Override: reason},
		}
		a := readPrefix(mailauth.Results(host, v), host)
		if a.author != "" || len(a.signed) > 0 || a.reporter(author(from)) != "" {
			t.Fatalf("%+v of %s", a, mailauth.Results(host, v))
		}
		v.DMARC.Result = mail.ResultPass
		if got := readPrefix(mailauth.Results(host, v), host).author; got != "" && got != domain(from) && len(from) <= 253 { // longer ones are cut, and in no DNS
			t.Fatalf("%q became %q", from, got)
		}
	})
}
