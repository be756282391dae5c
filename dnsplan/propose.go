package dnsplan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

const (
	dmarcCleanDays = 14 // with reports and without mail of ours that fails
	stsGoodDays    = 7  // with reports and without failures

	// How long others keep the rule (RFC 8461 §3.2): of one that is on trial,
	// a day; else two weeks, so that a sender who writes rarely still knows it.
	stsTrialAge = 86400
	stsAge      = 1209600
)

// STSHeld is how long others may hold to a policy of "enforce" after it was
// taken back, RFC 8461 §8.3.
const STSHeld = stsAge * time.Second

// ProposeDMARC returns the next stricter policy once reports have been clean
// for long enough under the one that is there; ok is false if that is to stay.
func ProposeDMARC(policy string, cleanDays int) (next string, ok bool) {
	if cleanDays < dmarcCleanDays {
		return policy, false
	}
	switch policy {
	case "none", "":
		return "quarantine", true
	case "quarantine":
		return "reject", true
	}
	return policy, false
}

// ProposeSTS returns "enforce" once a week on trial has gone well.
func ProposeSTS(mode string, goodDays int) (next string, ok bool) {
	if mode == "testing" && goodDays >= stsGoodDays {
		return "enforce", true
	}
	return mode, false
}

// STSPolicy is the policy that the web server of mta-sts.DOMAIN gives out as
// /.well-known/mta-sts.txt, RFC 8461 §3.2.
func STSPolicy(mode string, mx ...string) string {
	age := stsAge
	if mode != "enforce" {
		age = stsTrialAge
	}
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", mode)
	for _, host := range mx {
		if a, err := toASCII(host); err == nil {
			host = a
		}
		fmt.Fprintf(&b, "mx: %s\r\n", host)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", age)
	return b.String()
}

// STSID is the id of a policy, which changes when the policy does (§3.1: up to
// 32 letters and digits).
func STSID(policy string) string {
	sum := sha256.Sum256([]byte(policy))
	return hex.EncodeToString(sum[:10])
}
