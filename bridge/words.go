package bridge

import (
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"

	"homemail/store"
	"homemail/words"
)

// advice is what to do at a provider that refuses a password that its web site
// takes. Hosts are matched by their end.
var advice = []struct{ host, hint string }{
	{"gmail.com", "gmail"},
	{"googlemail.com", "gmail"},
	{"outlook.office365.com", "microsoft"},
	{"outlook.com", "microsoft"},
	{"mail.me.com", "icloud"},
	{"mail.yahoo.com", "yahoo"},
	{"mail.yahoo.co.jp", "yahoo-jp"},
	{"fastmail.com", "fastmail"},
}

func hint(host string) words.Message {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, a := range advice {
		if host == a.host || strings.HasSuffix(host, "."+a.host) {
			return words.Say("bridge.hint." + a.hint)
		}
	}
	return words.Say("bridge.hint.other")
}

// Explain says in English what an error of an account means, and what to do.
func Explain(a Account, err error) string { return Tell(a, err).In("en") }

// Tell says it in words for any reader.
func Tell(a Account, err error) words.Message {
	if said := tellTLS(a, err); !said.IsZero() {
		return said
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, errRefused):
		return words.Say("bridge.refused", "host", a.Host, "hint", hint(a.Host))
	case errors.Is(err, errBusy):
		return words.Say("bridge.busy", "host", a.Host)
	case errors.As(err, &dns) && dns.IsNotFound:
		return words.Say("bridge.no-server", "host", a.Host)
	case errors.Is(err, errConnect):
		return words.Say("bridge.connect", "host", a.Host, "port", a.Port)
	case errors.Is(err, errNoUIDs):
		return words.Say("bridge.no-uids", "host", a.Host)
	case errors.Is(err, errTooMany):
		return words.Say("bridge.too-many", "host", a.Host)
	case errors.Is(err, store.ErrOverQuota):
		return words.Say("bridge.full")
	case errors.Is(err, store.ErrDiskFull):
		return words.Say("bridge.disk-full")
	case errors.Is(err, errNobody):
		return words.Say("bridge.nobody")
	case errors.Is(err, errDelete):
		return words.Say("bridge.no-delete", "host", a.Host)
	case errors.Is(err, errNoFolder):
		return words.Say("bridge.no-folder", "host", a.Host, "said", err)
	case errors.Is(err, errFlood), errors.Is(err, errProtocol), errors.Is(err, errTooLarge):
		return words.Say("bridge.odd", "host", a.Host)
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return words.Say("bridge.silent", "host", a.Host)
	}
	return words.Say("bridge.interrupted", "host", a.Host)
}

func tellTLS(a Account, err error) words.Message {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return words.Say("bridge.other-server", "host", a.Host)
	case errors.As(err, &unknown):
		return words.Say("bridge.untrusted", "host", a.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return words.Say("bridge.expired", "host", a.Host)
	case errors.Is(err, errNoTLS):
		return words.Say("bridge.no-tls", "host", a.Host, "port", a.Port)
	case errors.Is(err, errTLS):
		return words.Say("bridge.tls", "host", a.Host, "port", a.Port)
	}
	return words.Message{}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// oursToMend reports whether an error is about us and not about a message.
func oursToMend(err error) bool {
	for _, ours := range []error{store.ErrOverQuota, store.ErrDiskFull, store.ErrBroken, store.ErrClosed, store.ErrNotFound, store.ErrCorrupt} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}
