package mailauth

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"homemail/mail"
	"homemail/mailauth/arc"
)

// maxRefusal keeps a reason within a reply line, RFC 5321 §4.5.3.1.5.
const maxRefusal = 450

// judge fills in DMARC, ARC and what follows from them.
func (k *Check) judge(ctx context.Context, v *mail.Verdict, chain arc.Chain) {
	h := k.author.header
	v.ARC = mail.ARC{Check: mail.Check{Result: chain.Result, Reason: clean(chain.Reason, maxWords)}, Sealers: chain.Sealers, Sets: chain.Sets}
	if n := len(chain.Sealers); n > 0 {
		v.ARC.Domain = chain.Sealers[n-1]
	}
	if len(h.domains) == 0 {
		v.DMARC.Result = mail.ResultNone
	}
	for _, f := range k.author.records {
		k.judgeDomain(v, chain, f.wait(ctx))
	}
	switch {
	case len(h.domains) > 1: // RFC 7489 §6.6.1: every domain is asked, the strictest counts
		v.DMARC.Result, v.DMARC.Check.Reason = mail.ResultPermError, "From has addresses of several domains"
	case h.bad != "":
		v.DMARC.Result, v.DMARC.Check.Reason = mail.ResultPermError, h.bad
	default:
		return
	}
	if v.Disposition == mail.Accept && v.DMARC.Override == "" && h.bad != noFrom {
		v.Disposition = mail.ToJunk // nobody can vouch for what a reader will see as the author
		v.Reason = "it cannot be told who the author is: " + v.DMARC.Check.Reason
	}
}

// judgeDomain judges by one domain in From. What it finds counts if it is
// worse than what is in v.
func (k *Check) judgeDomain(v *mail.Verdict, chain arc.Chain, p policy) {
	d, open := evaluate(v, p)
	v.ARC.Passed = chain.Result == mail.ResultPass && vouches(chain.First, p.domain)
	disposition, reason := mail.Accept, ""
	if d.Result == mail.ResultFail {
		disposition = k.drawn(p)
	}
	if disposition != mail.Accept {
		reason = refusal(v, p)
	}
	if open {
		disposition = mail.Defer
		reason = fmt.Sprintf("whether %s has sent this could not be looked up just now: %s; please try again later", p.domain, d.Check.Reason)
	}
	if disposition != mail.Accept {
		why, unsure := k.override(v, chain, p)
		switch {
		case why != "":
			d.Override, disposition, reason = why, mail.Accept, ""
		case unsure && disposition == mail.Reject:
			disposition, reason = mail.Defer, "the forwarders of this message could not be looked up just now; please try again later"
		}
	}
	if v.DMARC.Domain == "" || disposition > v.Disposition {
		v.DMARC, v.Disposition, v.Reason = d, disposition, reason
	}
}

// evaluate says what DMARC makes of SPF and DKIM, RFC 7489 §6.6.2. open says
// that it failed to pass only for what could not be looked up, and that a policy
// may depend on it.
func evaluate(v *mail.Verdict, p policy) (d mail.DMARC, open bool) {
	d = mail.DMARC{Check: mail.Check{Domain: p.domain}, Policy: p.asks}
	pass := authentic(v, p, mail.ResultPass)
	switch {
	case p.failed: // what passes would pass, unless strictly
		d.Result, d.Check.Reason, open = mail.ResultTempError, "the record could not be looked up", !pass
	case p.asks == "":
		d.Result = mail.ResultNone
	case pass:
		d.Result = mail.ResultPass
	case authentic(v, p, mail.ResultTempError):
		d.Result, d.Check.Reason, open = mail.ResultTempError, "SPF or DKIM could not be looked up", p.asks != "none"
	default:
		d.Result = mail.ResultFail
	}
	return d, open
}

// authentic reports whether SPF or a signature in line with a domain has that
// result. A signature that leaves bytes unsigned is neutral, and has none.
func authentic(v *mail.Verdict, p policy, r mail.Result) bool {
	if v.SPF.Result == r && aligned(v.SPF.Domain, p.domain, p.record.strictSPF) {
		return true
	}
	return slices.ContainsFunc(v.DKIM, func(s mail.Signature) bool {
		return s.Result == r && aligned(s.Domain, p.domain, p.record.strictDKIM)
	})
}

