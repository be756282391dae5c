package mail

import "io"

// Handover is one message on its way out of the house, to the recipients of
// Envelope that share a next hop. The queue makes it, a transport sends it.
type Handover struct {
	ID       string // the trace, for logs
	Envelope Envelope
	Size     int64 // of the message in octets (RFC 1870)
	EightBit bool  // the message needs 8BITMIME (RFC 6152)
	// Open reads the message from its first octet; each call anew, as a
	// transport may have to try a second host.
	Open func() (io.Reader, error)
}
