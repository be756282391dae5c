package firstboot

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"homemail/admin"
)

var (
	near  = netip.MustParseAddr("192.168.1.40")
	near6 = netip.MustParseAddr("fe80::1%eth0")
	far   = netip.MustParseAddr("203.0.113.9")
)

func subnets() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.168.1.23/24"), netip.MustParsePrefix("fe80::23/64"), netip.MustParsePrefix("0.0.0.0/0")}
}

func (w *world) taken(ctx context.Context) (bool, error) {
	list, err := ask[[]admin.Account](ctx, w, "account.list", admin.Empty{})
	return len(list) > 0, err
}

func (w *world) claim(t *testing.T) *Claim {
	t.Helper()
	code, err := NewCode("")
	if err != nil {
		t.Fatal(err)
	}
	return NewClaim(code, w.store, w.taken, subnets)
}

// TestClaimRace has many browsers that all have the code: one wins, and all
// others are told.
func TestClaimRace(t *testing.T) {
	w := newWorld(t)
	c := w.claim(t)
	changed := c.Changed()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var tokens []string
	for range 20 {
		wg.Go(func() {
			token, err := c.Take(t.Context(), c.code.String(), near, "Safari\x1b[31m, iPhone")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				tokens = append(tokens, token)
			} else if !errors.Is(err, ErrClaimed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(tokens) != 1 {
		t.Fatalf("%d have won", len(tokens))
	}
	select {
	case <-changed:
	default:
		t.Error("the others were not told")
	}
	if !c.Holds(tokens[0]) || c.Holds("") || c.Holds(tokens[0]+"x") {
		t.Error("the winner's proof is not told from others")
	}
	by, err := c.By()
	if err != nil || by.From != "192.168.1.40" || by.Agent != "Safari[31m, iPhone" {
		t.Errorf("%+v %v", by, err)
	}
	if c.Code(t.Context()) != "" {
		t.Error("the code of a claimed house is shown")
	}
}

func TestClaimFromAfar(t *testing.T) {
	c := newWorld(t).claim(t)
	for from, want := range map[netip.Addr]error{
		far: ErrFar, netip.MustParseAddr("192.168.2.1"): ErrFar, netip.MustParseAddr("2001:db8::1"): ErrFar, {}: ErrFar,
		near: ErrCode, near6: ErrCode, netip.MustParseAddr("127.0.0.1"): ErrCode, netip.MustParseAddr("::ffff:192.168.1.9"): ErrCode,
	} {
		if _, err := c.Take(t.Context(), "wrong", from, ""); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", from, err, want)
		}
	}
}

// TestClaimOfTheUnclaimable: an account from the command line closes the house.
func TestClaimOfTheUnclaimable(t *testing.T) {
	w := newWorld(t)
	c := w.claim(t)
	for _, q := range []struct {
		verb    string
		request any
	}{{"domain.add", admin.Address{Address: "example.jp"}}, {"account.add", admin.AddAccount{Address: "anna@example.jp"}}} {
		if _, err := ask[any](t.Context(), w, q.verb, q.request); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Take(t.Context(), c.code.String(), near, ""); !errors.Is(err, ErrClaimed) {
		t.Error(err)
	}
}

func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, err := NewCode("k7qm-4t2x")
		if err != nil {
			t.Fatal(err)
		}
		for i := range triesMinute {
			if err := code.try("00000000", near); !errors.Is(err, ErrCode) {
				t.Fatal(i, err)
			}
		}
		if err := code.try("K7QM-4T2X", near); !errors.Is(err, ErrSlow) {
			t.Error("the right code is taken in the same minute:", err)
		}
		if err := code.try("K7QM-4T2X", near6); err != nil {
			t.Error("one address slows another down:", err)
		}
		time.Sleep(time.Minute)
		if err := code.try("K7QM-4T2X", near); err != nil {
			t.Error("after a minute:", err)
		}
		for i := triesMinute; i < triesAddress; i++ {
			time.Sleep(20 * time.Second)
			if err := code.try("1", near); !errors.Is(err, ErrCode) {
				t.Fatal(i, err)
			}
		}
		time.Sleep(time.Hour)
		if err := code.try("K7QM-4T2X", near); !errors.Is(err, ErrTries) {
			t.Error("one address has used up its tries:", err)
		}
		if err := code.try("K7QM-4T2X", near6); err != nil {
			t.Error("and with them another's:", err)
		}
		for i := triesAddress; i < triesAll; i++ {
			time.Sleep(20 * time.Second)
			code.try("1", netip.AddrFrom4([4]byte{192, 168, 2, byte(i)}))
		}
		time.Sleep(time.Hour)
		if err := code.try("K7QM-4T2X", near6); !errors.Is(err, ErrTries) {
			t.Error("50 in all are not the end:", err)
		}
	})
}

