package session

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/crypto/chacha20poly1305"

	"homemail/mail"
)

const challengeFor = 5 * time.Minute // browsers give a person so long

// A challengeRow is what has to be remembered of a challenge. The browser keeps
// it, sealed: who asks for many costs us nothing.
type challengeRow struct {
	Data    webauthn.SessionData
	Account mail.AccountID // that makes a passkey; 0 for a sign-in
	Until   time.Duration  // by the steady clock
}

func (m *Manager) sealChallenge(c challengeRow) (string, error) {
	now, err := m.steady.Now()
	if err != nil {
		return "", err
	}
	c.Until = now + challengeFor
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	aead, err := chacha20poly1305.NewX(m.key[:])
	if err != nil {
		return "", err
	}
	nonce := randomBytes(aead.NonceSize())
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, b, nil)), nil
}

// openChallenge returns ErrOver for what we did not seal, and what is too old.
func (m *Manager) openChallenge(s string) (c challengeRow, err error) {
	now, err := m.steady.Now()
	if err != nil {
		return c, err
	}
	aead, err := chacha20poly1305.NewX(m.key[:])
	if err != nil {
		return c, err
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < aead.NonceSize() {
		return c, ErrOver
	}
	b, err = aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], nil)
	if err != nil || json.Unmarshal(b, &c) != nil || now > c.Until {
		return c, ErrOver
	}
	return c, nil
}

// spendChallenge reports whether a challenge is good for the first time. Only
// those that were answered rightly are remembered.
func (m *Manager) spendChallenge(challenge string) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, until := range m.used {
		if now.After(until) {
			delete(m.used, c)
		}
	}
	if _, ok := m.used[challenge]; ok {
		return false
	}
	m.used[challenge] = now.Add(2 * challengeFor)
	return true
}
