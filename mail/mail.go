// Package mail has the words that every other package uses: paths, envelopes,
// flags and the numbers that name things. It does no I/O and imports nothing
// of ours.
package mail

import "fmt"

// An AccountID names an account. It is never used again for another.
type AccountID uint32

// A MailboxID names a mailbox of an account. It is never used again for another.
type MailboxID uint32

// A UID names a message of a mailbox, RFC 9051 §2.3.1.1.
type UID uint32

// A ModSeq is a place in the history of a mailbox, RFC 7162 §3.1.
type ModSeq uint64

// A BlobID names the bytes of a message as they came in.
type BlobID uint64

// An ItemID names a message of the queue. It is never used again for another.
type ItemID uint32

func (b BlobID) String() string { return fmt.Sprintf("%x", uint64(b)) }

// Flags are the system flags of a message, RFC 9051 §2.3.2, and the keywords
// that are common enough to have a bit of their own.
type Flags uint16

// The flags that have a bit. Keywords are kept as text beside them.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Has reports whether all of g are set in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

// A SpecialUse tells what a mailbox is for, RFC 6154.
type SpecialUse string

// The special uses of the mailboxes that every account has, and none.
const (
	NoUse   SpecialUse = ""
	Inbox   SpecialUse = "\\Inbox" // ours: INBOX has no attribute on the wire
	Drafts  SpecialUse = "\\Drafts"
	Sent    SpecialUse = "\\Sent"
	Junk    SpecialUse = "\\Junk"
	Trash   SpecialUse = "\\Trash"
	Archive SpecialUse = "\\Archive"
)

// A BodyType says which bytes a message may hold, RFC 6152 and RFC 3030.
type BodyType string

// The body types of MAIL's BODY parameter.
const (
	Body7Bit   BodyType = "7BIT"
	Body8Bit   BodyType = "8BITMIME"
	BodyBinary BodyType = "BINARYMIME"
)

// An Envelope is what SMTP said about a message, RFC 5321 §2.3.1.
type Envelope struct {
	From       Path
	To         []Recipient
	Body       BodyType
	UTF8       bool   // SMTPUTF8, RFC 6531
	RequireTLS bool   // RFC 8689
	Return     string // DSN RET: FULL or HDRS, RFC 3461 §4.3
	EnvelopeID string // DSN ENVID, RFC 3461 §4.4
}

// A Recipient is a forward-path and what the sender wants to be told about it.
type Recipient struct {
	Path     Path
	Notify   []string // NEVER or some of SUCCESS, FAILURE, DELAY, RFC 3461 §4.1
	Original string   // ORCPT, RFC 3461 §4.2
}