func TestFold(t *testing.T) {
	for typed, want := range map[string]string{
		"k7qm-4t2x": "K7QM4T2X", "K7QM 4T2X\n": "K7QM4T2X", "Ｋ７ＱＭ－４Ｔ２Ｘ": "K7QM4T2X", "k7qm―4t2x": "K7QM4T2X", "oOiIlL": "001111", "ｏ": "0",
	} {
		if got := fold(typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		c := newCode()
		if seen[c] || fold(c) != c || len(c) != codeLength {
			t.Fatal(c)
		}
		seen[c] = true
	}
	for _, bad := range []string{"K7QM", "K7QM-4T2XX", "UUUU-UUUU", "K7QM-4T2é"} {
		if _, err := NewCode(bad); err == nil {
			t.Errorf("%q was taken for a code", bad)
		}
	}
}

// TestClaimAfterRestart: a claim that led to no account ends with the program,
// and what it had answered goes; one that did stays for ever.
func TestClaimAfterRestart(t *testing.T) {
	w := newWorld(t)
	c := w.claim(t)
	first, err := c.Take(t.Context(), c.code.String(), near, "")
	if err != nil {
		t.Fatal(err)
	}
	e := w.engine(t, func(o *Options) { o.Claim = c })
	submit(t, e, Language, Answers{"language": "ja"})
	submit(t, e, You, Answers{"name": "Mallory", "password": password})

	c = w.claim(t)
	second, err := c.Take(t.Context(), c.code.String(), near, "")
	if err != nil || c.Holds(first) || !c.Holds(second) {
		t.Fatal("the house could not be claimed again:", err)
	}
	e = w.engine(t, func(o *Options) { o.Claim = c })
	if v, _ := e.Step(t.Context(), You); v.Status != Todo || len(v.Answers) > 0 || len(v.Sealed) > 0 {
		t.Errorf("the first one's answers are there: %+v", v)
	}
	submit(t, e, Language, Answers{"language": "ja"})
	submit(t, e, You, Answers{"name": "Taro", "password": password})
	wantStatus(t, submit(t, e, Address, Answers{"kind": "inside", "local": "taro"}), Done, "")
	c = w.claim(t)
	if _, err := c.Take(t.Context(), c.code.String(), near, ""); !errors.Is(err, ErrClaimed) {
		t.Error("a house with an owner was claimed:", err)
	}
}

// TestNothingBeforeTheClaim: no step but the language is done for nobody.
func TestNothingBeforeTheClaim(t *testing.T) {
	w := newWorld(t)
	c := w.claim(t)
	e := w.engine(t, func(o *Options) { o.Claim = c })
	wantStatus(t, submit(t, e, Language, Answers{"language": "en"}), Done, "")
	for _, s := range e.steps[2:] {
		if v, err := e.Apply(t.Context(), s.ID); !errors.Is(err, ErrBlocked) && !(s.wanted != nil && v.Status == Skipped) {
			t.Errorf("%s: %+v %v", s.ID, v, err)
		}
	}
	if o, err := e.Show(t.Context()); err != nil || o.Current != Claiming {
		t.Errorf("%s %v", o.Current, err)
	}
	if _, err := e.Do(t.Context(), "setup.submit", []byte(`{"step":"start","answers":{"kind":"new"}}`)); err != nil {
		t.Error("on the console:", err)
	}
	if by, err := c.By(); err != nil || by.From != "" || by.Token != nil {
		t.Errorf("%+v %v", by, err)
	}
}

func TestGreeting(t *testing.T) {
	dir := t.TempDir()
	g := Greeting{Code: "K7QM-4T2X", Name: "homemail.local", Addresses: []netip.Addr{netip.MustParseAddr("::1"), near6, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.168.1.23")}}
	if got := strings.Join(g.URLs(), " "); got != "https://homemail.local/claim https://192.168.1.23/claim https://[2001:db8::1]/claim" {
		t.Error(got)
	}
	g.Port = 8443
	if got := g.URLs()[2]; got != "https://[2001:db8::1]:8443/claim" {
		t.Error(got)
	}
	if err := g.WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	if got := g.Link(); got != "https://homemail.local:8443/claim?code=K7QM-4T2X" {
		t.Error(got)
	}
	if text := g.Text(); strings.Count(text, "    K7QM-4T2X\n") != 2 || strings.Count(text, g.Link()) != 1 || strings.Contains(text, "firstboot.") {
		t.Error(text)
	}
	if err := RemoveFile(dir); err != nil {
		t.Error(err)
	}
	if err := RemoveFile(dir); err != nil {
		t.Error(err)
	}
}
