package session

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
	"homemail/store"
)

// The rows of this package in the store's state.
const (
	sessionPath    = "session/token/"      // and the hash of the token
	generationPath = "session/generation/" // and the account: how often it signed out everywhere
	factorsPath    = "session/factors/"    // and the account, see factor.go
)

func accountPath(prefix string, id mail.AccountID) string {
	return prefix + strconv.FormatUint(uint64(id), 10)
}

// A row is a session as it is kept.
type row struct {
	Account mail.AccountID `json:"account"`
	// Bind is of the credentials that the session began with: their change ends
	// it, whoever makes it.
	Bind      []byte        `json:"bind"`
	Born      time.Duration `json:"born"` // these three by the steady clock
	Seen      time.Duration `json:"seen"`
	Auth      time.Duration `json:"auth"` // when the person proved who they are
	Created   time.Time     `json:"created"`
	SeenWall  time.Time     `json:"seen_wall"`
	Remote    string        `json:"remote"`
	Browser   string        `json:"browser"`
	Method    Method        `json:"method"`
	Remember  bool          `json:"remember,omitempty"`
	Encrypted bool          `json:"encrypted,omitempty"` // it began over HTTPS, and is good for nothing else
}

// A sight is when and where a session was used.
type sight struct {
	at     time.Duration
	wall   time.Time
	remote string
}

// bind is what sessions of an account are bound to now.
func (m *Manager) bind(p store.Profile) ([]byte, error) {
	n, err := m.generation(p.ID)
	return bindTo(n, p.Password), err
}

// bindTo derives what a session is bound to: the account's generation and its
// password, as it is hashed with its salt.
func bindTo(generation uint64, phc string) []byte {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, generation), phc...))
	return sum[:16]
}

