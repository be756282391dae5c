package wizard

import (
	"testing"
	"time"

	"homemail/firstboot"
)

// plugIn says that the house is alone on a box that was started just now.
func (w *World) plugIn(boot string) {
	began := time.Now()
	w.code.Plug(firstboot.Box{Boot: boot, Uptime: func() time.Duration { return time.Since(began) }})
}

// pullPlug is the power going and coming back: nothing is ended in good order,
// and there is a new code.
func (w *World) pullPlug(boot string) {
	w.t.Helper()
	const path = "setup/power"
	kept, err := w.Store.State(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.end()
	if err := w.Store.PutState(path, kept); err != nil {
		w.t.Fatal(err)
	}
	if w.code, err = firstboot.NewCode(""); err != nil {
		w.t.Fatal(err)
	}
	w.plugIn(boot)
	w.Claim = firstboot.NewClaim(w.code, w.Store, w.isTaken, w.subnets)
	w.start()
}

// TestPlug claims a house by its plug, without JavaScript.
func TestPlug(t *testing.T) {
	w := New(t)
	v := w.visitor("en")
	v.get("/first/claim/plug").want(200, "/first/claim") // a laptop is not unplugged
	w.plugIn("a")
	v.get("/first/claim").has("/first/claim/plug")
	v.get("/first/claim/plug").want(200, "").has("ready to unplug").post("/first/claim/plug").want(200, "/first/claim/plug").has("Unplug the box now").has("Look again")
	v.post("/first/claim/plug").want(200, "/first/claim/plug").has("Unplug the box now")
	v.post("/first/claim/plug/take").want(409, "").has("not unplugged")

	w.pullPlug("b")
	stranger := w.visitor("en")
	stranger.get("/first/claim/plug").want(200, "").has("ready to unplug")
	stranger.post("/first/claim/plug/take").want(409, "")
	v.get("/first/claim/plug").want(200, "").has("The box is back")
	if _, err := w.Claim.By(); err == nil {
		t.Error("a page that was only looked at has claimed the house")
	}
	v.post("/first/claim/plug/take").want(200, "/first/start")
	if by, err := w.Claim.By(); err != nil || !by.Plug {
		t.Errorf("%+v %v", by, err)
	}
	stranger.get("/first/claim/plug").want(403, "")
	stranger.post("/first/claim/plug").want(403, "")
}

// TestPlugTwice has two browsers of one computer begin: only the first one waits.
func TestPlugTwice(t *testing.T) {
	w := New(t)
	w.plugIn("a")
	v, other := w.visitor("en"), w.visitor("ja")
	v.get("/first/claim/plug").post("/first/claim/plug").want(200, "/first/claim/plug")
	other.get("/first/claim/plug").post("/first/claim/plug").want(409, "").has("すでに一度")
	v.get("/first/claim/plug").has("Unplug the box now")
}
