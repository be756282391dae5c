package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"homemail/signin"
	"homemail/store"
)

// An authenticator is a phone that keeps passkeys, WebAuthn §6, and the browser
// in front of it.
type authenticator struct {
	t      testing.TB
	origin string
	rp     string
	id     []byte
	handle []byte
	key    *ecdsa.PrivateKey
	count  uint32
	flags  byte // of what it says
}

const verified = 0x01 | 0x04 // user present, user verified

var b64 = base64.RawURLEncoding.EncodeToString

func newAuthenticator(t testing.TB) *authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &authenticator{t: t, origin: "https://mail.example.test", rp: "mail.example.test", id: randomBytes(16), key: key, flags: verified}
}

func (a *authenticator) data(attested []byte) []byte {
	sum := sha256.Sum256([]byte(a.rp))
	flags := a.flags
	if attested != nil {
		flags |= 0x40
	}
	b := append(sum[:], flags)
	b = binary.BigEndian.AppendUint32(b, a.count)
	return append(b, attested...)
}

func (a *authenticator) client(kind string, challenge []byte) []byte {
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": b64(challenge), "origin": a.origin, "crossOrigin": false})
	must(a.t, err)
	return b
}

// create answers navigator.credentials.create.
func (a *authenticator) create(options any) []byte {
	o := options.(*protocol.CredentialCreation).Response
	a.handle = o.User.ID.(protocol.URLEncodedBase64)
	point, err := a.key.PublicKey.Bytes()
	must(a.t, err)
	public, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	must(a.t, err)
	attested := append(make([]byte, 16), byte(len(a.id)>>8), byte(len(a.id)))
	attested = append(append(attested, a.id...), public...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": a.data(attested)})
	must(a.t, err)
	return a.answer(map[string]any{"clientDataJSON": b64(a.client("webauthn.create", o.Challenge)), "attestationObject": b64(object)})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(options any) []byte {
	a.count++
	client := a.client("webauthn.get", options.(*protocol.CredentialAssertion).Response.Challenge)
	data := a.data(nil)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, sum[:])
	must(a.t, err)
	return a.answer(map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(sig), "userHandle": b64(a.handle)})
}

func (a *authenticator) answer(response map[string]any) []byte {
	b, err := json.Marshal(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	must(a.t, err)
	return b
}

// newPasskey gives anna a passkey.
func (h *house) newPasskey(a *authenticator) (recovery []string) {
	h.t.Helper()
	res, err := h.Open(home, h.anna, false)
	must(h.t, err)
	options, challenge, err := h.NewPasskeyOptions(home, res.Session)
	must(h.t, err)
	from := home
	from.Challenge = challenge
	recovery, err = h.AddPasskey(from, res.Session, "  Anna's phone ", a.create(options))
	must(h.t, err)
	return recovery
}

func (h *house) byPasskey(a *authenticator, from From) (Result, error) {
	h.t.Helper()
	options, challenge, err := h.PasskeyOptions(from)
	must(h.t, err)
	from.Challenge = challenge
	return h.PasskeySignIn(h.t.Context(), from, a.get(options), true)
}

func TestPasskey(t *testing.T) {
	h := newHouse(t)
	a := newAuthenticator(t)
	if codes := h.newPasskey(a); len(codes) != recoveryCodes {
		t.Errorf("%q", codes)
	}
	res, err := h.byPasskey(a, home)
	must(t, err)
	if !h.is(res.Token) || res.Session.Account != h.anna || res.Session.Method != ByPasskey || !res.Session.Remember {
		t.Errorf("%+v", res.Session)
	}
	f, err := h.Factors(h.anna)
	must(t, err)
	if len(f.Passkeys) != 1 || f.Passkeys[0].Name != "Anna's phone" || f.Passkeys[0].Used.IsZero() || f.Passkeys[0].Host != "mail.example.test" {
		t.Fatalf("%+v", f)
	}
	// The password alone does no longer; the passkey completes it.
	from := h.half(home)
	if got := h.Pending(from.Token); len(got) != 2 || got[0] != ByPasskey || got[1] != ByRecovery {
		t.Errorf("%v", got)
	}
	res, err = h.byPasskey(a, from)
	must(t, err)
	if h.Pending(from.Token) != nil {
		t.Error("the sign-in still waits")
	}
	must(t, h.RenamePasskey(res.Session, f.Passkeys[0].ID, strings.Repeat("長", 100)))
	if err := h.RenamePasskey(res.Session, "x", "y"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, h.RemovePasskey(res.Session, f.Passkeys[0].ID))
	if _, err := h.byPasskey(a, home); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a passkey that was removed: %v", err)
	}
	h.signedIn(home, false)
}

func TestPasskeyAfterRestart(t *testing.T) {
	h := newHouse(t)
	a := newAuthenticator(t)
	h.newPasskey(a)
	options, challenge, err := h.PasskeyOptions(home)
	must(t, err)
	h.restart(true)
	from := home
	from.Challenge = challenge
	if _, err := h.PasskeySignIn(t.Context(), from, a.get(options), false); !errors.Is(err, ErrOver) {
		t.Errorf("a challenge from before: %v", err)
	}
	_, err = h.byPasskey(a, home)
	must(t, err)
}

