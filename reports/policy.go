package reports

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/store"
)

// Policy is what a domain asks of others, and since when.
type Policy struct {
	DMARC      string    `json:"dmarc"` // none, quarantine or reject
	DMARCSince time.Time `json:"dmarc_since,omitzero"`
	STS        string    `json:"sts"` // none, testing or enforce
	STSSince   time.Time `json:"sts_since,omitzero"`

	// STSEnforced is when STS was enforce the last time, if it is not any more.
	STSEnforced time.Time `json:"sts_enforced,omitzero"`
}

var (
	dmarcPolicies = []string{"none", "quarantine", "reject"}
	stsModes      = []string{"none", "testing", "enforce"}
)

// Policy returns a domain's policy: none and testing until the owner sets
// another.
func (b *Book) Policy(domain string) (Policy, error) {
	v, err := b.s.State(policiesAt + domain)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Policy{}, err
	}
	return decodePolicy(v), nil
}

// decodePolicy reads a policy. What cannot be read is the mildest.
func decodePolicy(v []byte) (p Policy) {
	if json.Unmarshal(v, &p) != nil {
		p = Policy{}
	}
	if !slices.Contains(dmarcPolicies, p.DMARC) {
		p.DMARC = "none"
	}
	if !slices.Contains(stsModes, p.STS) {
		p.STS = "testing"
	}
	return p
}

// SetPolicy sets the policies of a domain; "" leaves one as it is. Days are
// counted anew from then on: what was clean under a mild policy says nothing
// about the next but one.
func (b *Book) SetPolicy(domain, dmarc, sts string) (p Policy, err error) {
	if dmarc != "" && !slices.Contains(dmarcPolicies, dmarc) {
		return p, fmt.Errorf("%w: DMARC is none, quarantine or reject, not %q", store.ErrInvalid, dmarc)
	}
	if sts != "" && !slices.Contains(stsModes, sts) {
		return p, fmt.Errorf("%w: MTA-STS is none, testing or enforce, not %q", store.ErrInvalid, sts)
	}
	if !b.s.IsLocal(domain) {
		return p, fmt.Errorf("%w: %s is not a domain of this server", store.ErrInvalid, domain)
	}
	err = b.s.UpdateState(policiesAt+domain, func(old []byte) ([]byte, error) {
		p = decodePolicy(old)
		now := time.Now().UTC().Truncate(time.Second)
		if dmarc != "" && dmarc != p.DMARC {
			p.DMARC, p.DMARCSince = dmarc, now
		}
		if sts != "" && sts != p.STS {
			if p.STS == "enforce" {
				p.STSEnforced = now
			}
			p.STS, p.STSSince = sts, now
		}
		return json.Marshal(p)
	})
	return p, err
}

// What an owner may say of a reporter.
const (
	Believed = "believed"
	Ignored  = "ignored"
)

// Trust says what the owner thinks of a reporter: Believed, Ignored, or "" to
// leave it to us. It holds for what came already, too.
func (b *Book) Trust(reporter, word string) error {
	d := domain(reporter)
	if d == "" || word != "" && word != Believed && word != Ignored {
		return fmt.Errorf("%w: %q is no reporter's domain", store.ErrInvalid, reporter)
	}
	if word == "" {
		return b.s.PutState(trustAt+d, nil)
	}
	return b.s.PutState(trustAt+d, []byte(word))
}

func (b *Book) trust() (map[string]string, error) {
	m := map[string]string{}
	err := b.s.States(trustAt, func(path string, v []byte) bool {
		m[strings.TrimPrefix(path, trustAt)] = string(v)
		return true
	})
	return m, err
}

// maxMine bounds the sources that an owner calls his own, for a domain.
const maxMine = 200

// SetMine says that a source that sends in a domain's name is the owner's, or
// not. What fails from there makes a day unclean from then on, and before.
func (b *Book) SetMine(domain string, source netip.Prefix, mine bool) error {
	if !b.s.IsLocal(domain) || !source.IsValid() {
		return fmt.Errorf("%w: %s, %s", store.ErrInvalid, domain, source)
	}
	source = source.Masked()
	return b.s.UpdateState(mineAt+domain, func(old []byte) ([]byte, error) {
		list := decodeMine(old)
		list = slices.DeleteFunc(list, func(p netip.Prefix) bool { return p == source })
		if mine {
			if len(list) >= maxMine {
				return nil, fmt.Errorf("%w: over %d sources", store.ErrInvalid, maxMine)
			}
			list = append(list, source)
		}
		return json.Marshal(list)
	})
}

func (b *Book) mine(domain string) ([]netip.Prefix, error) {
	v, err := b.s.State(mineAt + domain)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return decodeMine(v), nil
}

func decodeMine(v []byte) (list []netip.Prefix) {
	if json.Unmarshal(v, &list) != nil {
		return nil
	}
	return list
}
