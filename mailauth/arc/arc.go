// Package arc reads and makes Authenticated Received Chains, RFC 8617: what
// each forwarder of a message says it saw, sealed. A message passes through
// once; its header is kept, its body never. Whom of the sealers to believe is
// decided elsewhere.
package arc

import (
	"context"

	"homemail/mail"
)

// Options say how to verify.
type Options struct {
	// LookupTXT answers with the TXT records of a name, each joined into one
	// string. A *net.DNSError with IsNotFound is the only error that counts
	// against a message; any other is temporary.
	LookupTXT    func(ctx context.Context, name string) ([]string, error)
	ClockTrusted bool // else x= is not looked at
}

// A Chain is what became of the verification.
type Chain struct {
	Result  mail.Result // none, pass, fail or temperror
	Sealers []string    // d= of the seals, oldest first, A-labels in lower case; nil unless well-formed
	First   string      // raw value of the ARC-Authentication-Results of i=1; "" unless well-formed
	Newest  string      // and of the highest i=
	Reason  string      // why it is not pass, for the log
	Sets    int         // how many ARC sets there are
}
