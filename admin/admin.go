// Package admin is what an owner can do to the house: accounts, device
// passwords, aliases, domains, and looking whether all is well. Each operation
// has a name, takes JSON and gives JSON, so that the command line does the
// same thing in a running server, over its Unix socket, as in a store that it
// opened itself.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"homemail/bridge"
	"homemail/caps"
	"homemail/check"
	"homemail/clock"
	"homemail/dnsplan"
	"homemail/events"
	"homemail/lan"
	"homemail/mail"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/reports"
	"homemail/session"
	"homemail/signin"
	"homemail/store"
	"homemail/update/agent"
	"homemail/words"
)

// A House is what the operations work on.
type House struct {
	Store   *store.Store
	SignIn  *signin.Checker // nil if no server runs
	Book    *outbound.Book
	Keys    *outbound.Keyring
	Relay   *relay.Relay
	Queue   *queue.Queue
	Bridge  *bridge.Bridge
	Caps    *caps.Caps
	LAN     *lan.Devices
	DNS     dnsplan.DNS
	LineDNS check.DNS
	Checker *check.Checker // nil in a closed world
	// Certificate is the one in use, for the checks.
	Certificate func() (check.Certificate, error)
	Host        string        // our name
	Ports       dnsplan.Ports // of the doors that mail programs look for
	Settings    Settings
	CA          Authority
	Publishing  *Publishing
	Setup       Setup         // has the operations that begin with "setup."; nil for none
	Reports     *reports.Book // what the world says of our mail; nil if nobody reads that
	Clock       *clock.Clock
	Updates     *agent.Agent // nil if no server runs
	Events      *events.Log  // nil keeps none
	Started     time.Time    // of the server; zero if none runs
	Version     string
}

// A Setup sets a house up, step by step.
type Setup interface {
	Do(ctx context.Context, name string, request json.RawMessage) (any, error)
}

// Empty is the request or answer of an operation that has none.
type Empty struct{}

// Account is an account as an owner sees it.
type Account struct {
	ID       mail.AccountID `json:"id"`
	Address  mail.Path      `json:"address"`
	Name     string         `json:"name,omitempty"`
	Language string         `json:"language,omitempty"`
	Forward  []mail.Path    `json:"forward,omitempty"`
	Only     bool           `json:"forward_only,omitempty"` // no copy stays here
	SendAs   []mail.Path    `json:"send_as,omitempty"`
	Disabled bool           `json:"disabled"`
	Quota    int64          `json:"quota"` // bytes; 0 is no limit
	KeepDays int            `json:"keep_days"`
	Used     int64          `json:"used"` // bytes
	Messages int64          `json:"messages"`
	Devices  []Device       `json:"devices"`
	Created  time.Time      `json:"created"`
}

// Device is a device password as an owner sees it: never the password.
type Device struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Created  time.Time  `json:"created"`
	LastUse  *time.Time `json:"last_use,omitempty"`
	LastFrom string     `json:"last_from,omitempty"`
}

// Address names an account, an alias or a domain.
type Address struct {
	Address mail.Path `json:"address"`
}

// AddAccount is the request for a new account.
type AddAccount struct {
	Address  mail.Path `json:"address"`
	Name     string    `json:"name"`
	Language string    `json:"language,omitempty"`
	Quota    int64     `json:"quota"`
}

// Change is a request to change an account; what is nil stays.
type Change struct {
	Address  mail.Path `json:"address"`
	Name     *string   `json:"name,omitempty"`
	Language *string   `json:"language,omitempty"` // what it is told in: "en", "ja"
	Disabled *bool     `json:"disabled,omitempty"`
	Quota    *int64    `json:"quota,omitempty"`
	KeepDays *int      `json:"keep_days,omitempty"`
	Password *string   `json:"password,omitempty"` // the person's own, for the web
}

// AddDevice is the request for a device password.
type AddDevice struct {
	Address mail.Path `json:"address"`
	Name    string    `json:"name"`
	// From says what becomes of mail that claims another author:
	// store.RefuseFrom, also if it is empty, or store.RewriteFrom.
	From string `json:"from,omitempty"`
}

// NewDevice is a device password, shown this once.
type NewDevice struct {
	ID       string    `json:"id"`
	Address  mail.Path `json:"address"`
	Password string    `json:"password"`
}

// RevokeDevice names a device of an account by its id or its name.
type RevokeDevice struct {
	Address mail.Path `json:"address"`
	Device  string    `json:"device"`
}

// Alias is an address that leads to others.
type Alias struct {
	Address mail.Path   `json:"address"`
	To      []mail.Path `json:"to"`
}

