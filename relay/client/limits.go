package client

import "time"

// How long a server may take. Each limit is for a whole reply or block, not for
// an octet of it, so that one octet a minute does not keep us.
const (
	tlsTime      = time.Minute      // no RFC; a handshake is a few round trips
	greetingTime = 5 * time.Minute  // RFC 5321 §4.5.3.2.1
	helloTime    = 5 * time.Minute  // as for the other commands
	mailTime     = 5 * time.Minute  // RFC 5321 §4.5.3.2.2
	rcptTime     = 5 * time.Minute  // RFC 5321 §4.5.3.2.3
	dataTime     = 2 * time.Minute  // RFC 5321 §4.5.3.2.4
	blockTime    = 3 * time.Minute  // RFC 5321 §4.5.3.2.5
	finalTime    = 10 * time.Minute // RFC 5321 §4.5.3.2.6: too short makes duplicates
	authTime     = 2 * time.Minute  // no RFC; somebody may be watching a test
	resetTime    = time.Minute      // no RFC
	quitTime     = 3 * time.Second  // no RFC; we are done, and the answer changes nothing

	// envelopeTime bounds MAIL and all RCPTs together: five minutes for each of
	// a hundred would hold us for a working day.
	envelopeTime = 15 * time.Minute
)

// minRate is the least number of octets a second at which a server must take a
// message: slower than any line that people still have, and 25 MiB end within
// four hours.
const minRate = 2 << 10

// maxBatch is how many octets of commands are sent before their replies are
// read, RFC 2920 §3.1: it fits any send buffer, so that we and the server never
// both wait for the other to read.
const maxBatch = 4 << 10
