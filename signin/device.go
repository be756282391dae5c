package signin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xdg-go/scram"

	"homemail/store"
)

// crockford is Douglas Crockford's base32 alphabet: no i, l, o or u, so that a
// password can be read aloud and copied by hand.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	passwordChars   = 26 // of 5 bits each: 130 bits
	groupChars      = 5  // the last group has one more
	scramSaltBytes  = 16
	scramIterations = 4096 // RFC 7677 §4: at least; more is no use for a random password
)

// NewDevicePassword makes a password for one device, of 130 random bits, in
// the form "xxxxx-xxxxx-xxxxx-xxxxx-xxxxxx".
func NewDevicePassword() (string, error) {
	b := make([]byte, passwordChars)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = crockford[b[i]&31]
	}
	return group(string(b)), nil
}

// group puts a dash after every fifth character but the last fifth one.
func group(s string) string {
	var out strings.Builder
	for i, r := range s {
		if i > 0 && i%groupChars == 0 && i < passwordChars-1 {
			out.WriteByte('-')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// asPrinted gives a password the form in which NewDevicePassword printed it,
// whatever the person made of case, dashes, spaces and look-alikes. What
// cannot be one of ours is left alone.
func asPrinted(s string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(s) {
		switch r {
		case '-', ' ', '\t', '\u00a0':
			continue
		case 'o':
			r = '0'
		case 'i', 'l':
			r = '1'
		}
		if r > 0x7f || !strings.ContainsRune(crockford, r) {
			return s
		}
		out.WriteRune(r)
	}
	if out.Len() != passwordChars {
		return s
	}
	return group(out.String())
}

// NewDevice makes a device of p with the given password. Call it inside
// Account.Update and append what it returns to the profile's Devices: all
// devices of an account share one SCRAM salt, as RFC 5802 §5.1 has the server
// name the salt before it can know the device. The SCRAM verifier is that of
// the password exactly as it is given, dashes and all: a program that signs in
// by SCRAM has to be told it so.
func NewDevice(p store.Profile, name, password string) (store.Device, error) {
	salt, iter := randomBytes(scramSaltBytes), scramIterations
	if len(p.Devices) > 0 {
		salt, iter = p.Devices[0].Salt, p.Devices[0].Iter
	}
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return store.Device{}, fmt.Errorf("password for %q: %w", name, err)
	}
	keys, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iter})
	if err != nil {
		return store.Device{}, fmt.Errorf("password for %q: %w", name, err)
	}
	hash := sha256.Sum256([]byte(password))
	return store.Device{
		ID: newDeviceID(p), Name: name, Created: time.Now(),
		Hash: hash[:], Salt: slices.Clone(salt), Iter: iter,
		StoredKey: keys.StoredKey, ServerKey: keys.ServerKey,
	}, nil
}

// newDeviceID returns four characters that no device of p has.
func newDeviceID(p store.Profile) string {
	for {
		b := randomBytes(4)
		for i := range b {
			b[i] = crockford[b[i]&31]
		}
		id := string(b)
		if !slices.ContainsFunc(p.Devices, func(d store.Device) bool { return d.ID == id }) {
			return id
		}
	}
}

// match finds the device whose password this is. A password of 130 random bits
// needs no slow hash. It looks at every device whichever fits, so that time
// tells nothing.
func match(devices []store.Device, password string) (found store.Device, ok bool) {
	typed := sha256.Sum256([]byte(password))
	printed := sha256.Sum256([]byte(asPrinted(password)))
	for _, d := range devices {
		if subtle.ConstantTimeCompare(d.Hash, typed[:])|subtle.ConstantTimeCompare(d.Hash, printed[:]) == 1 {
			found, ok = d, true
		}
	}
	return found, ok
}
