package session

import (
	"context"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"homemail/signin"
)

var tlsState = new(tls.ConnectionState)

// enrol turns codes on for anna and returns the secret.
func (h *house) enrol() []byte {
	h.t.Helper()
	secret, _ := h.enrolCodes()
	return secret
}

func (h *house) enrolCodes() (secret []byte, recovery []string) {
	h.t.Helper()
	res, err := h.Open(home, h.anna, false)
	must(h.t, err)
	e, err := h.BeginTOTP(res.Session)
	must(h.t, err)
	secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(e.Secret)
	must(h.t, err)
	recovery, err = h.FinishTOTP(context.Background(), home, res.Session, code(h, secret))
	must(h.t, err)
	must(h.t, h.change(h.anna, func(f *factors) error { f.Step = 0; return nil })) // as if long ago
	return secret, recovery
}

func code(_ *house, secret []byte) string { return totpCode(secret, uint64(time.Now().Unix()/30)) }

// half signs in by password and returns where the second factor comes from.
func (h *house) half(from From) From {
	h.t.Helper()
	res, err := h.SignIn(context.Background(), from, "anna@example.test", annasPassword, false)
	must(h.t, err)
	if res.Session != nil {
		h.t.Fatal("no second factor is asked for")
	}
	from.Token = res.Token
	return from
}

// RFC 6238 appendix B, in six digits.
func TestTOTPVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for unix, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := totpCode(secret, uint64(unix/30)); got != want {
			t.Errorf("%d: %s, not %s", unix, got, want)
		}
	}
}

func TestTOTPDrift(t *testing.T) {
	secret := []byte("12345678901234567890")
	now := time.Unix(1_700_000_010, 0)
	at := uint64(now.Unix() / 30)
	for d := -3; d <= 3; d++ {
		_, ok := totpMatch(secret, totpCode(secret, at+uint64(d)), now, 0)
		if want := d >= -1 && d <= 1; ok != want {
			t.Errorf("a code of %d steps away: %v", d, ok)
		}
	}
	if _, ok := totpMatch(secret, totpCode(secret, at), now, at); ok {
		t.Error("a code twice")
	}
	if _, ok := totpMatch(secret, totpCode(secret, at-1), now, at); ok {
		t.Error("a code from before one that was used")
	}
	if _, ok := totpMatch(secret, totpCode(secret, 0), time.Unix(1, 0), 0); ok {
		t.Error("step 0 twice") // it is never after 0
	}
}

func TestTOTPURI(t *testing.T) {
	u, err := url.Parse(totpURI("Mail of the Maiers", "anna@example.test", []byte("12345678901234567890")))
	must(t, err)
	q := u.Query()
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Mail of the Maiers:anna@example.test" || q.Get("secret") != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" || q.Get("issuer") != "Mail of the Maiers" || strings.Contains(u.String(), "+") {
		t.Errorf("%s", u)
	}
}

func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	secret := h.enrol()
	from := h.half(home)
	if len(h.Pending(from.Token)) != 2 || h.is(from.Token) {
		t.Errorf("%v", h.Pending(from.Token))
	}
	if e := h.last(); e.What != Half || !e.OK {
		t.Errorf("%+v", e)
	}
	if _, err := h.Second(t.Context(), from, "000 000"); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a wrong code: %v", err)
	}
	c := code(h, secret)
	typed := "" // in full-width digits, with a space
	for _, r := range c {
		typed += string(r - '0' + '０')
	}
	res, err := h.Second(t.Context(), from, typed[:9]+"　"+typed[9:])
	must(t, err)
	if !h.is(res.Token) || res.Session.Method != ByTOTP {
		t.Errorf("%+v", res.Session)
	}
	if _, err := h.Second(t.Context(), from, c); !errors.Is(err, ErrOver) {
		t.Errorf("a second factor twice: %v", err)
	}
	if _, err := h.Second(t.Context(), h.half(home), c); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a code that was used: %v", err)
	}
}

func TestAttackSecondFactorAlone(t *testing.T) {
	h := newHouse(t)
	secret := h.enrol()
	from := home
	for _, from.Token = range []string{"", newToken(), "x"} {
		if _, err := h.Second(t.Context(), from, code(h, secret)); !errors.Is(err, ErrOver) {
			t.Errorf("a code without a password: %v", err)
		}
	}
}

