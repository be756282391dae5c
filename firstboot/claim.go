package firstboot

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"homemail/store"
)

// A Claim lets exactly one browser begin to set up a house that is nobody's. A
// house is nobody's only while it has neither an owner nor any account: one that
// is looked after from the command line is never open to a claim.
type Claim struct {
	code    *Code
	state   State
	taken   func(context.Context) (bool, error)
	subnets func() []netip.Prefix
}

// NewClaim returns the claim of a house. Taken reports whether it has an owner
// or an account, and subnets are the networks that its interfaces are in.
func NewClaim(code *Code, state State, taken func(context.Context) (bool, error), subnets func() []netip.Prefix) *Claim {
	return &Claim{code, state, taken, subnets}
}

// Claimed is who has claimed a house.
type Claimed struct {
	At    time.Time `json:"at"`
	From  string    `json:"from"`            // an address, or "" if it was the command line
	Agent string    `json:"agent,omitempty"` // the browser, in its own words, made harmless
	Boot  string    `json:"boot"`
	Token []byte    `json:"token,omitempty"` // SHA-256 of the browser's proof
	Plug  bool      `json:"plug,omitempty"`  // proved by unplugging the box
}

const claimPath = "setup/claim"

// agentMax is as much of a browser's name as anybody wants to read.
const agentMax = 120

// By returns who has claimed the house, store.ErrNotFound if nobody has.
func (c *Claim) By() (by Claimed, err error) {
	b, err := c.state.State(claimPath)
	if err != nil {
		return by, err
	}
	return by, json.Unmarshal(b, &by)
}

// Open reports whether the house can be claimed now. A claim that led to no
// account ends with the next start: whoever has lost its cookie begins anew.
func (c *Claim) Open(ctx context.Context) (bool, error) {
	taken, err := c.taken(ctx)
	if err != nil || taken {
		return false, err
	}
	by, err := c.By()
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		return true, nil
	}
	return err == nil && by.Boot != c.code.boot, err
}

// Code is the code to show, "" unless the house is open.
func (c *Claim) Code(ctx context.Context) string {
	if open, err := c.Open(ctx); err != nil || !open {
		return ""
	}
	return c.code.String()
}

// Changed returns a channel that is closed when somebody has claimed the house.
func (c *Claim) Changed() <-chan struct{} {
	c.code.mu.Lock()
	defer c.code.mu.Unlock()
	return c.code.changed
}

// Near reports whether an address is in a network that we are in ourselves, or
// is this computer. It says nothing about who has an address that a router lent.
func (c *Claim) Near(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() {
		return true
	}
	if c.subnets == nil {
		return false
	}
	for _, p := range c.subnets() {
		if p.Bits() > 0 && p.Masked().Contains(a) {
			return true
		}
	}
	return false
}

// Take claims the house for a browser that has the code, and returns the proof
// that this browser shows from now on. Of two at once one wins.
func (c *Claim) Take(ctx context.Context, typed string, from netip.Addr, agent string) (token string, err error) {
	if !c.Near(from) {
		return "", ErrFar
	}
	if open, err := c.Open(ctx); err != nil || !open {
		return "", errors.Join(err, notOpen(open))
	}
	if err := c.code.try(typed, from); err != nil {
		return "", err
	}
	return c.win(ctx, Claimed{From: from.Unmap().String(), Agent: plain(agent)})
}

// win makes the house a browser's that has proved to stand before the box.
func (c *Claim) win(ctx context.Context, by Claimed) (token string, err error) {
	_, err = c.By()
	again := err == nil
	token = rand.Text()
	sum := sha256.Sum256([]byte(token))
	by.At, by.Boot, by.Token = time.Now().Round(0), c.code.boot, sum[:]
	if err := c.put(ctx, by); err != nil {
		return "", err
	}
	if !again {
		return token, nil
	}
	// What an earlier claim had answered is dropped: it may have been a stranger's.
	for _, s := range steps() {
		if err := c.state.PutState(stepPath+string(s.ID), nil); err != nil {
			return "", err
		}
	}
	return token, nil
}

// Spend ends what the browser's proof is good for: its owner is signed in now.
func (c *Claim) Spend() error {
	return c.state.UpdateState(claimPath, func(old []byte) ([]byte, error) {
		var was Claimed
		if err := json.Unmarshal(old, &was); err != nil {
			return old, nil // there is none
		}
		was.Token = nil
		return json.Marshal(was)
	})
}

func notOpen(open bool) error {
	if open {
		return nil
	}
	return ErrClaimed
}

// Console claims a house for whoever can reach its control socket. It is no
// error if somebody has claimed it already: on the console one may do all.
func (c *Claim) Console(ctx context.Context) error {
	if open, err := c.Open(ctx); err != nil || !open {
		return err
	}
	err := c.put(ctx, Claimed{At: time.Now().Round(0), Boot: c.code.boot})
	if errors.Is(err, ErrClaimed) {
		return nil
	}
	return err
}

// put writes the winner down, in one transaction.
func (c *Claim) put(ctx context.Context, by Claimed) error {
	b, err := json.Marshal(by)
	if err != nil {
		return err
	}
	err = c.state.UpdateState(claimPath, func(old []byte) ([]byte, error) {
		var was Claimed
		if old != nil && json.Unmarshal(old, &was) == nil && was.Boot == by.Boot {
			return nil, ErrClaimed
		}
		return b, nil
	})
	if err != nil {
		return err
	}
	c.code.tell()
	if taken, err := c.taken(ctx); err != nil || taken { // from the command line, meanwhile
		return errors.Join(err, ErrClaimed)
	}
	return nil
}

// Holds reports whether a browser is the one that has claimed the house. It is
// one that may set up: of a house that has an owner that says nothing any more.
func (c *Claim) Holds(token string) bool {
	by, err := c.By()
	if err != nil || token == "" {
		return false
	}
	return is(token, by.Token)
}

// plain keeps of a text what cannot do harm on a console.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), agentMax)]
}

// Claim is the claim of the engine's house, nil where none is needed.
func (e *Engine) Claim() *Claim { return e.o.Claim }