// Mailbox is a mailbox as an owner sees it.
type Mailbox struct {
	Name     string          `json:"name"`
	Use      mail.SpecialUse `json:"use,omitempty"`
	Messages uint32          `json:"messages"`
	Unseen   uint32          `json:"unseen"`
	Size     int64           `json:"size"`
}

// Check says how to check the store.
type Check struct {
	Bodies bool `json:"bodies"`
	Repair bool `json:"repair"`
}

// An operation is a function with its types taken away.
type operation func(ctx context.Context, h *House, request json.RawMessage) (any, error)

// op makes an operation of a function. Unknown fields are refused, so that a
// command line and a server of different versions notice.
func op[Q, A any](fn func(*House, context.Context, Q) (A, error)) operation {
	return func(ctx context.Context, h *House, request json.RawMessage) (any, error) {
		var q Q
		d := json.NewDecoder(bytes.NewReader(request))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		return fn(h, ctx, q)
	}
}

// allOperations has everything that can be asked for.
func allOperations() map[string]operation {
	all := operations()
	for _, more := range []map[string]operation{
		publishOperations(), eventOperations(), sessionOperations(), setupOperations(), overviewOperations(), tokenOperations(), meOperations(), updateOperations(),
	} {
		maps.Copy(all, more)
	}
	return all
}

// operations has what is about accounts, mail and the house itself.
func operations() map[string]operation {
	return map[string]operation{
		"account.add":     op((*House).addAccount),
		"account.list":    op((*House).listAccounts),
		"account.remove":  op((*House).removeAccount),
		"account.change":  op((*House).changeAccount),
		"device.add":      op((*House).addDevice),
		"device.list":     op((*House).listDevices),
		"device.revoke":   op((*House).revokeDevice),
		"alias.add":       op((*House).addAlias),
		"alias.list":      op((*House).listAliases),
		"alias.remove":    op((*House).removeAlias),
		"domain.add":      op((*House).addDomain),
		"domain.list":     op((*House).listDomains),
		"domain.remove":   op((*House).removeDomain),
		"mailbox.list":    op((*House).listMailboxes),
		"status":          op((*House).status),
		"check":           op((*House).check),
		"maintain":        op((*House).maintain),
		"password.verify": op((*House).verifyPassword),

		"route.set":         op((*House).setRoute),
		"route.list":        op((*House).listRoutes),
		"route.remove":      op((*House).removeRoute),
		"route.sender":      op((*House).setSender),
		"smarthost.presets": op((*House).listPresets),
		"smarthost.save":    op((*House).saveSmarthost),
		"smarthost.test":    op((*House).trySmarthost),
		"smarthost.list":    op((*House).listSmarthosts),
		"smarthost.remove":  op((*House).removeSmarthost),
		"forward":           op((*House).forward),
		"dkim.list":         op((*House).listKeys),
		"dkim.rotate":       op((*House).rotateKeys),
		"dkim.activate":     op((*House).activateKeys),

		"sending.list":   op((*House).listSending),
		"sending.pause":  op((*House).pauseSending),
		"sending.resume": op((*House).resumeSending),
		"machine.add":    op((*House).addMachine),
		"machine.list":   op((*House).listMachines),
		"machine.remove": op((*House).removeMachine),

		"bridge.add":      op((*House).addBridge),
		"bridge.password": op((*House).setBridgePassword),
		"bridge.list":     op((*House).listBridges),
		"bridge.remove":   op((*House).removeBridge),
		"bridge.fetch":    op((*House).fetchBridge),
		"bridge.pause":    op((*House).pauseBridge),
		"bridge.resume":   op((*House).resumeBridge),

		"setting.list": op((*House).listSettings),
		"setting.set":  op((*House).setSetting),

		"certificate.list":     op((*House).listCertificates),
		"certificate.agree":    op((*House).agreeCA),
		"certificate.withdraw": op((*House).withdrawCA),
		"certificate.retry":    op((*House).retryCertificates),

		"dns.policy":    op((*House).domainPolicy),
		"reports.show":  op((*House).showReports),
		"reports.trust": op((*House).trustReporter),
		"reports.mine":  op((*House).setMine),

		"dns.plan":   op((*House).planDNS),
		"line.check": op((*House).checkLine),

		"queue.list":         op((*House).listQueue),
		"queue.show":         op((*House).showQueue),
		"queue.retry":        op((*House).retryQueue),
		"queue.retry-domain": op((*House).retryDomain),
		"queue.hold":         op((*House).holdQueue),
		"queue.release":      op((*House).releaseQueue),
		"queue.remove":       op((*House).removeQueue),
	}
}

