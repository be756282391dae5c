package admin

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/signin"
	"homemail/store"
)

func TestBans(t *testing.T) {
	h := &House{}
	if list, err := h.listBans(t.Context(), Empty{}); err != nil || len(list) != 0 {
		t.Errorf("without a server: %v, %v", list, err)
	}
	h.SignIn = signin.New(storetest.Open(t, t.TempDir(), nil), signin.Options{Log: slog.New(slog.DiscardHandler), FailDelay: -1})
	for _, from := range []string{"203.0.113.5", "2001:db8::1"} {
		for range 5 {
			at := signin.Attempt{Remote: netip.MustParseAddr(from), Protocol: signin.Web}
			if _, err := h.SignIn.Own(t.Context(), at, "anna@example.test", "guess"); !errors.Is(err, signin.ErrDenied) {
				t.Fatal(err)
			}
		}
	}
	list, err := h.listBans(t.Context(), Empty{})
	if err != nil || len(list) != 2 || !list[0].Until.After(time.Now().Add(10*time.Minute)) {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, address := range []string{"203.0.113.5", "2001:db8::/64"} {
		if _, err := h.liftBan(t.Context(), BanAddress{address}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if list, _ := h.listBans(t.Context(), Empty{}); len(list) != 0 {
		t.Errorf("still %+v", list)
	}
	if _, err := h.liftBan(t.Context(), BanAddress{"203.0.113.5"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if _, err := h.liftBan(t.Context(), BanAddress{"a phone"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no address: %v", err)
	}
}
