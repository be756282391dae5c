package mail

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// A Path is a reverse-path or forward-path without its angle brackets. The
// empty Path is the null reverse-path "<>", RFC 5321 §4.5.5.
//
// A Path from ParsePath is kept as it was written. Compare paths by Key, emit
// them by Wire.
type Path string

// The sizes of RFC 5321 §4.5.3.1, in octets. They are checked before any
// library sees a stranger's bytes.
const (
	maxLocal  = 64  // without the quotes, which a next hop may need added
	maxDomain = 255 // as A-labels
	maxLabel  = 63  // RFC 1035 §2.3.4
	maxPath   = 256
)

// What ParsePath can say. The words are fit to be shown to a sender.
var (
	errPathEmpty   = errors.New("address is empty")
	errPathLong    = errors.New("address is too long")
	errPathNoAt    = errors.New("address has no domain")
	errPathLocal   = errors.New("local part of the address is not valid")
	errPathDomain  = errors.New("domain of the address is not valid")
	errPathLiteral = errors.New("IP address in brackets is not valid")
)

// IsNull reports whether p is the null reverse-path.
func (p Path) IsNull() bool { return p == "" }

// ParsePath reads a Mailbox of RFC 5321 §4.1.2 with the UTF-8 of RFC 6531
// §3.3. "postmaster" may stand without a domain (RFC 5321 §4.5.1), source
// routes are refused. Dots may stand anywhere in the local part, against the
// RFC: Japanese carriers gave out such addresses and people still have them.
// '%' and '!' mean nothing here; only the domain says where mail goes.
func ParsePath(s string) (Path, error) {
	switch {
	case s == "":
		return "", errPathEmpty
	case len(s) > maxPath:
		return "", errPathLong
	case strings.EqualFold(s, "postmaster"):
		return Path(s), nil
	}
	local, rest, ok := cutLocal(s)
	if !ok {
		return "", errPathLocal
	}
	if rest == "" {
		return "", errPathNoAt
	}
	if rest[0] != '@' {
		return "", errPathLocal
	}
	domain, err := parseDomain(rest[1:])
	if err != nil {
		return "", err
	}
	key := foldLocal(local) // may be longer than what was written
	longest := max(len(quote(key)), len(quote(local)))
	if max(len(local), len(key)) > maxLocal || longest+len("@")+len(domain) > maxPath {
		return "", errPathLong
	}
	return Path(s), nil
}

// Local returns the local part as written.
func (p Path) Local() string {
	local, _ := p.split()
	return local
}

// Domain returns the domain in lower case and A-labels, "" if there is none.
// An address literal has its canonical form: "[ipv6:2001:db8::1]".
func (p Path) Domain() string {
	_, written := p.split()
	if written == "" {
		return ""
	}
	domain, err := parseDomain(written)
	if err != nil { // not from ParsePath
		return strings.ToLower(written)
	}
	return domain
}

// Key returns the form of p by which it is looked up: local part unquoted
// where possible, in lower case and NFC; domain as by Domain. Paths that mean
// the same mailbox here have the same Key.
func (p Path) Key() Path {
	if p == "" {
		return ""
	}
	local := foldLocal(p.unquoted())
	if !isDotted(local) {
		local = quote(local)
	}
	return p.with(local, p.Domain())
}

// Wire returns the form of p that is safe to send: the local part is quoted
// unless it is a Dot-string, the domain is as by Domain. It is not ASCII if
// the local part is not.
func (p Path) Wire() string {
	if p == "" {
		return ""
	}
	local := p.unquoted()
	if !isDotString(local) {
		local = quote(local)
	}
	domain := p.Domain()
	if v6, ok := strings.CutPrefix(domain, "[ipv6:"); ok {
		domain = "[IPv6:" + v6 // the usual spelling
	}
	return string(p.with(local, domain))
}

// Detail splits plus addressing, RFC 5233: with the separator "+",
// anna+shop@example.test is anna@example.test with the detail "shop". An empty
// separator splits nothing.
func (p Path) Detail(separator string) (base Path, detail string) {
	user, detail, found := strings.Cut(p.unquoted(), separator)
	if !found || user == "" || separator == "" {
		return p, ""
	}
	if !isDotted(user) {
		user = quote(user)
	}
	_, domain := p.split()
	return p.with(user, domain), detail
}

