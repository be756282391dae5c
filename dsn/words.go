package dsn

import (
	"strings"

	"homemail/mail"
	"homemail/words"
)

// The words stand in the catalogue of the house, under "dsn.". {domain} and
// {address} in those of a reason stand for the recipient's.

// language is the language of a reader, as RFC 5646 calls it.
func language(tag string) string { return string(words.For(tag)) }

// say is a phrase of ours.
func say(lang, key string, args ...any) string { return words.Say("dsn."+key, args...).In(lang) }

// Words tells in plain words what happened to a message to rcpt, why, and what
// to do now. After a success there is nothing to explain and nothing to do.
func Words(lang string, o mail.Outcome, rcpt mail.Path) (what, why, todo string) {
	fill := filler(lang, rcpt)
	switch o.Fate {
	case mail.Delivered:
		return fill("what.delivered"), "", ""
	case mail.Relayed:
		return fill("what.relayed"), "", ""
	}
	reason := "reason." + string(Explain(o, rcpt))
	if o.Fate == mail.Permanent {
		return fill("what.failed"), fill(reason), fill(reason + ".todo")
	}
	later := reason + ".later"
	if !words.House().Has("dsn." + later) {
		later = "wait" // there is nothing to do while we try
	}
	return fill("what.waiting"), fill(reason), fill(later)
}

// filler says phrases about a recipient, as a person knows it.
func filler(lang string, rcpt mail.Path) func(key string) string {
	shown := clean(string(rcpt), 256)
	_, domain, ok := cutLast(shown, '@')
	if !ok {
		domain = shown
	}
	return func(key string) string { return say(lang, key, "address", shown, "domain", domain) }
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// causes are the reasons that need no reply.
var causes = [...]Reason{
	"dns", noDomain, noMail, "bad-mx", "connect", "timeout", "lost", broken, noTLS, auth, needsUTF8, needsTLS, tooBig, body,
	expired, "removed", "not-set-up", "ours",
}

// replies are the reasons that only a reply can give.
var replies = [...]Reason{
	MailboxUnknown, UnknownOrBlocked, MailboxDisabled, MailboxFull, BadAddress, Restricted, HomeLine, Listed, Reputation, NoReverse,
	Unauthenticated, DMARC, Spam, Attachment, Policy, Greylisted, RateLimited, SenderQuota, SenderRefused, RelayDenied, TLSRequired,
	Loop, Malformed, Busy, Refused, Deferred,
}
