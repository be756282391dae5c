package certs

import (
	"encoding/json"
	"errors"
	"time"

	"homemail/store"
	"homemail/words"
)

// A Consent is the owner's to have a CA asked for certificates, and to its
// terms: RFC 8555 §7.3 wants a person to agree. It is for one CA.
type Consent struct {
	Directory string    `json:"directory"`
	Email     string    `json:"email,omitempty"` // where the CA may write to
	Given     time.Time `json:"given"`
}

// ErrNoConsent says that the owner has not agreed.
var ErrNoConsent = words.Because(nil, "certs.consent")

const consentPath = "acme-consent"

// Agree keeps a consent. It is in force at once.
func Agree(s State, c Consent) error {
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.PutState(consentPath, v)
}

// Withdraw forgets the consent: nothing is ordered or renewed any more.
func Withdraw(s State) error { return s.PutState(consentPath, nil) }

// Agreed returns the consent to ask a CA, or ErrNoConsent.
func Agreed(s State, directory string) (c Consent, err error) {
	v, err := s.State(consentPath)
	if errors.Is(err, store.ErrNotFound) {
		return c, ErrNoConsent
	}
	if err != nil {
		return c, words.Because(err, "certs.unread", "said", err)
	}
	if err := json.Unmarshal(v, &c); err != nil || c.Directory != directory {
		return Consent{}, ErrNoConsent
	}
	return c, nil
}
