package dsn

import "homemail/mail"

var english = catalog{
	Subject: [3]string{"Your message could not be delivered", "Your message has not been delivered yet", "Your message was delivered"},

	Failed:    "Your message to {address} could not be delivered.",
	Waiting:   "Your message to {address} has not been delivered yet.",
	Relayed:   "Your message to {address} was handed to the mail server of {domain}. That server does not tell whether it reached the mailbox.",
	Delivered: "Your message to {address} was delivered to the mailbox.",
	Expanded:  "Your message to {address} was handed on to everybody whom this address stands for.",

	Many: [3]string{
		"Your message could not be delivered to {n} addresses.",
		"Your message has not been delivered to {n} addresses yet.",
		"This is what became of your message for {n} addresses.",
	},
	Wait:   "There is nothing for you to do: we keep trying.",
	Until:  "We try until {time} and tell you if it does not work out.",
	GaveUp: "We tried {n} times, the last time on {time}, and have given up.",
	Said:   "The words of the other server, {remote}:",
	More:   "{n} more addresses are in the list that is attached.",
	About:  "This is about your message “{subject}” of {time}.",
	About0: "This is about your message of {time}.",
	Footer: "This notice was written by the mail server {host}; nobody reads replies to it.",
	Whole:  "Your message and the details for experts are attached.",
	Header: "The header of your message and the details for experts are attached.",
	Time:   "Mon, 2 Jan 2006 15:04 -0700",

	Reasons: map[Reason]phrase{
		Reason(mail.CauseDNS): {
			Why:  "The name {domain} could not be looked up.",
			Todo: "Check the part of the address after the @. If it is right, send the message again later.",
		},
		noDomain: {
			Why:   "There is no domain called {domain}.",
			Todo:  "Check the part of the address after the @ for a typing mistake and send the message again.",
			Later: "Check the part of the address after the @ for a typing mistake.",
		},
		noMail: {
			Why:  "{domain} says that it takes no mail at all.",
			Todo: "Ask for another address: no mail reaches anybody under this one.",
		},
		Reason(mail.CauseBadMX): {
			Why:  "{domain} names no mail server that works.",
			Todo: "Reach the person in another way and tell them that mail for {domain} is not set up correctly.",
		},
		Reason(mail.CauseConnect): {
			Why:  "No mail server of {domain} could be reached.",
			Todo: "Send the message again later, or reach the person in another way.",
		},
		Reason(mail.CauseTimeout): {
			Why:  "The mail server of {domain} stopped answering.",
			Todo: "Send the message again later, or reach the person in another way.",
		},
		Reason(mail.CauseLost): {
			Why:  "The connection to the mail server of {domain} broke.",
			Todo: "Send the message again later, or reach the person in another way.",
		},
		broken: {
			Why:  "The mail server of {domain} gave an answer that makes no sense.",
			Todo: "Send the message again later. If that does not help, reach the person in another way and tell them.",
		},
		noTLS: {
			Why:  "Mail to {domain} must go over a secure connection, and none could be made.",
			Todo: "Reach the person in another way and tell them: the encryption of their mail server does not work.",
		},
		auth: {
			Why:   "A mail server on the way did not accept the user name and password of ours.",
			Todo:  "Tell the person who looks after your mail server that the relay must be set up again; then send the message once more.",
			Later: "Tell the person who looks after your mail server that the relay must be set up again; your message then leaves by itself.",
		},
		needsUTF8: {
			Why:  "The mail server of {domain} cannot handle the letters in this address.",
			Todo: "Ask for an address in plain Latin letters.",
		},
		needsTLS: {
			Why:  "You asked for a secure connection all the way, and the mail server of {domain} does not offer it.",
			Todo: "Send the message again without that demand, or choose another way for what must stay secret.",
		},
		tooBig: {
			Why:  "The message is bigger than the mail server of {domain} allows.",
			Todo: "Send it again with fewer or smaller attachments, or share the files by a link.",
		},
		body: {
			Why:  "The message has a form that the mail server of {domain} cannot take.",
			Todo: "Write the message anew in your mail program and send it again.",
		},
		expired: {
			Why:  "It could not be handed over for several days.",
			Todo: "Send the message again later, or reach the person in another way.",
		},
		Reason(mail.CauseRemoved): {
			Why:  "The person who looks after your mail server took it out of the queue.",
			Todo: "Ask them why, and send it again if it is still needed.",
		},
		Reason(mail.CauseNotSetUp): {
			Why:   "Your mail server has no way yet to send mail to the outside.",
			Todo:  "Ask the person who looks after it to set up sending; then send the message again.",
			Later: "Ask the person who looks after it to set up sending; your message waits and then leaves by itself.",
		},
		Reason(mail.CauseOurs): {
			Why:  "Something went wrong on our own side.",
			Todo: "Send the message again. If it happens once more, tell the person who looks after your mail server.",
		},

		MailboxUnknown: {
			Why:   "This address does not exist there.",
			Todo:  "Check the spelling, above all the part before the @, and send the message again.",
			Later: "Check the spelling, above all the part before the @. We keep trying in case the server errs.",
		},
		UnknownOrBlocked: {
			Why:  "Either this address does not exist, or the person's phone company keeps your mail away: it gives the same answer for both.",
			Todo: "Check the spelling. If it is right, ask the person to allow mail from your domain in the mail settings of their phone (指定受信).",
		},
		MailboxDisabled: {
			Why:   "The mailbox is closed, or the person has moved to another one.",
			Todo:  "Ask the person for their new address.",
			Later: "Perhaps ask the person whether the address still works. We keep trying.",
		},
		MailboxFull: {
			Why:   "The mailbox is full.",
			Todo:  "Tell the person in another way to delete some mail, then send the message again.",
			Later: "If it is urgent, tell the person in another way to delete some mail. We keep trying.",
		},
		BadAddress: {
			Why:  "The mail server of {domain} says that this is not written as an address.",
			Todo: "Check the spelling, also for spaces and dots too many, and send the message again.",
		},
		Restricted: {
			Why:  "Only certain senders may write to this address, and you are not one of them.",
			Todo: "Ask the person, or the owner of the list, to allow your address.",
		},
		HomeLine: {
			Why:   "{domain} takes no mail that comes directly from a home line like ours.",
			Todo:  "Tell the person who looks after your mail server to send through a relay (smarthost), at least to {domain}; then send the message again.",
			Later: "Tell the person who looks after your mail server to send through a relay (smarthost), at least to {domain}; your message then leaves by itself.",
		},
		Listed: {
			Why:   "{domain} refuses mail from our Internet address because it is on a block list. That has nothing to do with what you wrote.",
			Todo:  "Show this notice to the person who looks after your mail server: the server should send through a relay (smarthost), or be taken off the list. Then send the message again.",
			Later: "Show this notice to the person who looks after your mail server: the server should send through a relay (smarthost), or be taken off the list.",
		},
		Reputation: {
			Why:   "{domain} does not trust mail from our Internet address at the moment.",
			Todo:  "Send the message again tomorrow. If it happens often, show this notice to the person who looks after your mail server: a relay (smarthost) helps.",
			Later: "There is nothing for you to do: this mostly passes within hours, and we keep trying.",
		},
		NoReverse: {
			Why:   "{domain} wants our Internet address to have a name (reverse DNS), and it has none that fits.",
			Todo:  "Show this notice to the person who looks after your mail server: the provider of the line must set the reverse name, or mail must go through a relay (smarthost).",
			Later: "Show this notice to the person who looks after your mail server. We keep trying meanwhile.",
		},
		Unauthenticated: {
			Why:   "{domain} could not see proof that the message really comes from your domain.",
			Todo:  "Show this notice to the person who looks after your mail server: the SPF and DKIM records of your domain need a check. Then send the message again.",
			Later: "Show this notice to the person who looks after your mail server. We keep trying meanwhile.",
		},
		DMARC: {
			Why:  "The domain in your From address forbids that mail is sent in its name in this way (DMARC).",
			Todo: "Send from an address of your own domain. If you did, show this notice to the person who looks after your mail server: SPF, DKIM and DMARC need a check.",
		},
		Spam: {
			Why:  "{domain} took the message for spam.",
			Todo: "Write it in other words, with fewer links and attachments, and send it again; or ask the person in another way to expect it.",
		},
		Attachment: {
			Why:  "{domain} takes a file in the message for dangerous or does not allow its kind.",
			Todo: "Share the file by a link instead, and check it for viruses first.",
		},
		Policy: {
			Why:  "The mail server of {domain} refuses the message by its own rules.",
			Todo: "Read its words below: they may say more. Reach the person in another way, or show this notice to the person who looks after your mail server.",
		},
		Greylisted: {
			Why:  "The mail server of {domain} asks us to come again a little later. Many servers ask this of senders whom they do not know.",
			Todo: "Send the message again. If that fails too, reach the person in another way.",
		},
		RateLimited: {
			Why:  "The mail server of {domain} is getting more mail at once than it allows.",
			Todo: "Send the message again later, to fewer people at a time.",
		},
		SenderQuota: {
			Why:   "The relay that our mail goes through has reached its limit for now.",
			Todo:  "Send the message again tomorrow. If it happens often, the person who looks after your mail server may want a larger plan.",
			Later: "There is nothing for you to do: we go on when the limit allows it.",
		},
		SenderRefused: {
			Why:   "A mail server on the way does not accept your own address as the sender.",
			Todo:  "Check the From address in your mail program. If it is right, show this notice to the person who looks after your mail server: the relay may first want proof of your domain.",
			Later: "Show this notice to the person who looks after your mail server. We keep trying meanwhile.",
		},
		RelayDenied: {
			Why:   "The server that we were sent to does not take mail for {domain}.",
			Todo:  "Check the part of the address after the @. If it is right, show this notice to the person who looks after your mail server: the relay may want a sign-in, or mail for {domain} is set up wrongly over there.",
			Later: "Check the part of the address after the @. If it is right, show this notice to the person who looks after your mail server.",
		},
		TLSRequired: {
			Why:   "The mail server of {domain} takes mail over a secure connection only, and none was made.",
			Todo:  "Show this notice to the person who looks after your mail server.",
			Later: "Show this notice to the person who looks after your mail server. We keep trying meanwhile.",
		},
		Loop: {
			Why:  "Over there the message went round in a circle.",
			Todo: "Reach the person in another way and tell them: the forwarding of their mail is set up wrongly.",
		},
		Malformed: {
			Why:  "The mail server of {domain} does not accept the way in which the message is built.",
			Todo: "Write the message anew in your mail program, or use another one, and send it again.",
		},
		Busy: {
			Why:  "The mail server of {domain} has trouble of its own at the moment.",
			Todo: "Send the message again later, or reach the person in another way.",
		},
		Refused: {
			Why:  "The mail server of {domain} refused it.",
			Todo: "Check the address. The server's own words below may say more; if not, reach the person in another way.",
		},
		Deferred: {
			Why:  "The mail server of {domain} does not take it just now.",
			Todo: "Send the message again later, or reach the person in another way.",
		},
	},
}
