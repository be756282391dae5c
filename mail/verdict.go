package mail

// A Result is what a check of a message's origin says, RFC 8601 §2.7.
type Result string

// The results. A check whose question could not be asked is TempError, never
// Fail.
const (
	ResultNone      Result = "none"
	ResultPass      Result = "pass"
	ResultFail      Result = "fail"
	ResultSoftFail  Result = "softfail"
	ResultNeutral   Result = "neutral"
	ResultPolicy    Result = "policy"
	ResultTempError Result = "temperror"
	ResultPermError Result = "permerror"
)

// A Disposition is what is to become of a message after its Verdict.
type Disposition int

// The dispositions.
const (
	Accept Disposition = iota
	ToJunk             // take it, and file it under Junk
	Defer              // refuse it for now, 4xx
	Reject             // refuse it, 5xx
)

func (d Disposition) String() string {
	return [...]string{"accept", "junk", "defer", "reject"}[d]
}

// A Verdict is what is known about where a message comes from.
type Verdict struct {
	SPF   Check       // of MAIL FROM, or of HELO under the null reverse-path, RFC 7208
	DKIM  []Signature // in the header's order, RFC 6376
	DMARC DMARC       // RFC 7489
	ARC   ARC         // RFC 8617
	IPRev Check       // RFC 8601 §3; Domain is the confirmed name

	Disposition Disposition
	Reason      string // why it is not Accept, in words for the sender
}

// A Check is one result and the domain that it is about.
type Check struct {
	Result Result
	Domain string // A-labels, lower case
	Reason string // a few words for the log; "" for a plain result
}

// A Signature is a DKIM signature that was looked at.
type Signature struct {
	Check
	Selector  string
	Algorithm string // a=
	Start     string // the first characters of b=, RFC 6008
	Partial   bool   // l= leaves bytes unsigned
}

// DMARC is what the domain of From asks for.
type DMARC struct {
	Check         // Domain is the domain of From
	Policy string // none, quarantine or reject, as it applies to this domain; "" without a record
	// Override says why the policy was not followed; "" if it was.
	Override string
}

// ARC is what forwarders say they have seen.
type ARC struct {
	Check            // Domain is that of the newest seal
	Sealers []string // the domains of all seals, oldest first
	Sets    int      // how many ARC sets there are
	Passed  bool     // the first hop of a chain that holds saw DMARC pass, or SPF or DKIM in line with From
}
