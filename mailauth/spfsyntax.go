package mailauth

import (
	"errors"
	"net/netip"
	"strings"
)

// What can be wrong with a record.
var (
	errSPFTerm   = errors.New("a term is not known or not complete")
	errSPFDomain = errors.New("a domain in the record is not valid")
	errSPFTwice  = errors.New("a modifier stands twice")
)

// checkSyntax holds a record against the grammar of RFC 7208 §12. A syntax
// error anywhere is a permanent error (§4.6), also behind a term that matches:
// the library would not see it there, and lets names and numbers pass that are
// none.
func checkSyntax(record string) error {
	seen := make(map[string]bool)
	for i, term := range strings.Split(record, " ") {
		if i == 0 || term == "" {
			continue // the version, and spaces
		}
		name, value, isModifier := cutModifier(term)
		var err error
		switch {
		case !isModifier:
			err = checkMechanism(strings.TrimLeft(term[:1], "+-?~") + term[1:])
		case name == "redirect" || name == "exp":
			if seen[name] { // §6
				return errSPFTwice
			}
			seen[name] = true
			err = checkDomainSpec(value)
		default: // §6: unknown ones are ignored, their values are not ours to read
			_, err = macroString(value, macroLetters+"crt")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cutModifier cuts a term at its "=", if it is a modifier.
func cutModifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	name = strings.ToLower(name)
	if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || name == "" || name[0] < 'a' {
		return "", "", false
	}
	return name, value, true
}

// checkMechanism checks a mechanism without its qualifier.
func checkMechanism(term string) error {
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	name, rest := strings.ToLower(term[:end]), term[end:]
	switch name {
	case "all":
		if rest != "" {
			return errSPFTerm
		}
		return nil
	case "ip4", "ip6":
		return checkNetwork(name, rest)
	case "a", "mx":
		if rest = cutCIDR(rest); rest == "" {
			return nil
		}
	case "ptr":
		if rest == "" {
			return nil
		}
	case "include", "exists":
	default:
		return errSPFTerm
	}
	domain, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return errSPFTerm
	}
	return checkDomainSpec(domain)
}

// cutCIDR takes the lengths of dual-cidr-length from the end of a term.
func cutCIDR(s string) string {
	if i := strings.LastIndex(s, "//"); i >= 0 && isLength(s[i+2:], 128) {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 && isLength(s[i+1:], 32) {
		s = s[:i]
	}
	return s
}

// isLength reports whether s is the length of a prefix, without zeros in front.
func isLength(s string, most int) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i >= 3 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return s == "0" || s != "" && s[0] != '0' && n <= most
}

// checkNetwork checks what follows "ip4" or "ip6".
func checkNetwork(name, rest string) error {
	addr, length, hasLength := strings.Cut(strings.TrimPrefix(rest, ":"), "/")
	a, err := netip.ParseAddr(addr)
	most := 32
	if name == "ip6" {
		most = 128
	}
	if rest == "" || rest[0] != ':' || err != nil || a.Zone() != "" || a.BitLen() != most || hasLength && !isLength(length, most) {
		return errSPFTerm
	}
	return nil
}

// checkDomainSpec checks a domain-spec: a macro-string that ends in a label
// that could be a top-level domain, or in a macro.
func checkDomainSpec(s string) error {
	endsInMacro, err := macroString(s, macroLetters)
	if err != nil || s == "" {
		return errSPFDomain
	}
	if endsInMacro {
		return nil
	}
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	if top := s[dot+1:]; dot < 0 || !isTopLabel(top) {
		return errSPFDomain
	}
	return nil
}

// isTopLabel reports whether s is letters, digits and hyphens within, and not
// only digits.
func isTopLabel(s string) bool {
	s = strings.ToLower(s)
	return s != "" && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && strings.Trim(s, "0123456789") != ""
}

// macroLetters are the macros of §7.2 that may stand in a domain: c, r and t are
// for explanations.
const macroLetters = "slodiphv"

// macroString checks a macro-string and reports whether its end is a macro.
func macroString(s, letters string) (endsInMacro bool, err error) {
	for s != "" {
		endsInMacro = s[0] == '%'
		n := 1
		switch {
		case s[0] <= ' ' || s[0] > '~':
			return false, errSPFDomain
		case !endsInMacro:
		case len(s) > 1 && strings.IndexByte("%_-", s[1]) >= 0:
			n = 2
		default:
			if n = macroLength(s, letters); n == 0 {
				return false, errSPFDomain
			}
		}
		s = s[n:]
	}
	return endsInMacro, nil
}

// macroLength returns the length of the "%{...}" that s begins with; 0 if it is
// broken.
func macroLength(s, letters string) int {
	end := strings.IndexByte(s, '}')
	if end < 3 || s[1] != '{' || !strings.Contains(letters, strings.ToLower(s[2:3])) {
		return 0
	}
	rest := strings.TrimLeft(s[3:end], "0123456789")
	if digits := s[3 : end-len(rest)]; digits != "" && strings.Trim(digits, "0") == "" {
		return 0 // §7.1: no number is zero
	}
	if rest != "" && rest[0]|0x20 == 'r' {
		rest = rest[1:]
	}
	if strings.Trim(rest, ".-+,/_=") != "" {
		return 0
	}
	return end + 1
}
