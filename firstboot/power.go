package firstboot

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"homemail/store"
)

// Who has neither a screen nor a card reader proves to stand before the box by its
// plug: a browser says that it waits, the box loses its power within two minutes,
// and the same browser is there again soon after it has come back. What could
// make a stranger's browser look like that is kept out:
//
//   - Only while a browser waits is anything kept, and no longer than two minutes,
//     so that a power cut at night gives the house to nobody.
//   - If two wait, neither can win for a while: one of them may be a stranger's.
//   - Each address may begin to wait once in a start of the program, so that no
//     stranger can be in the owner's way more than once. Who was too slow has
//     unplugged the box by then, or does: that gives all of them another.
//   - What has come back still has to be confirmed by a press of a button.
//   - An orderly end, such as that of an update, is no loss of power.
//   - What waited counts in the very next start of the program alone.
//   - Another start of the program alone is no start of the box: the kernel says
//     which it is.
const (
	powerWait   = 2 * time.Minute // from the browser's word to the loss of power
	powerReturn = 3 * time.Minute // of the kernel's life: the same, and what a slow card takes to start
	powerTries  = 20              // by everybody, in one start of the program: more than a house has browsers
	powerPath   = "setup/power"
)

// Errors of the proof by the plug.
var (
	ErrNoPower = errors.New("this house is not claimed by its plug")
	ErrRival   = errors.New("another browser waits as well; close it and try again in two minutes")
	ErrPower   = errors.New("the box has not been unplugged and plugged in again within two minutes")
	ErrOnce    = errors.New("this address has begun once already; unplug the box and plug it in again, and begin anew")
)

// A Box is the computer that a house is alone on, as its kernel knows it.
type Box struct {
	Boot   string               // another one each time the kernel starts
	Uptime func() time.Duration // of the kernel
}

// ReadBox asks Linux. It is not ok on any other system.
func ReadBox() (b Box, ok bool) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	b = Box{strings.TrimSpace(string(id)), uptime}
	return b, err == nil && b.Boot != "" && uptime() > 0
}

// uptime is what the kernel says, and what is too long for anything if it does
// not say it.
func uptime() time.Duration {
	text, err := os.ReadFile("/proc/uptime")
	first, _, _ := strings.Cut(string(text), " ")
	s, bad := strconv.ParseFloat(first, 64)
	if err != nil || bad != nil {
		return 1<<63 - 1
	}
	return time.Duration(s * float64(time.Second))
}

// power is what a start of the program knows of the proof by the plug.
type power struct {
	box    *Box
	read   bool
	came   []byte // SHA-256 of the browser that waited when the power was lost
	waits  []byte // and of the one that waits now
	since  time.Duration
	by     netip.Addr    // of the one that waits
	rivals time.Duration // of uptime, when two have waited
	rival  bool
	begun  map[netip.Addr]bool // who has waited in this start
	awake  chan struct{}       // somebody waits; watch takes it
}

// powerRow is what is kept while a browser waits.
type powerRow struct {
	Boot  string `json:"boot"`
	Token []byte `json:"token"`
}

// Plug lets the house be claimed by unplugging its box. It is only for a program
// that is the box's own service and starts with it; call it before anything else.
func (c *Code) Plug(b Box) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.power.box = &b
}

// Powered reports whether the house can be claimed by its plug now.
func (c *Claim) Powered(ctx context.Context) bool {
	c.code.mu.Lock()
	have := c.code.power.box != nil
	c.code.mu.Unlock()
	open, err := c.Open(ctx)
	return have && err == nil && open
}

// Await has a browser wait for the loss of power, and returns its proof, or the
// one that it has. It can go once this has returned.
func (c *Claim) Await(ctx context.Context, token string, from netip.Addr) (string, error) {
	if !c.Near(from) {
		return "", ErrFar
	}
	if open, err := c.Open(ctx); err != nil || !open {
		return "", errors.Join(err, notOpen(open))
	}
	c.code.mu.Lock()
	defer c.code.mu.Unlock()
	p := &c.code.power
	if p.box == nil {
		return "", ErrNoPower
	}
	if err := c.recall(); err != nil {
		return "", err
	}
	from = from.Unmap().WithZone("")
	if now := p.box.Uptime(); p.waiting(now) && is(token, p.waits) {
		return token, nil // it has pressed once more: its time has begun already
	} else if err := p.mayWait(now, from); err != nil {
		if p.waits == nil {
			err = errors.Join(err, c.state.PutState(powerPath, nil))
		}
		return "", err
	}
	token = rand.Text() // an old one may have been seen by now
	sum := sha256.Sum256([]byte(token))
	row, err := json.Marshal(powerRow{p.box.Boot, sum[:]})
	if err != nil {
		return "", err
	}
	if err := c.state.PutState(powerPath, row); err != nil {
		return "", err
	}
	p.waits, p.since, p.by, p.begun[from] = sum[:], p.box.Uptime(), from, true
	select {
	case p.awake <- struct{}{}:
	default: // it knows
	}
	return token, nil
}

