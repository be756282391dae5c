package certs

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"time"
)

// A shelf has every certificate that may be shown. It does not change.
type shelf struct {
	own  *tls.Certificate            // the owner's files, nil without
	self *tls.Certificate            // made by us, nil if there is own
	acme map[string]*tls.Certificate // by name
	host string                      // the name that most ask for
}

// pick chooses for a client that asks for a name, "" if it does not say. One
// that is valid now goes before one that is not, then the owner's before a CA's,
// and one for another name or an expired one before our own.
func (s *shelf) pick(name string, now time.Time) *tls.Certificate {
	own, issued := s.ownFor(name), s.acme[name]
	for _, c := range []*tls.Certificate{own, issued} {
		if c != nil && valid(c.Leaf, now) {
			return c
		}
	}
	for _, c := range []*tls.Certificate{own, issued} {
		if c != nil {
			return c
		}
	}
	return s.best(now)
}

// best is what is shown to whoever asks for no name of ours.
func (s *shelf) best(now time.Time) *tls.Certificate {
	list := []*tls.Certificate{s.own, s.acme[s.host]}
	for _, name := range slices.Sorted(maps.Keys(s.acme)) {
		list = append(list, s.acme[name])
	}
	for _, c := range list {
		if c != nil && valid(c.Leaf, now) {
			return c
		}
	}
	for _, c := range append(list, s.self) {
		if c != nil {
			return c
		}
	}
	return nil
}

// ownFor is the owner's certificate if it is for that name.
func (s *shelf) ownFor(name string) *tls.Certificate {
	if s.own == nil || name == "" || s.own.Leaf.VerifyHostname(name) != nil {
		return nil
	}
	return s.own
}

func valid(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// with returns a copy with other certificates of the CA's.
func (s *shelf) with(change func(map[string]*tls.Certificate)) *shelf {
	t := *s
	t.acme = maps.Clone(s.acme)
	if t.acme == nil {
		t.acme = map[string]*tls.Certificate{}
	}
	change(t.acme)
	return &t
}

// asked is the name in a client's hello, in the form of our names.
func asked(h *tls.ClientHelloInfo) string {
	return strings.ToLower(strings.TrimSuffix(h.ServerName, "."))
}
