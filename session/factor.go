package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

// Sudo is how long after a sign-in or Confirm the second factors may be
// changed.
const Sudo = 10 * time.Minute

// factors are an account's second factors as they are kept: sealed as a whole,
// so that a copy of the database alone gives none away.
type factors struct {
	TOTP     []byte    `json:"totp,omitempty"`
	Next     []byte    `json:"next,omitempty"`     // the TOTP secret that is shown and not confirmed yet
	Step     uint64    `json:"step,omitempty"`     // of the last code that was used
	Recovery [][]byte  `json:"recovery,omitempty"` // SHA-256 of the codes that are left
	Kit      bool      `json:"kit,omitempty"`      // they are an owner's kit
	Handle   []byte    `json:"handle,omitempty"`   // of the account, in its passkeys
	Passkeys []passkey `json:"passkeys,omitempty"`
}

// methods returns by what a sign-in may be completed, none if the password is
// enough.
func (f *factors) methods() (list []Method) {
	if len(f.Passkeys) > 0 {
		list = append(list, ByPasskey)
	}
	if f.TOTP != nil {
		list = append(list, ByTOTP)
	}
	if len(list) > 0 && len(f.Recovery) > 0 {
		list = append(list, ByRecovery)
	}
	return list
}

// tidy drops recovery codes when there is nothing to recover. A kit stays: it is
// for the password, too.
func (f *factors) tidy() {
	if f.TOTP == nil && len(f.Passkeys) == 0 && !f.Kit {
		f.Recovery = nil
	}
}

func (m *Manager) openFactors(id mail.AccountID, b []byte) (*factors, error) {
	f := new(factors)
	if b == nil {
		return f, nil
	}
	path := accountPath(factorsPath, id)
	plain, err := m.store.OpenSecret(path, b)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, f); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, store.ErrCorrupt, err)
	}
	return f, nil
}

// factors reads the second factors of an account.
func (m *Manager) factors(id mail.AccountID) (*factors, error) {
	b, err := m.store.State(accountPath(factorsPath, id))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return m.openFactors(id, b)
}

// change changes the second factors of an account in one transaction.
func (m *Manager) change(id mail.AccountID, fn func(*factors) error) error {
	path := accountPath(factorsPath, id)
	return m.store.UpdateState(path, func(old []byte) ([]byte, error) {
		f, err := m.openFactors(id, old)
		if err != nil {
			return nil, err
		}
		if err := fn(f); err != nil {
			return nil, err
		}
		f.tidy()
		b, err := json.Marshal(f)
		if err != nil {
			return nil, err
		}
		return m.store.SealSecret(path, b)
	})
}

// Factors are the second factors of an account, for people.
type Factors struct {
	TOTP     bool      `json:"totp"`
	Recovery int       `json:"recovery"` // codes left that stand in for a second factor
	Kit      int       `json:"kit"`      // codes left of an owner's kit
	Passkeys []Passkey `json:"passkeys"`
}

// Factors returns what an account signs in by besides its password.
func (m *Manager) Factors(id mail.AccountID) (Factors, error) {
	f, err := m.factors(id)
	if err != nil {
		return Factors{}, err
	}
	out := Factors{TOTP: f.TOTP != nil, Passkeys: []Passkey{}}
	if len(f.methods()) > 0 {
		out.Recovery = len(f.Recovery)
	}
	if f.Kit {
		out.Kit = len(f.Recovery)
	}
	for _, k := range f.Passkeys {
		out.Passkeys = append(out.Passkeys, k.Passkey)
	}
	return out, nil
}

// ClearFactors removes all second factors of an account, for an owner who
// helps somebody that lost them. It works when they cannot be read any more.
func (m *Manager) ClearFactors(id mail.AccountID) error {
	return m.store.PutState(accountPath(factorsPath, id), nil)
}

var errWrong = errors.New("wrong code") // never leaves the package

// spend checks a code and uses it up.
func (m *Manager) spend(id mail.AccountID, code string) (bool, error) {
	code = plainCode(code)
	err := m.change(id, func(f *factors) error {
		if methodOf(code) == ByTOTP {
			return f.spendTOTP(code)
		}
		return f.spendRecovery(code)
	})
	if errors.Is(err, errWrong) {
		return false, nil
	}
	return err == nil, err
}

func (f *factors) spendTOTP(code string) error {
	if f.TOTP == nil {
		return errWrong
	}
	step, ok := totpMatch(f.TOTP, code, time.Now(), f.Step)
	if !ok {
		return errWrong
	}
	f.Step = step
	return nil
}