// mayWait reports whether a browser at an address may begin to wait. One that
// comes second ends the wait of the first, and does not come again; the first may.
func (p *power) mayWait(now time.Duration, from netip.Addr) error {
	switch {
	case p.begun[from]:
		return ErrOnce
	case len(p.begun) >= powerTries:
		return ErrTries
	case p.rival && now-p.rivals < powerWait:
		return ErrRival
	}
	if p.rival = p.waiting(now); !p.rival {
		return nil
	}
	delete(p.begun, p.by)
	p.begun[from] = true
	p.rivals, p.waits = now, nil
	return ErrRival
}

// Left is how long a browser that waits still has to lose the power, 0 if it does
// not wait any more.
func (c *Claim) Left(token string) time.Duration {
	c.code.mu.Lock()
	defer c.code.mu.Unlock()
	p := &c.code.power
	if p.box == nil || !is(token, p.waits) {
		return 0
	}
	return max(0, powerWait-(p.box.Uptime()-p.since))
}

// Back reports whether the power was lost while a browser waited, and is back: it
// can make the house its own by Return for a while.
func (c *Claim) Back(token string) (bool, error) {
	c.code.mu.Lock()
	defer c.code.mu.Unlock()
	p := &c.code.power
	if p.box == nil {
		return false, nil
	}
	if err := c.recall(); err != nil {
		return false, err
	}
	return is(token, p.came) && p.box.Uptime() <= powerReturn, nil
}

// Return claims the house for a browser that waited when the power was lost. It
// returns the same proof as Take.
func (c *Claim) Return(ctx context.Context, token string, from netip.Addr, agent string) (proof string, err error) {
	if !c.Near(from) {
		return "", ErrFar
	}
	if open, err := c.Open(ctx); err != nil || !open {
		return "", errors.Join(err, notOpen(open))
	}
	if err := c.returned(token); err != nil {
		return "", err
	}
	return c.win(ctx, Claimed{From: from.Unmap().String(), Agent: plain(agent), Plug: true})
}

// returned uses a proof up.
func (c *Claim) returned(token string) error {
	c.code.mu.Lock()
	defer c.code.mu.Unlock()
	p := &c.code.power
	if p.box == nil {
		return ErrNoPower
	}
	if err := c.recall(); err != nil {
		return err
	}
	if !is(token, p.came) || p.box.Uptime() > powerReturn {
		return ErrPower
	}
	p.came = nil
	return nil
}

// recall takes what waited from the store into memory, once: whatever becomes of
// this start, no later one finds it. The caller holds the code.
func (c *Claim) recall() error {
	p := &c.code.power
	if p.read {
		return nil
	}
	b, err := c.state.State(powerPath)
	if errors.Is(err, store.ErrNotFound) {
		p.read = true
		return nil
	}
	var row powerRow
	if err == nil && json.Unmarshal(b, &row) != nil {
		row = powerRow{} // it proves nothing
	}
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	if err := c.state.PutState(powerPath, nil); err != nil {
		return err
	}
	if p.read = true; row.Boot != "" && row.Boot != p.box.Boot {
		p.came = row.Token
	}
	return nil
}

// watch lets no browser wait longer than it may, nor beyond an orderly end.
func (c *Claim) watch(ctx context.Context) error {
	for {
		left, err := c.expire(ctx.Err() != nil)
		if ctx.Err() != nil || err != nil {
			return err
		}
		var due <-chan time.Time
		if left > 0 {
			due = time.After(left)
		}
		select {
		case <-ctx.Done():
		case <-due:
		case <-c.code.power.awake:
		}
	}
}

// expire drops what waits if its time is over, or all is at an end. It returns
// how long it may go on.
func (c *Claim) expire(end bool) (left time.Duration, err error) {
	c.code.mu.Lock()
	defer c.code.mu.Unlock()
	p := &c.code.power
	if p.box == nil {
		return 0, nil
	}
	if err := c.recall(); err != nil {
		return 0, err
	}
	if p.waits == nil {
		return 0, nil
	}
	now := p.box.Uptime()
	if p.waiting(now) && !end {
		return powerWait - (now - p.since), nil
	}
	if err := c.state.PutState(powerPath, nil); err != nil {
		return 0, err
	}
	p.waits = nil
	return 0, nil
}

func (p *power) waiting(now time.Duration) bool { return p.waits != nil && now-p.since < powerWait }

// is compares a proof with its hash; nothing is the proof of nothing.
func is(token string, hash []byte) bool {
	sum := sha256.Sum256([]byte(token))
	return token != "" && subtle.ConstantTimeCompare(sum[:], hash) == 1
}
