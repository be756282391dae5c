package firstboot

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// crockford is the alphabet of the code: base32 of Douglas Crockford, without I,
// L, O and U. Eight of its characters are 40 bits.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const codeLength = 8

// Limits of tries. At 5 a minute nobody guesses 40 bits; 50 in all end it even
// for somebody who has years, or a weak code that was set beforehand. Each address
// is slowed down by its own tries alone, and has only half of all: a neighbour's
// toaster can neither hold the owner up nor use up what the owner needs.
const (
	triesMinute  = 5  // of one address
	triesAddress = 25 // of one address
	triesAll     = 50 // of everybody
)

// Errors of Take.
var (
	ErrCode    = errors.New("this is not the code")
	ErrTries   = errors.New("too many wrong codes were tried; start the box again for a new one")
	ErrSlow    = errors.New("too many codes were tried within a minute; wait one")
	ErrFar     = errors.New("a house is claimed from its own network only")
	ErrClaimed = errors.New("this house was claimed already")
)

// A Code proves that somebody stands before the box: it is shown there and
// nowhere else. There is one for each start of the program, whatever settings
// are changed meanwhile.
type Code struct {
	code, boot string

	mu      sync.Mutex
	all     int
	from    map[netip.Addr]*tries // of addresses that were wrong, thus at most triesAll
	changed chan struct{}
	power   power
}

// tries are wrong codes.
type tries struct {
	all    int
	recent []time.Time // within a minute
}

// NewCode makes the code of this start: a new one, or the one that an owner has
// set beforehand for a box without a screen.
func NewCode(preset string) (*Code, error) {
	c := &Code{code: fold(preset), boot: rand.Text(), from: map[netip.Addr]*tries{}, changed: make(chan struct{})}
	c.power.awake, c.power.begun = make(chan struct{}, 1), map[netip.Addr]bool{}
	if preset == "" {
		c.code = newCode()
	}
	if len(c.code) != codeLength || strings.Trim(c.code, crockford) != "" {
		return nil, fmt.Errorf("a claim code has %d letters and digits, without U: K7QM-4T2X", codeLength)
	}
	return c, nil
}

func newCode() string {
	b := make([]byte, codeLength)
	rand.Read(b) // never fails, crypto/rand
	for i := range b {
		b[i] = crockford[b[i]%32] // 256 is a multiple of 32: no character is likelier
	}
	return string(b)
}

// String is the code as people read it: K7QM-4T2X.
func (c *Code) String() string { return c.code[:4] + "-" + c.code[4:] }

// fold makes of what people type what was shown: small letters, spaces, hyphens
// and dashes, letters that look like digits, and the wide ones of Japanese input.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' {
			r -= '！' - '!'
		}
		switch {
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		case strings.ContainsRune(" \t\r\n-_‐‑‒–—―−ー　", r):
			return -1
		}
		switch r {
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return r
	}, s)
}

// try compares what somebody typed. Every wrong try counts, one that came too
// fast does not.
func (c *Code) try(typed string, from netip.Addr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	from = from.Unmap().WithZone("")
	one, ok := c.from[from]
	if !ok {
		one = new(tries)
	}
	now := time.Now()
	switch {
	case c.all >= triesAll || one.all >= triesAddress:
		return ErrTries
	case one.within(now) >= triesMinute:
		return ErrSlow
	}
	if subtle.ConstantTimeCompare([]byte(fold(typed)), []byte(c.code)) == 1 {
		return nil
	}
	c.all++
	one.add(now)
	c.from[from] = one
	return ErrCode
}

func (t *tries) within(now time.Time) int {
	n := 0
	for _, at := range t.recent {
		if now.Sub(at) < time.Minute {
			t.recent[n] = at
			n++
		}
	}
	t.recent = t.recent[:n]
	return n
}

func (t *tries) add(now time.Time) {
	t.all++
	t.recent = append(t.recent, now)
}

// tell lets every open page know that somebody has won.
func (c *Code) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}
