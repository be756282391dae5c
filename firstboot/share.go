package firstboot

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"time"

	"homemail/store"
)

// shareTime is how long somebody who enters the records for the owner may look
// at them.
const shareTime = 7 * 24 * time.Hour

const sharePath = "setup/share"

// A Share lets somebody see the records of the owner's domain, and nothing else.
type Share struct {
	Token string    `json:"-"`
	Until time.Time `json:"until"`
	Sum   []byte    `json:"sum"`  // SHA-256 of Token
	Kept  []byte    `json:"kept"` // Token, sealed, to show the link again
}

// ErrNoShare says that a link is not known, or has ended.
var ErrNoShare = errors.New("this link has ended; ask for a new one")

// Share returns the link's token that is in force, or makes one.
func (e *Engine) Share() (Share, error) {
	e.locks[DNS].Lock()
	defer e.locks[DNS].Unlock()
	if s, err := e.share(); err == nil {
		if token, err := e.o.State.OpenSecret(sharePath, s.Kept); err == nil {
			s.Token = string(token)
			return s, nil
		}
	}
	s := Share{Token: rand.Text(), Until: time.Now().Add(shareTime).Round(0)}
	sum := sha256.Sum256([]byte(s.Token))
	s.Sum = sum[:]
	var err error
	if s.Kept, err = e.o.State.SealSecret(sharePath, []byte(s.Token)); err != nil {
		return s, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	return s, e.o.State.PutState(sharePath, b)
}

// share reads the share in force.
func (e *Engine) share() (s Share, err error) {
	b, err := e.o.State.State(sharePath)
	if errors.Is(err, store.ErrNotFound) {
		return s, ErrNoShare
	}
	if err != nil {
		return s, err
	}
	if json.Unmarshal(b, &s) != nil || time.Now().After(s.Until) {
		return s, ErrNoShare
	}
	return s, nil
}

// Shared returns the domain whose records a token lets see.
func (e *Engine) Shared(token string) (domain string, err error) {
	s, err := e.share()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], s.Sum) != 1 {
		return "", ErrNoShare
	}
	t, err := e.turn(DNS)
	if err != nil {
		return "", err
	}
	return t.domain(), nil
}

// Unshare ends the link.
func (e *Engine) Unshare() error { return e.o.State.PutState(sharePath, nil) }
