package mail

import "strings"

// flagNames are the names on the wire of the flags, bit by bit.
var flagNames = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// ParseFlag returns the flag with an IMAP name such as \Seen, in any case. It
// reports false for keywords and for \Recent, which no client may set.
func ParseFlag(name string) (Flags, bool) {
	for i, n := range flagNames {
		if strings.EqualFold(n, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

// AppendNames appends the IMAP names of the flags in f to names.
func (f Flags) AppendNames(names []string) []string {
	for i, n := range flagNames {
		if f.Has(1 << i) {
			names = append(names, n)
		}
	}
	return names
}
