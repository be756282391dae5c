package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/store"
	"homemail/words"
)

// Token is a token of the JSON API as an owner sees it: never what it is.
type Token struct {
	Name     string    `json:"name"`
	Scopes   []Scope   `json:"scopes"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`  // zero is never
	LastUse  time.Time `json:"last_use,omitzero"` // to the hour
	LastFrom string    `json:"last_from,omitempty"`
}

// AddToken is the request for a token.
type AddToken struct {
	Name    string    `json:"name"`
	Scopes  []Scope   `json:"scopes"`
	Expires time.Time `json:"expires,omitzero"` // zero is never
}

// NewToken is a token, shown this once.
type NewToken struct {
	Token
	Secret string `json:"token"`
}

// tokenOperations has what can be asked for about tokens.
func tokenOperations() map[string]operation {
	return map[string]operation{
		"token.add":    op((*House).addToken),
		"token.list":   op((*House).listTokens),
		"token.remove": op((*House).removeToken),
	}
}

func (h *House) addToken(_ context.Context, q AddToken) (NewToken, error) {
	return NewTokens(h.Store).Add(q)
}

func (h *House) listTokens(context.Context, Empty) ([]Token, error) { return NewTokens(h.Store).List() }

func (h *House) removeToken(_ context.Context, q Name) (Empty, error) {
	return Empty{}, NewTokens(h.Store).Remove(q.Name)
}

const (
	tokenPrefix   = "hm_"        // what a secret scanner knows it by
	tokenBytes    = 32           // 256 bits: nobody guesses, so that a plain hash will do
	tokensMax     = 50           // each request reads them all
	tokenNameMax  = 100          // octets
	tokensPath    = "api/tokens" // of state: all of them in one row, so that each change sees the others
	tokenUseEvery = time.Hour    // more often would be a write for each request
	tokenLife     = 10 * 365 * 24 * time.Hour
)

// ErrNoToken says that a token is not one of ours, or not any more: the same for
// all, on purpose.
var ErrNoToken = words.Because(nil, "admin.no-token")

// Tokens are who may use the JSON API. They have no state but in the store.
type Tokens struct{ store *store.Store }

// NewTokens returns the tokens of a store.
func NewTokens(s *store.Store) *Tokens { return &Tokens{s} }

// A keptToken is a token in the store.
type keptToken struct {
	Token
	Hash []byte `json:"hash"` // SHA-256 of all of it, with its prefix
}

func decodeTokens(row []byte) (list []keptToken, err error) {
	if row == nil {
		return nil, nil
	}
	if err := json.Unmarshal(row, &list); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", tokensPath, store.ErrCorrupt, err)
	}
	return list, nil
}

// all reads the tokens; there need not be any.
func (t *Tokens) all() ([]keptToken, error) {
	row, err := t.store.State(tokensPath)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return decodeTokens(row)
}

// update changes the tokens in one transaction.
func (t *Tokens) update(fn func([]keptToken) ([]keptToken, error)) error {
	return t.store.UpdateState(tokensPath, func(row []byte) ([]byte, error) {
		list, err := decodeTokens(row)
		if err != nil {
			return nil, err
		}
		if list, err = fn(list); err != nil || len(list) == 0 {
			return nil, err
		}
		return json.Marshal(list)
	})
}

// Add makes a token.
func (t *Tokens) Add(q AddToken) (NewToken, error) {
	now := time.Now()
	if err := q.check(now); err != nil {
		return NewToken{}, err
	}
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails, crypto/rand
	secret := tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(secret))
	made := Token{Name: q.Name, Scopes: q.Scopes, Created: now.UTC().Truncate(time.Second), Expires: q.Expires.UTC()}
	err := t.update(func(list []keptToken) ([]keptToken, error) {
		if len(list) >= tokensMax {
			return nil, words.Because(store.ErrInvalid, "admin.tokens-most", "most", tokensMax)
		}
		if slices.ContainsFunc(list, func(k keptToken) bool { return k.Name == q.Name }) {
			return nil, words.Because(store.ErrExists, "admin.token-exists", "name", q.Name)
		}
		return append(list, keptToken{made, sum[:]}), nil
	})
	if err != nil {
		return NewToken{}, err
	}
	return NewToken{made, secret}, nil
}

func (q AddToken) check(now time.Time) error {
	if q.Name == "" || len(q.Name) > tokenNameMax || strings.ContainsFunc(q.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
		return words.Because(store.ErrInvalid, "admin.token-name", "most", tokenNameMax)
	}
	if len(q.Scopes) == 0 {
		return words.Because(store.ErrInvalid, "admin.token-scope", "list", Scopes())
	}
	for i, s := range q.Scopes {
		if !slices.Contains(Scopes(), s) || slices.Contains(q.Scopes[:i], s) {
			return words.Because(store.ErrInvalid, "admin.token-scopes", "list", Scopes(), "name", s)
		}
	}
	if !q.Expires.IsZero() && (q.Expires.Before(now) || q.Expires.After(now.Add(tokenLife))) {
		return words.Because(store.ErrInvalid, "admin.token-life")
	}
	return nil
}

// List lists the tokens by name.
func (t *Tokens) List() ([]Token, error) {
	kept, err := t.all()
	list := []Token{}
	for _, k := range kept {
		list = append(list, k.Token)
	}
	slices.SortFunc(list, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// Remove takes a token back. The next request with it is refused.
func (t *Tokens) Remove(name string) error {
	return t.update(func(list []keptToken) ([]keptToken, error) {
		left := slices.DeleteFunc(slices.Clone(list), func(k keptToken) bool { return k.Name == name })
		if len(left) == len(list) {
			return nil, words.Because(store.ErrNotFound, "admin.token-gone", "name", name)
		}
		return left, nil
	})
}

// Use returns what a token is, or ErrNoToken, and notes that it was used. It takes
// as long for one that is nearly right as for any other.
func (t *Tokens) Use(secret string, from netip.Addr) (Token, error) {
	list, err := t.all()
	if err != nil {
		return Token{}, err
	}
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i, k := range list {
		if subtle.ConstantTimeCompare(k.Hash, sum[:]) == 1 {
			found = i
		}
	}
	now := time.Now()
	if found < 0 || list[found].over(now) {
		return Token{}, ErrNoToken
	}
	k := list[found].Token
	if hour := now.UTC().Truncate(tokenUseEvery); !hour.Equal(k.LastUse) {
		t.used(k.Name, hour, from)
	}
	return k, nil
}

// over reports whether a token has expired. Where the clock has gone back before
// the token was made, nobody can tell, and it has.
func (k Token) over(now time.Time) bool {
	return !k.Expires.IsZero() && (!now.Before(k.Expires) || now.Before(k.Created))
}

// used notes a use. That it cannot be noted, as on a full disk, is no reason to
// refuse what was asked.
func (t *Tokens) used(name string, hour time.Time, from netip.Addr) {
	_ = t.update(func(list []keptToken) ([]keptToken, error) {
		for i := range list {
			if list[i].Name == name {
				list[i].LastUse, list[i].LastFrom = hour, from.String()
			}
		}
		return list, nil
	})
}
