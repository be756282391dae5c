// Package message reads a message once, as its bytes pass by, and tells what
// it found: the envelope of its header (RFC 9051 §7.5.2 ENVELOPE) and the tree
// of its parts with the place of each in the bytes. It keeps no bytes, has a
// bound on everything, and never fails: what it cannot read is an opaque leaf.
package message

import "time"

// A Structure is what a Parser found. Offsets count from the first byte given
// to the Parser.
type Structure struct {
	Envelope  Envelope
	Root      Part
	Received  int      // Received fields in the top header, for loop detection
	Delivered []string // values of Delivered-To in the top header, at most 50
	HasFrom   int      // From fields in the top header
	Junk      bool     // X-Spam-Flag: YES in the top header
	EightBit  bool     // some byte is over 127
	HeaderBad string   // why the top header breaks the limits of RFC 5322 and ours; "" if it does not
}

// A Part is an entity of RFC 2045: a leaf, a multipart, or a message within.
// A multipart without parts, and a message that is encoded or nested too deep,
// are leaves whatever their type says: ask IsMultipart and IsMessage. Strings
// are unfolded, free of CR, LF and NUL, and otherwise the bytes of the header,
// which need not be UTF-8.
type Part struct {
	Type, Subtype string  // lower case; text/plain if missing or bad
	Params        []Param // of Content-Type, RFC 2231 decoded, names lower case
	ID            string
	Description   string
	Encoding      string // Content-Transfer-Encoding, lower case; 7bit if missing
	MD5           string
	Disposition   string // lower case; "" if missing
	DispParams    []Param
	Language      []string
	Location      string

	HeaderAt int64 // where the part's header starts
	BodyAt   int64 // where its body starts
	End      int64 // where its body ends
	Lines    int64 // line endings in the body

	Children []Part    // of a multipart; of a message/rfc822 its root, as the only one
	Envelope *Envelope // of a message/rfc822
}

// A Param is a parameter of a structured field.
type Param struct{ Name, Value string }

// An Envelope is what a header says about itself, as raw as IMAP wants it:
// encoded words stay encoded.
type Envelope struct {
	Date      string
	Time      time.Time // Date understood; zero if it was not
	Subject   string
	From      []Address
	Sender    []Address
	ReplyTo   []Address
	To        []Address
	Cc        []Address
	Bcc       []Address
	InReplyTo string
	MessageID string
	// References holds the message ids of References, for threads.
	References []string
}

// An Address is a mailbox, or a mark that a group starts (Host "", Mailbox its
// name) or ends (both ""), as in RFC 9051 §7.5.2.
type Address struct{ Name, Mailbox, Host string }
