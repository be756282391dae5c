package preset

import "strings"

// An Incoming is how mail is fetched at a provider of the table. The zero Host is
// one that the owner must type: each customer has another, or no source has it. All
// take TLS from the first byte on, at the usual port (RFC 8314 §3.3).
type Incoming struct {
	POP3   bool // else IMAP
	Host   string
	Login  Login
	Same   bool     // the host that is typed is the one to send through, too
	Ends   []string // domains of its addresses, and those below them
	Source []string // where host and TLS are confirmed
}

// mailboxOf has the providers of the table that have mailboxes, by their ids.
func mailboxOf() map[string]Incoming {
	return map[string]Incoming{
		"ocn":      {POP3: true, Host: "pop.ocn.ne.jp", Login: LoginAddress, Ends: []string{"ocn.ne.jp"}, Source: []string{thunderbird + "ocn.ne.jp.xml"}},
		"so-net":   {POP3: true, Login: LoginAddress, Ends: []string{"so-net.ne.jp", "so-net.jp"}},
		"nifty":    {POP3: true, Host: "pop.nifty.com", Login: LoginAddress, Ends: []string{"nifty.com", "nifty.ne.jp"}, Source: []string{thunderbird + "nifty.com.xml"}},
		"biglobe":  {POP3: true, Host: "mail.biglobe.ne.jp", Login: LoginAddress, Ends: []string{"biglobe.ne.jp"}, Source: []string{thunderbird + "biglobe.ne.jp"}},
		"plala":    {POP3: true, Login: LoginAddress, Ends: []string{"plala.or.jp"}},
		"sakura":   {Login: LoginAddress, Same: true, Ends: []string{"sakura.ne.jp"}, Source: []string{"https://memorva.jp/internet/pc/mail_pop3_smtp_imap_over_ssl_op25b.php"}},
		"xserver":  {Login: LoginAddress, Same: true, Ends: []string{"xsrv.jp"}, Source: []string{"https://threedplus.co.jp/2025/05/26/ (ports 993 and 995)"}},
		"gmail":    {Host: "imap.gmail.com", Login: LoginAddress, Ends: []string{"gmail.com", "googlemail.com"}, Source: []string{thunderbird + "googlemail.com.xml"}},
		"fastmail": {Host: "imap.fastmail.com", Login: LoginAddress, Ends: []string{"fastmail.com", "fastmail.fm"}, Source: []string{thunderbird + "messagingengine.com.xml"}},
		"icloud":   {Host: "imap.mail.me.com", Login: LoginAddress, Ends: []string{"icloud.com", "me.com", "mac.com"}, Source: []string{thunderbird + "me.com.xml"}},
		"yahoo-jp": {Host: "imap.mail.yahoo.co.jp", Login: LoginName, Ends: []string{"yahoo.co.jp", "ymail.ne.jp"}, Source: []string{"https://support.yahoo-net.jp/PccMail/s/article/H000014864"}},
		"custom":   {Login: LoginAddress, Same: true},
	}
}

// Mailboxes returns the presets of the providers that have mailboxes, in the order
// of the list.
func Mailboxes() (list []Preset) {
	of := mailboxOf()
	for _, p := range All() {
		if _, ok := of[p.ID]; ok {
			list = append(list, p)
		}
	}
	return list
}

// FindMailbox returns how mail is fetched at the provider with an id.
func FindMailbox(id string) (Incoming, bool) {
	m, ok := mailboxOf()[id]
	return m, ok
}

// MailboxFor returns the id of the provider that has the addresses of a domain, ""
// if the table does not know it.
func MailboxFor(domain string) string {
	domain = strings.ToLower(domain)
	for id, m := range mailboxOf() {
		for _, end := range m.Ends {
			if domain == end || strings.HasSuffix(domain, "."+end) {
				return id
			}
		}
	}
	return ""
}
