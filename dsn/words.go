package dsn

import (
	"strings"

	"homemail/mail"
)

// A phrase is what one reason means and what to do about it, in one language.
// {domain} and {address} stand for the recipient's.
type phrase struct {
	Why   string
	Todo  string // when it has failed
	Later string // while we still try; "" if there is nothing to do
}

// A catalog has all words of one language. A {word} is replaced by its value.
type catalog struct {
	Subject [3]string // by Kind

	Failed, Waiting, Relayed, Delivered, Expanded string // what happened, with {address}

	Many    [3]string // by Kind; in place of "what" when there are several: {n}
	Wait    string    // there is nothing to do while we try
	Until   string    // until {time}
	GaveUp  string    // after {n} tries, the last one at {time}
	Said    string    // before the words of {remote}
	More    string    // {n} recipients more are in the status
	About   string    // {subject} and {time} of the original
	About0  string    // {time} alone
	Footer  string    // {host} wrote this
	Whole   string    // the original is attached
	Header  string    // only its header is
	Time    string    // layout of a time
	Reasons map[Reason]phrase
}

// catalogs are the languages that we speak. One more is one more entry here.
var catalogs = map[string]*catalog{"en": &english, "ja": &japanese}

// catalogFor finds the words for a language tag such as ja-JP, RFC 5646.
func catalogFor(tag string) *catalog {
	if c, ok := catalogs[language(tag)]; ok {
		return c
	}
	return &english
}

// language is the primary subtag of a tag if we speak it, else "en".
func language(tag string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(tag, "_", "-"), "-")
	if primary = strings.ToLower(primary); catalogs[primary] != nil {
		return primary
	}
	return "en"
}

// Words tells in plain words what happened to a message to rcpt, why, and what
// to do now. After a success there is nothing to explain and nothing to do.
func Words(lang string, o mail.Outcome, rcpt mail.Path) (what, why, todo string) {
	c := catalogFor(lang)
	fill := filler(rcpt)
	switch o.Fate {
	case mail.Delivered:
		return fill(c.Delivered), "", ""
	case mail.Relayed:
		return fill(c.Relayed), "", ""
	}
	p := c.Reasons[Explain(o, rcpt)]
	if o.Fate == mail.Permanent {
		return fill(c.Failed), fill(p.Why), fill(p.Todo)
	}
	if p.Later == "" {
		p.Later = c.Wait
	}
	return fill(c.Waiting), fill(p.Why), fill(p.Later)
}

// filler puts a recipient into words, as a person knows it.
func filler(rcpt mail.Path) func(string) string {
	shown := clean(string(rcpt), 256)
	_, domain, ok := cutLast(shown, '@')
	if !ok {
		domain = shown
	}
	return strings.NewReplacer("{address}", shown, "{domain}", domain).Replace
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
