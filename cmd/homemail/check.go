package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"

	"homemail/admin"
	"homemail/check"
)

// lineCommands find out what the house can do.
func lineCommands() []command {
	return []command{
		{"check", "[NAME...]", "find out whether this line and this house can do mail, and what to do about what they cannot", 0, 40, checkLine},
	}
}

// An exitCode is an error that has been told already.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func checkLine(in *invocation, f *flag.FlagSet) action {
	lang := f.String("lang", "en", "`LANGUAGE` of the explanations: en or ja")
	return func(ctx context.Context, args []string) error {
		var l admin.Line
		if err := in.ask(ctx, "line.check", admin.CheckLine{Names: args}, &l); err != nil {
			return err
		}
		if in.global.json {
			if err := in.print(l); err != nil {
				return err
			}
		} else {
			in.tellLine(l, *lang)
		}
		if code := l.Worst.ExitCode(); code != 0 {
			return exitCode(code)
		}
		return nil
	}
}

func (in *invocation) tellLine(l admin.Line, lang string) {
	for _, r := range l.Results {
		fmt.Fprintf(in.stdout, "%-15s %-12s %s\n", r.State, r.Name, r.Means.In(lang))
		if do := r.Do.In(lang); do != "" {
			fmt.Fprintf(in.stdout, "%28s %s\n", "", do)
		}
	}
	fmt.Fprintf(in.stdout, "\n%s: %s\n", l.Recommend.Mode, l.Recommend.Reason.In(lang))
}

// certificate is the one in use, for the checks.
func (h *house) certificate() (check.Certificate, error) {
	if h.certs == nil {
		return check.Certificate{}, nil
	}
	leaf := h.certs.Leaf()
	return check.Certificate{Leaf: leaf, Issued: leaf != nil && !selfSigned(leaf)}, nil
}

func selfSigned(c *x509.Certificate) bool {
	return c.CheckSignatureFrom(c) == nil || c.Issuer.String() == c.Subject.String()
}
