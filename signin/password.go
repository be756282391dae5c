package signin

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// A person's own password opens the web and never a mail port. argon2id with
// OWASP's least parameters: some 50 to 250 ms on what we run on.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32

	hashing = 2  // at once: 64 at once were 1.18 GB
	queued  = 16 // waiting; the next is told ErrBusy
)

// HashPassword makes the PHC string that is kept of a person's own password.
// Where strangers can ask for it use Checker.HashPassword, which is gated.
func HashPassword(password string) (string, error) {
	salt := randomBytes(argonSalt)
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(key)), nil
}

// HashPassword is the function of that name, no more than two at once.
func (c *Checker) HashPassword(ctx context.Context, password string) (string, error) {
	if err := c.gate.enter(ctx); err != nil {
		return "", err
	}
	defer c.gate.leave()
	return HashPassword(password)
}

// CheckPassword compares a person's own password with its PHC string: nil,
// ErrDenied or ErrBusy. An empty string, for a name that does not exist, takes
// as long as any other and is denied.
func (c *Checker) CheckPassword(ctx context.Context, phc, password string) error {
	if err := c.gate.enter(ctx); err != nil {
		return err
	}
	defer c.gate.leave()
	return CheckPassword(phc, password)
}

// CheckPassword is the method of that name without its gate.
func CheckPassword(phc, password string) error {
	h, err := parsePHC(phc)
	if phc == "" {
		h, err = argonHash{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}, nil
	}
	if err != nil {
		return err
	}
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	if subtle.ConstantTimeCompare(key, h.key) != 1 || phc == "" {
		return ErrDenied
	}
	return nil
}

type argonHash struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

var errPHC = errors.New("not an argon2id password hash")

// parsePHC takes "$argon2id$v=19$m=19456,t=2,p=1$salt$key", RFC 9106 §3.1 and
// the PHC string format, within bounds that cannot exhaust memory.
func parsePHC(s string) (h argonHash, err error) {
	var version int
	var rest string
	if _, err := fmt.Sscanf(s, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &h.memory, &h.time, &h.threads, &rest); err != nil {
		return h, errPHC
	}
	salt, key, ok := cut(rest)
	if !ok || version != argon2.Version || h.memory > 256*1024 || h.memory == 0 || h.time == 0 || h.time > 16 || h.threads == 0 {
		return h, errPHC
	}
	h.salt, h.key = salt, key
	return h, nil
}

func cut(s string) (salt, key []byte, ok bool) {
	for i := range len(s) {
		if s[i] != '$' {
			continue
		}
		salt, err1 := base64.RawStdEncoding.DecodeString(s[:i])
		key, err2 := base64.RawStdEncoding.DecodeString(s[i+1:])
		return salt, key, err1 == nil && err2 == nil && len(salt) >= 8 && len(key) >= 16 && len(key) <= 128
	}
	return nil, nil, false
}

// A gate lets a few in at once, lets a few more wait and turns others away.
type gate struct {
	inside chan struct{}
	all    chan struct{} // inside and waiting
}

func newGate() *gate {
	return &gate{inside: make(chan struct{}, hashing), all: make(chan struct{}, hashing+queued)}
}

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.all <- struct{}{}:
	default:
		return ErrBusy
	}
	select {
	case g.inside <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-g.all
		return ctx.Err()
	}
}

func (g *gate) leave() {
	<-g.inside
	<-g.all
}
