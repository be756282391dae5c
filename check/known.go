package check

import "net/netip"

// Known is whom the checks ask outside: data, for providers come and go.
type Known struct {
	Out     map[uint16][]Target // servers that show whether a port is open
	Lists   []List              // the first is the one that large receivers use
	Nowhere string              // a domain in which a name of 26 random characters is not there
	RDAP    string              // bootstrap server
}

// builtIn are the servers of providers so large that they are always there. At
// least two for each port, by different providers: one that is down, or does
// not like us, must not make a line look closed.
var builtIn = Known{
	Out: map[uint16][]Target{
		25: {
			{Host: "gmail.com", MX: true, Banner: "google.com"},
			{Host: "outlook.com", MX: true, Banner: "outlook.com"},
			{Host: "yahoo.com", MX: true, Banner: "yahoo.com"},
		},
		465: {{Host: "smtp.gmail.com"}, {Host: "smtp.mail.yahoo.com"}},
		587: {{Host: "smtp.gmail.com"}, {Host: "smtp.office365.com"}},
		993: {{Host: "imap.gmail.com"}, {Host: "outlook.office365.com"}},
	},
	Lists: []List{
		{
			Zone:  "zen.spamhaus.org",
			Leave: "https://check.spamhaus.org/",
			Codes: map[netip.Addr]string{
				lo(2):  codeListed, // SBL
				lo(3):  codeListed, // CSS
				lo(4):  codeListed, // XBL
				lo(5):  codeListed,
				lo(6):  codeListed,
				lo(7):  codeListed,
				lo(9):  codeListed, // DROP
				lo(10): codePolicy, // PBL, by the provider
				lo(11): codePolicy, // PBL, by Spamhaus
			},
			Refused: netip.MustParsePrefix("127.255.255.0/24"), // .252 typing error, .254 public resolver, .255 too many questions
			V6:      true,
		},
		{
			Zone:  "bl.spamcop.net",
			Leave: "https://www.spamcop.net/bl.shtml",
			Codes: map[netip.Addr]string{lo(2): codeListed},
		},
		{
			Zone:  "psbl.surriel.com",
			Leave: "https://psbl.org/remove",
			Codes: map[netip.Addr]string{lo(2): codeListed},
		},
	},
	Nowhere: "com",
	RDAP:    "https://rdap.org",
}

// lo is 127.0.0.n.
func lo(n byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, n}) }