func TestAttackPasskeys(t *testing.T) {
	type attack struct {
		name string
		do   func(h *house, a *authenticator) error
	}
	err := func(_ Result, err error) error { return err }
	for _, x := range []attack{
		{"a copy, whose counter went back", func(h *house, a *authenticator) error {
			copied := *a
			if _, err := h.byPasskey(a, home); err != nil {
				return nil
			}
			return err(h.byPasskey(&copied, at("192.168.1.31")))
		}},
		{"without user verification", func(h *house, a *authenticator) error {
			a.flags = 0x01
			return err(h.byPasskey(a, home))
		}},
		{"without a user", func(h *house, a *authenticator) error {
			a.flags = 0x04
			return err(h.byPasskey(a, home))
		}},
		{"another origin", func(h *house, a *authenticator) error {
			a.origin = "https://mail.example.test.evil.example"
			return err(h.byPasskey(a, home))
		}},
		{"another host", func(h *house, a *authenticator) error {
			a.rp = "evil.example"
			return err(h.byPasskey(a, home))
		}},
		{"another key", func(h *house, a *authenticator) error {
			a.key = newAuthenticator(h.t).key
			return err(h.byPasskey(a, home))
		}},
		{"somebody else's handle", func(h *house, a *authenticator) error {
			a.handle = append([]byte{0, 0, 0, 2}, a.handle[4:]...)
			return err(h.byPasskey(a, home))
		}},
		{"no handle", func(h *house, a *authenticator) error {
			a.handle = nil
			return err(h.byPasskey(a, home))
		}},
		{"an account that is disabled", func(h *house, a *authenticator) error {
			must(h.t, updateProfile(h, func(p *store.Profile) { p.Disabled = true }))
			return err(h.byPasskey(a, home))
		}},
		{"an answer twice", func(h *house, a *authenticator) error {
			a.count = 0xffffffff // one that counts nothing: always 0
			options, challenge, e := h.PasskeyOptions(home)
			must(h.t, e)
			from := home
			from.Challenge = challenge
			body := a.get(options)
			if _, err := h.PasskeySignIn(h.t.Context(), from, body, false); err != nil {
				h.t.Errorf("the first time: %v", err)
			}
			return err(h.PasskeySignIn(h.t.Context(), from, body, false))
		}},
		{"a challenge of somebody else's making", func(h *house, a *authenticator) error {
			options, _, e := h.PasskeyOptions(home)
			must(h.t, e)
			from := home
			from.Challenge = strings.Repeat("A", 300)
			return err(h.PasskeySignIn(h.t.Context(), from, a.get(options), false))
		}},
		{"a challenge of another time", func(h *house, a *authenticator) error {
			options, challenge, e := h.PasskeyOptions(home)
			must(h.t, e)
			from := home
			from.Challenge = challenge
			h.later(challengeFor + 1)
			return err(h.PasskeySignIn(h.t.Context(), from, a.get(options), false))
		}},
		{"a challenge for a new passkey", func(h *house, a *authenticator) error {
			res, e := h.Open(home, h.anna, false)
			must(h.t, e)
			options, challenge, e := h.NewPasskeyOptions(home, res.Session)
			must(h.t, e)
			assertion := &protocol.CredentialAssertion{}
			assertion.Response.Challenge = options.(*protocol.CredentialCreation).Response.Challenge
			from := home
			from.Challenge = challenge
			return err(h.PasskeySignIn(h.t.Context(), from, a.get(assertion), false))
		}},
		{"without a certificate", func(h *house, a *authenticator) error {
			options, challenge, e := h.PasskeyOptions(home)
			must(h.t, e)
			h.rp = false
			from := home
			from.Challenge = challenge
			return err(h.PasskeySignIn(h.t.Context(), from, a.get(options), false))
		}},
		{"in the clear", func(h *house, a *authenticator) error {
			options, challenge, e := h.PasskeyOptions(home)
			must(h.t, e)
			from := home
			from.Challenge, from.Encrypted = challenge, false
			return err(h.PasskeySignIn(h.t.Context(), from, a.get(options), false))
		}},
		{"too long an answer", func(h *house, a *authenticator) error {
			options, challenge, e := h.PasskeyOptions(home)
			must(h.t, e)
			from := home
			from.Challenge = challenge
			return err(h.PasskeySignIn(h.t.Context(), from, append(a.get(options), strings.Repeat(" ", responseMax)...), false))
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := newHouse(t)
			a := newAuthenticator(t)
			h.newPasskey(a)
			if err := x.do(h, a); !errors.Is(err, signin.ErrDenied) && !errors.Is(err, ErrOver) && !errors.Is(err, ErrNoPasskey) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNewPasskeyRefused(t *testing.T) {
	h := newHouse(t)
	res := h.signedIn(home, true)
	ben := h.person("ben@example.test", "words that ben knows well")
	bens, err := h.Open(home, ben, false)
	must(t, err)
	options, challenge, err := h.NewPasskeyOptions(home, res.Session)
	must(t, err)
	from := home
	from.Challenge = challenge
	body := newAuthenticator(t).create(options)
	if _, err := h.AddPasskey(from, bens.Session, "Ben", body); !errors.Is(err, ErrOver) {
		t.Errorf("a challenge of somebody else: %v", err)
	}
	weak := newAuthenticator(t)
	weak.flags = 0x01
	if _, err := h.AddPasskey(from, res.Session, "Weak", weak.create(options)); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("without user verification: %v", err)
	}
	_, err = h.AddPasskey(from, res.Session, "", body)
	must(t, err)
	if _, err := h.AddPasskey(from, res.Session, "", body); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("the same answer twice: %v", err)
	}
	h.later(Sudo + 1)
	s, err := h.Lookup(res.Token, true)
	must(t, err)
	if _, _, err := h.NewPasskeyOptions(home, s); !errors.Is(err, ErrNotFresh) {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"x"} {
		if err := h.RemovePasskey(s, id); !errors.Is(err, ErrNotFresh) {
			t.Errorf("%v", err)
		}
	}
}