// Do runs an operation by its name. An error is a *words.Reason.
func (h *House) Do(ctx context.Context, name string, request json.RawMessage) (any, error) {
	if strings.HasPrefix(name, "setup.") && h.Setup != nil { // which asks for operations itself, one by one
		return told(h.Setup.Do(ctx, name, request))
	}
	run, ok := allOperations()[name]
	if !ok {
		return nil, words.Because(store.ErrInvalid, "admin.no-operation", "name", name)
	}
	answer, err := run(ctx, h, request)
	h.audit(ctx, name, request, err)
	return told(answer, err)
}

func told(answer any, err error) (any, error) {
	if err != nil {
		return answer, Told(err)
	}
	return answer, nil
}

func (h *House) addAccount(_ context.Context, q AddAccount) (Account, error) {
	p, err := mail.ParsePath(string(q.Address))
	if err != nil {
		return Account{}, words.Because(fmt.Errorf("%w: %w", store.ErrInvalid, err), "admin.bad-address", "address", q.Address, "said", err)
	}
	lang, err := parseLanguage(q.Language)
	if err != nil {
		return Account{}, err
	}
	a, err := h.Store.AddAccount(store.Profile{Address: p, Name: q.Name, Language: lang, Quota: q.Quota, KeepDays: -1})
	if err != nil {
		return Account{}, err
	}
	return h.show(a)
}

func (h *House) show(a *store.Account) (Account, error) {
	p, err := a.Profile()
	if err != nil {
		return Account{}, err
	}
	u, err := a.Usage()
	if err != nil {
		return Account{}, err
	}
	uses, err := a.LastUse()
	if err != nil {
		return Account{}, err
	}
	out := Account{
		ID: p.ID, Address: p.Address, Name: p.Name, Language: p.Language, Forward: p.Forward, Only: p.ForwardOnly, SendAs: p.SendAs, Disabled: p.Disabled, Quota: p.Quota, KeepDays: p.KeepDays,
		Used: u.Bytes, Messages: u.Messages, Created: p.Created, Devices: []Device{},
	}
	for _, d := range p.Devices {
		dev := Device{ID: d.ID, Name: d.Name, Created: d.Created}
		if use, ok := uses[d.ID]; ok {
			dev.LastUse, dev.LastFrom = &use.Time, use.From
		}
		out.Devices = append(out.Devices, dev)
	}
	return out, nil
}

func (h *House) listAccounts(context.Context, Empty) ([]Account, error) {
	profiles, err := h.Store.Accounts()
	if err != nil {
		return nil, err
	}
	list := []Account{}
	for _, p := range profiles {
		a, err := h.Store.AccountByID(p.ID)
		if err != nil {
			return nil, err
		}
		shown, err := h.show(a)
		if err != nil {
			return nil, err
		}
		list = append(list, shown)
	}
	return list, nil
}

func (h *House) removeAccount(_ context.Context, q Address) (Empty, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Empty{}, err
	}
	if err := h.spareOwner(a.ID); err != nil {
		return Empty{}, err
	}
	return Empty{}, h.Store.RemoveAccount(q.Address)
}

func (h *House) changeAccount(ctx context.Context, q Change) (Account, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Account{}, err
	}
	if q.Disabled != nil && *q.Disabled {
		if err := h.spareOwner(a.ID); err != nil {
			return Account{}, err
		}
	}
	hash := ""
	if q.Password != nil {
		if hash, err = h.hash(ctx, *q.Password, string(q.Address)); err != nil {
			return Account{}, err
		}
	}
	err = a.Update(func(p *store.Profile) error {
		if q.Name != nil {
			p.Name = *q.Name
		}
		if q.Language != nil {
			if p.Language, err = parseLanguage(*q.Language); err != nil {
				return err
			}
		}
		if q.Disabled != nil {
			p.Disabled = *q.Disabled
		}
		if q.Quota != nil {
			if *q.Quota < 0 {
				return words.Because(store.ErrInvalid, "admin.quota")
			}
			p.Quota = *q.Quota
		}
		if q.KeepDays != nil {
			if *q.KeepDays < 0 || *q.KeepDays > 36500 {
				return words.Because(store.ErrInvalid, "admin.keep-days")
			}
			p.KeepDays = *q.KeepDays
		}
		if q.Password != nil {
			p.Password = hash
		}
		return nil
	})
	if err != nil {
		return Account{}, err
	}
	return h.show(a)
}

// parseLanguage checks the name of a language; "" is none in particular.
func parseLanguage(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	tag, err := language.Parse(s)
	if err != nil {
		return "", words.Because(store.ErrInvalid, "admin.language", "name", s)
	}
	return tag.String(), nil
}

