package message

// The bounds on what a Parser keeps of a message. A stranger chooses the
// message; these choose what it may cost.
const (
	maxHeader      = 256 << 10 // bytes of a header that are read; the rest is passed over
	maxHeaderLines = 1000      // more are told in HeaderBad
	maxLine        = 4 << 10   // bytes of a line that are looked at for a boundary
	maxBoundary    = 2 << 10   // RFC 2046 §5.1.1 says 70, mail says more
	maxDepth       = 20        // entities within each other
	maxParts       = 1000      // entities of a message
	maxAddresses   = 1000      // of all the envelopes of a message
	maxParams      = 100       // of a part's Content-Type and Content-Disposition together
	maxValue       = 16 << 10  // bytes of a field's value that are kept
	maxName        = 1 << 10   // bytes of a name, local part or domain of an Address
	maxDelivered   = 50        // Delivered-To fields
	maxReferences  = 100       // message ids of References: the first and the newest
	maxLanguages   = 16        // tags of Content-Language
	maxText        = 512 << 10 // bytes of text of a Structure; fields past it are empty
)

// MaxEncoded is the most bytes that AppendBinary appends. What does not fit is
// left out: first descriptions, then parameters, then envelopes of messages
// within, then parts.
const MaxEncoded = 64 << 10
