package bridge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"homemail/store"
)

// advice is what to do at a provider that refuses a password that its web site
// takes. Hosts are matched by their end.
var advice = []struct{ host, words string }{
	{"gmail.com", "Gmail takes no ordinary password here: turn on 2-Step Verification and make an app password at https://myaccount.google.com/apppasswords, and use that."},
	{"googlemail.com", "Gmail takes no ordinary password here: turn on 2-Step Verification and make an app password at https://myaccount.google.com/apppasswords, and use that."},
	{"outlook.office365.com", "Microsoft does not take passwords for IMAP and POP any more. Forward the mail from there instead."},
	{"outlook.com", "Microsoft does not take passwords for IMAP and POP any more. Forward the mail from there instead."},
	{"mail.me.com", "iCloud needs an app-specific password, made at https://account.apple.com."},
	{"mail.yahoo.com", "Yahoo needs an app password, made under Account security."},
	{"mail.yahoo.co.jp", "Yahoo! JAPAN: allow access by IMAP and POP in the settings of Yahoo!メール first."},
	{"fastmail.com", "Fastmail needs an app password, made under Settings, Privacy & Security."},
}

func hint(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, a := range advice {
		if host == a.host || strings.HasSuffix(host, "."+a.host) {
			return a.words
		}
	}
	return "Check the name and the password. Many providers want a password made for mail programs (an app password), or that IMAP or POP is turned on in their settings first."
}

// Explain says in words what an error of an account means, and what to do.
func Explain(a Account, err error) string {
	wait := "We will try again by ourselves."
	if s := explainTLS(a, err); s != "" {
		return s
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, errRefused):
		return fmt.Sprintf("%s did not take the name and password. %s", a.Host, hint(a.Host))
	case errors.Is(err, errBusy):
		return fmt.Sprintf("%s says that the account is in use or busy. %s", a.Host, wait)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("There is no server with the name %s. Check its spelling.", a.Host)
	case errors.Is(err, errConnect):
		return fmt.Sprintf("%s cannot be reached at port %d. If it never could, check the name and the port; else %s", a.Host, a.Port, strings.ToLower(wait[:1])+wait[1:])
	case errors.Is(err, errNoUIDs):
		return fmt.Sprintf("%s does not tell one message from another, so that each would come again and again. Choose IMAP instead of POP3, or the other way round.", a.Host)
	case errors.Is(err, errTooMany):
		return fmt.Sprintf("The mailbox at %s has more messages than can be fetched. Move some to another folder there.", a.Host)
	case errors.Is(err, store.ErrOverQuota):
		return "The mailbox here is full. Nothing was deleted there, and we will go on when there is room."
	case errors.Is(err, store.ErrDiskFull):
		return "The disk here is full. Nothing was deleted there, and we will go on when there is room."
	case errors.Is(err, errNobody):
		return "The person whose mail this is has no account here any more. Remove this account, or choose somebody else."
	case errors.Is(err, errDelete):
		return fmt.Sprintf("Everything was fetched, but %s does not let us delete it there. Check what this account may do, or let messages stay there for ever.", a.Host)
	case errors.Is(err, errNoFolder):
		return fmt.Sprintf("There is no such mailbox at %s: %v", a.Host, err)
	case errors.Is(err, errFlood), errors.Is(err, errProtocol), errors.Is(err, errTooLarge):
		return fmt.Sprintf("%s does not behave as a mail server should. %s", a.Host, wait)
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return fmt.Sprintf("%s stopped answering. %s", a.Host, wait)
	}
	return fmt.Sprintf("Fetching from %s was interrupted. %s", a.Host, wait)
}

func explainTLS(a Account, err error) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("The server that answers as %s is another one. Check the name; it must be the one that the provider states.", a.Host)
	case errors.As(err, &unknown):
		return fmt.Sprintf("Nobody whom we trust vouches for %s. The password was not sent.", a.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("The certificate of %s is out of date, or the clock here is wrong. The password was not sent.", a.Host)
	case errors.Is(err, errNoTLS):
		return fmt.Sprintf("%s offers no secure connection at port %d, so the password was not sent. Try the other kind of security, or another port.", a.Host, a.Port)
	case errors.Is(err, errTLS):
		return fmt.Sprintf("No secure connection to %s could be made at port %d, so the password was not sent. Try the other kind of security.", a.Host, a.Port)
	}
	return ""
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