// hash makes of a person's own password what is kept. It is in the form that the
// web looks for, whatever keyboard it was typed on.
func (h *House) hash(ctx context.Context, password string, about ...string) (string, error) {
	if err := session.CheckPassword(password, about...); err != nil {
		return "", fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	password = norm.NFC.String(password)
	if h.SignIn != nil {
		return h.SignIn.HashPassword(ctx, password)
	}
	return signin.HashPassword(password)
}

// VerifyPassword asks whether a person's own password is right.
type VerifyPassword struct {
	Address  mail.Path `json:"address"`
	Password string    `json:"password"`
}

func (h *House) verifyPassword(ctx context.Context, q VerifyPassword) (Empty, error) {
	phc := "" // an unknown name takes as long as a known one
	a, err := h.Store.Account(q.Address)
	if err == nil {
		p, err := a.Profile()
		if err != nil {
			return Empty{}, err
		}
		phc = p.Password
	} else if !errors.Is(err, store.ErrNotFound) {
		return Empty{}, err
	}
	if h.SignIn != nil {
		return Empty{}, h.SignIn.CheckPassword(ctx, phc, q.Password)
	}
	return Empty{}, signin.CheckPassword(phc, q.Password)
}

const devicesMax = 50 // of an account

func (h *House) addDevice(_ context.Context, q AddDevice) (NewDevice, error) {
	password, err := signin.NewDevicePassword()
	if err != nil {
		return NewDevice{}, err
	}
	return addDeviceWith(h.Store, q, password)
}

// AddDeviceWith makes a device with a given password, which ought to be as
// random as signin.NewDevicePassword makes it.
func AddDeviceWith(s *store.Store, address mail.Path, name, password string) (NewDevice, error) {
	return addDeviceWith(s, AddDevice{Address: address, Name: name}, password)
}

func addDeviceWith(s *store.Store, q AddDevice, password string) (NewDevice, error) {
	a, err := s.Account(q.Address)
	if err != nil {
		return NewDevice{}, err
	}
	out := NewDevice{Password: password}
	err = a.Update(func(p *store.Profile) error {
		if len(p.Devices) >= devicesMax {
			return words.Because(store.ErrInvalid, "admin.devices-most", "most", devicesMax)
		}
		d, err := signin.NewDevice(*p, q.Name, password)
		if err != nil {
			return err
		}
		d.From = q.From
		p.Devices = append(p.Devices, d)
		out.ID, out.Address = d.ID, p.Address
		return nil
	})
	return out, err
}

func (h *House) listDevices(_ context.Context, q Address) ([]Device, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return nil, err
	}
	shown, err := h.show(a)
	return shown.Devices, err
}

func (h *House) revokeDevice(_ context.Context, q RevokeDevice) (Empty, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, a.Update(func(p *store.Profile) error {
		var left []store.Device
		for _, d := range p.Devices {
			if d.ID != q.Device && d.Name != q.Device {
				left = append(left, d)
			}
		}
		switch len(p.Devices) - len(left) {
		case 0:
			return words.Because(store.ErrNotFound, "admin.no-device", "name", q.Device)
		case 1:
			p.Devices = left
			return nil
		}
		return words.Because(store.ErrInvalid, "admin.device-twice", "name", q.Device)
	})
}

func (h *House) addAlias(_ context.Context, q Alias) (Empty, error) {
	return Empty{}, h.Store.SetAlias(store.Alias(q))
}

func (h *House) listAliases(context.Context, Empty) ([]Alias, error) {
	aliases, err := h.Store.Aliases()
	list := []Alias{}
	for _, a := range aliases {
		list = append(list, Alias(a))
	}
	return list, err
}

func (h *House) removeAlias(_ context.Context, q Address) (Empty, error) {
	return Empty{}, h.Store.RemoveAlias(q.Address)
}

func (h *House) addDomain(_ context.Context, q Address) (Empty, error) {
	if err := h.Store.AddDomain(string(q.Address)); err != nil {
		return Empty{}, err
	}
	_, err := h.Keys.Make(mail.Path("x@" + q.Address).Domain()) // before the first message is to be signed
	return Empty{}, err
}

func (h *House) listDomains(context.Context, Empty) ([]string, error) {
	list, err := h.Store.Domains()
	if list == nil {
		list = []string{}
	}
	return list, err
}

func (h *House) listMailboxes(_ context.Context, q Address) ([]Mailbox, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return nil, err
	}
	boxes, err := a.Mailboxes()
	list := []Mailbox{}
	for _, m := range boxes {
		list = append(list, Mailbox{Name: m.Name, Use: m.Use, Messages: m.Messages, Unseen: m.Unseen, Size: m.Size})
	}
	return list, err
}

func (h *House) check(ctx context.Context, q Check) (store.Report, error) {
	return h.Store.Check(ctx, store.CheckOptions{Bodies: q.Bodies, Repair: q.Repair})
}

func (h *House) maintain(ctx context.Context, _ Empty) (Empty, error) {
	return Empty{}, h.Store.Maintain(ctx)
}
