package vacation

import (
	"slices"
	"strings"

	"homemail/dsn"
	"homemail/mail"
	"homemail/mail/message"
)

// Why somebody gets no reply, for the log.
const (
	whyNot      = ""               // they get one
	whyMachine  = "a machine"      // or a list, RFC 3834 §2
	whyJunk     = "junk"           //
	whyUnproven = "unproven"       // nobody knows that the address is not forged
	whySelf     = "the person"     //
	whyHidden   = "not addressed"  // RFC 5230 §4.5
	whyAddress  = "not an address" //
)

const recipientsMost = 200 // that are looked through for the person

// A question is whether an account answers a message.
type question struct {
	account mail.AccountID
	from    mail.Path // the reverse-path
	by      mail.AccountID
	junk    bool
	verdict *mail.Verdict
	header  []byte
	owns    func(mail.AccountID, mail.Path) bool
	local   func(domain string) bool
}

// outside is what can be told without the header.
func (q *question) outside() string {
	switch {
	case q.from.IsNull() || machine(q.from):
		return whyMachine
	case q.from.Domain() == "":
		return whyAddress
	case q.junk:
		return whyJunk
	case q.by == q.account || q.owns(q.account, q.from):
		return whySelf
	case q.by == 0 && !proven(q.verdict, q.from, q.local):
		return whyUnproven
	}
	return whyNot
}

// inside is what only the header tells.
func (q *question) inside() string {
	switch {
	case !dsn.MayAutoReply(q.header, q.from) || automatic(q.header):
		return whyMachine
	case !q.addressed():
		return whyHidden
	}
	return whyNot
}

// machine reports whether nobody reads mail to an address, or those who look
// after a server do. What package dsn knows comes on top of it.
func machine(p mail.Path) bool {
	local := strings.ToLower(strings.Trim(p.Local(), `"`))
	bare := strings.NewReplacer("-", "", "_", "", ".", "").Replace(local)
	for _, prefix := range []string{"noreply", "donotreply", "mailerdaemon", "mailrobot", "autoreply", "autoresponder"} {
		if strings.HasPrefix(bare, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"postmaster", "abuse", "root", "nobody", "wwwdata", "uucp", "mailer", "hostmaster", "usenet", "news"}, bare)
}

// automatic reports fields of machines that package dsn does not look at.
func automatic(header []byte) bool {
	for _, name := range []string{
		"X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Vacation", "X-Loop", // before RFC 3834
		"Feedback-ID", // of who sends in bulk, to count complaints by
	} {
		if message.HasField(header, name) {
			return true
		}
	}
	return false
}

// proven reports whether a stranger's message comes from who its reverse-path
// names: a reply to any other would be backscatter.
func proven(v *mail.Verdict, from mail.Path, local func(string) bool) bool {
	domain := from.Domain()
	switch {
	case v == nil || v.Disposition != mail.Accept:
		return false
	case local(domain): // one of ours signs in
		return false
	case v.DMARC.Result == mail.ResultFail || v.SPF.Result == mail.ResultFail || v.SPF.Result == mail.ResultSoftFail:
		return false
	case v.SPF.Result == mail.ResultPass && v.SPF.Domain == domain:
		return true
	}
	return slices.ContainsFunc(v.DKIM, func(s mail.Signature) bool {
		return s.Result == mail.ResultPass && strings.Contains(s.Domain, ".") && (s.Domain == domain || strings.HasSuffix(domain, "."+s.Domain))
	})
}

// addressed reports whether the message names the person as one that it is for.
// Whoever got it by Bcc, or by way of a list, would tell what is to stay hidden.
func (q *question) addressed() bool {
	n := 0
	for name, value := range message.Fields(q.header) {
		if !slices.Contains([]string{"to", "cc", "resent-to", "resent-cc"}, strings.ToLower(name)) {
			continue
		}
		p := message.NewParser() // reads a list of addresses, whatever its field is called
		p.Write([]byte("To:"))
		p.Write(value)
		p.Write([]byte("\r\n\r\n"))
		for _, a := range p.Structure().Envelope.To {
			path, err := mail.ParsePath(a.Mailbox + "@" + a.Host)
			if n++; n > recipientsMost {
				return false
			}
			if err == nil && q.owns(q.account, path) {
				return true
			}
		}
	}
	return false
}
