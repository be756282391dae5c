package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"

	"homemail/mail"
	"homemail/store"
)

// A Kind is the protocol by which mail is fetched.
type Kind string

// The kinds.
const (
	IMAP Kind = "imap"
	POP3 Kind = "pop3"
)

// A Security is how a connection gets TLS; there is none without, RFC 8314.
type Security string

// The securities.
const (
	Implicit Security = "implicit" // from the first byte on
	StartTLS Security = "starttls" // STARTTLS, or STLS in POP3
)

// Forever as KeepDays deletes nothing.
const Forever = -1

// An Account is one that a person has elsewhere.
type Account struct {
	ID       string         `json:"id"`
	Address  mail.Path      `json:"address"` // its address there
	Into     mail.AccountID `json:"into"`    // whose mail it is here
	Mailbox  string         `json:"mailbox,omitempty"`
	Kind     Kind           `json:"kind"`
	Host     string         `json:"host"`
	Port     int            `json:"port"`
	TLS      Security       `json:"tls"`
	User     string         `json:"user"`
	Folders  []Folder       `json:"folders,omitempty"` // IMAP; INBOX alone if empty
	Junk     string         `json:"junk,omitempty"`    // IMAP: the folder there that comes into Junk here
	KeepDays int            `json:"keep_days"`         // after fetching; Forever, or 0 to delete at once
	SendVia  string         `json:"send_via,omitempty"`
	Paused   bool           `json:"paused,omitempty"`
	// Secrets counts the passwords, so that a new one makes a new worker.
	Secrets int `json:"secrets"`
}

// A Folder is a mailbox there and one here; Here may be "" for the account's.
type Folder struct {
	There string `json:"there"`
	Here  string `json:"here,omitempty"`
}

func (a Account) same(o Account) bool { return reflect.DeepEqual(a, o) }

func (a Account) target() string { return net.JoinHostPort(a.Host, fmt.Sprint(a.Port)) }

// folders are the mailboxes to fetch, each once.
func (a Account) folders() (list []folder) {
	switch {
	case a.Kind == POP3:
		return []folder{{there: "INBOX", here: a.Mailbox}}
	case len(a.Folders) == 0:
		list = append(list, folder{there: "INBOX", here: a.Mailbox})
	}
	for _, f := range a.Folders {
		if f.There == a.Junk {
			continue
		}
		here := f.Here
		if here == "" {
			here = a.Mailbox
		}
		list = append(list, folder{there: f.There, here: here})
	}
	if a.Junk != "" {
		list = append(list, folder{there: a.Junk, junk: true})
	}
	return list
}

// A folder is what one visit of a mailbox is about.
type folder struct {
	there, here string
	junk        bool
}

// Limits of what an owner may type: far above sense, and far below harm.
const (
	maxField    = 255
	maxPassword = 4 << 10 // tokens are long
	maxFolders  = 50
	maxKeep     = 3650 // days
)

// ErrInvalid says that the settings of an account cannot be. Its words are for
// people.
var ErrInvalid = errors.New("not a possible setting")

// check looks at what can be known without a connection.
func (a *Account) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	for _, s := range []string{a.Host, a.User, a.Mailbox, a.Junk, a.SendVia} {
		if len(s) > maxField || strings.ContainsFunc(s, isControl) {
			return bad("%.40q is too long or has characters that cannot be", s)
		}
	}
	for _, f := range a.Folders {
		if f.There == "" || len(f.There) > maxField || len(f.Here) > maxField || strings.ContainsFunc(f.There+f.Here, isControl) {
			return bad("the mailbox name %.40q", f.There)
		}
	}
	if _, err := mail.ParsePath(string(a.Address)); err != nil {
		return bad("the address: %v", err)
	}
	switch {
	case a.Kind != IMAP && a.Kind != POP3:
		return bad("the kind is %q or %q", IMAP, POP3)
	case a.TLS != Implicit && a.TLS != StartTLS:
		return bad("the security is %q or %q; without TLS the password would be told to everybody on the way", Implicit, StartTLS)
	case a.Host == "":
		return bad("the server's name is missing")
	case a.User == "":
		return bad("the name to sign in with is missing")
	case a.Port < 0 || a.Port > 65535:
		return bad("the port is between 1 and 65535")
	case a.KeepDays < Forever || a.KeepDays > maxKeep:
		return bad("messages stay on the server for ever (%d), or up to %d days", Forever, maxKeep)
	case a.Into == 0:
		return bad("it is not said whose mail it is")
	case len(a.Folders) > maxFolders:
		return bad("at most %d mailboxes can be fetched", maxFolders)
	case a.Kind == POP3 && (len(a.Folders) > 0 || a.Junk != ""):
		return bad("POP3 knows one mailbox only; choose IMAP to fetch more")
	}
	return nil
}

