// Package lan keeps which machines of the house may send mail without signing
// in: scanners, disks and boxes that know neither TLS nor AUTH. Each is named
// by the owner, with the address that it has in the house and the account that
// it writes for. It never opens a door to anybody else: an address that can be
// reached from outside, or that others hide behind, is not taken.
package lan

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"homemail/mail"
	"homemail/store"
)

// Limits of what the owner may name.
const (
	maxDevices = 256              // each is looked at for every message
	maxName    = 64               // bytes; it goes into a header
	least4     = 24               // bits of a prefix: one network of a home, and no more
	least6     = 64               // the same for IPv6
	prefix     = "lan/"           // of our rows in the store
	routersAge = 10 * time.Minute // then the routers are asked for again
)

// Errors of Add and Remove, beside those of the store.
var (
	ErrExists   = errors.New("this device is there already")
	ErrNotFound = errors.New("there is no such device")
	ErrInvalid  = errors.New("this cannot be a device of the house")
)

// A Device is a machine that may send without signing in.
type Device struct {
	Name    string         `json:"name"`
	Address netip.Prefix   `json:"address"`
	Zone    string         `json:"zone,omitempty"` // the interface of a link-local IPv6 address, RFC 4007 §11
	Account mail.AccountID `json:"account"`        // whom it writes for
	From    string         `json:"from"`           // store.RefuseFrom or store.RewriteFrom
	Local   bool           `json:"local,omitempty"`
	Created time.Time      `json:"created"`
}

// A Neighbour is a Device with the account that it writes for.
type Neighbour struct {
	Device
	Sender   mail.Path // the account's address
	Disabled bool      // the account is disabled or gone
}

// Rewrites reports whether mail that is not by the account is made its own.
func (v Device) Rewrites() bool { return v.From == store.RewriteFrom }

// Caution is what the owner should know before a device is added, "" if there
// is nothing.
func (v Device) Caution() string {
	switch a := v.Address.Addr(); {
	case a.IsLoopback():
		return "every program on this machine can send as this account, and so can whoever comes through a proxy or a tunnel that ends here"
	case !v.Address.IsSingleIP():
		return "every machine that gets one of these addresses can send as this account, guests' too; name single addresses and have the router always give them to the same machine"
	}
	return ""
}

// Options are the settings of Devices.
type Options struct {
	Log *slog.Logger // slog.Default() if nil
	// Routers are never a device: what a router masquerades, or a container
	// engine's proxy, comes from its address, wherever it really comes from. Nil
	// asks the system, which only Linux can answer.
	Routers func() []netip.Addr
}

// Devices are those that the owner has named. It is safe for concurrent use.
type Devices struct {
	s *store.Store
	o Options

	mu      sync.Mutex
	read    bool     // list is what the store has
	list    []Device // the narrowest first
	routers []netip.Addr
	asked   time.Time // when the routers were asked for
}

// New returns the Devices of a store. It starts nothing.
func New(s *store.Store, o Options) *Devices {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Routers == nil {
		o.Routers = Routers
	}
	return &Devices{s: s, o: o}
}

// ParseAddress reads an address such as 192.168.1.20, 192.168.1.0/28 or
// fe80::1%eth0.
func ParseAddress(s string) (p netip.Prefix, zone string, err error) {
	if strings.Contains(s, "/") {
		p, err = netip.ParsePrefix(s)
		return p, "", err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return p, "", err
	}
	zone = a.Zone()
	a = a.WithZone("").Unmap()
	return netip.PrefixFrom(a, a.BitLen()), zone, nil
}

// Add names a device. ErrExists, ErrInvalid with the reason.
func (d *Devices) Add(v Device) error {
	v, err := canonical(v)
	if err != nil {
		return err
	}
	if _, err := d.s.AccountByID(v.Account); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return err
	}
	if slices.Contains(d.currentRouters(), v.Address.Addr()) && v.Address.IsSingleIP() {
		return fmt.Errorf("%w: %s is a router, and what comes through it has its address", ErrInvalid, v.Address.Addr())
	}
	for _, o := range d.list {
		if key(o.Name) == key(v.Name) || o.Address == v.Address && o.Zone == v.Zone {
			return fmt.Errorf("%w: %s at %s", ErrExists, o.Name, o.Address)
		}
	}
	if len(d.list) >= maxDevices {
		return fmt.Errorf("%w: there are %d devices already", ErrInvalid, maxDevices)
	}
	if v.Created.IsZero() {
		v.Created = time.Now().UTC().Truncate(time.Second)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := d.s.PutState(prefix+key(v.Name), b); err != nil {
		return err
	}
	d.list = append(d.list, v)
	d.sort()
	return nil
}

// Remove takes a device's leave away, from its next message on. ErrNotFound.
func (d *Devices) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return err
	}
	i := slices.IndexFunc(d.list, func(o Device) bool { return key(o.Name) == key(name) })
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err := d.s.PutState(prefix+key(name), nil); err != nil {
		return err
	}
	d.list = slices.Delete(d.list, i, i+1)
	return nil
}

