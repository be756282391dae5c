package dsn

import (
	"slices"
	"strings"

	"homemail/mail"
)

// A Reason is why a message was not taken, as far as plain words can tell it
// apart. Each mail.Cause but CauseReply is one; the others are read out of a
// server's reply.
type Reason string

// The reasons that are read out of replies.
const (
	MailboxUnknown   Reason = "mailbox-unknown"
	UnknownOrBlocked Reason = "unknown-or-blocked" // a Japanese carrier says the one for the other
	MailboxDisabled  Reason = "mailbox-disabled"
	MailboxFull      Reason = "mailbox-full"
	BadAddress       Reason = "bad-address"
	Restricted       Reason = "restricted"     // only some may write to it
	HomeLine         Reason = "home-line"      // our address is one of a home line
	Listed           Reason = "listed"         // our address is on a block list
	Reputation       Reason = "reputation"     // our address is not trusted, or no more just now
	NoReverse        Reason = "no-reverse-dns" // our address has no name
	Unauthenticated  Reason = "unauthenticated"
	DMARC            Reason = "dmarc"
	Spam             Reason = "spam"
	Attachment       Reason = "attachment"
	Policy           Reason = "policy"
	Greylisted       Reason = "greylisted"
	RateLimited      Reason = "rate-limited"
	SenderQuota      Reason = "sender-quota" // of the smarthost
	SenderRefused    Reason = "sender-refused"
	RelayDenied      Reason = "relay-denied"
	TLSRequired      Reason = "tls-required"
	Loop             Reason = "loop"
	Malformed        Reason = "malformed"
	Busy             Reason = "busy"
	Refused          Reason = "refused"  // for good, and we cannot tell why
	Deferred         Reason = "deferred" // for now, and we cannot tell why
)

// The causes that replies can have too.
const (
	noDomain  = Reason(mail.CauseNoDomain)
	noMail    = Reason(mail.CauseNoMail)
	tooBig    = Reason(mail.CauseTooBig)
	auth      = Reason(mail.CauseAuth)
	needsTLS  = Reason(mail.CauseNeedsTLS)
	needsUTF8 = Reason(mail.CauseNeedsUTF8)
	noTLS     = Reason(mail.CauseTLS)
	expired   = Reason(mail.CauseExpired)
	broken    = Reason(mail.CauseBroken)
	body      = Reason(mail.CauseBody)
)

// Explain finds the reason for an outcome that is not a success.
func Explain(o mail.Outcome, rcpt mail.Path) Reason {
	switch {
	case o.Reply.Code != 0 && (o.Cause == mail.CauseReply || o.Cause == mail.CauseExpired || o.Cause == mail.CauseNone):
		return explainReply(o, rcpt)
	case o.Cause == mail.CauseReply || o.Cause == mail.CauseNone || !slices.Contains(causes[:], Reason(o.Cause)):
		return unexplained(o)
	}
	return Reason(o.Cause)
}

func unexplained(o mail.Outcome) Reason {
	if o.Fate == mail.Permanent {
		return Refused
	}
	return Deferred
}

// explainReply asks the words first: codes are what servers get wrong.
func explainReply(o mail.Outcome, rcpt mail.Path) Reason {
	text := normal(o.Reply.Text)
	temporary := o.Reply.Code < 500
	for _, s := range sayings {
		if (temporary || !s.temporary) && saysOne(text, s.phrases) {
			return refine(s.reason, rcpt)
		}
	}
	if class, detail, ok := strings.Cut(o.Reply.Enhanced, "."); ok {
		if reason, ok := reasonOf[detail]; ok && (class == "5" || class == "4" && !permanentOnly[detail]) {
			return refine(reason, rcpt)
		}
		if strings.HasPrefix(detail, "7.6") && len(detail) == 5 { // 5.7.606-649, Exchange: banned sending IP
			return Listed
		}
		if strings.HasPrefix(detail, "7.") && class == "5" {
			return Policy
		}
	}
	if reason, ok := reasonOfCode[o.Reply.Code]; ok {
		return refine(reason, rcpt)
	}
	return unexplained(o)
}

// refine knows docomo and au: they say "unknown user" also when the person's
// filter refuses mail from the Internet or from this domain.
func refine(reason Reason, rcpt mail.Path) Reason {
	if reason == MailboxUnknown && slices.Contains([]string{"docomo.ne.jp", "ezweb.ne.jp", "au.com"}, rcpt.Domain()) {
		return UnknownOrBlocked
	}
	return reason
}

// A saying is what servers say for one reason: phrases in lower case without
// punctuation, with | between them; one with a * may go on in its last word.
type saying struct {
	reason    Reason
	temporary bool // only in 4xx replies
	phrases   string
}

