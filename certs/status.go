package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"
)

// Shown is what somebody sees who asks for a name.
type Shown string

const (
	None       Shown = "none"        // a certificate for other names
	SelfSigned Shown = "self-signed" // ours
	Valid      Shown = "valid"
	Expired    Shown = "expired"
)

// Doing is what is going on about a name.
type Doing string

const (
	Resting  Doing = ""         // nothing is to be done
	Waiting  Doing = "waiting"  // for what Trouble says
	Ordering Doing = "ordering" // at the CA
	Failed   Doing = "failed"   // as Trouble says
)

// A Status is how things are about one name.
type Status struct {
	Name        string    `json:"name"`
	Shown       Shown     `json:"shown"`
	Own         bool      `json:"own"`            // the owner's files are shown
	Issuer      string    `json:"issuer"`         // who signed what is shown
	NotAfter    time.Time `json:"not_after"`      // of what is shown
	Fingerprint string    `json:"fingerprint"`    // of what is shown, SHA-256 in hex
	Renew       time.Time `json:"renew,omitzero"` // when it is to be renewed; zero if nobody will

	Doing   Doing     `json:"doing"`
	Trouble Text      `json:"trouble,omitzero"` // why there is no newer certificate, and what to do
	Next    time.Time `json:"next,omitzero"`    // when we will try, or look, again; zero if we will not
	Orders  int       `json:"orders"`           // in the last week
}

// Status tells about every name that a certificate is wanted for; without ACME
// about the host.
func (s *Source) Status() []Status {
	t := s.shelf.Load()
	if s.keeper == nil {
		return []Status{t.status(t.host)}
	}
	k := s.keeper
	var list []Status
	for _, name := range k.wanted() {
		st := t.status(name)
		k.mu.Lock()
		if e := k.entries[name]; e != nil {
			st.Doing, st.Trouble, st.Next = e.doing, e.trouble, e.next
			if e.busy {
				st.Next = time.Time{}
			} else if e.cert != nil && !st.Own {
				st.Renew = e.renewAt()
			}
		}
		k.mu.Unlock()
		st.Orders = k.limits.count(name)
		list = append(list, st)
	}
	return list
}

func (t *shelf) status(name string) Status {
	now := time.Now()
	c := t.pick(name, now)
	st := Status{Name: name, Own: c == t.own, Issuer: c.Leaf.Issuer.CommonName, NotAfter: c.Leaf.NotAfter, Fingerprint: fingerprint(c.Leaf)}
	switch {
	case c == t.self:
		st.Shown, st.Issuer = SelfSigned, "this server"
	case name != t.host && c.Leaf.VerifyHostname(name) != nil:
		st.Shown = None
	case valid(c.Leaf, now):
		st.Shown = Valid
	default:
		st.Shown = Expired
	}
	return st
}

// Worst is the worst of what is shown for any name, Valid if there is none.
func Worst(list []Status) Shown {
	for _, shown := range []Shown{None, Expired, SelfSigned} {
		if slices.ContainsFunc(list, func(s Status) bool { return s.Shown == shown }) {
			return shown
		}
	}
	return Valid
}

// KeyDigest is the SHA-256 of a certificate's public key, as a TLSA record 3 1 1
// has it (RFC 6698 §2.1). It outlives a renewal.
func KeyDigest(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return sum[:]
}
