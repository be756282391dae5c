// Package outbound keeps how mail leaves the house, in the store: routes,
// smarthosts with their passwords, and the keys that mail is signed with. It
// sends nothing.
package outbound

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"homemail/mail"
	"homemail/relay"
	"homemail/store"
)

// Where it is kept.
const (
	routePath     = "route/"      // + domain, "" for all others
	senderPath    = "route-from/" // + address
	smarthostPath = "smarthost/"  // + name
	passwordPath  = "smarthost-password/"
)

// A Book is what the house knows of its ways out. It is safe for concurrent
// use, and all of its changes are on disk when they return.
type Book struct {
	s *store.Store

	mu     sync.Mutex
	routes relay.Routes // never changed in place: who has it may keep it
}

// A Smarthost is a server that takes our mail for everywhere, as its owner
// enters it. See relay.Smarthost.
type Smarthost struct {
	Name      string   `json:"name"`
	Preset    string   `json:"preset,omitempty"`
	Host      string   `json:"host"`
	Port      int      `json:"port"`
	TLS       string   `json:"tls"`
	User      string   `json:"user,omitempty"`
	Mechanism string   `json:"mechanism,omitempty"`
	Pin       string   `json:"pin,omitempty"`
	From      []string `json:"from,omitempty"`
}

// Open reads what is kept in a store.
func Open(s *store.Store) (*Book, error) {
	b := &Book{s: s}
	return b, b.load()
}

