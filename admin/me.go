package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"homemail/events"
	"homemail/mail"
	"homemail/store"
	"homemail/vacation"
	"homemail/words"
)

// meOperations are those of a person that owners may do for one, too.
func meOperations() map[string]operation {
	return map[string]operation{
		"vacation.show": op((*House).showVacation),
		"vacation.set":  op((*House).setVacation),
	}
}

// Vacation is the out-of-office reply of an account.
type Vacation struct {
	Address mail.Path `json:"address"`
	vacation.Reply
}

// SetVacation changes the out-of-office reply of an account; what is nil stays.
type SetVacation struct {
	Address mail.Path `json:"address"`
	On      *bool     `json:"on,omitempty"`
	Subject *string   `json:"subject,omitempty"`
	Text    *string   `json:"text,omitempty"`
	From    *string   `json:"from,omitempty"`  // the first day, "2026-12-24"; "" is at once
	Until   *string   `json:"until,omitempty"` // the last; "" is for ever
	Days    *int      `json:"days,omitempty"`  // between two replies to the same correspondent
}

func (h *House) showVacation(_ context.Context, q Address) (Vacation, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Vacation{}, err
	}
	r, err := vacation.Load(h.Store, a.ID)
	return Vacation{q.Address.Key(), r}, err
}

func (h *House) setVacation(ctx context.Context, q SetVacation) (Vacation, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Vacation{}, err
	}
	r, err := vacation.Load(h.Store, a.ID)
	if err != nil {
		return Vacation{}, err
	}
	change(&r.On, q.On)
	change(&r.Subject, q.Subject)
	change(&r.Text, q.Text)
	change(&r.From, q.From)
	change(&r.Until, q.Until)
	change(&r.Days, q.Days)
	if err := vacation.Save(h.Store, a.ID, r); err != nil {
		return Vacation{}, err
	}
	return h.showVacation(ctx, Address{q.Address})
}

func change[V any](v *V, to *V) {
	if to != nil {
		*v = *to
	}
}

// A Me is what a person can do to the own account, and to no other: whose it is
// comes from who is signed in, never from a request. Passwords, second factors
// and sessions are package session's.
type Me struct {
	h       *House
	account *store.Account
}

// Me returns the account of who is signed in.
func (h *House) Me(id mail.AccountID) (*Me, error) {
	a, err := h.Store.AccountByID(id)
	if err != nil {
		return nil, err
	}
	return &Me{h, a}, nil
}

// Mine is an account as its person sees it.
type Mine struct {
	Account
	Aliases   []mail.Path // that lead to it, "@domain" for all of a domain
	Mailboxes []Mailbox
	Vacation  vacation.Reply
}

// Show returns the account.
func (m *Me) Show() (out Mine, err error) {
	if out.Account, err = m.h.show(m.account); err != nil {
		return out, err
	}
	if out.Vacation, err = vacation.Load(m.h.Store, m.account.ID); err != nil {
		return out, err
	}
	all, err := m.h.Store.AddressesOf(m.account.ID)
	if err != nil {
		return out, err
	}
	out.Aliases = slices.DeleteFunc(all, func(p mail.Path) bool { return p == out.Address })
	out.Mailboxes, err = m.h.listMailboxes(context.Background(), Address{out.Address})
	return out, err
}

// The limits of what a person may set.
const (
	nameMost     = 100 // characters
	forwardsMost = 10
	deviceMost   = 60 // characters of a name
)

// noted notes in the log of events what a person has changed.
func (m *Me) noted(ctx context.Context, what string, about any, err error) error {
	request, e := json.Marshal(about)
	if e != nil {
		request = nil
	}
	m.h.audit(ctx, what, request, err)
	return err
}

func (m *Me) address() (mail.Path, error) {
	p, err := m.account.Profile()
	return p.Address, err
}

// Rename changes the name that others see, and the language that mail from us
// is in.
func (m *Me) Rename(ctx context.Context, name, language string) error {
	about := map[string]string{"name": name, "language": language}
	return m.noted(ctx, "me.name", about, m.rename(name, language))
}

