package zones

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"homemail/address"
	"homemail/store"
)

// A Name is a host name at a dyndns2 service. Its password is never in it.
type Name struct {
	Host    string    `json:"host"`
	Service string    `json:"service"` // id of one that address.Services has, or a server
	User    string    `json:"user"`
	Set     time.Time `json:"set"` // with this password
	Trouble string    `json:"trouble,omitempty"`
}

// service finds what a name's service is.
func service(id string) (address.Service, error) {
	var known []string
	for _, s := range address.Services() {
		if s.ID == id {
			return s, nil
		}
		known = append(known, s.ID)
	}
	if !strings.Contains(id, ".") {
		return address.Service{}, fmt.Errorf("%w: there is no service %q; known are %s, or say a server such as dyndns.example.net", store.ErrInvalid, id, strings.Join(known, ", "))
	}
	s, err := address.Custom(id)
	if err != nil {
		return s, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return s, nil
}

// Names lists the names at dyndns2 services.
func (b *Book) Names() (list []Name, err error) {
	err = b.s.States(dyndnsPath, func(path string, v []byte) bool {
		host := strings.TrimPrefix(path, dyndnsPath)
		var n Name
		if json.Unmarshal(v, &n) != nil || n.Service == "" {
			n = Name{Trouble: "what was kept of it is damaged: add it again"}
		}
		n.Host = host
		list = append(list, n)
		return true
	})
	return list, err
}

// SetName keeps a name and its password, in place of what was kept of it.
func (b *Book) SetName(n Name, password string) (err error) {
	if n.Host, err = Canonical(n.Host); err != nil {
		return err
	}
	if _, err := service(n.Service); err != nil {
		return err
	}
	if n.User == "" || password == "" || strings.ContainsAny(n.User, ":\r\n") { // RFC 7617 §2: no colon in a user's name
		return fmt.Errorf("%w: a user name and a password are needed", store.ErrInvalid)
	}
	n.Set, n.Trouble = time.Now().UTC().Round(0), ""
	v, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return b.seal(dyndnsPath+n.Host, v, passwordPath+n.Host, []byte(password))
}

// RemoveName forgets a name and its password.
func (b *Book) RemoveName(host string) error {
	host, err := Canonical(host)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.s.State(dyndnsPath + host); errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%s: %w", host, err)
	}
	return b.commit(map[string][]byte{dyndnsPath + host: nil, passwordPath + host: nil})
}

// Dyndns makes what updates a name. With an error it still has its name.
func (b *Book) Dyndns(n Name) (*address.Dyndns, error) {
	d := &address.Dyndns{Service: address.Service{ID: n.Service}, Host: n.Host, User: n.User, Client: b.client}
	if n.Trouble != "" {
		return d, fmt.Errorf("%s: %s", n.Host, n.Trouble)
	}
	s, err := service(n.Service)
	if err != nil {
		return d, err
	}
	d.Service = s
	password, err := b.unseal(passwordPath + n.Host)
	if err != nil {
		return d, fmt.Errorf("%s: %w", n.Host, err)
	}
	d.Password = string(password)
	return d, nil
}
