// Package firstboot sets a house up: from an empty store to the first mail. It
// is one engine with several faces: the pages of the wizard, a menu on a
// terminal, a file that is applied, and the API. Everything it does to the
// house is an operation of package admin; what people answer and how far each
// step is it keeps in the store, one row a step, written at once. It may be
// killed at any moment: each step is a list of actions, and each action looks
// first whether it has been done.
package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"homemail/mail"
	"homemail/session"
)

// A House does operations by name. *admin.House is one.
type House interface {
	Do(ctx context.Context, verb string, request json.RawMessage) (any, error)
}

// A State keeps rows, and seals secrets. *store.Store is one.
type State interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
	UpdateState(path string, fn func(old []byte) ([]byte, error)) error
	SealSecret(path string, secret []byte) ([]byte, error)
	OpenSecret(path string, sealed []byte) ([]byte, error)
}

// A Post tells of the mail of the house; package events can.
type Post interface {
	// Arrived is the newest mail from outside to an address since then, nil if
	// there is none.
	Arrived(ctx context.Context, to mail.Path, since time.Time) (*Letter, error)

	// Left is the newest mail of an address that another server has taken since
	// then, nil if there is none.
	Left(ctx context.Context, from mail.Path, since time.Time) (*Letter, error)
}

// A Letter is a message as the first-mail step shows it.
type Letter struct {
	At      time.Time `json:"at"`
	From    mail.Path `json:"from"`
	To      mail.Path `json:"to"`
	Subject string    `json:"subject"`
	ID      string    `json:"id,omitempty"`  // of its trace
	SPF     string    `json:"spf,omitempty"` // as RFC 8601 has its results: pass, fail, none
	DKIM    string    `json:"dkim,omitempty"`
	DMARC   string    `json:"dmarc,omitempty"`
	TLS     bool      `json:"tls"`
	Junk    bool      `json:"junk,omitempty"`
}

// Options are what an Engine is made of. House and State have to be there.
type Options struct {
	House House
	State State
	Claim *Claim // nil where whoever asks need not prove to be the owner: on the control socket
	Post  Post   // nil: the first mail is not watched for

	// Password says by a key of the catalogue what is wrong with a password, "" if
	// nothing is. Nil asks session.CheckPassword.
	Password func(password, name, address string) (key string)

	// Recovery makes new recovery codes for the owner, to be shown once. Nil: the
	// house has none yet.
	Recovery func(ctx context.Context, address mail.Path, id mail.AccountID) ([]string, error)

	Log *slog.Logger // nil means nowhere
}

// An Engine sets one house up. It may be used by several at once; each step is
// done by one at a time.
type Engine struct {
	o     Options
	log   *slog.Logger
	steps []step
	locks map[ID]*sync.Mutex
	wake  chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	hurry   bool
}

// New returns an Engine. It starts nothing.
func New(o Options) (*Engine, error) {
	if o.House == nil || o.State == nil {
		return nil, errors.New("firstboot: House and State have to be there")
	}
	e := &Engine{o: o, log: o.Log, steps: steps(), locks: map[ID]*sync.Mutex{}, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.o.Password == nil {
		e.o.Password = checkPassword
	}
	for _, s := range e.steps {
		e.locks[s.ID] = new(sync.Mutex)
	}
	return e, nil
}

// Changed returns a channel that is closed when a step is another than it was.
func (e *Engine) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// tell lets open pages know.
func (e *Engine) tell() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

// Hurry has Run look at what waits now: somebody has the page open, or has
// changed something.
func (e *Engine) Hurry() {
	e.mu.Lock()
	e.hurry = true
	e.mu.Unlock()
	e.nudge()
}

func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default: // it knows
	}
}

// checkPassword has the rules by which the house will take the password.
func checkPassword(password, name, address string) (key string) {
	err := session.CheckPassword(password, name, address)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, session.ErrShort):
		return "firstboot.wrong.password-short"
	case errors.Is(err, session.ErrLong):
		return "firstboot.wrong.password-long"
	case errors.Is(err, session.ErrPersonal):
		return "firstboot.wrong.password-personal"
	}
	return "firstboot.wrong.password-common"
}
