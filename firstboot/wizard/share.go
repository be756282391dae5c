package wizard

import (
	"context"
	"net/http"
	"time"

	"homemail/web/page"
)

// shareView is what somebody sees who enters the records for the owner.
type shareView struct {
	Cards cardsView
	Live  string
	Have  string
}

// Title names the domain.
func (v shareView) Title() page.Message {
	return page.Say("first.share.title", "domain", v.Cards.Shown)
}

// Underway reports whether a record may still come.
func (v shareView) Underway() bool { return !v.Cards.Known || v.Cards.Missing > 0 }

// share makes the page of a token, without an error if the token is known.
func (z *Wizard) share(r *http.Request) (v shareView, err error) {
	token := r.PathValue("token")
	domain, err := z.o.Engine.Shared(token)
	if err != nil {
		return v, err
	}
	v.Cards = z.cards(r, domain)
	v.Cards.Path, v.Cards.Notes = "/share/"+token, nil // what is said of this house is not for others
	v.Live = with("/share/"+token+"/events", "names", r.FormValue("names"), "texts", r.FormValue("texts"))
	v.Have = digest(stepView{More: v.Cards})
	return v, nil
}

// shared shows the records of the owner's domain, and nothing else, to whoever
// has the link.
func (z *Wizard) shared(w http.ResponseWriter, r *http.Request) {
	v, err := z.share(r)
	if err != nil {
		z.set.Refuse(w, r, page.Refusal{Status: http.StatusNotFound, What: page.Say("first.share.ended"), Why: page.Say("first.share.ended.why")})
		return
	}
	z.set.Render(w, r, "first.share", v, http.StatusOK)
}

func (z *Wizard) sharedEvents(w http.ResponseWriter, r *http.Request) {
	if _, err := z.share(r); err != nil {
		w.WriteHeader(http.StatusNoContent) // ends it for good, HTML Standard §9.2.3
		return
	}
	z.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		have := ""
		for {
			v, err := z.share(r)
			if err != nil {
				return nil // it has ended
			}
			if v.Have != have {
				have = v.Have
				if err := send("live", "first.cards", v.Cards); err != nil {
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
