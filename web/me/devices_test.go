package me

import (
	"testing"
	"testing/synctest"
	"time"

	"homemail/autoconfig"
)

// TestTickets: a password does not stay in memory, whoever comes or not.
func TestTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := newTickets()
		add := func() string {
			return list.add(ticket{device: autoconfig.Device{Password: "x"}, until: time.Now().Add(ticketFor), left: ticketUses})
		}
		name := add()
		for i := range ticketUses + 1 {
			if _, ok := list.use(name); ok != (i < ticketUses) {
				t.Errorf("use %d: %t", i, ok)
			}
		}
		held := func() int {
			list.mu.Lock()
			defer list.mu.Unlock()
			return len(list.list)
		}
		for range 3 * ticketsMost {
			if add(); held() > ticketsMost {
				t.Fatalf("%d tickets", held())
			}
		}
		time.Sleep(ticketFor)
		synctest.Wait()
		if n := held(); n != 0 {
			t.Errorf("%d tickets after %v", n, ticketFor)
		}
	})
}
