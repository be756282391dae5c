package dnsplan

import (
	"fmt"
	"strings"
	"time"
)

const maxString = 255 // octets of one string of a TXT record, RFC 1035 §3.3

// Zone prints records as lines of a zone file (RFC 1035 §5), for a zone that
// has its SOA and NS records already. With a zone's name, records of other
// zones come as comments only, as a server would not take them; "" prints all.
func Zone(records []Record, zone string) string {
	var b strings.Builder
	for _, r := range records {
		comment := ""
		if zone != "" && r.Name != zone && !strings.HasSuffix(r.Name, "."+zone) {
			comment = "; in another zone: "
		}
		if len(r.Values) == 0 {
			fmt.Fprintf(&b, "; there must be no %s record at %s.\n", r.Type, ownerName(r.Name))
		}
		for _, v := range r.Values {
			fmt.Fprintf(&b, "%s%s.\t%d\tIN\t%s\t%s\n", comment, ownerName(r.Name), r.TTL/time.Second, r.Type, rdata(r.Type, v))
		}
	}
	return b.String()
}

// rdata is a value as it stands in a zone file.
func rdata(rtype, value string) string {
	switch rtype {
	case "TXT":
		return TXTStrings(value)
	case "MX", "SRV", "CNAME", "NS":
		if strings.HasSuffix(value, ".") {
			return value
		}
		return value + "."
	case "CAA":
		if flags, tag, text, ok := cutCAA(value); ok {
			return fmt.Sprintf("%s %s %s", flags, tag, quoted(text))
		}
	}
	return value
}

// TXTStrings is the text of a TXT record as it stands in a zone file, and in
// the forms of those DNS hosts that want quotes: in strings of at most 255
// octets.
func TXTStrings(text string) string {
	var parts []string
	for len(text) > maxString {
		parts = append(parts, quoted(text[:maxString]))
		text = text[maxString:]
	}
	return strings.Join(append(parts, quoted(text)), " ")
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// ownerName escapes what means something in a zone file, RFC 1035 §5.1.
func ownerName(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case strings.IndexByte(`"();@$\`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// cutCAA splits `0 issue "ca.example"`.
func cutCAA(value string) (flags, tag, text string, ok bool) {
	flags, rest, ok1 := strings.Cut(value, " ")
	tag, text, ok2 := strings.Cut(rest, " ")
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", "", "", false
	}
	return flags, tag, text[1 : len(text)-1], ok1 && ok2
}
