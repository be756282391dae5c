package main

import (
	"errors"

	"homemail/deliver"
	"homemail/mail"
	"homemail/mailauth"
	"homemail/mailauth/arc"
	"homemail/sign"
	"homemail/store"
)

// stamps are what deliver puts on mail that leaves: our signature, or our seal.
type stamps struct {
	h      *house
	signer *sign.Signer
}

// sign begins to sign as a domain, if it has keys.
func (s stamps) sign(domain string) (deliver.Signing, error) {
	g, err := s.signer.Begin(domain)
	if errors.Is(err, sign.ErrNoKey) || s.lost(domain, err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return signing{g, s.h, domain}, nil
}

// lost reports whether err says that the keys of a domain cannot be read any
// more. To wait for them would be to wait for ever.
func (s stamps) lost(domain string, err error) bool {
	if !errors.Is(err, store.ErrCorrupt) {
		return false
	}
	s.h.log.Error("the keys of a domain are lost: its mail leaves without a signature until it has new ones", "domain", domain, "err", err)
	return true
}

// A signing that cannot be ended lets the message leave without a signature: an
// odd message is better than none.
type signing struct {
	*sign.Signing
	h      *house
	domain string
}

func (g signing) Fields() ([]byte, error) {
	fields, err := g.Signing.Fields()
	for _, odd := range []error{sign.ErrNotAligned, sign.ErrTooMany, sign.ErrHeader} {
		if errors.Is(err, odd) {
			g.h.log.Warn("a message leaves without a signature", "domain", g.domain, "err", err)
			return nil, nil
		}
	}
	return fields, err
}

// seal begins an ARC set of a domain of ours, if it has keys. Of the two the RSA
// key is used: few know the other.
func (s stamps) seal(domain string) (deliver.Sealing, error) {
	keys, err := s.h.keys.Get(domain)
	if err != nil && !s.lost(domain, err) {
		return nil, err
	}
	for _, k := range keys {
		if k.State != sign.Active || k.Algorithm != sign.RSA {
			continue
		}
		key, err := k.Signer()
		if err != nil {
			return nil, err
		}
		return sealing{arc.NewSealer(arc.SealOptions{Domain: domain, Selector: k.Selector, Key: key,
			AuthServID: s.h.config.Host(), ClockTrusted: s.h.clock.Trusted()}), s.h, domain}, nil
	}
	return nil, nil
}

type sealing struct {
	*arc.Sealer
	h      *house
	domain string
}

func (s sealing) Seal(v mail.Verdict) ([]byte, error) {
	seal, err := s.Sealer.Seal(arc.Chain{Result: v.ARC.Result, Sets: v.ARC.Sets}, mailauth.Statements(v))
	if err != nil { // an odd message is forwarded without a seal
		s.h.log.Warn("a message is forwarded without a seal", "domain", s.domain, "err", err)
		return nil, nil
	}
	return seal, nil
}