func (m *Manager) generation(id mail.AccountID) (uint64, error) {
	b, err := m.store.State(accountPath(generationPath, id))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(b) != 8 {
		err = store.ErrCorrupt
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// EndAll ends all sessions of an account, and sign-ins that wait for their
// second factor.
func (m *Manager) EndAll(id mail.AccountID) error {
	_, err := m.endAll(id)
	return err
}

func (m *Manager) endAll(id mail.AccountID) (generation uint64, err error) {
	err = m.store.UpdateState(accountPath(generationPath, id), func(old []byte) ([]byte, error) {
		generation = 1
		if len(old) == 8 {
			generation += binary.BigEndian.Uint64(old)
		}
		return binary.BigEndian.AppendUint64(nil, generation), nil
	})
	if err != nil {
		return 0, err
	}
	m.dropPending(id)
	return generation, m.recheck()
}

// End ends one session of an account, by its ID. store.ErrNotFound.
func (m *Manager) End(account mail.AccountID, id string) error {
	list, err := m.List(account)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.ID == id {
			return m.end(s.hash)
		}
	}
	return store.ErrNotFound
}

func (m *Manager) end(hash string) error {
	if err := m.store.PutState(sessionPath+hash, nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, hash)
	m.cut(hash)
	return nil
}

// EndOthers ends all sessions of an account but s, which goes on under the
// token of the result.
func (m *Manager) EndOthers(from From, s *Session) (Result, error) {
	p, err := profile(m.store, s.Account)
	if err != nil {
		return Result{}, err
	}
	n, err := m.endAll(s.Account)
	if err != nil {
		return Result{}, err
	}
	return m.renew(from, s, bindTo(n-1, p.Password), bindTo(n, p.Password), s.auth)
}

// Lookup finds the session of a token. It returns nil without an error if there
// is none, or none any more: if the account is disabled or gone, the session
// ended or too old.
func (m *Manager) Lookup(token string, encrypted bool) (*Session, error) {
	hash, ok := hashToken(token)
	if !ok {
		return nil, nil
	}
	r, err := m.row(hash)
	if err != nil || r == nil || r.Encrypted != encrypted {
		return nil, err
	}
	s, err := m.check(hash, *r)
	if s != nil {
		s.CSRF = csrf(token)
	}
	return s, err
}

func (m *Manager) row(hash string) (*row, error) {
	b, err := m.store.State(sessionPath + hash)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r row
	if json.Unmarshal(b, &r) != nil {
		return nil, nil // it is nobody's; sweep takes it away
	}
	return &r, nil
}

// check returns the session of a row, nil if it is over.
func (m *Manager) check(hash string, r row) (*Session, error) {
	p, err := profile(m.store, r.Account)
	if err != nil || p.Disabled {
		return nil, err
	}
	bound, err := m.bind(p)
	if err != nil || !bytes.Equal(bound, r.Bind) {
		return nil, err
	}
	owner, err := m.Owners.Is(r.Account)
	if err != nil {
		return nil, err
	}
	now, err := m.steady.Now()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	if s, ok := m.seen[hash]; ok && s.at > r.Seen {
		r.Seen, r.SeenWall, r.Remote = s.at, s.wall, s.remote
	}
	m.mu.Unlock()
	if now-r.Seen > idleFor(owner, r.Remember) || now-r.Born > absolute {
		return nil, nil
	}
	s := &Session{
		ID: hash[:16], Account: p.ID, Address: p.Address, Name: p.Name, Language: p.Language, Role: Person, Method: r.Method,
		Created: r.Created, Seen: r.SeenWall.Truncate(time.Hour), Remote: r.Remote, Browser: r.Browser, Remember: r.Remember,
		hash: hash, auth: r.Auth, last: r.Seen, now: now,
	}
	if owner {
		s.Role = Owner
	}
	return s, nil
}

func idleFor(owner, remember bool) time.Duration {
	if owner && !remember {
		return idleOwner
	}
	return idle
}

// List returns the sessions of an account, or of all with account 0, the
// latest used first.
func (m *Manager) List(account mail.AccountID) (list []*Session, err error) {
	var errs error
	err = m.each(func(hash string, r *row) {
		if r == nil || account != 0 && r.Account != account {
			return
		}
		s, err := m.check(hash, *r)
		errs = errors.Join(errs, err)
		if s != nil {
			list = append(list, s)
		}
	})
	slices.SortFunc(list, func(a, b *Session) int {
		return cmp.Or(b.Seen.Compare(a.Seen), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return list, errors.Join(err, errs)
}

// each gives fn all rows, nil for one that cannot be read.
func (m *Manager) each(fn func(hash string, r *row)) error {
	return m.store.States(sessionPath, func(path string, v []byte) bool {
		r := new(row)
		if json.Unmarshal(v, r) != nil {
			r = nil
		}
		fn(strings.TrimPrefix(path, sessionPath), r)
		return true
	})
}

// put keeps a session under a new token, and makes room for it.
func (m *Manager) put(r row) (token string, err error) {
	token = newToken()
	hash, _ := hashToken(token)
	b, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	if err := m.store.PutState(sessionPath+hash, b); err != nil {
		return "", err
	}
	return token, m.bound(r.Account)
}

// bound ends those sessions of an account that are too many.
func (m *Manager) bound(account mail.AccountID) error {
	type aged struct {
		hash string
		seen time.Duration
	}
	var list []aged
	m.mu.Lock()
	seen := make(map[string]time.Duration, len(m.seen))
	for hash, s := range m.seen {
		seen[hash] = s.at
	}
	m.mu.Unlock()
	err := m.each(func(hash string, r *row) {
		if r != nil && r.Account == account {
			list = append(list, aged{hash, max(r.Seen, seen[hash])})
		}
	})
	slices.SortFunc(list, func(a, b aged) int { return cmp.Compare(b.seen, a.seen) })
	for _, a := range list[min(len(list), perAccount):] {
		err = errors.Join(err, m.end(a.hash))
	}
	return err
}
