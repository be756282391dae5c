package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"

	"homemail/admin"
	"homemail/certs"
)

// certificateCommands are about what proves to others who we are.
func certificateCommands() []command {
	return []command{
		{"certificate", "", "show the certificates, and what is being done about those that nobody trusts", 0, 0, showCertificates},
		{"certificate agree", "", "have certificates made by the authority, and agree to its terms", 0, 0, agreeCertificates},
		{"certificate withdraw", "", "ask the authority for nothing more", 0, 0, withdrawCertificates},
		{"certificate retry", "", "look again now: a record or a port was changed", 0, 0, retryCertificates},
	}
}

func showCertificates(in *invocation, f *flag.FlagSet) action {
	return in.certificates("certificate.list", admin.Empty{}, troubleLanguage(f))
}

func retryCertificates(in *invocation, f *flag.FlagSet) action {
	return in.certificates("certificate.retry", admin.Empty{}, troubleLanguage(f))
}

func troubleLanguage(f *flag.FlagSet) *string {
	return f.String("lang", "en", "`LANGUAGE` of the explanations: en or ja")
}

func agreeCertificates(in *invocation, f *flag.FlagSet) action {
	email, lang := f.String("email", "", "`ADDRESS` where the authority may warn you"), troubleLanguage(f)
	return func(ctx context.Context, args []string) error {
		return in.certificates("certificate.agree", admin.AgreeCA{Email: *email}, lang)(ctx, args)
	}
}

func withdrawCertificates(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		return in.ask(ctx, "certificate.withdraw", admin.Empty{}, &admin.Empty{})
	}
}

func (in *invocation) certificates(verb string, q any, lang *string) action {
	return func(ctx context.Context, _ []string) error {
		var c admin.Certificates
		if err := in.ask(ctx, verb, q, &c); err != nil {
			return err
		}
		if in.global.json {
			return in.print(c)
		}
		in.tellCertificates(c, *lang)
		return nil
	}
}

func (in *invocation) tellCertificates(c admin.Certificates, lang string) {
	ca := c.Directory
	if u, err := url.Parse(c.Directory); err == nil && u.Host != "" {
		ca = u.Host
	}
	if c.Agreed == nil {
		fmt.Fprintf(in.stdout, "%s is not asked for certificates. To have it asked, and to agree to its terms: homemail certificate agree\n", ca)
	} else {
		fmt.Fprintf(in.stdout, "Certificates are asked of %s, as you agreed on %s.\n", ca, c.Agreed.Given.Local().Format(time.DateOnly))
	}
	for _, s := range c.Names {
		fmt.Fprintf(in.stdout, "\n%s\n    %s\n", s.Name, shown(s))
		if !s.Trouble.Empty() {
			fmt.Fprintf(in.stdout, "    %s\n", s.Trouble.In(lang))
		}
		if !s.Next.IsZero() && s.Doing == certs.Failed {
			fmt.Fprintf(in.stdout, "    The next try is at %s.\n", s.Next.Local().Format("2006-01-02 15:04"))
		}
	}
	if c.Fingerprint != "" {
		fmt.Fprintf(in.stdout, "\nFingerprint of the certificate of %s, SHA-256:\n    %s\n", c.Host, colons(c.Fingerprint))
	}
}

// shown says what somebody sees who asks for a name.
func shown(s certs.Status) string {
	until := s.NotAfter.Local().Format(time.DateOnly)
	what := ""
	switch s.Shown {
	case certs.Valid:
		what = "trusted: by " + s.Issuer + " until " + until
	case certs.Expired:
		what = "expired on " + until + ", by " + s.Issuer
	case certs.SelfSigned:
		what = "made by this server itself: programs ask whether to trust it"
	default:
		what = "none: what is shown is for other names"
	}
	if s.Own {
		what += ", from your files"
	}
	switch s.Doing {
	case certs.Ordering:
		what += "; a new one is being ordered"
	case certs.Waiting:
		what += "; waiting"
	}
	return what
}

// colons writes a fingerprint as mail programs show it.
func colons(hex string) string {
	var b strings.Builder
	for i := 0; i+2 <= len(hex); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex[i : i+2]))
	}
	return b.String()
}
