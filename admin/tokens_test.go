package admin

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/store"
)

var here = netip.MustParseAddr("192.168.1.5")

func TestTokens(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	tokens := NewTokens(s)
	if list, err := tokens.List(); err != nil || list == nil || len(list) != 0 {
		t.Errorf("no tokens: %v, %v", list, err)
	}
	if _, err := tokens.Use("", here); !errors.Is(err, ErrNoToken) {
		t.Errorf("no token at all: %v", err)
	}
	made, err := tokens.Add(AddToken{Name: "grafana", Scopes: []Scope{ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := tokens.Add(AddToken{Name: "script", Scopes: []Scope{ScopePeople, ScopeMail}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Secret, "hm_") || len(made.Secret) != 46 || made.Secret == other.Secret {
		t.Errorf("tokens %q and %q", made.Secret, other.Secret)
	}
	row, err := s.State(tokensPath)
	if err != nil || strings.Contains(string(row), made.Secret) || strings.Contains(string(row), made.Secret[3:]) {
		t.Errorf("the store has the token: %s, %v", row, err)
	}
	if got, err := tokens.Use(other.Secret, here); err != nil || got.Name != "script" || !slices.Equal(got.Scopes, other.Scopes) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, wrong := range []string{"", "hm_", made.Secret[3:], made.Secret + "A", made.Secret[:45], strings.ToLower(made.Secret), " " + made.Secret} {
		if _, err := tokens.Use(wrong, here); !errors.Is(err, ErrNoToken) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := tokens.Add(AddToken{Name: "script", Scopes: []Scope{ScopeAll}}); !errors.Is(err, store.ErrExists) {
		t.Errorf("a name twice: %v", err)
	}
	list, err := tokens.List()
	if err != nil || len(list) != 2 || list[0].Name != "grafana" || !list[0].LastUse.IsZero() || list[1].LastUse.IsZero() || list[1].LastFrom != here.String() {
		t.Errorf("%+v, %v", list, err)
	}
	if err := tokens.Remove("script"); err != nil {
		t.Error(err)
	}
	if _, err := tokens.Use(other.Secret, here); !errors.Is(err, ErrNoToken) {
		t.Errorf("a removed token: %v", err)
	}
	if err := tokens.Remove("script"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := tokens.Remove("grafana"); err != nil {
		t.Error(err)
	}
	if _, err := s.State(tokensPath); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something is left of no tokens: %v", err)
	}
}

func TestTokenIsNotPossible(t *testing.T) {
	tokens := NewTokens(storetest.Open(t, t.TempDir(), nil))
	now := time.Now()
	for _, q := range []AddToken{
		{Scopes: []Scope{ScopeRead}},
		{Name: "two\nlines", Scopes: []Scope{ScopeRead}},
		{Name: strings.Repeat("x", tokenNameMax+1), Scopes: []Scope{ScopeRead}},
		{Name: "bad \xff", Scopes: []Scope{ScopeRead}},
		{Name: "nothing"},
		{Name: "none", Scopes: []Scope{ScopeNone}},
		{Name: "typo", Scopes: []Scope{"reed"}},
		{Name: "twice", Scopes: []Scope{ScopeRead, ScopeRead}},
		{Name: "over", Scopes: []Scope{ScopeRead}, Expires: now.Add(-time.Second)},
		{Name: "far", Scopes: []Scope{ScopeRead}, Expires: now.Add(2 * tokenLife)},
	} {
		if _, err := tokens.Add(q); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for i := range tokensMax {
		if _, err := tokens.Add(AddToken{Name: strings.Repeat("x", i+1), Scopes: []Scope{ScopeRead}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tokens.Add(AddToken{Name: "more", Scopes: []Scope{ScopeRead}}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("more than %d: %v", tokensMax, err)
	}
}

func TestTokenExpires(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	k := keptToken{Token: Token{Created: now.Add(-time.Hour), Expires: now.Add(time.Hour)}}
	for _, tt := range []struct {
		at   time.Duration
		over bool
	}{{0, false}, {time.Hour - 1, false}, {time.Hour, true}, {24 * time.Hour, true}, {-2 * time.Hour, true}} {
		if got := k.over(now.Add(tt.at)); got != tt.over {
			t.Errorf("after %v: %v", tt.at, got)
		}
	}
	k.Expires = time.Time{}
	if k.over(now.AddDate(30, 0, 0)) || k.over(now.AddDate(-30, 0, 0)) {
		t.Error("a token that never expires did")
	}
}

// TestTokenUse: a token that is used all the time is written once an hour.
func TestTokenUse(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	tokens := NewTokens(s)
	made, err := tokens.Add(AddToken{Name: "grafana", Scopes: []Scope{ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	before := s.Stats().Commits
	for range 100 {
		if _, err := tokens.Use(made.Secret, here); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Commits - before; n > 2 { // two, if the hour has just changed
		t.Errorf("%d writes", n)
	}
}