// sayings are searched from the first: what is more special comes before what
// its words could also be taken for.
var sayings = [...]saying{
	{HomeLine, false, "pbl|dynamic ip*|dynamic address*|dynamic host*|dynamic pool|dial up|dialup*|residential|home user*|consumer broadband"},
	{DMARC, false, "dmarc"},
	{Unauthenticated, false, "unauthenticated|not authenticated|spf|dkim|sender policy framework|required authentication level"},
	{NoReverse, false, "ptr|rdns|reverse dns|reverse lookup*|reverse hostname|reverse mapping|cannot find your hostname|cannot find your reverse hostname"},
	{Listed, false, "s3140|s3150|block list*|blocklist*|blacklist*|black list*|denylist*|blocked using|spamhaus|spamcop|barracudacentral|dnsbl*|rbl|sorbs|banned sending ip|is listed|listed at|listed by|currently listed"},
	{Reputation, false, "tss*|ts01|ts02|ts03|user complaints|unusual rate|unexpected volume|reputation|unsolicited mail originating|suspicious"},
	{SenderQuota, false, "daily user sending|sending limit*|sending quota|sending rate|daily message quota|daily limit|hourly limit|monthly limit|send limit|credit*|max emails per|maximum emails per"},
	{Attachment, false, "virus*|malware|infected|potential security issue|attachment type*|attachment not allowed|attachment is not allowed|blocked attachment|attachment blocked|dangerous attachment|forbidden attachment|file type"},
	{TLSRequired, false, "starttls*|tls required|tls is required|requires tls|must use tls|encryption required|encryption needed"},
	{auth, false, "authentication required|authentication is required|auth required|must authenticate|authentication credentials invalid|authentication failed|password not accepted|specific password required|not logged in"},
	{SenderRefused, false, "sender address rejected|sender address is not|sender address not|sender rejected|sender denied|sender verify failed|sender not allowed|invalid sender|bad sender|not verified|unverified|verified sender*|sender signature|not owned by user|domain of sender|sender domain*|send as this sender|not authorized to send from|not allowed to send from|not allowed to send as"},
	{RelayDenied, false, "relay access denied|relaying denied|unable to relay|cannot relay|relay not permitted|not permitted to relay|relaying not allowed|relaying is not allowed|do not relay|not relay|relay denied|relaying disallowed|relaying prohibited|relay prohibited"},
	{Greylisted, true, "greylist*|graylist*|grey list*|gray list*|postgrey|greypass"},
	{MailboxFull, false, "mailbox full|mailbox is full|inbox is full|inbox full|over quota|overquota|quota exceeded|quotaexceeded|exceeded its quota|exceeds quota|exceeded storage|storage allocation|storage quota|out of storage|mailbox size limit*|not enough space|not enough storage|too much mail data"},
	{tooBig, false, "message size exceeds|message size limit|message too large|message too big|message is too large|message is too big|message file too big|message length exceeds|exceeds size limit|exceeds the size limit|exceeded size limit|size limit exceeded|maximum message size|maximum size|message size"},
	{Restricted, false, "not authorized to send to|not permitted to send to|not allowed to send to|not allowed to post|only accepts mail from|only accepts messages from|restricted recipient|recipient is restricted|rejected by recipient*|rejected by the recipient|blocked by recipient*|blocked by the recipient|subscribers only|members only"},
	{MailboxDisabled, false, "disabled|inactive|suspended|deactivated|not active|no longer active|account closed|has been closed|no longer in use|no longer valid|no longer available|no longer accept*|account terminated|user has moved|has moved to"},
	{noDomain, false, "domain does not exist|domain not found|no such domain|host unknown|unknown host|host not found"},
	{MailboxUnknown, false, "user unknown|unknown user|unknown recipient|recipient unknown|unknown local part|unknown mailbox|unknown address|no such user|no such mailbox|no such recipient|no such address|no such person|no mailbox|mailbox not found|mailbox unavailable|mailbox does not exist|user not found|user does not exist|recipient not found|recipientnotfound|account not found|address not found|addressee unknown|invalid recipient*|invalid mailbox|invalid user|recipient invalid|does not exist|doesn t exist|user doesn t have|not a valid mailbox|not a valid user|unrouteable|unroutable|illegal alias|no valid recipients|recipient address rejected access denied|not our customer|not listed in domino|not listed in public name"},
	{Loop, false, "mail loop|loop detected|looping|loops back|routing loop|too many hops|hop count|too many received"},
	{RateLimited, false, "too quickly|too fast|too many|rate limit*|ratelimit*|throttl*|rate exceeded|receiving mail at a rate|slow down|exceeded the rate|limit exceeded|concurrent"},
	{Malformed, false, "line too long|lines too long|rfc 5322|rfc5322|rfc 2822|rfc 822|malformed|bare lf|bare cr|missing from|multiple from|missing header*|invalid header*|bad header*|duplicate header*|non compliant*"},
	{Spam, false, "spam*|unsolicited|junk|bulk mail|phishing|content rejected|message content|objectionable|viagra"},
	{Busy, true, "insufficient system|insufficient disk|system storage|server busy|system busy|too busy|temporary system problem|local error|temporarily unavailable|service unavailable|not available|internal error|queue file write error|resources temporarily"},
}

