package signin

import (
	"context"
	"errors"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Web is the Protocol of sign-ins on the web.
const Web = "web"

// Own checks a person's own password, which opens the web, and returns the
// account's profile. Device passwords are not looked at. Failures count in the
// same back-off as those of the mail protocols; success is for the caller to
// tell by Right once any second factor was right too. Transport security is the
// caller's as well: at.TLS is not looked at, as pages are also shown at home.
// ErrDenied, ErrBusy or a *WaitError.
func (c *Checker) Own(ctx context.Context, at Attempt, name, password string) (store.Profile, error) {
	if err := c.shutOut(at); err != nil {
		return store.Profile{}, err
	}
	start := time.Now()
	who, p, err := c.lookupOwn(name)
	if err != nil {
		return store.Profile{}, err
	}
	if err := sleep(ctx, c.limits.delay(at.Remote, who.limitKey())); err != nil {
		return store.Profile{}, err
	}
	switch err := c.CheckPassword(ctx, p.Password, password); {
	case errors.Is(err, ErrDenied):
		return store.Profile{}, c.fail(ctx, at, who, start)
	case err != nil:
		return store.Profile{}, err
	}
	return p, nil
}

// lookupOwn finds the profile that a name means; that of nobody has no password.
func (c *Checker) lookupOwn(name string) (person, store.Profile, error) {
	nobody := person{name: name}
	path, err := c.path(name)
	if err != nil || path.IsNull() {
		return nobody, store.Profile{}, err
	}
	nobody.key = string(path)
	id, err := c.resolve(path)
	if err != nil || id == 0 {
		return nobody, store.Profile{}, err
	}
	a, p, err := c.profile(id)
	if err != nil || p.Disabled {
		return nobody, store.Profile{}, err
	}
	return person{name: name, key: string(path), account: a, id: id, address: p.Address}, p, nil
}

// Second runs the check of a second factor of an account whose password was
// right, or with account 0 of a passkey, under the same back-off. Checks run
// one at a time, so that many at once are not many guesses for the price of
// one: check must be quick. It returns ErrDenied if check returns false.
func (c *Checker) Second(ctx context.Context, at Attempt, id mail.AccountID, check func() (bool, error)) error {
	start := time.Now()
	right, err := c.second(at, id, check)
	if err != nil || right {
		return err
	}
	return c.deny(ctx, start)
}

// second counts a failure before the next check may begin.
func (c *Checker) second(at Attempt, id mail.AccountID, check func() (bool, error)) (bool, error) {
	c.seconds.Lock()
	defer c.seconds.Unlock()
	if err := c.shutOut(at); err != nil {
		return false, err
	}
	if wait := c.limits.codeWait(at.Remote, id); wait > 0 {
		c.stats.Refused.Add(1)
		return false, &WaitError{Wait: wait}
	}
	right, err := check()
	if err != nil || right {
		return right, err
	}
	who := person{name: passkey, key: passkey}
	if id != 0 {
		who = person{name: "the second factor of account " + accountKey(id), id: id}
		c.limits.codeFailure(id)
	}
	c.count(at, who)
	return false, nil
}

// Right notes that a sign-in on the web was right to the last factor.
func (c *Checker) Right(at Attempt, id mail.AccountID) {
	c.stats.Succeeded.Add(1)
	c.limits.success(at.Remote, accountKey(id))
}

// shutOut refuses an address that has to wait.
func (c *Checker) shutOut(at Attempt) error {
	if wait := c.limits.wait(at.Remote); wait > 0 {
		c.stats.Refused.Add(1)
		return &WaitError{Wait: wait}
	}
	return nil
}
