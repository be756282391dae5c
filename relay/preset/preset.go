// Package preset knows the smarthosts that households use, as data: where they
// listen, how one signs in and what they demand. It opens no connection, and it
// names no host that no source confirms: the owner types those.
package preset

import "homemail/words"

// A Group is where a preset stands in a list of choices.
type Group string

// The groups, in the order of the list.
const (
	ISPJapan      Group = "isp-jp"        // comes with the line
	HostingJapan  Group = "hosting-jp"    // rented server or mailbox
	Transactional Group = "transactional" // sends for other people's domains
	Mailbox       Group = "mailbox"       // sends for its own addresses
	Custom        Group = "custom"
)

// A TLS says how the connection is made secure. There is no third way: a
// password never goes over an open one.
type TLS string

// The ways.
const (
	Implicit TLS = "tls" // from the first byte, RFC 8314 §3.3
	StartTLS TLS = "starttls"
)

// A Login says what the user name is.
type Login string

// The forms of a user name.
const (
	LoginAddress Login = "address" // a whole mail address
	LoginName    Login = "name"    // a name that the provider gave out
	LoginKey     Login = "key"     // an API key or token
	LoginFixed   Login = "fixed"   // User, for everybody
)

// A From says which addresses a message may come from.
type From string

// The rules for From.
const (
	FromUnknown  From = ""         // no source says it
	FromLogin    From = "login"    // the address that signs in, or one that is set up beside it there
	FromVerified From = "verified" // a domain or an address that the provider has seen proof of
)

// A Text is words for the owner.
type Text = words.Text

// A Preset is what is known of a smarthost.
type Preset struct {
	ID       string // for the config; never changed
	Name     Text
	Group    Group
	Host     string // "" if the owner must type it
	HostHint string // what it looks like, with the part to fill in in capitals
	Port     uint16
	TLS      TLS
	Auth     []string // SASL mechanisms, the best first
	Login    Login
	User     string // the user name, with LoginFixed
	From     From
	DKIM     bool     // it signs for the owner's domain, once its records are in the DNS
	SPF      string   // what the owner's SPF record must include; "" for nothing that we know of
	Free     Text     // how much it sends for nothing; empty if unknown
	Help     string   // URL of its own words
	Note     Text     // one sentence: what it demands
	Source   []string // where host, port and TLS are confirmed
}

// All returns every preset in the order of the list.
func All() []Preset {
	return append(append(append(append(ispJapan(), hostingJapan()...), transactional()...), mailboxes()...), custom())
}

// Find returns the preset with an id.
func Find(id string) (Preset, bool) {
	for _, p := range All() {
		if p.ID == id {
			return p, true
		}
	}
	return Preset{}, false
}
