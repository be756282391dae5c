package events

import (
	"slices"
	"strings"

	"homemail/mail"
)

// Auth is what was found out about where a message comes from, RFC 8601 §2.7.
// What was not looked at is empty.
type Auth struct {
	SPF   mail.Result `json:"spf,omitempty"`
	DKIM  mail.Result `json:"dkim,omitempty"` // of its best signature
	DMARC mail.Result `json:"dmarc,omitempty"`
}

// AuthOf is the short form of a verdict; nil is of a message that nobody judged.
func AuthOf(v *mail.Verdict) Auth {
	if v == nil {
		return Auth{}
	}
	a := Auth{SPF: v.SPF.Result, DKIM: mail.ResultNone, DMARC: v.DMARC.Result}
	for i, s := range v.DKIM {
		if i == 0 || s.Result == mail.ResultPass {
			a.DKIM = s.Result
		}
	}
	return a
}

// String is as people write it: SPF pass, DKIM none, DMARC pass.
func (a Auth) String() string {
	var list []string
	for _, of := range []struct {
		name   string
		result mail.Result
	}{{"SPF", a.SPF}, {"DKIM", a.DKIM}, {"DMARC", a.DMARC}} {
		if of.result != "" {
			list = append(list, of.name+" "+string(of.result))
		}
	}
	return strings.Join(list, ", ")
}

// authResults are the results by their numbers in a row, which are for ever.
func authResults() []mail.Result {
	return []mail.Result{
		"", mail.ResultNone, mail.ResultPass, mail.ResultFail, mail.ResultSoftFail, mail.ResultNeutral, mail.ResultPolicy,
		mail.ResultTempError, mail.ResultPermError,
	}
}

const authBits = 4 // of a result: two bytes hold all three

// pack makes a number of the results, 0 of none.
func (a Auth) pack() (n uint64) {
	results := authResults()
	for i, r := range []mail.Result{a.SPF, a.DKIM, a.DMARC} {
		n |= uint64(max(slices.Index(results, r), 0)) << (i * authBits)
	}
	return n
}

// unpackAuth reads what pack made. Results of a newer homemail are left out.
func unpackAuth(n uint64) (a Auth) {
	results := authResults()
	for i, r := range []*mail.Result{&a.SPF, &a.DKIM, &a.DMARC} {
		if k := int(n >> (i * authBits) & (1<<authBits - 1)); k < len(results) {
			*r = results[k]
		}
	}
	return a
}
