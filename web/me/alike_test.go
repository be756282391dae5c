package me

import (
	"testing"
	"time"

	"homemail/admin"
	"homemail/events"
)

func TestAlike(t *testing.T) {
	var list []admin.Event
	add := func(kind events.Kind, device string, at int64) {
		list = append(list, admin.Event{Event: events.Event{Kind: kind, Door: "imap", Device: device, Remote: "192.0.2.1", At: time.Unix(at, 0)}})
	}
	add(events.SignedIn, "Phone", 9)
	add(events.SignInFailed, "", 8)
	add(events.SignedIn, "Phone", 7)
	add(events.SignedIn, "Laptop", 6)
	add(events.SignedIn, "Phone", 5)
	got := alike(list)
	if len(got) != 3 || got[0].Count != 3 || got[0].At.Unix() != 9 || got[0].Since.Unix() != 5 || got[1].NotMe != "" || got[2].NotMe != "/me/signins/not-me?device=Laptop" {
		t.Errorf("%+v", got)
	}
}
