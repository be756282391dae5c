package admin

import (
	"context"
	"net/netip"
	"time"

	"homemail/store"
	"homemail/words"
)

// Ban is an address that may not sign in for a while, as too many sign-ins from
// there failed. It ends by itself.
type Ban struct {
	Address string    `json:"address"` // of IPv6 a network, which is one household
	Until   time.Time `json:"until"`
	Times   int       `json:"times"`   // shut out one after another
	Refused int       `json:"refused"` // attempts since it was
}

// BanAddress names who is shut out.
type BanAddress struct {
	Address string `json:"address"` // an address or a network
}

// listBans lists nobody where no server runs: who is shut out is in its memory.
func (h *House) listBans(context.Context, Empty) ([]Ban, error) {
	list := []Ban{}
	if h.SignIn == nil {
		return list, nil
	}
	now := time.Now()
	for _, b := range h.SignIn.Bans() {
		list = append(list, Ban{addressText(b.Network, ""), now.Add(b.Left).UTC().Truncate(time.Second), b.Times, b.Refused})
	}
	return list, nil
}

func (h *House) liftBan(_ context.Context, q BanAddress) (Empty, error) {
	a, err := netip.ParseAddr(q.Address)
	if p, bad := netip.ParsePrefix(q.Address); bad == nil {
		a, err = p.Addr(), nil
	}
	if err != nil {
		return Empty{}, words.Because(store.ErrInvalid, "admin.no-network", "address", q.Address)
	}
	if h.SignIn == nil || !h.SignIn.Lift(a) {
		return Empty{}, words.Because(store.ErrNotFound, "admin.not-banned", "address", q.Address)
	}
	return Empty{}, nil
}
