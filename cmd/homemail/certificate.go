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

func showCertificates(in *invocation, _ *flag.FlagSet) action {
	return in.certificates("certificate.list", admin.Empty{})
}

func retryCertificates(in *invocation, _ *flag.FlagSet) action {
	return in.certificates("certificate.retry", admin.Empty{})
}

func agreeCertificates(in *invocation, f *flag.FlagSet) action {
	email := f.String("email", "", "`ADDRESS` where the authority may warn you")
	return func(ctx context.Context, args []string) error {
		return in.certificates("certificate.agree", admin.AgreeCA{Email: *email})(ctx, args)
	}
}

func withdrawCertificates(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		return in.ask(ctx, "certificate.withdraw", admin.Empty{}, &admin.Empty{})
	}
}

func (in *invocation) certificates(verb string, q any) action {
	return func(ctx context.Context, _ []string) error {
		var c admin.Certificates
		if err := in.ask(ctx, verb, q, &c); err != nil {
			return err
		}
		if in.global.json {
			return in.print(c)
		}
		in.tellCertificates(c)
		return nil
	}
}

func (in *invocation) tellCertificates(c admin.Certificates) {
	ca := c.Directory
	if u, err := url.Parse(c.Directory); err == nil && u.Host != "" {
		ca = u.Host
	}
	if c.Agreed == nil {
		in.line("certificate.not-asked", "ca", ca)
	} else {
		in.line("certificate.asked", "ca", ca, "date", c.Agreed.Given.Local().Format(time.DateOnly))
	}
	for _, s := range c.Names {
		fmt.Fprintf(in.stdout, "\n%s\n    %s\n", s.Name, in.shown(s))
		if !s.Trouble.Empty() {
			fmt.Fprintf(in.stdout, "    %s\n", s.Trouble.In(in.lang()))
		}
		if !s.Next.IsZero() && s.Doing == certs.Failed {
			fmt.Fprintf(in.stdout, "    %s\n", in.say("certificate.next", "time", s.Next.Local().Format("2006-01-02 15:04")))
		}
	}
	if c.Fingerprint != "" {
		fmt.Fprintf(in.stdout, "\n%s\n    %s\n", in.say("certificate.fingerprint", "host", c.Host), colons(c.Fingerprint))
	}
}

// shown says what somebody sees who asks for a name.
func (in *invocation) shown(s certs.Status) string {
	until := s.NotAfter.Local().Format(time.DateOnly)
	what := in.say("certificate.none")
	switch s.Shown {
	case certs.Valid:
		what = in.say("certificate.valid", "issuer", s.Issuer, "until", until)
	case certs.Expired:
		what = in.say("certificate.expired", "issuer", s.Issuer, "until", until)
	case certs.SelfSigned:
		what = in.say("certificate.self-signed")
	}
	if s.Own {
		what += in.say("certificate.own")
	}
	switch s.Doing {
	case certs.Ordering:
		what += in.say("certificate.ordering")
	case certs.Waiting:
		what += in.say("certificate.waiting")
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