// List returns the devices by name.
func (d *Devices) List() ([]Device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return nil, err
	}
	list := slices.Clone(d.list)
	slices.SortFunc(list, func(a, b Device) int { return strings.Compare(key(a.Name), key(b.Name)) })
	return list, nil
}

// Lookup finds the device that has an address, which must be that of a
// socket's peer: nothing that a client says is to be believed.
func (d *Devices) Lookup(remote netip.Addr) (n Neighbour, ok bool, err error) {
	n.Device, ok, err = d.find(remote)
	if !ok || err != nil {
		return Neighbour{}, false, err
	}
	a, err := d.s.AccountByID(n.Account)
	var p store.Profile
	if err == nil {
		p, err = a.Profile()
	}
	if errors.Is(err, store.ErrNotFound) { // a number is never given again
		n.Disabled = true
		return n, true, nil
	}
	n.Sender, n.Disabled = p.Address, p.Disabled
	return n, err == nil, err
}

func (d *Devices) find(remote netip.Addr) (Device, bool, error) {
	zone := remote.Zone()
	a := remote.WithZone("").Unmap()
	if !inHouse(a) {
		return Device{}, false, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return Device{}, false, err
	}
	for _, v := range d.list {
		if v.Address.Contains(a) && (v.Zone == "" || v.Zone == zone) {
			return v, !slices.Contains(d.currentRouters(), a), nil
		}
	}
	return Device{}, false, nil
}

// load reads the list once: nobody else writes it. A row that cannot be read
// gives nobody leave.
func (d *Devices) load() error {
	if d.read {
		return nil
	}
	var list []Device
	err := d.s.States(prefix, func(path string, b []byte) bool {
		var v Device
		err := json.Unmarshal(b, &v)
		if err == nil {
			v, err = canonical(v)
		}
		if err != nil {
			d.o.Log.Error("a device of the house cannot be read; it may not send", "path", path, "err", err)
			return true
		}
		list = append(list, v)
		return true
	})
	if err != nil {
		return err
	}
	d.list, d.read = list, true
	d.sort()
	return nil
}

// sort puts the narrowest first: it is whom the owner means.
func (d *Devices) sort() {
	slices.SortStableFunc(d.list, func(a, b Device) int { return b.Address.Bits() - a.Address.Bits() })
}

// currentRouters asks for the routers when it was long ago: a network comes up
// late, and changes.
func (d *Devices) currentRouters() []netip.Addr {
	if d.asked.IsZero() || time.Since(d.asked) > routersAge {
		d.routers, d.asked = d.o.Routers(), time.Now()
	}
	return d.routers
}

// canonical checks a device, and gives it the form in which it is kept.
func canonical(v Device) (Device, error) {
	v.Name = strings.TrimSpace(v.Name)
	if v.Name == "" || len(v.Name) > maxName || strings.ContainsFunc(v.Name, func(r rune) bool { return r == '/' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return v, fmt.Errorf("%w: the name must be 1 to %d bytes that can be printed, without a slash", ErrInvalid, maxName)
	}
	switch v.From {
	case "":
		v.From = store.RefuseFrom
	case store.RefuseFrom, store.RewriteFrom:
	default:
		return v, fmt.Errorf("%w: from must be %q or %q", ErrInvalid, store.RefuseFrom, store.RewriteFrom)
	}
	var err error
	v.Address, err = checkAddress(v.Address, v.Zone)
	return v, err
}

// checkAddress takes addresses that only the house can have, and few at once.
func checkAddress(p netip.Prefix, zone string) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, fmt.Errorf("%w: that is no address", ErrInvalid)
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%w: %s is too wide", ErrInvalid, p)
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	a := p.Addr()
	least := least4
	if a.Is6() {
		least = least6
	}
	switch local6 := a.Is6() && a.IsLinkLocalUnicast(); {
	case p.Bits() < least:
		return p, fmt.Errorf("%w: %s is too wide; at most a /%d", ErrInvalid, p, least)
	case !inHouse(a):
		return p, fmt.Errorf("%w: %s can be reached from outside; only private, link-local and loopback addresses", ErrInvalid, p)
	case local6 && zone == "": // any network that this machine is on may have it
		return p, fmt.Errorf("%w: %s needs its network, as in %s%%eth0", ErrInvalid, a, a)
	case !local6 && zone != "":
		return p, fmt.Errorf("%w: only a link-local IPv6 address has a network behind a %%", ErrInvalid)
	}
	return p, nil
}

// inHouse reports whether an address means nothing outside: RFC 1918, RFC 4193
// (ULA), link-local and loopback. Those of RFC 6598 do not count: behind them
// are the provider's other customers.
func inHouse(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback()
}

// key is a name as it is looked up.
func key(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
