package arc

import (
	"errors"
	"strconv"
	"strings"

	"homemail/mailauth/rfc6376"
)

// maxSets is how many sets a chain may have, RFC 8617 §5.2.
const maxSets = 50

// What is wrong with the form of a chain.
var (
	errInstance  = errors.New("an ARC field has no valid i=")
	errDuplicate = errors.New("an ARC field is there twice")
	errGap       = errors.New("an ARC set is not complete")
	errSealedBad = errors.New("a forwarder has sealed the chain as failed")
	errCV        = errors.New("cv= of a seal is not as its place asks")
)

// A set is what one forwarder added, RFC 8617 §4.2.
type set struct {
	results, message, seal rfc6376.Field // AAR, AMS, AS

	sealTags map[string]string // nil if the seal cannot be read
}

// collect finds the sets of a header; sets[0] is that of i=1. With an error
// they are what there is, for failed.
func collect(fields []rfc6376.Field) (sets []set, err error) {
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	for _, f := range fields {
		if !f.Is(fieldResults) && !f.Is(fieldMessage) && !f.Is(fieldSeal) {
			continue // most are, and it costs no memory to see that
		}
		name := f.Name()
		i, tags := instance(name, f)
		switch {
		case i == 0:
			note(errInstance)
			continue
		case i > len(sets):
			sets = append(sets, make([]set, i-len(sets))...)
		}
		s := &sets[i-1]
		if name == fieldSeal {
			s.sealTags = tags
		}
		if at := s.field(name); *at == nil {
			*at = f
		} else {
			note(errDuplicate)
		}
	}
	for _, s := range sets {
		if s.results == nil || s.message == nil || s.seal == nil {
			note(errGap)
		}
	}
	return sets, err
}

// The names of the three fields, in lower case.
const (
	fieldResults = "arc-authentication-results"
	fieldMessage = "arc-message-signature"
	fieldSeal    = "arc-seal"
)

func (s *set) field(name string) *rfc6376.Field {
	switch name {
	case fieldResults:
		return &s.results
	case fieldMessage:
		return &s.message
	}
	return &s.seal
}

// instance reads i= of a field of ARC's: 0 if it is not valid.
func instance(name string, f rfc6376.Field) (i int, tags map[string]string) {
	if name == fieldResults {
		return leadingInstance(f.Value()), nil
	}
	tags, err := rfc6376.ParseTags(f.Value())
	if err != nil {
		return 0, nil
	}
	return parseInstance(tags["i"]), tags
}

// leadingInstance reads the start of an ARC-Authentication-Results, RFC 8617
// §4.1.1: i= comes first.
func leadingInstance(value string) int {
	first, _, more := strings.Cut(skipCFWS(value), ";")
	name, number, ok := strings.Cut(first, "=")
	number = skipCFWS(number)
	digits := strings.TrimLeft(number, "0123456789")
	if !more || !ok || !isI(name) || skipCFWS(digits) != "" {
		return 0
	}
	return parseInstance(number[:len(number)-len(digits)])
}

func isI(name string) bool {
	after, ok := strings.CutPrefix(name, "i")
	return ok && skipCFWS(after) == ""
}

func parseInstance(s string) int {
	if len(s) < 1 || len(s) > 2 || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	if i, err := strconv.Atoi(s); err == nil && i <= maxSets {
		return i
	}
	return 0
}

// skipCFWS passes over white space and comments, RFC 5322 §3.2.2. An open
// comment is not passed over.
func skipCFWS(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		rest, ok := skipComment(s)
		if !ok {
			return s
		}
		s = rest
	}
}

func skipComment(s string) (rest string, ok bool) {
	if s == "" || s[0] != '(' {
		return s, false
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[i+1:], true
			}
		}
	}
	return s, false
}

// failed reports whether the newest seal says that the chain had failed.
func failed(sets []set) bool {
	return len(sets) > 0 && strings.EqualFold(sets[len(sets)-1].sealTags["cv"], "fail")
}

// checkCV holds each cv= against its place, RFC 8617 §5.2 step 3.
func checkCV(sets []set) error {
	if failed(sets) {
		return errSealedBad
	}
	for i, s := range sets {
		want := "pass"
		if i == 0 {
			want = "none"
		}
		if !strings.EqualFold(s.sealTags["cv"], want) {
			return errCV
		}
	}
	return nil
}
