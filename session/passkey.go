package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

// A RelyingParty is for whom passkeys are made, WebAuthn §4: browsers use one
// nowhere else.
type RelyingParty struct {
	ID      string   // the host's name
	Origins []string // "https://" and the name, with a port if it is not 443
}

// A Passkey is a passkey as people see it.
type Passkey struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Host    string    `json:"host"` // the ID of the RelyingParty it was made for
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
}

type passkey struct {
	Passkey
	Credential webauthn.Credential `json:"credential"`
}

// The bounds of passkeys.
const (
	passkeysMax = 10      // of an account
	responseMax = 1 << 16 // bytes of what a browser answers; without attestation some 2 KB
	nameMax     = 64      // runes
)

// member is an account as go-webauthn wants to see it.
type member struct {
	profile store.Profile
	f       *factors
}

func (u member) WebAuthnID() []byte          { return u.f.Handle }
func (u member) WebAuthnName() string        { return string(u.profile.Address) }
func (u member) WebAuthnDisplayName() string { return u.profile.Name }
func (u member) WebAuthnCredentials() (list []webauthn.Credential) {
	for _, k := range u.f.Passkeys {
		list = append(list, k.Credential)
	}
	return list
}

// party returns the library set up for our host. Passkeys are two factors only
// with user verification, and need no name typed only if they are discoverable.
func (m *Manager) party(from From) (*webauthn.WebAuthn, error) {
	rp, ok := m.o.Passkeys()
	if !ok || !from.Encrypted {
		return nil, ErrNoPasskey
	}
	return webauthn.New(&webauthn.Config{
		RPID: rp.ID, RPOrigins: rp.Origins, RPDisplayName: m.o.Issuer,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: protocol.ResidentKeyRequired(),
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			UserVerification:   protocol.VerificationRequired,
		},
		// Password keepers answer what nobody asked; we read none of it.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// PasskeyOptions begins a sign-in by passkey. It returns what
// navigator.credentials.get wants, as a value for JSON, and the challenge for
// SetChallenge.
func (m *Manager) PasskeyOptions(from From) (options any, challenge string, err error) {
	wa, err := m.party(from)
	if err != nil {
		return nil, "", err
	}
	assertion, data, err := wa.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", err
	}
	challenge, err = m.sealChallenge(challengeRow{Data: *data})
	return assertion, challenge, err
}

// PasskeySignIn takes what navigator.credentials.get answered. A passkey signs
// in alone. It also completes a sign-in whose second factor is owed, and of a
// session makes a fresh one.
func (m *Manager) PasskeySignIn(ctx context.Context, from From, body []byte, remember bool) (Result, error) {
	e := Event{What: SignedIn, Method: ByPasskey, From: from}
	res, err := m.passkeySignIn(ctx, from, &e, body, remember)
	return res, m.tell(e, err)
}

func (m *Manager) passkeySignIn(ctx context.Context, from From, e *Event, body []byte, remember bool) (Result, error) {
	wa, err := m.party(from)
	if err != nil {
		return Result{}, err
	}
	c, err := m.openChallenge(from.Challenge)
	if err != nil {
		return Result{}, err
	}
	if c.Account != 0 { // it is for a new passkey
		return Result{}, ErrOver
	}
	var who store.Profile
	err = m.signin.Second(ctx, from.attempt(), 0, func() (right bool, err error) {
		who, right, err = m.verify(wa, c.Data, body)
		return right && m.spendChallenge(c.Data.Challenge), err
	})
	if err != nil {
		return Result{}, err
	}
	e.Account, e.Name = who.ID, string(who.Address)
	m.signin.Right(from.attempt(), who.ID)
	return m.open(from, who, ByPasskey, remember)
}

// verify checks an assertion, WebAuthn §7.2, and counts its use.
func (m *Manager) verify(wa *webauthn.WebAuthn, data webauthn.SessionData, body []byte) (who store.Profile, right bool, err error) {
	if len(body) > responseMax {
		return who, false, nil
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(body)
	if err != nil {
		return who, false, nil
	}
	var fault error // of ours, which the library would hide
	handler := func(_, handle []byte) (webauthn.User, error) {
		u, ok, err := m.memberOf(handle)
		if fault = err; err != nil || !ok {
			return nil, errWrong
		}
		return u, nil
	}
	user, credential, err := wa.ValidatePasskeyLogin(handler, data, parsed)
	if fault != nil {
		return who, false, fault
	}
	flags := parsed.Response.AuthenticatorData.Flags
	if err != nil || !flags.HasUserVerified() {
		return who, false, nil
	}
	who = user.(member).profile
	err = m.change(who.ID, func(f *factors) error {
		return f.use(credential, parsed.Response.AuthenticatorData.Counter)
	})
	if errors.Is(err, errCopied) {
		m.o.Log.Warn("a passkey was refused: its counter says that there are two of it", "account", who.ID, "passkey", keyID(credential.ID))
	}
	if errors.Is(err, errWrong) {
		return store.Profile{}, false, nil
	}
	return who, err == nil, err
}

var errCopied = fmt.Errorf("%w: its counter went back", errWrong)

// use notes the use of a passkey. One whose counter does not go up is refused:
// somebody has a copy, WebAuthn §6.1.1. Most have none and say 0.
func (f *factors) use(c *webauthn.Credential, count uint32) error {
	for i := range f.Passkeys {
		k := &f.Passkeys[i]
		if !bytes.Equal(k.Credential.ID, c.ID) {
			continue
		}
		if old := k.Credential.Authenticator.SignCount; (count != 0 || old != 0) && count <= old {
			return errCopied
		}
		k.Credential.Authenticator.SignCount = count
		k.Credential.Flags = c.Flags
		k.Used = time.Now().UTC().Truncate(time.Second)
		return nil
	}
	return errWrong // it was removed this moment
}

const handleSize = 4 + 16 // the account's number, and what nobody can know

// memberOf finds the account of a handle, unless it is disabled.
func (m *Manager) memberOf(handle []byte) (member, bool, error) {
	if len(handle) != handleSize {
		return member{}, false, nil
	}
	id := mail.AccountID(binary.BigEndian.Uint32(handle))
	p, err := profile(m.store, id)
	if err != nil || p.Disabled {
		return member{}, false, err
	}
	f, err := m.factors(id)
	if err != nil {
		return member{}, false, err
	}
	return member{p, f}, bytes.Equal(f.Handle, handle), nil
}

// NewPasskeyOptions begins to make a passkey: what navigator.credentials.create
// wants, and the challenge for SetChallenge.
func (m *Manager) NewPasskeyOptions(from From, s *Session) (options any, challenge string, err error) {
	if !s.Fresh(Sudo) {
		return nil, "", ErrNotFresh
	}
	wa, err := m.party(from)
	if err != nil {
		return nil, "", err
	}
	u := member{}
	if u.profile, err = profile(m.store, s.Account); err != nil {
		return nil, "", err
	}
	err = m.change(s.Account, func(f *factors) error {
		if len(f.Passkeys) >= passkeysMax {
			return errFull
		}
		if f.Handle == nil {
			f.Handle = binary.BigEndian.AppendUint32(nil, uint32(s.Account))
			f.Handle = append(f.Handle, randomBytes(handleSize-len(f.Handle))...)
		}
		u.f = f
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	var known []protocol.CredentialDescriptor
	for _, c := range u.WebAuthnCredentials() {
		known = append(known, c.Descriptor())
	}
	creation, data, err := wa.BeginRegistration(u, webauthn.WithExclusions(known))
	if err != nil {
		return nil, "", err
	}
	challenge, err = m.sealChallenge(challengeRow{Data: *data, Account: s.Account})
	return creation, challenge, err
}

var (
	errFull  = fmt.Errorf("%w: an account has at most %d passkeys; remove one that is not used", store.ErrInvalid, passkeysMax)
	errKnown = fmt.Errorf("passkey: %w", store.ErrExists)
)

// AddPasskey takes what navigator.credentials.create answered. It returns
// recovery codes to be kept on paper, unless the account has some.
// signin.ErrDenied if the answer is not right.
func (m *Manager) AddPasskey(from From, s *Session, name string, body []byte) (recovery []string, err error) {
	if !s.Fresh(Sudo) {
		return nil, ErrNotFresh
	}
	wa, err := m.party(from)
	if err != nil {
		return nil, err
	}
	c, err := m.openChallenge(from.Challenge)
	if err != nil {
		return nil, err
	}
	if c.Account != s.Account {
		return nil, ErrOver
	}
	f, err := m.factors(s.Account)
	if err != nil {
		return nil, err
	}
	credential, err := create(wa, member{f: f}, c.Data, body)
	if err != nil || !m.spendChallenge(c.Data.Challenge) {
		return nil, signin.ErrDenied
	}
	k := passkey{Passkey{keyID(credential.ID), passkeyName(name), wa.Config.RPID, time.Now().UTC().Truncate(time.Second), time.Time{}}, *credential}
	err = m.change(s.Account, func(f *factors) error {
		if len(f.Passkeys) >= passkeysMax {
			return errFull
		}
		if slices.ContainsFunc(f.Passkeys, func(o passkey) bool { return bytes.Equal(o.Credential.ID, credential.ID) }) {
			return errKnown
		}
		f.Passkeys = append(f.Passkeys, k)
		if len(f.Recovery) == 0 {
			recovery = f.renewRecovery()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return recovery, nil
}

// create checks a new credential, WebAuthn §7.1.
func create(wa *webauthn.WebAuthn, u member, data webauthn.SessionData, body []byte) (*webauthn.Credential, error) {
	if len(body) > responseMax {
		return nil, errWrong
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(body)
	if err != nil {
		return nil, err
	}
	c, err := wa.CreateCredential(u, data, parsed)
	if err != nil {
		return nil, err
	}
	if !c.Flags.UserVerified {
		return nil, errWrong
	}
	c.Attestation = webauthn.CredentialAttestation{} // whose make it is was not asked
	return c, nil
}

// keyID names a passkey for people's pages.
func keyID(credential []byte) string {
	sum := sha256.Sum256(credential)
	return hex.EncodeToString(sum[:8])
}

func passkeyName(name string) string {
	r := []rune(strings.TrimSpace(printable(name)))
	if len(r) == 0 {
		return "Passkey"
	}
	return string(r[:min(len(r), nameMax)])
}

// RenamePasskey gives a passkey another name. store.ErrNotFound.
func (m *Manager) RenamePasskey(s *Session, id, name string) error {
	return m.change(s.Account, func(f *factors) error {
		for i := range f.Passkeys {
			if f.Passkeys[i].ID == id {
				f.Passkeys[i].Name = passkeyName(name)
				return nil
			}
		}
		return fmt.Errorf("passkey: %w", store.ErrNotFound)
	})
}

// RemovePasskey removes a passkey. store.ErrNotFound.
func (m *Manager) RemovePasskey(s *Session, id string) error {
	return m.changeFresh(s, func(f *factors) error {
		n := len(f.Passkeys)
		f.Passkeys = slices.DeleteFunc(f.Passkeys, func(k passkey) bool { return k.ID == id })
		if len(f.Passkeys) == n {
			return fmt.Errorf("passkey: %w", store.ErrNotFound)
		}
		return nil
	})
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, crypto/rand
	return b
}