// load reads everything anew: it is little, and changes once a month. A row that
// is damaged closes the way that it was for: mail waits there, and the house
// goes on.
func (b *Book) load() error {
	r := relay.Routes{ByDomain: map[string]relay.Route{}, BySender: map[mail.Path]string{}, Smarthosts: map[string]relay.Smarthost{}}
	err := errors.Join(b.s.States(routePath, func(path string, v []byte) bool {
		var route relay.Route
		if json.Unmarshal(v, &route) != nil {
			route = relay.Route{Way: relay.Off}
		}
		if domain := strings.TrimPrefix(path, routePath); domain == "" {
			r.Default = route
		} else {
			r.ByDomain[domain] = route
		}
		return true
	}), b.s.States(senderPath, func(path string, v []byte) bool {
		r.BySender[mail.Path(strings.TrimPrefix(path, senderPath))] = string(v) // "" is no smarthost
		return true
	}), b.s.States(smarthostPath, func(path string, v []byte) bool {
		var h Smarthost
		if json.Unmarshal(v, &h) == nil {
			r.Smarthosts[h.Name] = b.toRelay(h, b.password(h.Name))
		}
		return true
	}))
	if err != nil {
		return fmt.Errorf("reading how mail leaves: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.routes = r
	return nil
}

func (b *Book) toRelay(h Smarthost, secret func() (string, error)) relay.Smarthost {
	return relay.Smarthost{Name: h.Name, Host: h.Host, Port: h.Port, TLS: h.TLS, User: h.User,
		Secret: secret, Mechanism: h.Mechanism, Pin: h.Pin, From: h.From}
}

// password reads a password only when it is needed.
func (b *Book) password(name string) func() (string, error) {
	return func() (string, error) {
		sealed, err := b.s.State(passwordPath + name)
		if err != nil {
			return "", err
		}
		v, err := b.s.OpenSecret(passwordPath+name, sealed)
		return string(v), err
	}
}

// Routes are the routes in force. They must not be changed.
func (b *Book) Routes() relay.Routes {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routes
}

// Way returns nil if there is a way out for mail from one path to another.
func (b *Book) Way(from, to mail.Path) error {
	r := b.Routes()
	if _, ok := r.BySender[from.Key()]; ok {
		return nil
	}
	if r.For(to.Domain()).Way == relay.Off {
		return fmt.Errorf("no route for %s", to.Domain())
	}
	return nil
}

// SetRoute says how mail for a domain leaves; "" stands for all that have no
// route of their own, ".example.org" for what is below example.org.
func (b *Book) SetRoute(domain string, r relay.Route) error {
	path, err := pathOf(domain)
	if err != nil {
		return err
	}
	switch r.Way {
	case relay.Off, relay.Direct:
		r.Smarthost, r.After = "", 0
	case relay.Via, relay.DirectThenVia:
		if _, ok := b.Routes().Smarthosts[r.Smarthost]; !ok {
			return fmt.Errorf("%w: there is no smarthost %q", store.ErrInvalid, r.Smarthost)
		}
	default:
		return fmt.Errorf("%w: there is no way %q", store.ErrInvalid, r.Way)
	}
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.put(path, v)
}

// pathOf is where the route of a domain is kept.
func pathOf(domain string) (string, error) {
	if domain == "" {
		return routePath, nil
	}
	name, below := strings.CutPrefix(strings.TrimPrefix(domain, "*"), ".")
	p, err := mail.ParsePath("x@" + name)
	if err != nil {
		return "", fmt.Errorf("%w: %q is not a domain", store.ErrInvalid, domain)
	}
	if below {
		return routePath + "." + p.Domain(), nil
	}
	return routePath + p.Domain(), nil
}

// RemoveRoute lets a domain leave like all others.
func (b *Book) RemoveRoute(domain string) error {
	path, err := pathOf(domain)
	if err != nil {
		return err
	}
	if _, err := b.s.State(path); err != nil {
		return fmt.Errorf("route of %s: %w", domain, store.ErrNotFound)
	}
	return b.put(path, nil)
}

// SetSender sends all mail of an address that is hosted elsewhere through a
// smarthost, "" for none.
func (b *Book) SetSender(address mail.Path, smarthost string) error {
	if smarthost == "" {
		return b.put(senderPath+string(address.Key()), nil)
	}
	if _, err := mail.ParsePath(string(address)); err != nil {
		return fmt.Errorf("%w: %q: %w", store.ErrInvalid, address, err)
	}
	if _, ok := b.Routes().Smarthosts[smarthost]; !ok {
		return fmt.Errorf("%w: there is no smarthost %q", store.ErrInvalid, smarthost)
	}
	return b.put(senderPath+string(address.Key()), []byte(smarthost))
}

func (b *Book) put(path string, v []byte) error {
	if err := b.s.PutState(path, v); err != nil {
		return err
	}
	return b.load()
}

// Smarthosts lists them by name.
func (b *Book) Smarthosts() (list []Smarthost, err error) {
	var bad error
	err = b.s.States(smarthostPath, func(path string, v []byte) bool {
		var h Smarthost
		bad = errors.Join(bad, json.Unmarshal(v, &h))
		list = append(list, h)
		return true
	})
	return list, errors.Join(err, bad)
}

// Smarthost returns one of them.
func (b *Book) Smarthost(name string) (relay.Smarthost, error) {
	h, ok := b.Routes().Smarthosts[name]
	if !ok {
		return h, fmt.Errorf("smarthost %s: %w", name, store.ErrNotFound)
	}
	return h, nil
}

// Trial is a smarthost with a password that is not kept yet, to be tried.
func (b *Book) Trial(h Smarthost, password string) relay.Smarthost {
	return b.toRelay(h, func() (string, error) { return password, nil })
}

// SaveSmarthost keeps a smarthost and its password, in one commit.
func (b *Book) SaveSmarthost(h Smarthost, password string) error {
	if h.Name == "" || strings.ContainsAny(h.Name, "/: \t\r\n") || len(h.Name) > 100 {
		return fmt.Errorf("%w: %q cannot be the name of a smarthost", store.ErrInvalid, h.Name)
	}
	v, err := json.Marshal(h)
	if err != nil {
		return err
	}
	sealed, err := b.s.SealSecret(passwordPath+h.Name, []byte(password))
	if err != nil {
		return err
	}
	if _, err := b.s.Commit(nil, store.Batch{State: map[string][]byte{smarthostPath + h.Name: v, passwordPath + h.Name: sealed}}); err != nil {
		return err
	}
	return b.load()
}

// RemoveSmarthost forgets a smarthost that no route uses.
func (b *Book) RemoveSmarthost(name string) error {
	r := b.Routes()
	if _, ok := r.Smarthosts[name]; !ok {
		return fmt.Errorf("smarthost %s: %w", name, store.ErrNotFound)
	}
	for _, route := range append(slices.Collect(maps.Values(r.ByDomain)), r.Default) {
		if route.Smarthost == name {
			return fmt.Errorf("%w: a route uses the smarthost %s", store.ErrInvalid, name)
		}
	}
	for address, s := range r.BySender {
		if s == name {
			return fmt.Errorf("%w: mail of %s goes through the smarthost %s", store.ErrInvalid, address, name)
		}
	}
	if _, err := b.s.Commit(nil, store.Batch{State: map[string][]byte{smarthostPath + name: nil, passwordPath + name: nil}}); err != nil {
		return err
	}
	return b.load()
}
