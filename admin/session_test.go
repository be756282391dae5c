package admin

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"homemail/mail"
	"homemail/session"
	"homemail/signin"
	"homemail/store"
)

func newWebHouse(t *testing.T) *House {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []mail.Path{"anna@example.test", "ben@example.test"} {
		if _, err := s.AddAccount(store.Profile{Address: name}); err != nil {
			t.Fatal(err)
		}
	}
	return &House{Store: s}
}

func TestOwnersAreListedAndKept(t *testing.T) {
	h := newWebHouse(t)
	ctx := t.Context()
	if _, err := h.resetOwner(ctx, Reset{}); err == nil || !strings.Contains(err.Error(), "owner add") {
		t.Errorf("a reset where nobody owns the house: %v", err)
	}
	if _, err := h.addOwner(ctx, Address{"Anna@example.test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.removeOwner(ctx, Address{"anna@example.test"}); !errors.Is(err, session.ErrLastOwner) {
		t.Errorf("the last owner: %v", err)
	}
	if _, err := h.removeOwner(ctx, Address{"ben@example.test"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no owner: %v", err)
	}
	list, err := h.listOwners(ctx, Empty{})
	if err != nil || len(list) != 1 || list[0].Address != "anna@example.test" || list[0].Password {
		t.Errorf("%+v, %v", list, err)
	}
	if err := h.spareOwner(1); !errors.Is(err, session.ErrLastOwner) {
		t.Errorf("the last owner is not spared: %v", err)
	}
}

func TestOwnerReset(t *testing.T) {
	h := newWebHouse(t)
	ctx := t.Context()
	if _, err := h.addOwner(ctx, Address{"anna@example.test"}); err != nil {
		t.Fatal(err)
	}
	m := session.New(h.Store, session.Options{SignIn: signin.New(h.Store, signin.Options{FailDelay: -1})})
	from := session.From{Remote: netip.MustParseAddr("192.168.1.20"), Encrypted: true}
	open, err := m.Open(from, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.BeginTOTP(open.Session); err != nil {
		t.Fatal(err)
	}
	got, err := h.resetOwner(ctx, Reset{SecondFactor: true})
	if err != nil || got.Address != "anna@example.test" {
		t.Fatalf("%+v, %v", got, err)
	}
	if s, err := m.Lookup(open.Token, true); s != nil || err != nil {
		t.Errorf("a session outlives the reset: %v", err)
	}
	if _, err := m.FinishTOTP(ctx, from, open.Session, "123456"); !errors.Is(err, session.ErrOver) {
		t.Errorf("a second factor outlives the reset: %v", err)
	}
	res, err := m.SignIn(ctx, from, "anna@example.test", got.Password, false)
	if err != nil || res.Session == nil || res.Session.Role != session.Owner {
		t.Errorf("%+v, %v", res.Session, err)
	}

	if _, err := h.addOwner(ctx, Address{"ben@example.test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.resetOwner(ctx, Reset{}); err == nil || !strings.Contains(err.Error(), "ben@example.test") {
		t.Errorf("which of two: %v", err)
	}
	if _, err := h.resetOwner(ctx, Reset{Address: "BEN@example.test"}); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := h.removeOwner(ctx, Address{"ben@example.test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.resetOwner(ctx, Reset{Address: "ben@example.test"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a person: %v", err)
	}
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	h := newWebHouse(t)
	ctx := t.Context()
	m := h.sessions()
	from := session.From{Remote: netip.MustParseAddr("192.168.1.20"), Browser: "Safari, iPhone"}
	for _, id := range []mail.AccountID{1, 1, 2} {
		if _, err := m.Open(from, id, true); err != nil {
			t.Fatal(err)
		}
	}
	count := func(address mail.Path) []WebSession {
		t.Helper()
		list, err := h.listSessions(ctx, Address{address})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if all, annas := count(""), count("anna@example.test"); len(all) != 3 || len(annas) != 2 || annas[0].Browser != "Safari, iPhone" || annas[0].Remote != "192.168.1.20" {
		t.Errorf("%+v", all)
	}
	id := count("anna@example.test")[0].ID
	if _, err := h.endSessions(ctx, EndSessions{"ben@example.test", id}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("somebody else's: %v", err)
	}
	if _, err := h.endSessions(ctx, EndSessions{"anna@example.test", id}); err != nil || len(count("anna@example.test")) != 1 {
		t.Errorf("%v", err)
	}
	if _, err := h.endSessions(ctx, EndSessions{Address: "anna@example.test"}); err != nil || len(count("")) != 1 {
		t.Errorf("%v", err)
	}
}

func TestSessionOperations(t *testing.T) {
	for name := range sessionOperations() {
		if _, twice := operations()[name]; twice {
			t.Errorf("%s is there twice", name)
		}
	}
}
