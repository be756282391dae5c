package wizard

import (
	"context"
	"errors"
	"net/http"
	"time"

	"homemail/firstboot"
	"homemail/web/page"
)

const (
	plugPath   = "/first/claim/plug"
	plugCookie = "plug"           // proves that this browser waits for the loss of power
	plugLife   = 30 * time.Minute // more than any box takes to start; the engine decides
)

// plugView is the page of the claim by the plug.
type plugView struct {
	State plugState
	Wrong page.Message
	Until time.Time // while it waits
	Have  string
}

// A plugState is how far a browser is with the plug.
type plugState string

// The states.
const (
	plugBegin plugState = "begin"
	plugWaits plugState = "waits" // for the loss of power
	plugBack  plugState = "back"  // it was lost: one press makes the house this browser's
)

// Title is that of the claim.
func (plugView) Title() page.Message { return page.Say("first.claim.title") }

// Is reports whether it is in a state.
func (v plugView) Is(state string) bool { return string(v.State) == state }

// Live is where the events come from.
func (v plugView) Live() string { return with(plugPath+"/events", "have", v.Have) }

// Underway reports whether the power is still there.
func (v plugView) Underway() bool { return v.State == plugWaits }

func (z *Wizard) plug(r *http.Request) (v plugView, err error) {
	token, _ := page.Cookie(r, plugCookie)
	back, err := z.o.Claim.Back(token)
	if err != nil {
		return v, err
	}
	v.State = plugBegin
	if left := z.o.Claim.Left(token); back {
		v.State = plugBack
	} else if left > 0 {
		v.State, v.Until = plugWaits, time.Now().Add(left).Round(time.Second)
	}
	v.Have = string(v.State)
	return v, nil
}

// mayPlug lets through who may claim the house by its plug.
func (z *Wizard) mayPlug(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		open, err := z.o.Claim.Open(r.Context())
		switch {
		case err != nil:
			z.fail(w, r, err)
		case !open:
			z.notOpen(w, r)
		case !z.o.Claim.Near(remote(r)):
			z.far(w, r)
		case !z.o.Claim.Powered(r.Context()), r.TLS == nil && z.o.Secure != nil && z.o.Secure(r) != "":
			z.set.Redirect(w, r, "/first/claim")
		default:
			next(w, r)
		}
	}
}

// askPlug is the page of the plug.
func (z *Wizard) askPlug(w http.ResponseWriter, r *http.Request) {
	z.showPlug(w, r, page.Message{}, http.StatusOK)
}

func (z *Wizard) showPlug(w http.ResponseWriter, r *http.Request, wrong page.Message, status int) {
	v, err := z.plug(r)
	if err != nil {
		z.fail(w, r, err)
		return
	}
	v.Wrong = wrong
	z.set.Render(w, r, "first.plug", v, status)
}

// awaitPlug has this browser wait for the loss of power.
func (z *Wizard) awaitPlug(w http.ResponseWriter, r *http.Request) {
	had, _ := page.Cookie(r, plugCookie)
	token, err := z.o.Claim.Await(r.Context(), had, remote(r))
	if err != nil {
		z.refusePlug(w, r, err)
		return
	}
	page.SetCookie(w, r, http.Cookie{Name: plugCookie, Value: token, MaxAge: int(plugLife.Seconds()), SameSite: http.SameSiteStrictMode})
	z.set.Redirect(w, r, plugPath)
}

// takePlug makes the house this browser's, if it was there before and after. It
// takes a press of a button: a page that loads is nobody's will.
func (z *Wizard) takePlug(w http.ResponseWriter, r *http.Request) {
	token, _ := page.Cookie(r, plugCookie)
	proof, err := z.o.Claim.Return(r.Context(), token, remote(r), r.UserAgent())
	if err != nil {
		z.refusePlug(w, r, err)
		return
	}
	page.DropCookie(w, r, plugCookie)
	z.begin(w, r, proof)
}

func (z *Wizard) refusePlug(w http.ResponseWriter, r *http.Request, err error) {
	for of, key := range map[error]string{
		firstboot.ErrRival: "first.plug.rival", firstboot.ErrOnce: "first.plug.once", firstboot.ErrTries: "first.plug.once", firstboot.ErrPower: "first.plug.late",
	} {
		if errors.Is(err, of) {
			z.showPlug(w, r, page.Say(key), http.StatusConflict)
			return
		}
	}
	switch {
	case errors.Is(err, firstboot.ErrClaimed):
		z.notOpen(w, r)
	case errors.Is(err, firstboot.ErrFar):
		z.far(w, r)
	default:
		z.fail(w, r, err)
	}
}

// plugEvents tells an open page that the box is back, or that its time is over.
// While the box has no power the browser asks by itself whether it is there.
func (z *Wizard) plugEvents(w http.ResponseWriter, r *http.Request) {
	have := r.FormValue("have")
	z.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		for {
			v, err := z.plug(r)
			if err != nil {
				return err
			}
			if v.Have != have {
				have = v.Have
				if err := send("live", "first.plug.live", v); err != nil {
					return err
				}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lookEach):
			}
		}
	})
}