// split cuts at the last '@': no domain can hold one.
func (p Path) split() (local, domain string) {
	i := strings.LastIndexByte(string(p), '@')
	if i < 0 {
		return string(p), ""
	}
	return string(p[:i]), string(p[i+1:])
}

func (p Path) with(local, domain string) Path {
	if domain == "" {
		return Path(local)
	}
	return Path(local + "@" + domain)
}

// unquoted returns what the local part means.
func (p Path) unquoted() string {
	written, _ := p.split()
	if local, rest, ok := cutLocal(written); ok && rest == "" {
		return local
	}
	return written // not from ParsePath
}

// cutLocal reads a Local-part from the start of s and returns what it means.
func cutLocal(s string) (local, rest string, ok bool) {
	if s != "" && s[0] == '"' {
		return cutQuoted(s[1:])
	}
	i := strings.IndexByte(s, '@')
	if i < 0 {
		i = len(s)
	}
	return s[:i], s[i:], isDotted(s[:i])
}

// cutQuoted reads a Quoted-string whose first quote is gone. The second octet
// of a quoted-pairSMTP is %d32-126, also after RFC 6531.
func cutQuoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	escaped := false
	for i, r := range s {
		switch {
		case escaped && (r < ' ' || r > '~'):
			return "", "", false
		case !escaped && r == '"':
			return b.String(), s[i+1:], true
		case !escaped && r == '\\':
			escaped = true
			continue
		case r != ' ' && !isText(r, s[i:]):
			return "", "", false
		}
		b.WriteRune(r)
		escaped = false
	}
	return "", "", false
}

// isText reports whether r, the first rune of s, may stand in a local part:
// valid UTF-8, no control, no space.
func isText(r rune, s string) bool {
	if r == utf8.RuneError {
		_, size := utf8.DecodeRuneInString(s)
		return size > 1
	}
	return !unicode.IsControl(r) && !unicode.IsSpace(r)
}

// isDotted reports whether s can stand without quotes here: atext and dots.
func isDotted(s string) bool {
	for i, r := range s {
		if r != '.' && !isAtext(r) || !isText(r, s[i:]) {
			return false
		}
	}
	return s != ""
}

// isDotString reports whether s is a Dot-string of RFC 5321 §4.1.2.
func isDotString(s string) bool {
	return isDotted(s) && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

func isAtext(r rune) bool {
	return r >= utf8.RuneSelf || isAlnum(r) || r != 0 && strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func isAlnum(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// foldLocal normalises before and after: a compatibility letter (Kelvin sign)
// may become a capital, a small letter may find its accent.
func foldLocal(s string) string {
	return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
}

// parseDomain returns the form of Domain.
func parseDomain(s string) (string, error) {
	if len(s) > maxDomain {
		return "", errPathLong
	}
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	ascii := s
	if !isASCII(s) {
		if !utf8.ValidString(s) { // idna lets it pass
			return "", errPathDomain
		}
		var err error
		if ascii, err = idna.Lookup.ToASCII(s); err != nil {
			return "", errPathDomain
		}
	}
	if !isDomain(ascii) {
		return "", errPathDomain
	}
	return strings.ToLower(ascii), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isDomain checks label by label. An underscore passes, against the RFC: host
// names with it send mail. A last label of digits does not (RFC 1123 §2.1): it
// would be an IP address without brackets.
func isDomain(s string) bool {
	if len(s) > maxDomain {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !isAlnum(r) && r != '-' && r != '_' {
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// parseLiteral reads an address-literal, RFC 5321 §4.1.3. A General-address-
// literal has no meaning that anybody registered.
func parseLiteral(s string) (string, error) {
	if !strings.HasSuffix(s, "]") {
		return "", errPathLiteral
	}
	inner := s[1 : len(s)-1]
	tag, v6 := "IPv6:", false
	if len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag) {
		inner, v6 = inner[len(tag):], true
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || addr.Is4() == v6 {
		return "", errPathLiteral
	}
	if v6 {
		return "[ipv6:" + addr.String() + "]", nil
	}
	return "[" + addr.String() + "]", nil
}
