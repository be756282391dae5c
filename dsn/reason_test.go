package dsn

import (
	"strings"
	"testing"

	"homemail/mail"
)

// What servers really say, and what it means.
var repliesSeen = []struct {
	code     int
	enhanced string
	text     string
	rcpt     mail.Path
	want     Reason
}{
	// Gmail, support.google.com/a/answer/3726730
	{550, "5.1.1", "The email account that you tried to reach does not exist. Please try\ndouble-checking the recipient's email address for typos or\nunnecessary spaces. Learn more at https://support.google.com/mail/?p=NoSuchUser x - gsmtp", "a@gmail.com", MailboxUnknown},
	{550, "5.2.1", "The email account that you tried to reach is inactive. Learn more at https://support.google.com/mail/?p=DisabledUser - gsmtp", "a@gmail.com", MailboxDisabled},
	{452, "4.2.2", "The recipient's inbox is out of storage space. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaTemp - gsmtp", "a@gmail.com", MailboxFull},
	{552, "5.2.2", "The email account that you tried to reach is over quota.", "a@gmail.com", MailboxFull},
	{450, "4.2.1", "The user you are trying to contact is receiving mail too quickly. Please resend your message at a later time.", "a@gmail.com", RateLimited},
	{550, "5.7.26", "Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM. - gsmtp", "a@gmail.com", Unauthenticated},
	{550, "5.7.26", "Unauthenticated email from example.com is not accepted due to domain's DMARC policy. Please contact the administrator of example.com domain", "a@gmail.com", DMARC},
	{550, "5.7.25", "The IP address sending this message does not have a PTR record setup, or the corresponding forward DNS entry does not point to the sending IP.", "a@gmail.com", NoReverse},
	{421, "4.7.0", "Our system has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited.", "a@gmail.com", Reputation},
	{550, "5.7.1", "Our system has detected that this message is likely suspicious due to the very low reputation of the sending IP address.", "a@gmail.com", Reputation},
	{552, "5.7.0", "This message was blocked because its content presents a potential security issue.", "a@gmail.com", Attachment},
	{552, "5.3.4", "Your message exceeded Google's message size limits.", "a@gmail.com", tooBig},
	{550, "5.4.5", "Daily user sending limit exceeded. For more information on Gmail sending limits", "a@b.test", SenderQuota},
	{421, "4.7.0", "TLS required for RCPT domain, closing connection.", "a@b.test", TLSRequired},
	{530, "5.5.1", "Authentication Required. Learn more at https://support.google.com/mail/?p=WantAuthError", "a@b.test", auth},
	{535, "5.7.8", "Username and Password not accepted.", "a@b.test", auth},
	// Microsoft
	{550, "5.7.1", "Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors.", "a@outlook.com", Listed},
	{550, "5.7.1", "Unfortunately, messages from [192.0.2.1] weren't sent (S3150).", "a@hotmail.com", Listed},
	{550, "5.5.0", "Requested action not taken: mailbox unavailable (S2017062302).", "a@hotmail.com", MailboxUnknown},
	{550, "5.4.1", "Recipient address rejected: Access denied. [x.prod.protection.outlook.com]", "a@b.test", MailboxUnknown},
	{550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", "a@b.test", MailboxUnknown},
	{550, "5.7.509", "Access denied, sending domain example.com does not pass DMARC verification and has a DMARC policy of reject.", "a@b.test", DMARC},
	{550, "5.7.515", "Access denied, sending domain example.com doesn't meet the required authentication level.", "a@b.test", Unauthenticated},
	{550, "5.7.606", "Access denied, sending IP [192.0.2.1]", "a@b.test", Listed},
	{550, "5.7.133", "RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed", "a@b.test", auth},
	{550, "5.7.129", "Delivery restriction", "a@b.test", Restricted},
	{451, "4.7.500", "Server busy. Please try again later from [192.0.2.1]. (S77714)", "a@outlook.com", Busy},
	// Yahoo and Yahoo! JAPAN
	{421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", "a@yahoo.com", Reputation},
	{554, "", "delivery error: dd This user doesn't have a yahoo.co.jp account (a@yahoo.co.jp) [-5] - mta7149.mail.djm.ynwp.yahoo.co.jp", "a@yahoo.co.jp", MailboxUnknown},
	{554, "5.7.9", "Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes", "a@yahoo.com", Policy},
	// Japanese carriers
	{550, "", "Unknown user a@docomo.ne.jp", "a@docomo.ne.jp", UnknownOrBlocked},
	{550, "", "<a@ezweb.ne.jp>: User unknown", "a@ezweb.ne.jp", UnknownOrBlocked},
	{550, "5.1.1", "<a@au.com>: Recipient address rejected: User unknown", "a@au.com", UnknownOrBlocked},
	{550, "", "Invalid recipient: <a@i.softbank.jp>", "a@i.softbank.jp", MailboxUnknown},
	{552, "", "Too much mail data a@docomo.ne.jp", "a@docomo.ne.jp", MailboxFull},
	{500, "", "Line Too Long", "a@docomo.ne.jp", Malformed},
	{554, "", "<a@docomo.ne.jp>: Relay access denied", "a@docomo.ne.jp", RelayDenied},
	// Apple
	{552, "5.2.2", "<a@icloud.com>: user is over quota", "a@icloud.com", MailboxFull},
	{554, "5.7.1", "[HM08] Message rejected due to local policy. Please visit https://support.apple.com/HT204137", "a@icloud.com", Policy},
	// Postfix, Exim, sendmail, qmail, Domino and their lists
	{550, "5.1.1", "<a@b.test>: Recipient address rejected: User unknown in virtual mailbox table", "a@b.test", MailboxUnknown},
	{450, "4.2.0", "<a@b.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/b.test.html", "a@b.test", Greylisted},
	{451, "4.7.1", "Greylisting in action, please come back later", "a@b.test", Greylisted},
	{451, "4.7.1", "Please try again later", "a@b.test", Greylisted},
	{450, "", "", "a@b.test", Greylisted},
	{554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1", "a@b.test", Listed},
	{554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using pbl.spamhaus.org", "a@b.test", HomeLine},
	{550, "", "Dynamic IP addresses are not accepted; use your provider's relay", "a@b.test", HomeLine},
	{450, "4.7.25", "Client host rejected: cannot find your hostname, [192.0.2.1]", "a@b.test", NoReverse},
	{554, "5.7.1", "<a@b.test>: Relay access denied", "a@b.test", RelayDenied},
	{550, "", "relay not permitted", "a@b.test", RelayDenied},
	{550, "", "Unrouteable address", "a@b.test", MailboxUnknown},
	{550, "", "User a (a@b.test) not listed in Domino Directory", "a@b.test", MailboxUnknown},
	{553, "5.1.8", "<x@c.test>: Sender address rejected: Domain not found", "a@b.test", SenderRefused},
	{554, "", "Message rejected: Email address is not verified. The following identities failed the check in region US-EAST-1: x@c.test", "a@b.test", SenderRefused},
	{454, "", "Throttling failure: Daily message quota exceeded.", "a@b.test", SenderQuota},
	{552, "", "message size exceeds maximum allowed", "a@b.test", tooBig},
	{523, "5.3.4", "", "a@b.test", tooBig},
	{552, "", "", "a@b.test", MailboxFull},
	{550, "5.7.1", "Message rejected as spam by Content Filtering.", "a@b.test", Spam},
	{550, "5.7.1", "Virus found: EICAR", "a@b.test", Attachment},
	{554, "5.4.6", "Too many hops", "a@b.test", Loop},
	{530, "5.7.0", "Must issue a STARTTLS command first", "a@b.test", TLSRequired},
	{530, "5.7.10", "", "a@b.test", TLSRequired},
	{452, "4.3.1", "Insufficient system storage", "a@b.test", Busy},
	{421, "", "Service not available", "a@b.test", Busy},
	{452, "4.5.3", "Error: too many recipients", "a@b.test", RateLimited},
	{550, "5.7.30", "", "a@b.test", needsTLS},
	{556, "", "", "a@b.test", noMail},
	{550, "5.1.2", "", "a@b.test", noDomain},
	{550, "", "No", "a@b.test", Refused},
	{554, "", "Transaction failed", "a@b.test", Refused},
	{550, "5.7.1", "marbles", "a@b.test", Policy}, // no "rbl" in it
	{432, "", "", "a@b.test", Deferred},
	{432, "9.9.9", "", "a@b.test", Deferred},
	{599, "x", "\x00\xff", "", Refused},
}

func TestExplainReplies(t *testing.T) {
	for _, tt := range repliesSeen {
		fate := mail.Temporary
		if tt.code >= 500 {
			fate = mail.Permanent
		}
		o := mail.Outcome{Fate: fate, Cause: mail.CauseReply, Reply: mail.Reply{Code: tt.code, Enhanced: tt.enhanced, Text: tt.text}}
		if got := Explain(o, tt.rcpt); got != tt.want {
			t.Errorf("%s: %s, want %s", o.Reply, got, tt.want)
		}
		if o.Cause = mail.CauseExpired; Explain(o, tt.rcpt) != tt.want {
			t.Errorf("%s after days: %s, want %s", o.Reply, Explain(o, tt.rcpt), tt.want)
		}
	}
}

func TestExplainCauses(t *testing.T) {
	for _, c := range causes {
		reply := mail.Reply{Code: 550, Text: "User unknown"} // says nothing against our own cause
		if c == expired {
			reply = mail.Reply{}
		}
		if got := Explain(mail.Outcome{Cause: mail.Cause(c), Reply: reply}, "a@b.test"); got != c {
			t.Errorf("%s: %s", c, got)
		}
	}
	for _, tt := range []struct {
		o    mail.Outcome
		want Reason
	}{
		{mail.Outcome{}, Deferred},
		{mail.Outcome{Fate: mail.Permanent}, Refused},
		{mail.Outcome{Fate: mail.Temporary, Cause: "a cause of next year"}, Deferred},
		{mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseReply}, Refused},
	} {
		if got := Explain(tt.o, "a@b.test"); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.o, got, tt.want)
		}
	}
}

// Phrases are compared with normal text, so they must be normal themselves.
func TestSayingsAreNormal(t *testing.T) {
	for _, s := range sayings {
		for phrase := range strings.SplitSeq(s.phrases, "|") {
			if bare := strings.TrimSuffix(phrase, "*"); normal(bare) != " "+bare+" " {
				t.Errorf("%s: %q can never be found", s.reason, phrase)
			}
		}
	}
}
