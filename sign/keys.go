package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The algorithms of keys, as k= of a key record has them.
const (
	RSA     = "rsa"
	Ed25519 = "ed25519" // RFC 8463; of the large receivers few know it, so never alone
)

const rsaBits = 2048 // RFC 8301 §3.2; one of 4096 does not fit into every DNS answer

// A State is what a key is used for. All are published.
type State string

// The states, in the order in which a key has them.
const (
	Next    State = "next"    // waits until the DNS knows it everywhere
	Active  State = "active"  // signs
	Retired State = "retired" // verifies what is still on its way
)

// A Key is a key pair of a domain.
type Key struct {
	Domain    string    `json:"domain"` // A-labels, lower case
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm"` // RSA or Ed25519
	Private   []byte    `json:"private"`   // PKCS #8, DER
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	Activated time.Time `json:"activated,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
}

// String keeps the private half out of logs.
func (k Key) String() string {
	return fmt.Sprintf("%s._domainkey.%s (%s, %s)", k.Selector, k.Domain, k.Algorithm, k.State)
}

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Generate makes an active key.
func Generate(domain, selector, algorithm string) (Key, error) {
	var private any
	var err error
	switch algorithm {
	case RSA:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("%q is no algorithm for DKIM keys", algorithm)
	}
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, err
	}
	return Key{Domain: normal(domain), Selector: selector, Algorithm: algorithm, Private: der, State: Active}, nil
}

// Record returns the name and the value of the TXT record that publishes a
// key, RFC 6376 §3.6.1: its public half and nothing else. The value of an RSA
// key is longer than one string of a TXT record may be (255 octets): whoever
// writes the zone splits it.
func Record(k Key) (name, value string, err error) {
	key, err := k.Signer()
	if err != nil {
		return "", "", err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	p := []byte(public) // RFC 8463 §4: the bare octets
	if !ok {
		if p, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return "", "", err
		}
	}
	name = k.Selector + "._domainkey." + k.Domain
	return name, "v=DKIM1; k=" + k.Algorithm + "; p=" + base64.StdEncoding.EncodeToString(p), nil
}

const (
	// Settle is how long new keys are published before they sign: longer than
	// resolvers keep an answer that there is none (RFC 2308 §5).
	Settle = 2 * 24 * time.Hour
	// keepRetired is how long old keys stay published: longer than a
	// signature is valid.
	keepRetired = validity + 24*time.Hour
)

// What a Set can say.
var (
	ErrRotating = errors.New("new keys are there already and wait to be used")
	ErrNoNext   = errors.New("there are no new keys to use")
)

// A Set is the keys of a domain, oldest first: one value of the store. Its
// methods return another Set and leave it as it is.
type Set struct {
	Domain string `json:"domain"`
	Keys   []Key  `json:"keys"`
}

// NewSet makes the first pair of keys of a domain. They sign at once: nobody
// has asked for them yet.
func NewSet(domain string, now time.Time) (Set, error) {
	return Set{Domain: normal(domain)}.add(Active, now)
}

// Rotate adds a pair of new keys, to be published and not yet used.
func (s Set) Rotate(now time.Time) (Set, error) {
	if len(s.in(Next)) > 0 {
		return s, ErrRotating
	}
	return s.add(Next, now)
}

// Settled reports whether new keys have been published for long enough. What a
// clock says that is not trusted is no reason to wait for ever: then ask the
// DNS for them, and use Activate when it answers.
func (s Set) Settled(now time.Time) bool {
	next := s.in(Next)
	return len(next) > 0 && now.Sub(next[0].Created) >= Settle
}

// Activate signs with the new keys from now on and retires the old.
func (s Set) Activate(now time.Time) (Set, error) {
	if len(s.in(Next)) == 0 {
		return s, ErrNoNext
	}
	return s.each(func(k *Key) bool {
		switch k.State {
		case Active:
			k.State, k.Retired = Retired, now.UTC()
		case Next:
			k.State, k.Activated = Active, now.UTC()
		}
		return true
	}), nil
}

// Prune leaves out the keys that no valid signature needs any more; their
// records may go. It asks for a clock that is trusted.
func (s Set) Prune(now time.Time) Set {
	return s.each(func(k *Key) bool { return k.State != Retired || now.Sub(k.Retired) < keepRetired })
}

// Encode returns a Set as it is stored, private halves included.
func (s Set) Encode() ([]byte, error) { return json.Marshal(s) }

// DecodeSet reads what Encode has written.
func DecodeSet(b []byte) (Set, error) {
	var s Set
	if err := json.Unmarshal(b, &s); err != nil {
		return Set{}, fmt.Errorf("DKIM keys: %w", err)
	}
	for _, k := range s.Keys {
		if _, err := k.Signer(); err != nil {
			return Set{}, err
		}
	}
	return s, nil
}

func (s Set) in(state State) []Key {
	return s.each(func(k *Key) bool { return k.State == state }).Keys
}

// each returns the keys that change keeps, each as change left it.
func (s Set) each(change func(*Key) bool) Set {
	keys := make([]Key, 0, len(s.Keys))
	for _, k := range s.Keys {
		if change(&k) {
			keys = append(keys, k)
		}
	}
	s.Keys = keys
	return s
}

// add makes a pair of keys under a name that the set has not had: hm2026a-rsa
// and hm2026a-ed.
func (s Set) add(state State, now time.Time) (Set, error) {
	base := s.base(now)
	s = s.each(func(*Key) bool { return true })
	for _, a := range []struct{ algorithm, suffix string }{{RSA, "-rsa"}, {Ed25519, "-ed"}} {
		k, err := Generate(s.Domain, base+a.suffix, a.algorithm)
		if err != nil {
			return Set{}, err
		}
		k.State, k.Created = state, now.UTC()
		if state == Active {
			k.Activated = k.Created
		}
		s.Keys = append(s.Keys, k)
	}
	return s, nil
}

// base names a pair by its year and a letter after the newest of that year,
// which is always in the set. A resolver may still know an older pair by its
// name.
func (s Set) base(now time.Time) string {
	year := fmt.Sprintf("hm%04d", now.UTC().Year())
	last := ""
	for _, k := range s.Keys {
		letters, found := strings.CutPrefix(k.Selector, year)
		letters, _, _ = strings.Cut(letters, "-")
		if found && (len(letters) > len(last) || len(letters) == len(last) && letters > last) {
			last = letters
		}
	}
	return year + following(last)
}

// following counts a, b, ..., z, za, zb, ...
func following(letters string) string {
	if n := len(letters) - 1; n >= 0 && letters[n] != 'z' {
		return letters[:n] + string(letters[n]+1)
	}
	return letters + "a"
}
