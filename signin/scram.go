package signin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"homemail/store"
)

// We run SCRAM ourselves because an account has several devices, each with a
// verifier of its own, and scram.Server can try only one.

// A scramPerson is what the server has to know after client-first.
type scramPerson struct {
	salt    []byte
	iter    int
	devices []store.Device // whose salt and iter these are
}

// scramServer is the server's side of one SCRAM-SHA-256 exchange, RFC 5802 §5.
// It does no I/O.
type scramServer struct {
	plus   bool                                          // SCRAM-SHA-256-PLUS was chosen
	offers bool                                          // PLUS was advertised
	bind   func(kind string) ([]byte, error)             // channel binding data
	lookup func(name, authz string) (scramPerson, error) // never fails for an unknown name

	nonce       string // the server's half, then both
	gs2         string // gs2-header as it was sent
	binding     []byte
	clientFirst string // client-first-message-bare
	serverFirst string
	who         scramPerson
}

var (
	errScramSyntax    = errors.New("scram: malformed message")
	errScramBinding   = errors.New("scram: channel binding refused")
	errScramDowngrade = errors.New("scram: client did not see that we offer channel binding")
	errScramProof     = errors.New("scram: wrong proof")
)

// longestScram bounds a message of a client: a name, a nonce, 48 bytes of
// binding and a proof need some 700 bytes.
const longestScram = 4096

// first takes client-first-message and returns server-first-message.
func (s *scramServer) first(msg string) (string, error) {
	m, err := parseClientFirst(msg)
	if err != nil {
		return "", err
	}
	if err := s.agree(m.flag, m.binding); err != nil {
		return "", err
	}
	if s.who, err = s.lookup(m.name, m.authz); err != nil {
		return "", err
	}
	s.gs2, s.clientFirst, s.nonce = m.gs2, m.bare, m.nonce+s.nonce
	s.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.who.salt), s.who.iter)
	return s.serverFirst, nil
}

// agree settles channel binding by the gs2-cbind-flag, RFC 5802 §6.
func (s *scramServer) agree(flag byte, kind string) (err error) {
	switch {
	case flag == 'p' && s.plus:
		s.binding, err = s.bind(kind)
		return err
	case flag == 'p' || s.plus: // the flag and the mechanism contradict each other
		return errScramBinding
	case flag == 'y' && s.offers: // somebody took PLUS out of our list on its way
		return errScramDowngrade
	}
	return nil
}

// final takes client-final-message and returns server-final-message and the
// device whose password made the proof.
func (s *scramServer) final(msg string) (string, store.Device, error) {
	m, err := parseClientFinal(msg)
	if err != nil {
		return "", store.Device{}, err
	}
	if !hmac.Equal(m.binding, append([]byte(s.gs2), s.binding...)) {
		return "", store.Device{}, errScramBinding
	}
	if m.nonce != s.nonce {
		return "", store.Device{}, errScramSyntax
	}
	auth := s.clientFirst + "," + s.serverFirst + "," + m.withoutProof
	var found *store.Device
	for i, d := range s.who.devices { // all of them, whichever fits: time tells nothing
		key := make([]byte, sha256.Size)
		subtle.XORBytes(key, m.proof, mac(d.StoredKey, auth))
		stored := sha256.Sum256(key)
		if subtle.ConstantTimeCompare(stored[:], d.StoredKey) == 1 {
			found = &s.who.devices[i]
		}
	}
	if found == nil {
		return "", store.Device{}, errScramProof
	}
	return "v=" + base64.StdEncoding.EncodeToString(mac(found.ServerKey, auth)), *found, nil
}

func mac(key []byte, msg string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(msg))
	return h.Sum(nil)
}

// A clientFirst is client-first-message taken apart, RFC 5802 §7.
type clientFirst struct {
	flag               byte // n, y or p
	binding            string
	authz, name, nonce string
	gs2, bare          string
}

func parseClientFirst(msg string) (m clientFirst, err error) {
	if len(msg) > longestScram || !utf8.ValidString(msg) || strings.ContainsRune(msg, 0) {
		return m, errScramSyntax
	}
	parts := strings.SplitN(msg, ",", 3)
	if len(parts) < 3 {
		return m, errScramSyntax
	}
	flag, authz, bare := parts[0], parts[1], parts[2]
	switch {
	case flag == "n" || flag == "y":
		m.flag = flag[0]
	case len(flag) > 2 && strings.HasPrefix(flag, "p="):
		m.flag, m.binding = 'p', flag[2:]
	default:
		return m, errScramSyntax
	}
	if authz != "" {
		if m.authz, err = saslname(authz, "a="); err != nil {
			return m, err
		}
	}
	// An "m=" here would be a mandatory extension, and we know none, §5.1.
	attrs := strings.Split(bare, ",")
	if len(attrs) < 2 {
		return m, errScramSyntax
	}
	if m.name, err = saslname(attrs[0], "n="); err != nil {
		return m, err
	}
	if m.nonce, err = nonce(attrs[1]); err != nil {
		return m, err
	}
	m.gs2, m.bare = msg[:len(msg)-len(bare)], bare
	return m, nil
}

// saslname undoes "=2C" and "=3D"; any other "=" is an error, §5.1.
func saslname(attr, prefix string) (string, error) {
	s, ok := strings.CutPrefix(attr, prefix)
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(s)
	if !ok || s == "" || strings.Contains(plain, "=") {
		return "", errScramSyntax
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), nil
}

// nonce takes "r=" and printable ASCII without a comma.
func nonce(attr string) (string, error) {
	s, ok := strings.CutPrefix(attr, "r=")
	odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
	if !ok || s == "" || odd {
		return "", errScramSyntax
	}
	return s, nil
}

// A clientFinal is client-final-message taken apart, RFC 5802 §7.
type clientFinal struct {
	binding      []byte // gs2-header and channel binding data
	nonce        string
	proof        []byte
	withoutProof string
}

func parseClientFinal(msg string) (m clientFinal, err error) {
	i := strings.LastIndex(msg, ",p=")
	if i < 0 || len(msg) > longestScram {
		return m, errScramSyntax
	}
	m.withoutProof = msg[:i]
	if m.proof, err = base64.StdEncoding.Strict().DecodeString(msg[i+3:]); err != nil || len(m.proof) != sha256.Size {
		return m, errScramSyntax
	}
	attrs := strings.Split(m.withoutProof, ",")
	if len(attrs) < 2 || !strings.HasPrefix(attrs[0], "c=") {
		return m, errScramSyntax
	}
	if m.binding, err = base64.StdEncoding.Strict().DecodeString(attrs[0][2:]); err != nil {
		return m, errScramSyntax
	}
	m.nonce, err = nonce(attrs[1])
	return m, err
}

// sharesSalt keeps the devices that one salt serves: all of them, unless a
// profile was put together by hand.
func sharesSalt(devices []store.Device) []store.Device {
	var same []store.Device
	for _, d := range devices {
		if d.Iter == devices[0].Iter && bytes.Equal(d.Salt, devices[0].Salt) {
			same = append(same, d)
		}
	}
	return same
}
