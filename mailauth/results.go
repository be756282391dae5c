package mailauth

import (
	"strings"

	"homemail/mail"
)

const (
	maxWords  = 100 // bytes of a reason that are written down
	maxValue  = 253 // of a value: a domain is no longer
	foldAt    = 76  // RFC 5322 §2.1.1
	maxNamed  = 3   // sealers that are named
	fieldName = "Authentication-Results: "
)

// Results returns an Authentication-Results field, RFC 8601, with folding and a
// CRLF at its end. Whatever is in v, the field is one field: values are quoted
// where they have to be, and hold printable ASCII only.
func Results(host string, v mail.Verdict) []byte {
	return []byte(fieldName + value(host) + ";\r\n\t" + Statements(v) + "\r\n")
}

// Statements returns what stands in an Authentication-Results field behind the
// authserv-id, folded: it is also what an ARC set quotes, RFC 8617 §4.1.1.
func Statements(v mail.Verdict) string {
	w := writer{line: len("\t")}
	spf, identity := v.SPF, "smtp.mailfrom"
	if rest, ok := strings.CutPrefix(spf.Reason, heloIdentity); ok {
		spf.Reason, identity = strings.TrimSpace(rest), "smtp.helo"
	}
	w.method("spf", spf, identity, spf.Domain)
	for _, s := range v.DKIM {
		w.method("dkim", s.Check, "header.d", s.Domain, "header.s", s.Selector, "header.a", s.Algorithm, "header.b", s.Start)
	}
	if len(v.DKIM) == 0 {
		w.method("dkim", mail.Check{Result: mail.ResultNone})
	}
	w.method("dmarc", v.DMARC.Check, "header.from", v.DMARC.Domain)
	if v.DMARC.Policy != "" {
		w.comment("p=" + v.DMARC.Policy + " dis=" + dispositionWord(v))
	}
	if v.ARC.Result != "" && v.ARC.Result != mail.ResultNone {
		w.method("arc", mail.Check{Result: v.ARC.Result}) // its reason may name our resolver
		if n := len(v.ARC.Sealers); n > 0 {
			w.comment("sealed by " + strings.Join(v.ARC.Sealers[max(0, n-maxNamed):], ", "))
		}
	}
	w.method("iprev", v.IPRev)
	if v.IPRev.Domain != "" {
		w.comment(v.IPRev.Domain)
	}
	return w.b.String()
}

// A writer writes statements and folds between their words.
type writer struct {
	b    strings.Builder
	line int // length of the last line
}

// word writes a word, on the next line if it does not fit.
func (w *writer) word(s string) {
	switch {
	case w.b.Len() == 0:
	case w.line+len(" ")+len(s) > foldAt:
		w.b.WriteString("\r\n\t ")
		w.line = len("\t ")
	default:
		w.b.WriteByte(' ')
		w.line++
	}
	w.b.WriteString(s)
	w.line += len(s)
}

// method begins the statement of a method with its properties, which are names
// and values in turn. Empty values are left out.
func (w *writer) method(name string, c mail.Check, properties ...string) {
	if c.Result == "" {
		return
	}
	if w.b.Len() > 0 {
		w.b.WriteString(";\r\n\t")
		w.line = len("\t")
	}
	w.b.WriteString(name + "=" + value(string(c.Result)))
	w.line += len(name) + len("=") + len(c.Result)
	if c.Reason != "" {
		w.word("reason=" + quoted(c.Reason))
	}
	for i := 0; i+1 < len(properties); i += 2 {
		if properties[i+1] != "" {
			w.word(properties[i] + "=" + value(properties[i+1]))
		}
	}
}

// comment writes words that cannot leave their comment.
func (w *writer) comment(s string) {
	w.word("(" + strings.NewReplacer("(", "[", ")", "]", `\`, "/").Replace(clean(s, maxValue)) + ")")
}

// dispositionWord is what was done about the policy, in the words of DMARC
// reports.
func dispositionWord(v mail.Verdict) string {
	switch {
	case v.DMARC.Override != "":
		return "none, " + v.DMARC.Override
	case v.Disposition == mail.ToJunk:
		return "quarantine"
	case v.Disposition == mail.Reject:
		return "reject"
	}
	return "none"
}

// value writes a value as a token, or quoted if it cannot be one.
func value(s string) string {
	s = clean(s, maxValue)
	if s == "" || strings.ContainsAny(s, ` ()<>,;:\"/[]?=`) {
		return quoted(s)
	}
	return s
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(s, maxValue)) + `"`
}

// clean keeps the printable ASCII of a text, and so much of it.
func clean(s string, most int) string {
	s = s[:min(len(s), most)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
