package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The modes of a policy, RFC 8461 §3.2.
const (
	Enforce = "enforce" // no mail to a host that does not match or cannot prove its name
	Testing = "testing" // as None for delivery
	None    = "none"    // the domain has no policy
)

const (
	maxAge    = 31557600 * time.Second // a year, §3.2
	maxMX     = 200                    // patterns of a policy: nobody has as many, and each is kept in memory
	maxDomain = 253                    // RFC 1035 §2.3.4, without the final dot
	maxRecord = 4 << 10                // octets of a TXT record; a real one has 40
	maxFields = 100                    // of a TXT record
)

// A Policy says which hosts may take the mail of a domain, RFC 8461 §3.2.
type Policy struct {
	Mode   string        `json:"mode"` // Enforce, Testing or None
	MX     []string      `json:"mx,omitempty"`
	MaxAge time.Duration `json:"max_age"`
	ID     string        `json:"id"` // of the TXT record that announced it
}

// Matches reports whether an MX host is one that the policy names, RFC 8461
// §4.1. A wildcard stands for exactly one label.
func (p Policy) Matches(mxHost string) bool {
	host := strings.ToLower(strings.TrimSuffix(mxHost, "."))
	if !isName(host) {
		return false
	}
	_, parent, _ := strings.Cut(host, ".")
	for _, pattern := range p.MX {
		if suffix, wild := strings.CutPrefix(pattern, "*."); pattern == host || wild && parent == suffix {
			return true
		}
	}
	return false
}

var errPolicy = errors.New("the policy is not valid")

// parsePolicy reads a policy file. Of a field that comes twice the first
// counts, unknown fields are passed over, §3.2.
func parsePolicy(body string) (Policy, error) {
	var p Policy
	seen := map[string]bool{}
	for line := range strings.SplitSeq(body, "\n") {
		line = strings.Trim(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || !isKey(key) {
			return Policy{}, fmt.Errorf("%w: %.40q is no field", errPolicy, line)
		}
		key, value = strings.ToLower(key), strings.Trim(value, " \t")
		if seen[key] && key != "mx" {
			continue
		}
		switch key {
		case "version", "mode", "max_age", "mx":
			seen[key] = true
			if err := p.set(key, value); err != nil {
				return Policy{}, err
			}
		}
	}
	if !seen["version"] || !seen["mode"] || !seen["max_age"] || len(p.MX) == 0 && p.Mode != None {
		return Policy{}, fmt.Errorf("%w: a field is missing", errPolicy)
	}
	return p, nil
}

func (p *Policy) set(key, value string) error {
	bad := fmt.Errorf("%w: %s: %.40q", errPolicy, key, value)
	switch key {
	case "version":
		if value != "STSv1" {
			return bad
		}
	case "mode":
		if value != Enforce && value != Testing && value != None {
			return bad
		}
		p.Mode = value
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(value) > 10 {
			return bad
		}
		p.MaxAge = time.Duration(min(n, uint64(maxAge/time.Second))) * time.Second
	case "mx":
		value = strings.ToLower(value)
		if !isName(strings.TrimPrefix(value, "*.")) || len(p.MX) == maxMX {
			return bad
		}
		p.MX = append(p.MX, value)
	}
	return nil
}

// parseRecord returns the id of the one valid record among the TXT records of
// _mta-sts. Without exactly one there is none, §3.1.
func parseRecord(records []string) (id string, ok bool) {
	n := 0
	for _, r := range records {
		if v, rest, _ := strings.Cut(r, ";"); strings.TrimRight(v, " \t") == "v=STSv1" {
			n++
			id, ok = recordID(rest)
		}
	}
	return id, ok && n == 1
}

func recordID(fields string) (id string, ok bool) {
	if len(fields) > maxRecord || strings.Count(fields, ";") > maxFields {
		return "", false
	}
	for field := range strings.SplitSeq(fields, ";") {
		field = strings.Trim(field, " \t")
		key, value, found := strings.Cut(field, "=")
		switch {
		case field == "": // the last delimiter
		case !found || !isKey(key):
			return "", false
		case key == "id" && id == "":
			id = value
		}
	}
	return id, id != "" && len(id) <= 32 && strings.Trim(id, alnum) == ""
}

const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// isKey reports whether s can be the name of a field, §3.1: sts-ext-name.
func isKey(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, alnum+"_-.") == ""
}

// isName reports whether s is a host name in A-labels and lower case, without
// a final dot. Underscores pass: such hosts exist.
func isName(s string) bool {
	if len(s) > maxDomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
