package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"homemail/mail"
)

// An Account is a person's mail. It is a handle: cheap, and safe for
// concurrent use.
type Account struct {
	ID mail.AccountID
	s  *Store
}

// A Profile is what is kept about an account.
type Profile struct {
	ID       mail.AccountID `json:"id"`
	Address  mail.Path      `json:"address"` // in its key form; also the name to sign in with
	Name     string         `json:"name,omitempty"`
	Language string         `json:"language,omitempty"`
	Password string         `json:"password,omitempty"` // argon2id in PHC form, for the web; "" if none
	Devices  []Device       `json:"devices,omitempty"`
	Disabled bool           `json:"disabled,omitempty"`
	Quota    int64          `json:"quota,omitempty"` // bytes; 0 is no limit
	// KeepDays is how long a message stays after POP3 fetched it; -1 and 0 are
	// for ever, until the mail program deletes it.
	KeepDays int `json:"keep_days"`
	// Forward are addresses that get the account's mail too, here or outside.
	Forward []mail.Path `json:"forward,omitempty"`
	// SendAs are addresses elsewhere that the account may write as, in their key
	// form.
	SendAs []mail.Path `json:"send_as,omitempty"`
	// ForwardOnly keeps no copy of what was forwarded.
	ForwardOnly bool      `json:"forward_only,omitempty"`
	Created     time.Time `json:"created"`
}

// AddSendAs lets the account write as an address elsewhere.
func (p *Profile) AddSendAs(address mail.Path) {
	if !slices.Contains(p.SendAs, address.Key()) {
		p.SendAs = append(p.SendAs, address.Key())
	}
}

// DropSendAs ends that.
func (p *Profile) DropSendAs(address mail.Path) {
	p.SendAs = slices.DeleteFunc(p.SendAs, func(a mail.Path) bool { return a == address.Key() })
}

// A Device is a password that was made for one mail program. The password is
// random, so that a fast hash is as good as a slow one.
type Device struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Hash      []byte    `json:"hash"` // SHA-256
	Salt      []byte    `json:"salt"` // SCRAM-SHA-256, RFC 5802 §3 and RFC 7677
	Iter      int       `json:"iter"`
	StoredKey []byte    `json:"stored_key"`
	ServerKey []byte    `json:"server_key"`
	Created   time.Time `json:"created"`
	// From is what becomes of mail whose author or sender is not the account:
	// RefuseFrom, also if it is empty, or RewriteFrom.
	From string `json:"from,omitempty"`
}

// What a Device's From may be.
const (
	RefuseFrom  = "refuse"
	RewriteFrom = "rewrite" // the account becomes the author; for machines that cannot be set right
)

// Usage is what an account's messages take.
type Usage struct{ Bytes, Messages int64 }

// standardMailboxes are made for each account.
var standardMailboxes = []struct {
	name string
	use  mail.SpecialUse
}{
	{"INBOX", mail.Inbox}, {"Drafts", mail.Drafts}, {"Sent", mail.Sent},
	{"Junk", mail.Junk}, {"Trash", mail.Trash}, {"Archive", mail.Archive},
}

// AddAccount makes an account with its standard mailboxes. ErrExists if the
// address means something already, ErrInvalid if its domain is not ours.
func (s *Store) AddAccount(p Profile) (*Account, error) {
	p.Address = p.Address.Key()
	if p.Created.IsZero() {
		p.Created = time.Now().UTC().Truncate(time.Second)
	}
	err := s.update(toGrow, func(t *tx) error {
		if err := t.freeAddress(p.Address); err != nil {
			return err
		}
		id, err := t.next("account")
		if err != nil {
			return err
		}
		p.ID = mail.AccountID(id)
		if err := t.putProfile(p); err != nil {
			return err
		}
		t.put(ownerKey(p.ID), []byte(p.Address))
		t.putRoute(p.Address, Route{Account: p.ID})
		t.putUsage(p.ID, Usage{})
		for _, m := range standardMailboxes {
			if _, err := t.addMailbox(p.ID, m.name, m.use); err != nil {
				return err
			}
		}
		t.tell(watchKey{})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", p.Address, err)
	}
	return &Account{ID: p.ID, s: s}, nil
}

// next counts up a counter.
func (t *tx) next(name string) (uint32, error) {
	key := settingKey("next-" + name)
	n := uint32(0)
	switch v, err := t.get(key); {
	case err == nil && len(v) == 4:
		n = binary.BigEndian.Uint32(v)
	case err == nil:
		return 0, wrong("counter %s", name)
	case !errors.Is(err, ErrNotFound):
		return 0, err
	}
	t.put(key, binary.BigEndian.AppendUint32(nil, n+1))
	return n + 1, nil
}

func (t *tx) putProfile(p Profile) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	t.put(accountKey(p.Address), b)
	return nil
}

