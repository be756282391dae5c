// Package delivery reads what a large provider has written onto a message of ours:
// whether it believes who we are, whether the message came encrypted, and whether
// it was taken for junk. It is given the header that the owner has copied from
// there, keeps nothing and asks nobody.
package delivery

import (
	"strconv"
	"strings"
)

// MaxHeader is the most that is read, in octets: those of large providers have 10 kB.
const MaxHeader = 48 << 10

// A Mark is how something stands.
type Mark string

// The marks.
const (
	Good    Mark = "good"
	Bad     Mark = "bad"
	Unsaid  Mark = "unsaid"  // the provider does not say
	Without Mark = "without" // there is none
)

// A Report is what the header says.
type Report struct {
	From  string // the domain of the author, "" if there is none
	By    string // who has taken the message
	SPF   Mark   // RFC 7208
	DKIM  Mark   // RFC 6376, by a signature of the author's domain
	DMARC Mark   // RFC 7489
	TLS   Mark   // on the last way, RFC 3848
	Junk  Mark   // Bad if it was taken for junk
}

// maxFields bounds the fields that are looked at.
const maxFields = 400

type headerField struct{ name, value string }

// Read reads a header, with or without the text after it. Of each field that
// several write, the first stands: it is the newest, and the provider's own.
func Read(header string) Report {
	r := Report{SPF: Unsaid, DKIM: Unsaid, DMARC: Unsaid, TLS: Unsaid, Junk: Unsaid}
	results := ""
	for _, f := range fieldsOf(header[:min(len(header), MaxHeader)]) {
		switch f.name {
		case "from":
			if r.From == "" {
				r.From = domainOf(f.value)
			}
		case "authentication-results": // RFC 8601
			if results == "" {
				results = f.value
			}
		case "received":
			if r.By == "" {
				r.received(f.value)
			}
		default:
			r.junk(f)
		}
	}
	r.results(uncommented(results))
	return r
}

// fieldsOf splits a header into fields, and unfolds them, RFC 5322 §2.2.3. Lines
// before the first field are those of a page that was copied too.
func fieldsOf(header string) (list []headerField) {
	for line := range strings.SplitSeq(strings.ReplaceAll(header, "\r", ""), "\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "" && len(list) > 0:
			return list
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			if n := len(list); n > 0 {
				list[n-1].value += " " + strings.TrimSpace(line)
			}
		case ok && isName(name) && len(list) < maxFields:
			list = append(list, headerField{strings.ToLower(name), strings.TrimSpace(value)})
		}
	}
	return list
}

// isName reports whether a text can be a field's name: ftext, RFC 5322 §3.6.8.
func isName(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// domainOf is the domain of the last address in a field.
func domainOf(from string) string {
	at := strings.LastIndexByte(from, '@')
	if at < 0 {
		return ""
	}
	end := strings.IndexAny(from[at:], "> ,;)\"")
	if end < 0 {
		end = len(from) - at
	}
	return strings.ToLower(strings.TrimSuffix(from[at+1:at+end], "."))
}

// received reads how the provider has taken the message from somebody else. Its own
// machines hand it on to each other after that.
func (r *Report) received(value string) {
	words := strings.Fields(uncommented(value))
	from, by, with := after(words, "from"), after(words, "by"), strings.ToUpper(after(words, "with"))
	if from == "" || by == "" || organisation(from) == organisation(by) {
		return
	}
	r.By = by
	switch with {
	case "ESMTPS", "ESMTPSA", "SMTPS", "UTF8SMTPS", "UTF8SMTPSA": // RFC 3848: the S
		r.TLS = Good
	case "ESMTP", "SMTP", "ESMTPA", "UTF8SMTP":
		r.TLS = Bad
	}
	if low := strings.ToLower(value); strings.Contains(low, "version=tls") || strings.Contains(low, "using tls") {
		r.TLS = Good // as Microsoft and Postfix say it
	}
}

// after is the word that follows a word.
func after(words []string, word string) string {
	for i, w := range words[:max(len(words)-1, 0)] {
		if strings.EqualFold(w, word) {
			return strings.ToLower(strings.TrimSuffix(words[i+1], ";"))
		}
	}
	return ""
}

// organisation is whose a host is, as far as its last two labels say.
func organisation(host string) string {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	return strings.Join(labels[max(len(labels)-2, 0):], ".")
}

// results reads Authentication-Results, RFC 8601 §2.2, without its comments.
func (r *Report) results(value string) {
	for part := range strings.SplitSeq(value, ";") {
		words := strings.Fields(strings.ToLower(part))
		if len(words) == 0 {
			continue
		}
		method, result, _ := strings.Cut(words[0], "=")
		switch method {
		case "spf":
			r.SPF = mark(result)
		case "dmarc":
			r.DMARC = mark(result)
		case "dkim":
			// One signature of the author's domain is enough; those of others are no proof.
			switch m := mark(result); {
			case r.DKIM == Good:
			case m == Good && !r.ours(words[1:]):
				r.DKIM = Without
			default:
				r.DKIM = m
			}
		}
	}
}

// ours reports whether the properties of a signature name the author's domain, or
// one above or below it.
func (r *Report) ours(properties []string) bool {
	for _, p := range properties {
		name, value, _ := strings.Cut(p, "=")
		if name != "header.d" && name != "header.i" {
			continue
		}
		d := value[strings.LastIndexByte(value, '@')+1:]
		return d != "" && (d == r.From || strings.HasSuffix(r.From, "."+d) || strings.HasSuffix(d, "."+r.From))
	}
	return r.From != "" // it says only that it is right
}

func mark(result string) Mark {
	switch result {
	case "pass":
		return Good
	case "none", "":
		return Without
	case "temperror":
		return Unsaid
	}
	return Bad
}

// junk reads what providers write about where they have put a message.
func (r *Report) junk(f headerField) {
	value := strings.ToLower(f.value)
	switch f.name {
	case "x-spam-flag":
		r.Junk = junkIf(strings.HasPrefix(value, "yes"))
	case "x-ms-exchange-organization-scl": // Microsoft: 5 and more is junk
		if n, err := strconv.Atoi(value); err == nil {
			r.Junk = junkIf(n >= 5)
		}
	case "x-forefront-antispam-report":
		if r.Junk == Unsaid {
			r.Junk = junkIf(strings.Contains(value, "sfv:spm") || strings.Contains(value, "sfv:sks") || strings.Contains(value, "cat:spm") || strings.Contains(value, "cat:phsh"))
		}
	}
}

func junkIf(junk bool) Mark {
	if junk {
		return Bad
	}
	return Good
}

// uncommented is a value without its comments, which nest: RFC 5322 §3.2.2.
func uncommented(s string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
			b.WriteByte(c)
		case c == '(':
			depth++
		case c == ')':
			depth = max(depth-1, 0)
			b.WriteByte(' ')
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}