// drawn is what a policy asks for this message: with pct= under 100 for some,
// the next weaker for the rest (RFC 7489 §6.6.4). Lots are drawn with the
// Message-ID, so that trying again changes nothing.
func (k *Check) drawn(p policy) mail.Disposition {
	h := fnv.New32a()
	h.Write([]byte(k.author.header.id))
	chosen := int(h.Sum32()%100) < p.record.percent
	switch {
	case p.asks == "reject" && chosen:
		return mail.Reject
	case p.asks == "reject", p.asks == "quarantine" && chosen:
		return mail.ToJunk
	}
	return mail.Accept
}

// refusal says to the sender what was missing.
func refusal(v *mail.Verdict, p policy) string {
	asks := "refused"
	if p.asks != "reject" {
		asks = "treated as suspicious"
	}
	why := fmt.Sprintf("%s asks (DMARC p=%s) that mail without a valid signature or sending host of its own be %s; DKIM: %s, SPF: %s",
		p.domain, p.asks, asks, describeDKIM(v.DKIM), describe(v.SPF))
	return clean(why, maxRefusal)
}

func describeDKIM(list []mail.Signature) string {
	if len(list) == 0 {
		return "none"
	}
	var words []string
	for _, s := range list[:min(len(list), 3)] {
		words = append(words, describe(s.Check))
	}
	if len(list) > 3 {
		words = append(words, fmt.Sprintf("and %d more", len(list)-3))
	}
	return strings.Join(words, ", ")
}

// describe is a result and whom it is about.
func describe(c mail.Check) string {
	if c.Domain == "" {
		return string(c.Result)
	}
	return fmt.Sprintf("%s (%s)", c.Result, clean(c.Domain, 60))
}

// override says why a policy need not be followed, RFC 7489 §6.7 and RFC 8617
// §7.2.1; "" if it is to be. unsure reports that a lookup may have hidden a
// reason.
func (k *Check) override(v *mail.Verdict, chain arc.Chain, p policy) (why string, unsure bool) {
	why, unsure = k.believed(chain, p)
	if why != "" {
		return why, false
	}
	for _, list := range []string{k.author.header.listID, k.author.header.post} {
		if list == "" || !k.isAllowed(list) {
			continue
		}
		at := policy{domain: list}
		if authentic(v, at, mail.ResultPass) {
			return "mailing list " + list, false
		}
		unsure = unsure || authentic(v, at, mail.ResultTempError)
	}
	return "", unsure
}

// believed reports whether trusted forwarders saw the message pass. Who seals
// last can change everything but the older sets, and those can be taken from
// another message: each sealer from the newest to the one that is believed has
// to be trusted.
func (k *Check) believed(chain arc.Chain, p policy) (why string, unsure bool) {
	n := len(chain.Sealers)
	if n == 0 {
		return "", chain.Result == mail.ResultTempError
	}
	if !k.c.o.TrustedForwarders(chain.Sealers[n-1]) {
		return "", false
	}
	newest := vouches(chain.Newest, p.domain)
	first := vouches(chain.First, p.domain) &&
		!slices.ContainsFunc(chain.Sealers, func(d string) bool { return !k.c.o.TrustedForwarders(d) })
	if !newest && !first {
		return "", false
	}
	switch chain.Result {
	case mail.ResultPass:
		return "forwarded by " + chain.Sealers[n-1], false
	case mail.ResultTempError:
		return "", true
	}
	return "", false
}

// isAllowed asks for a list and the domains above it, down to the
// organizational one.
func (k *Check) isAllowed(list string) bool {
	for org := orgDomain(list); ; {
		if k.c.o.AllowedLists(list) {
			return true
		}
		_, rest, ok := strings.Cut(list, ".")
		if !ok || list == org {
			return false
		}
		list = rest
	}
}
