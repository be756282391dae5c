// Package probe looks at a house from outside, for a friend: a server that,
// when asked, connects to the address that asks, and to no other, on a few
// ports of mail, and says what it saw; and the client that asks it and knows
// whether what was seen is the house. The server keeps nothing but counters of
// the last hour, sends no mail, and follows no name and no address of anybody's.
package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Ports are those that a server looks at, and no others.
var Ports = [...]uint16{25, 80, 443, 465, 993}

// Known reports whether a port is one of Ports.
func Known(port uint16) bool { return slices.Contains(Ports[:], port) }

// The paths of the server, and of what web pages show the token under.
const (
	EchoPath  = "/homemail/probe/v1/echo"  // GET: Echo
	ReachPath = "/homemail/probe/v1/reach" // POST: Request, Report
	TokenPath = "/.well-known/homemail-probe/"
)

// Limits of what strangers send us, or have us keep.
const (
	maxRequest = 1 << 10  // a Request is some 100 bytes
	maxReport  = 16 << 10 // a Report is five lines
	maxLine    = 512      // RFC 5321 §4.5.3.1.5
	tokenBytes = 16
)

// An Echo says who asks, as the server sees it.
type Echo struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"` // from which it came: a line that shares its address shows it here
	Time    time.Time  `json:"time"`
}

// A Request asks to be looked at. There is no address in it, on purpose.
type Request struct {
	Ports []uint16 `json:"ports"`
	Token string   `json:"token"` // hexadecimal; what web pages show under TokenPath
}

// A Report is what was seen.
type Report struct {
	Echo
	Ports map[uint16]Seen `json:"ports"`
	Token string          `json:"-"` // the client's own
	// From are the addresses that the page with the token was asked for from, as
	// they look here: a router may put its own in their place.
	From []netip.Addr `json:"-"`
}

// A Reached says how far a connection came.
type Reached string

// The values of Reached.
const (
	Open    Reached = "open"
	Closed  Reached = "closed"  // refused
	Silent  Reached = "silent"  // no answer in time: a filter
	Nowhere Reached = "nowhere" // no route, or no such network here
)

// Seen is what was seen at one port.
type Seen struct {
	Reached Reached `json:"reached"`
	Line    string  `json:"line,omitempty"` // the greeting, or what the page with the token says
	Key     string  `json:"key,omitempty"`  // SHA-256 of the public key that TLS was made with, hexadecimal
	Detail  string  `json:"detail,omitempty"`
}

// An Identity is how a house knows itself from outside.
type Identity struct {
	Host string          // in the greetings of port 25, 465 and 993
	Keys func() []string // what Key gives for the certificates in use; nil if there are none
}

// Is reports whether the house is what was seen. A greeting names it, a page
// shows its token, or TLS proves that it has the private key.
func (id Identity) Is(s Seen, token string) bool {
	if s.Reached != Open {
		return false
	}
	line := strings.ToLower(s.Line)
	switch {
	case token != "" && strings.Contains(line, token):
		return true
	case id.Host != "" && slices.Contains(strings.FieldsFunc(line, between), strings.ToLower(id.Host)):
		return true
	}
	return s.Key != "" && id.Keys != nil && slices.Contains(id.Keys(), s.Key)
}

// between reports whether a character stands between the words of a greeting.
func between(r rune) bool { return strings.ContainsRune(" \t[]()<>,;", r) }

// Key is what Seen.Key says of a certificate's public key, given as
// x509.Certificate.RawSubjectPublicKeyInfo. It outlives a renewal.
func Key(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// printable is what a stranger said, fit for a terminal and a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), maxLine)]
}

// validToken reports whether a token is one: nothing else may stand in a URL or
// a greeting of ours.
func validToken(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == tokenBytes && s == strings.ToLower(s)
}