func (m *Me) rename(name, language string) error {
	if err := oneLine(name, nameMost); err != nil {
		return err
	}
	lang, err := parseLanguage(language)
	if err != nil {
		return err
	}
	return m.account.Update(func(p *store.Profile) error {
		p.Name, p.Language = strings.TrimSpace(name), lang
		return nil
	})
}

func oneLine(s string, most int) error {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return words.Because(store.ErrInvalid, "admin.name-line")
	case utf8.RuneCountInString(s) > most:
		return words.Because(store.ErrInvalid, "admin.name-long", "most", most)
	}
	return nil
}

// Forward lets mail go elsewhere too; no address ends it.
func (m *Me) Forward(ctx context.Context, to []mail.Path, only bool) error {
	address, err := m.address()
	if err != nil {
		return err
	}
	q := Forward{address, to, only}
	if len(to) > forwardsMost {
		err = words.Because(store.ErrInvalid, "admin.forwards-most", "most", forwardsMost)
	} else {
		_, err = m.h.forward(ctx, q)
	}
	return m.noted(ctx, "me.forward", q, err)
}

// AddDevice makes a password for a device, shown this once.
func (m *Me) AddDevice(ctx context.Context, name string) (NewDevice, error) {
	address, err := m.address()
	if err != nil {
		return NewDevice{}, err
	}
	q := AddDevice{Address: address, Name: strings.TrimSpace(name)}
	var d NewDevice
	if err = oneLine(q.Name, deviceMost); err == nil {
		d, err = m.h.addDevice(ctx, q)
	}
	return d, m.noted(ctx, "me.device-add", q, err)
}

// RevokeDevice takes the password of a device away, by its id.
func (m *Me) RevokeDevice(ctx context.Context, id string) error {
	_, err := m.revoke(func(d store.Device) bool { return d.ID == id })
	return m.noted(ctx, "me.device-revoke", map[string]string{"device": id}, err)
}

// RevokeNamed takes the passwords of all devices with a name away: a sign-in
// tells no more of a device. It tells how many there were.
func (m *Me) RevokeNamed(ctx context.Context, name string) (int, error) {
	n, err := m.revoke(func(d store.Device) bool { return d.Name == name })
	return n, m.noted(ctx, "me.device-revoke", map[string]string{"device": name}, err)
}

func (m *Me) revoke(which func(store.Device) bool) (n int, err error) {
	err = m.account.Update(func(p *store.Profile) error {
		before := len(p.Devices)
		p.Devices = slices.DeleteFunc(slices.Clone(p.Devices), which)
		if n = before - len(p.Devices); n == 0 {
			return words.Because(store.ErrNotFound, "admin.device-gone")
		}
		return nil
	})
	return n, err
}

// SetVacation sets what the account answers while its person is away.
func (m *Me) SetVacation(ctx context.Context, r vacation.Reply) error {
	return m.noted(ctx, "me.vacation", map[string]string{"from": r.From}, vacation.Save(m.h.Store, m.account.ID, r))
}

// The sign-ins of a page, and how many parts of the log are looked through for
// them: each is a bounded piece of work.
const (
	signInsMost  = 100
	signInsParts = 20
)

// SignIns returns who signed in, and who tried to, the newest first, before a
// number; 0 is from the end.
func (m *Me) SignIns(language string, before uint64) (Events, error) {
	out := Events{Next: before}
	q := events.Query{Kinds: []events.Kind{events.SignedIn, events.SignInFailed}, Account: m.account.ID}
	for range signInsParts {
		p, err := m.h.Events.Find(q, signInsMost-len(out.Events), out.Next)
		if err != nil {
			return out, err
		}
		out.Events = append(out.Events, inWords(p.Events, language)...)
		if out.Next = p.Next; p.Next == 0 || len(out.Events) >= signInsMost {
			break
		}
	}
	return out, nil
}