func TestRecoveryCodes(t *testing.T) {
	h := newHouse(t)
	_, codes := h.enrolCodes()
	if len(codes) != recoveryCodes {
		t.Fatalf("%q", codes)
	}
	res, err := h.Second(t.Context(), h.half(home), " "+strings.ToLower(strings.ReplaceAll(codes[3], "-", " ")))
	must(t, err)
	if _, err := h.Second(t.Context(), h.half(home), codes[3]); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a recovery code twice: %v", err)
	}
	if f, _ := h.Factors(h.anna); f.Recovery != recoveryCodes-1 || !f.TOTP {
		t.Errorf("%+v", f)
	}
	more, err := h.NewRecovery(res.Session)
	must(t, err)
	if _, err := h.Second(t.Context(), h.half(at("192.168.1.50")), codes[4]); !errors.Is(err, signin.ErrDenied) {
		t.Errorf("a recovery code of before: %v", err)
	}
	_, err = h.Second(t.Context(), h.half(home), more[0])
	must(t, err)
	must(t, h.RemoveTOTP(res.Session))
	if f, _ := h.Factors(h.anna); f.Recovery != 0 || f.TOTP {
		t.Errorf("%+v", f)
	}
	h.signedIn(home, false)
}

func TestRecoveryCodeOnceAtOnce(t *testing.T) {
	h := newHouse(t)
	_, codes := h.enrolCodes()
	results := make(chan error, 4)
	for i := range cap(results) {
		from := h.half(at(fmt.Sprint("192.168.2.", i)))
		go func() {
			_, err := h.Second(context.Background(), from, codes[0])
			results <- err
		}()
	}
	n := 0
	for range cap(results) {
		if <-results == nil {
			n++
		}
	}
	if n != 1 {
		t.Errorf("a recovery code signed in %d times", n)
	}
}

// Whoever has the password guesses codes from addresses without number.
func TestAttackGuessedCodes(t *testing.T) {
	h := newHouse(t)
	secret := h.enrol()
	denied := 0
	var wait *signin.WaitError
	for i := range 8 {
		_, err := h.Second(t.Context(), h.half(at(fmt.Sprintf("203.0.113.%d", i))), fmt.Sprintf("%06d", i))
		switch {
		case errors.Is(err, signin.ErrDenied):
			denied++
		case !errors.As(err, &wait):
			t.Errorf("%d: %v", i, err)
		}
	}
	if denied != 5 {
		t.Errorf("%d codes were looked at", denied)
	}
	if _, err := h.Second(t.Context(), h.half(at("203.0.113.99")), code(h, secret)); !errors.As(err, &wait) {
		t.Errorf("a right code from nowhere during the pause: %v", err)
	}
}

// One sign-in by password is good for a few codes.
func TestPendingTries(t *testing.T) {
	h := newHouse(t)
	secret := h.enrol()
	from := h.half(home)
	for range pendingTries {
		h.try(from.Token)
	}
	if _, err := h.Second(t.Context(), from, code(h, secret)); !errors.Is(err, ErrOver) {
		t.Errorf("%v", err)
	}
	first := h.half(home)
	for range perPending {
		h.half(home)
	}
	if h.Pending(first.Token) != nil || len(h.pending) != perPending {
		t.Errorf("%d sign-ins wait", len(h.pending))
	}
	must(t, h.EndAll(h.anna))
	if len(h.pending) != 0 {
		t.Error("a sign-in waits after all were ended")
	}
}

// The password was changed while a code was owed.
func TestPendingIsBoundToPassword(t *testing.T) {
	h := newHouse(t)
	secret := h.enrol()
	from := h.half(home)
	must(t, New(h.store, Options{Log: quiet}).SetPassword(t.Context(), h.anna, "quite another trout today"))
	if res, err := h.Second(t.Context(), from, code(h, secret)); !errors.Is(err, signin.ErrDenied) || h.is(res.Token) {
		t.Errorf("%v", err)
	}
}

func TestWrongClockIsSaid(t *testing.T) {
	h := newHouse(t)
	_, codes := h.enrolCodes()
	h.clock = false
	from := h.half(home)
	if _, err := h.Second(t.Context(), from, "123456"); !errors.Is(err, ErrClock) {
		t.Errorf("%v", err)
	}
	_, err := h.Second(t.Context(), from, codes[0])
	must(t, err)
}

func TestFactorsAreSealed(t *testing.T) {
	h := newHouse(t)
	_, codes := h.enrolCodes()
	b, err := h.store.State(accountPath(factorsPath, h.anna))
	must(t, err)
	for _, word := range []string{"totp", "recovery", codes[0]} {
		if strings.Contains(string(b), word) {
			t.Errorf("%q can be read", word)
		}
	}
	// What cannot be read is not nothing: it lets nobody in.
	must(t, h.store.PutState(accountPath(factorsPath, h.anna), b[:len(b)-1]))
	if res, err := h.SignIn(t.Context(), home, "anna@example.test", annasPassword, false); err == nil || res.Token != "" {
		t.Errorf("signed in past a damaged second factor: %+v", res)
	}
	must(t, h.ClearFactors(h.anna))
	h.signedIn(home, false)
}
