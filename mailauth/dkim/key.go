package dkim

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"homemail/mail"
	"homemail/mailauth/rfc6376"
)

// maxRecords is how many TXT records at one name are looked at.
const maxRecords = 8

// A key is a key record, RFC 6376 §3.6.1.
type key struct {
	public  rfc6376.Key
	testing bool // t=y
	strict  bool // t=s: i= is in d= itself
}

type keyAnswer struct {
	key key
	err error
}

// lookupKey asks for the key at a name.
func lookupKey(ctx context.Context, lookup func(context.Context, string) ([]string, error), name string) keyAnswer {
	records, err := lookup(ctx, name)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return keyAnswer{err: permanent("there is no key")}
	case err != nil:
		return keyAnswer{err: &failure{mail.ResultTempError, "the key could not be looked up"}}
	}
	k, err := pickKey(records)
	return keyAnswer{k, err}
}

// pickKey takes the only record that is a key, within the limits of rfc6376.
// RFC 6376 §3.6.2.2 leaves open what several mean; to us, nothing.
func pickKey(records []string) (found key, err error) {
	if len(records) > maxRecords {
		return key{}, permanent("there are too many records where the key should be")
	}
	n, why := 0, permanent("there is no key")
	for _, r := range records {
		public, err := rfc6376.ParseKey(r)
		if err != nil {
			why = permanent(err.Error())
			continue
		}
		n++
		list, _ := rfc6376.ParseTags(r) // it has just been read
		flags := rfc6376.SplitList(strings.ToLower(list["t"]))
		found = key{public, slices.Contains(flags, "y"), slices.Contains(flags, "s")}
	}
	switch n {
	case 0:
		return key{}, why
	case 1:
		return found, nil
	}
	return key{}, permanent("there is more than one key")
}