func (f *factors) spendRecovery(code string) error {
	sum := sha256.Sum256([]byte(code))
	i := slices.IndexFunc(f.Recovery, func(h []byte) bool { return subtle.ConstantTimeCompare(h, sum[:]) == 1 })
	if i < 0 {
		return errWrong
	}
	f.Recovery = slices.Delete(f.Recovery, i, i+1)
	return nil
}

// methodOf tells by its form what a code is.
func methodOf(code string) Method {
	code = plainCode(code)
	if len(code) == totpDigits && strings.Trim(code, "0123456789") == "" {
		return ByTOTP
	}
	return ByRecovery
}

// plainCode takes a code as people type it: with spaces and dashes, in small
// letters, in the full-width digits of a Japanese keyboard.
func plainCode(code string) string {
	const most = 128 // bytes, six times the longest code
	code = norm.NFKC.String(code[:min(len(code), most)])
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '\t' || r == '\r' || r == '\n' || r == '‐' || r == '−':
			return -1
		case r == 'o' || r == 'O':
			return '0'
		case r == 'i' || r == 'I' || r == 'l' || r == 'L':
			return '1'
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, code)
}

const (
	recoveryCodes  = 10
	recoveryLength = 12                                 // letters of 5 bits: guessed never, even by who has their hashes
	recoveryABC    = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base32
)

// renewRecovery makes new recovery codes; those before are void.
func (f *factors) renewRecovery() (codes []string) {
	f.Recovery = nil
	for range recoveryCodes {
		b := make([]byte, recoveryLength)
		rand.Read(b)
		for i := range b {
			b[i] = recoveryABC[b[i]&31]
		}
		sum := sha256.Sum256(b)
		f.Recovery = append(f.Recovery, sum[:])
		codes = append(codes, string(b[:4])+"-"+string(b[4:8])+"-"+string(b[8:]))
	}
	return codes
}

// An Enrolment is what the person's program for codes is to be given.
type Enrolment struct {
	Secret string // to type
	URI    string // for a QR code
}

// BeginTOTP makes a secret for codes, which counts once FinishTOTP has seen one.
// s has to be fresh, as for all that changes factors.
func (m *Manager) BeginTOTP(s *Session) (Enrolment, error) {
	if !s.Fresh(Sudo) {
		return Enrolment{}, ErrNotFresh
	}
	secret := make([]byte, totpSecret)
	rand.Read(secret)
	err := m.change(s.Account, func(f *factors) error {
		f.Next = secret
		return nil
	})
	if err != nil {
		return Enrolment{}, err
	}
	return Enrolment{totpText(secret), totpURI(m.o.Issuer, string(s.Address), secret)}, nil
}

// FinishTOTP takes the first code and turns codes on. It returns recovery codes
// to be kept on paper, unless the account has some. signin.ErrDenied if the code
// is wrong, ErrClock if our clock may be, ErrOver without BeginTOTP.
func (m *Manager) FinishTOTP(ctx context.Context, from From, s *Session, code string) (recovery []string, err error) {
	if !s.Fresh(Sudo) {
		return nil, ErrNotFresh
	}
	err = m.signin.Second(ctx, from.attempt(), s.Account, func() (bool, error) {
		err := m.change(s.Account, func(f *factors) error {
			if f.Next == nil {
				return ErrOver
			}
			step, ok := totpMatch(f.Next, plainCode(code), time.Now(), 0)
			if !ok {
				return errWrong
			}
			f.TOTP, f.Next, f.Step = f.Next, nil, step
			if len(f.Recovery) == 0 {
				recovery = f.renewRecovery()
			}
			return nil
		})
		if errors.Is(err, errWrong) {
			return false, nil
		}
		return err == nil, err
	})
	if errors.Is(err, signin.ErrDenied) && !m.o.Trusted() {
		err = ErrClock
	}
	if err != nil {
		return nil, err
	}
	return recovery, nil
}

// RemoveTOTP turns codes off.
func (m *Manager) RemoveTOTP(s *Session) error {
	return m.changeFresh(s, func(f *factors) error {
		f.TOTP, f.Next, f.Step = nil, nil, 0
		return nil
	})
}

// NewRecovery makes new recovery codes instead of those before; a kit's are a kit
// again. store.ErrInvalid if there is no second factor that they could stand in
// for.
func (m *Manager) NewRecovery(s *Session) (codes []string, err error) {
	err = m.changeFresh(s, func(f *factors) error {
		if len(f.methods()) == 0 {
			return fmt.Errorf("%w: there is no second factor", store.ErrInvalid)
		}
		codes = f.renewRecovery()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

func (m *Manager) changeFresh(s *Session, fn func(*factors) error) error {
	if !s.Fresh(Sudo) {
		return ErrNotFresh
	}
	return m.change(s.Account, fn)
}