// reasonOf reads the subject and detail of an enhanced code, RFC 3463 and its
// registry.
var reasonOf = map[string]Reason{
	"1.0": MailboxUnknown, "1.1": MailboxUnknown, "1.2": noDomain, "1.3": BadAddress, "1.6": MailboxDisabled,
	"1.7": SenderRefused, "1.8": SenderRefused, "1.9": SenderRefused, "1.10": MailboxUnknown,
	"2.1": MailboxDisabled, "2.2": MailboxFull, "2.3": tooBig,
	"3.0": Busy, "3.1": Busy, "3.2": Busy, "3.4": tooBig, "3.5": Busy,
	"4.5": SenderQuota, "4.6": Loop, "4.7": expired, "4.14": Loop,
	"5.0": broken, "5.1": broken, "5.2": broken, "5.3": RateLimited, "5.4": broken, "5.5": broken,
	"6.0": Malformed, "6.1": body, "6.3": body, "6.7": needsUTF8, "6.11": Malformed,
	"7.2": Restricted, "7.5": noTLS, "7.7": Unauthenticated, "7.8": auth, "7.10": TLSRequired, "7.11": TLSRequired,
	"7.17": MailboxDisabled, "7.18": MailboxDisabled, "7.20": Unauthenticated, "7.21": Unauthenticated, "7.22": Unauthenticated,
	"7.23": Unauthenticated, "7.24": Unauthenticated, "7.25": NoReverse, "7.26": Unauthenticated, "7.27": SenderRefused,
	"7.28": Reputation, "7.29": Unauthenticated, "7.30": needsTLS, "7.57": auth,
	"7.124": Restricted, "7.129": Restricted, "7.133": Restricted, "7.134": Restricted, "7.135": Restricted, "7.136": Restricted,
	"7.509": DMARC, "7.511": Listed, "7.515": Unauthenticated,
}

// permanentOnly are codes whose 4.x.x form means no more than "not now".
var permanentOnly = map[string]bool{"2.1": true, "1.0": true, "5.0": true, "4.5": true, "6.0": true}

// reasonOfCode is the last resort, RFC 5321 §4.2.2, RFC 4954 and RFC 7504.
var reasonOfCode = map[int]Reason{
	421: Busy, 450: Greylisted, 451: Greylisted, 452: Busy, 454: Deferred,
	500: broken, 501: broken, 502: broken, 503: broken, 504: broken, 521: noMail,
	530: auth, 534: auth, 535: auth, 538: TLSRequired, 551: MailboxDisabled, 552: MailboxFull, 553: BadAddress, 555: broken, 556: noMail,
}

// statusOf is the status that we give for a reason of our own, RFC 3463.
var statusOf = map[Reason]string{
	"dns": "4.3", noDomain: "1.2", noMail: "1.10", "bad-mx": "4.4", "connect": "4.1", "timeout": "4.2", "lost": "4.2",
	broken: "5.0", noTLS: "7.5", auth: "7.8", needsUTF8: "6.7", needsTLS: "7.30", tooBig: "3.4", body: "6.3",
	expired: "4.7", "removed": "3.0", "not-set-up": "3.5", "ours": "3.0",
	MailboxUnknown: "1.1", UnknownOrBlocked: "1.1", MailboxDisabled: "2.1", MailboxFull: "2.2", BadAddress: "1.3",
	Restricted: "7.2", Loop: "4.6", TLSRequired: "7.10", Unauthenticated: "7.26", NoReverse: "7.25",
	HomeLine: "7.1", Listed: "7.1", Reputation: "7.1", DMARC: "7.1", Spam: "7.1", Policy: "7.1", RelayDenied: "7.1", SenderRefused: "7.1",
}

// normal is a reply in lower case, each run of what is no letter or digit one
// space, with a space at both ends.
func normal(s string) string {
	var b strings.Builder
	b.WriteByte(' ')
	space := true
	for i := range min(len(s), maxReply) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if isAlnum(c) {
			b.WriteByte(c)
		} else if !space {
			b.WriteByte(' ')
		}
		space = !isAlnum(c)
	}
	if !space {
		b.WriteByte(' ')
	}
	return b.String()
}

// saysOne reports whether a normal text has one of the phrases.
func saysOne(text, phrases string) bool {
	for phrase := range strings.SplitSeq(phrases, "|") {
		word, open := strings.CutSuffix(phrase, "*")
		if !open {
			word += " "
		}
		if strings.Contains(text, " "+word) {
			return true
		}
	}
	return false
}
