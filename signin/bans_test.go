package signin

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Checker{limits: newLimiter()}
		for _, a := range []string{"203.0.113.5", "2001:db8:1:2::7", "192.168.1.40"} {
			for range failures {
				c.limits.failure(addr(a), "anna")
			}
		}
		c.limits.failure(addr("203.0.113.6"), "anna") // not often enough
		c.limits.wait(addr("203.0.113.5"))
		list := c.Bans()
		if len(list) != 3 || list[0].Network.String() != "203.0.113.5/32" || list[0].Left != firstBan || list[0].Refused != 1 || list[0].Times != 1 ||
			list[1].Network.String() != "2001:db8:1:2::/64" || list[2].Left != nearBan {
			t.Errorf("%+v", list)
		}
		if c.Lift(addr("203.0.113.6")) {
			t.Error("who is not shut out was let in")
		}
		if !c.Lift(addr("2001:db8:1:2::99")) || c.limits.wait(addr("2001:db8:1:2::7")) != 0 || c.Lift(addr("2001:db8:1:2::7")) {
			t.Error("it is still shut out")
		}
		time.Sleep(nearBan)
		if list := c.Bans(); len(list) != 1 {
			t.Errorf("%+v", list)
		}
	})
}