// checkPassword refuses what could be more than one line of a command.
func checkPassword(p string) error {
	if len(p) > maxPassword || strings.ContainsFunc(p, isControl) {
		return fmt.Errorf("%w: the password is too long or has characters that cannot be", ErrInvalid)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// fill sets the port that was left out.
func (a *Account) fill() {
	if a.Port == 0 {
		a.Port = map[Kind]map[Security]int{
			IMAP: {Implicit: 993, StartTLS: 143},
			POP3: {Implicit: 995, StartTLS: 110},
		}[a.Kind][a.TLS]
	}
}

// Where accounts, passwords and notes are in the store's state.
const (
	accountsAt = "bridge/account/"
	secretsAt  = "bridge/secret/"
	notesAt    = "bridge/note/"
)

func accountPath(id string) string { return accountsAt + id }
func secretPath(id string) string  { return secretsAt + id }

// List returns the accounts elsewhere.
func (b *Bridge) List() (list []Account, err error) {
	err = b.s.States(accountsAt, func(path string, v []byte) bool {
		var a Account
		if err := json.Unmarshal(v, &a); err != nil {
			b.o.Log.Error("an account elsewhere is damaged and left out", "path", path, "err", err)
			return true
		}
		a.ID = strings.TrimPrefix(path, accountsAt)
		list = append(list, a)
		return true
	})
	return list, err
}

func (b *Bridge) account(id string) (a Account, err error) {
	v, err := b.s.State(accountPath(id))
	if err != nil {
		return a, fmt.Errorf("account elsewhere %q: %w", id, err)
	}
	err = json.Unmarshal(v, &a)
	a.ID = id
	return a, err
}

// Add keeps an account and its password, and starts to fetch. It returns the
// account's new ID. Check should have been asked before.
func (b *Bridge) Add(a Account, password string) (string, error) {
	id := make([]byte, 6)
	rand.Read(id)
	a.ID, a.Secrets = hex.EncodeToString(id), 0
	list, err := b.List()
	if err != nil {
		return "", err
	}
	for _, o := range list {
		if o.Address.Key() == a.Address.Key() && o.Into == a.Into { // each message would come twice
			return "", fmt.Errorf("%w: %s is fetched already", ErrInvalid, a.Address)
		}
	}
	return a.ID, b.put(a, password, accountPath(a.ID))
}

// Change keeps other settings of an account that is there. An empty password
// leaves it as it is.
func (b *Bridge) Change(a Account, password string) error {
	old, err := b.account(a.ID)
	if err != nil {
		return err
	}
	a.Secrets = old.Secrets
	if password != "" {
		a.Secrets++
	}
	return b.put(a, password, "")
}

func (b *Bridge) put(a Account, password, unless string) error {
	a.fill()
	if err := a.check(); err != nil {
		return err
	}
	if _, err := b.s.AccountByID(a.Into); err != nil {
		return err
	}
	v, err := json.Marshal(a)
	if err != nil {
		return err
	}
	rows := map[string][]byte{accountPath(a.ID): v}
	if err := checkPassword(password); err != nil {
		return err
	}
	if password != "" {
		path := secretPath(a.ID)
		if rows[path], err = b.s.SealSecret(path, []byte(password)); err != nil {
			return err
		}
	}
	if _, err := b.s.Commit(nil, store.Batch{State: rows, Unless: unless}); err != nil {
		return err
	}
	b.tell()
	return nil
}

// Pause stops fetching for an account, or lets it go on.
func (b *Bridge) Pause(id string, on bool) error {
	a, err := b.account(id)
	if err != nil || a.Paused == on {
		return err
	}
	a.Paused = on
	return b.put(a, "", "")
}

// Remove forgets an account, its password and its notes. Mail that was fetched
// stays, here and there.
func (b *Bridge) Remove(id string) error {
	if _, err := b.account(id); err != nil {
		return err
	}
	rows := map[string][]byte{accountPath(id): nil, secretPath(id): nil}
	if _, err := b.s.Commit(nil, store.Batch{State: rows}); err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.status, id)
	b.mu.Unlock()
	b.tell()
	return b.forget(notesAt + id + "/")
}

// sweep forgets the notes of accounts that are gone.
func (b *Bridge) sweep() error {
	gone := map[string]bool{}
	err := b.s.States(notesAt, func(path string, _ []byte) bool {
		id, _, _ := strings.Cut(strings.TrimPrefix(path, notesAt), "/")
		if _, seen := gone[id]; !seen {
			_, err := b.s.State(accountPath(id)) // also one that is damaged is there
			gone[id] = errors.Is(err, store.ErrNotFound)
		}
		return true
	})
	for id, is := range gone {
		if is {
			err = errors.Join(err, b.forget(notesAt+id+"/"))
		}
	}
	return err
}

// forget removes all rows below a path, some at a time.
func (b *Bridge) forget(prefix string) error {
	rows := newRows(b.s)
	err := b.s.States(prefix, func(path string, _ []byte) bool { return rows.put(path, nil) })
	return errors.Join(err, rows.flush())
}

func (b *Bridge) password(id string) (string, error) {
	path := secretPath(id)
	v, err := b.s.State(path)
	if errors.Is(err, store.ErrNotFound) {
		return "", fmt.Errorf("%w: no password is kept for it", errRefused)
	}
	if err != nil {
		return "", err
	}
	secret, err := b.s.OpenSecret(path, v)
	return string(secret), err
}

// SendVia names the smarthost by which mail from an address is to leave: the
// one of the provider that the address belongs to. It is "" if no account has
// the address or none is set.
func (b *Bridge) SendVia(from mail.Path) (string, error) {
	list, err := b.List()
	for _, a := range list {
		if a.SendVia != "" && a.Address.Key() == from.Key() {
			return a.SendVia, nil
		}
	}
	return "", err
}
