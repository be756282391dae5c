package signin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"homemail/mail"
	"homemail/store"
)

func webAttempt(addr string) Attempt {
	return Attempt{Remote: netip.MustParseAddr(addr), Protocol: Web}
}

// ownHouse has one account with an own password.
func ownHouse(t *testing.T) (*Checker, mail.AccountID) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	hash, err := HashPassword("violin harbor maple trout")
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test", Password: hash})
	if err != nil {
		t.Fatal(err)
	}
	return New(s, Options{FailDelay: -1}), a.ID
}

func TestOwn(t *testing.T) {
	c, id := ownHouse(t)
	for _, name := range []string{"anna@example.test", "ANNA@example.test", "anna"} {
		if p, err := c.Own(t.Context(), webAttempt("203.0.113.1"), name, "violin harbor maple trout"); err != nil || p.ID != id {
			t.Errorf("%s: %v, %v", name, p.ID, err)
		}
	}
	for i, name := range []string{"anna@example.test", "nobody@example.test", "", "a b"} {
		if _, err := c.Own(t.Context(), webAttempt(fmt.Sprint("203.0.113.", i)), name, "violin"); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Many guesses at once are not more guesses than one after the other.
func TestSecondAtOnce(t *testing.T) {
	c, id := ownHouse(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for i := range 50 {
		wg.Go(func() {
			c.Second(context.Background(), webAttempt(fmt.Sprint("203.0.113.", i)), id, func() (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				looked++
				return false, nil
			})
		})
	}
	wg.Wait()
	if looked != failures {
		t.Errorf("%d guesses were looked at", looked)
	}
	// Where the person has signed in before they still may.
	c.Right(webAttempt("203.0.113.200"), id)
	if err := c.Second(t.Context(), webAttempt("203.0.113.200"), id, func() (bool, error) { return true, nil }); err != nil {
		t.Errorf("at home: %v", err)
	}
	fault := errors.New("the disk")
	if err := c.Second(t.Context(), webAttempt("203.0.113.200"), id, func() (bool, error) { return false, fault }); !errors.Is(err, fault) {
		t.Errorf("a fault of ours: %v", err)
	}
}