func getProfile(r reader, address mail.Path) (p Profile, err error) {
	v, err := r.get(accountKey(address))
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(v, &p); err != nil {
		return p, wrong("profile of %s: %v", address, err)
	}
	return p, nil
}

func getOwner(r reader, id mail.AccountID) (mail.Path, error) {
	v, err := r.get(ownerKey(id))
	return mail.Path(v), err
}

// Accounts returns all profiles, oldest first.
func (s *Store) Accounts() (list []Profile, err error) {
	err = s.view(func(r reader) error {
		list, err = allProfiles(r)
		return err
	})
	slices.SortFunc(list, func(a, b Profile) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}

func allProfiles(r reader) (list []Profile, err error) {
	err = r.scan([]byte{tAccount}, nil, func(k, v []byte) (bool, error) {
		var p Profile
		if err := json.Unmarshal(v, &p); err != nil {
			return false, wrong("profile %q: %v", k[1:], err)
		}
		list = append(list, p)
		return true, nil
	})
	return list, err
}

// Account returns the account with a primary address, in any case.
func (s *Store) Account(address mail.Path) (*Account, error) {
	var a *Account
	err := s.view(func(r reader) error {
		p, err := getProfile(r, address.Key())
		a = &Account{ID: p.ID, s: s}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", address, err)
	}
	return a, nil
}

// AccountByID returns an account by its number.
func (s *Store) AccountByID(id mail.AccountID) (*Account, error) {
	err := s.view(func(r reader) error {
		_, err := getOwner(r, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("account %d: %w", id, err)
	}
	return &Account{ID: id, s: s}, nil
}

// RemoveAccount removes an account with all its mail. Aliases lose it; one
// that leads to nobody else goes too.
func (s *Store) RemoveAccount(address mail.Path) error {
	err := s.update(toShrink, func(t *tx) error {
		p, err := getProfile(t, address.Key())
		if err != nil {
			return err
		}
		boxes, err := allMailboxes(t, p.ID)
		if err != nil {
			return err
		}
		for _, m := range boxes {
			if err := t.removeMailbox(p.ID, m.ID); err != nil {
				return err
			}
		}
		t.del(accountKey(p.Address))
		t.del(ownerKey(p.ID))
		t.del(routeKey(p.Address))
		t.del(usageKey(p.ID))
		for _, d := range p.Devices {
			t.del(lastUseKey(p.ID, d.ID))
		}
		for _, table := range []byte{tThread, tAnnotation, tDerived} {
			if err := t.dropAll(k(table).acct(p.ID)); err != nil {
				return err
			}
		}
		t.tell(watchKey{})
		return t.dropFromAliases(p.Address)
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", address, err)
	}
	return nil
}

// Profile returns what is kept about the account.
func (a *Account) Profile() (p Profile, err error) {
	err = a.s.view(func(r reader) error {
		address, err := getOwner(r, a.ID)
		if err == nil {
			p, err = getProfile(r, address)
		}
		return err
	})
	return p, err
}

// Update changes the profile in one transaction. Fn must not change its ID or
// address.
func (a *Account) Update(fn func(*Profile) error) error {
	return a.s.update(toChange, func(t *tx) error {
		address, err := getOwner(t, a.ID)
		if err != nil {
			return err
		}
		p, err := getProfile(t, address)
		if err != nil {
			return err
		}
		if err := fn(&p); err != nil {
			return err
		}
		if p.ID != a.ID || p.Address != address {
			return fmt.Errorf("%w: an account's number and address stay", ErrInvalid)
		}
		t.tell(watchKey{})
		return t.putProfile(p)
	})
}

func (t *tx) putUsage(id mail.AccountID, u Usage) {
	e := encoder{}
	e.int(u.Bytes)
	e.int(u.Messages)
	t.put(usageKey(id), e)
}

func getUsage(r reader, id mail.AccountID) (u Usage, err error) {
	v, err := r.get(usageKey(id))
	if err != nil {
		return u, err
	}
	d := decoder{rest: v}
	u.Bytes, u.Messages = d.int(), d.int()
	return u, d.err
}

// addUsage changes what an account's messages take.
func (t *tx) addUsage(id mail.AccountID, bytes, messages int64) error {
	u, err := getUsage(t, id)
	if err != nil {
		return err
	}
	t.putUsage(id, Usage{u.Bytes + bytes, u.Messages + messages})
	return nil
}

// Usage returns what the account's messages take.
func (a *Account) Usage() (u Usage, err error) {
	err = a.s.view(func(r reader) error {
		u, err = getUsage(r, a.ID)
		return err
	})
	return u, err
}
