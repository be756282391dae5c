package signin

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestBanDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a := newLimiter(), addr("203.0.113.5")
		for _, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour} {
			for i := 1; i <= failures; i++ {
				if w := l.wait(a); w != 0 {
					t.Fatalf("shut out for %v before failure %d", w, i)
				}
				ban, _ := l.failure(a, "anna")
				if (i == failures) != (ban != 0) || ban != 0 && ban != want {
					t.Fatalf("failure %d: %v, want %v at the end", i, ban, want)
				}
			}
			if w := l.wait(a); w != want {
				t.Fatalf("wait %v, want %v", w, want)
			}
			if w := l.wait(addr("203.0.113.6")); w != 0 {
				t.Fatal("a neighbour is shut out")
			}
			time.Sleep(want)
		}
		time.Sleep(forgetBan + 1)
		for range failures - 1 {
			l.failure(a, "anna")
		}
		if ban, _ := l.failure(a, "anna"); ban != firstBan {
			t.Errorf("a day later: %v", ban)
		}
	})
}

func TestFailuresFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a := newLimiter(), addr("203.0.113.5")
		for range 50 {
			if ban, _ := l.failure(a, "anna"); ban != 0 {
				t.Fatal("shut out at 4 failures in 10 minutes")
			}
			time.Sleep(failWindow/4 + time.Second)
		}
	})
}

func TestNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for i := range failures { // one household, many addresses
			l.failure(addr(fmt.Sprintf("2001:db8:1:2::%x", i+1)), "anna")
		}
		if l.wait(addr("2001:db8:1:2:ffff::1")) == 0 || l.wait(addr("2001:db8:1:3::1")) != 0 {
			t.Error("a /64 is one address, and the next is another")
		}
		for _, near := range []string{"192.168.1.20", "127.0.0.1", "::1", "fe80::1%eth0", "fd00::7", "::ffff:10.1.2.3"} {
			var ban time.Duration
			for range 3 * failures {
				if b, _ := l.failure(addr(near), "anna"); b != 0 {
					ban = b
				}
			}
			if ban != nearBan {
				t.Errorf("%s: %v", near, ban)
			}
		}
		l.failure(netip.Addr{}, "anna") // none at all
	})
}

func TestSuccessForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a := newLimiter(), addr("203.0.113.5")
		for range 10 * failures {
			for range failures - 1 {
				l.failure(a, "anna")
			}
			l.success(a, "anna")
		}
		if l.wait(a) != 0 {
			t.Error("shut out despite success")
		}
	})
}

func TestAccountDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, home, stranger := newLimiter(), addr("203.0.113.5"), addr("198.51.100.1")
		l.success(home, "anna")
		for i := range 1000 {
			l.failure(addr(fmt.Sprintf("198.18.%d.%d", i/250, i%250)), "anna")
		}
		if d := l.delay(home, "anna"); d != 0 {
			t.Error("strangers slow down the owner:", d)
		}
		if d := l.delay(stranger, "anna"); d != longestDelay {
			t.Error("a stranger waits", d)
		}
		if d := l.delay(stranger, "bert"); d != 0 {
			t.Error("another account waits", d)
		}
		time.Sleep(failWindow + 1)
		if d := l.delay(stranger, "anna"); d != 0 {
			t.Error("later still", d)
		}
	})
}

func TestLRU(t *testing.T) {
	l := newLRU[int, int](3)
	for i := range 3 {
		*l.get(i) = i
	}
	l.peek(0)
	l.get(3)
	if l.peek(1) != nil || l.peek(0) == nil || *l.peek(2) != 2 || l.order.Len() != 3 || len(l.byKey) != 3 {
		t.Error("the least used has to go", l.byKey)
	}
}

// TestDoubt: while strangers look as if they were at home, who guesses from there is
// shut out like them, alone and not with the house's network; this computer is near
// as ever.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hidden := newLimiter(), true
		l.doubt = func(a netip.Addr) bool { return hidden && !a.IsLoopback() }
		fails := func(from string) (ban time.Duration) {
			for range failures {
				ban, _ = l.failure(addr(from), "anna")
			}
			return ban
		}
		for from, want := range map[string]time.Duration{
			"192.168.1.1": firstBan, "::ffff:10.1.2.3": firstBan, "fd00::7": firstBan, "fe80::1%eth0": firstBan,
			"127.0.0.1": nearBan, "::1": nearBan, "203.0.113.5": firstBan,
		} {
			if got := fails(from); got != want {
				t.Errorf("%s: %v, want %v", from, got, want)
			}
		}
		for _, home := range []string{"192.168.1.20", "fd00::8", "fe80::2%eth0"} {
			if w := l.wait(addr(home)); w != 0 {
				t.Errorf("%s is shut out with somebody else for %v", home, w)
			}
		}
		l.success(addr("fd00::7"), "anna")
		if w := l.wait(addr("fd00::7")); w != 0 {
			t.Errorf("after a sign-in: %v", w)
		}
		hidden = false
		if got := fails("192.168.1.30"); got != nearBan {
			t.Errorf("once it is over: %v", got)
		}
	})
}
