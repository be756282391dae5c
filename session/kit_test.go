package session

import (
	"errors"
	"strings"
	"testing"

	"homemail/signin"
	"homemail/store"
)

func (h *house) kit() []string {
	h.t.Helper()
	must(h.t, h.Owners.Add(h.anna))
	codes, err := h.Kit(h.anna)
	must(h.t, err)
	return codes
}

// TestKitForgottenPassword is the whole way back in: a code instead of the
// password, and another one instead of the old password for a new one.
func TestKitForgottenPassword(t *testing.T) {
	h := newHouse(t)
	codes := h.kit()
	if f, _ := h.Factors(h.anna); len(codes) != recoveryCodes || f.Kit != recoveryCodes || f.Recovery != 0 {
		t.Errorf("%d codes, %+v", len(codes), f)
	}
	h.signedIn(home, false) // the password alone is enough as before

	typed := " " + strings.ToLower(strings.ReplaceAll(codes[0], "-", " "))
	res, err := h.SignIn(t.Context(), home, "anna@example.test", typed, false)
	must(t, err)
	if res.Session == nil || res.Session.Method != ByPassword || h.last().Method != ByRecovery {
		t.Errorf("%+v, %+v", res.Session, h.last())
	}
	if _, err := h.SignIn(t.Context(), home, "anna@example.test", codes[0], false); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a code twice: %v", err)
	}
	from := home
	from.Token = res.Token
	res, err = h.ChangePassword(t.Context(), from, res.Session, codes[1], "bicycle lantern umbrella 42")
	must(t, err)
	if !h.is(res.Token) {
		t.Error("the change has ended the session")
	}
	if _, err := h.SignIn(t.Context(), home, "anna@example.test", annasPassword, false); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("the old password: %v", err)
	}
	if f, _ := h.Factors(h.anna); f.Kit != recoveryCodes-2 {
		t.Errorf("%+v", f)
	}
}

// TestKitAndSecondFactor: with a second factor the kit alone needs two codes, and
// turning the factor on or off leaves the paper as it is.
func TestKitAndSecondFactor(t *testing.T) {
	h := newHouse(t)
	codes := h.kit()
	if _, more := h.enrolCodes(); more != nil {
		t.Errorf("there were codes, and new ones were made: %q", more)
	}
	res, err := h.SignIn(t.Context(), home, "anna@example.test", codes[0], false)
	if err != nil || res.Session != nil || len(res.Second) != 2 {
		t.Fatalf("%+v %v", res, err)
	}
	from := home
	from.Token = res.Token
	if _, err := h.Second(t.Context(), from, codes[0]); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("one code for both: %v", err)
	}
	res, err = h.Second(t.Context(), from, codes[1])
	must(t, err)
	must(t, h.RemoveTOTP(res.Session))
	if f, _ := h.Factors(h.anna); f.Kit != recoveryCodes-2 || f.Recovery != 0 {
		t.Errorf("%+v", f)
	}
}

// TestKitOfNobody: codes that stand in for a factor are no password, people have
// no kit, and one who is disabled does not get in by it.
func TestKitOfNobody(t *testing.T) {
	h := newHouse(t)
	if _, err := h.Kit(h.anna); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a person's kit: %v", err)
	}
	_, codes := h.enrolCodes()
	if _, err := h.SignIn(t.Context(), home, "anna@example.test", codes[0], false); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a code for the factor as password: %v", err)
	}
	kit := h.kit()
	again := h.kit()
	for _, of := range []string{kit[0], "0000-0000-0000"} {
		if _, err := h.SignIn(t.Context(), at("192.168.7.7"), "anna@example.test", of, false); !errors.Is(err, signin.ErrDenied) {
			t.Errorf("%s: %v", of, err)
		}
	}
	a, err := h.store.AccountByID(h.anna)
	must(t, err)
	must(t, a.Update(func(p *store.Profile) error { p.Disabled = true; return nil }))
	if _, err := h.SignIn(t.Context(), home, "anna@example.test", again[0], false); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a disabled account: %v", err)
	}
	if f, _ := h.factors(h.anna); len(f.Recovery) != recoveryCodes {
		t.Error("a refused code was used up")
	}
}

// TestAttackKit guesses codes as one guesses passwords: it gets slow.
func TestAttackKit(t *testing.T) {
	h := newHouse(t)
	h.kit()
	var wait *signin.WaitError
	for range 40 {
		_, err := h.SignIn(t.Context(), at("192.0.2.66"), "anna@example.test", "ABCD-EFGH-JKMN", false)
		if errors.As(err, &wait) {
			return
		}
		if !errors.Is(err, signin.ErrDenied) {
			t.Fatal(err)
		}
	}
	t.Error("40 guesses, and nobody has to wait")
}
