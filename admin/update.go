package admin

import (
	"context"
	"fmt"
	"io"

	"homemail/check"
	"homemail/store"
	"homemail/update/agent"
	"homemail/words"
)

// Updates is how it stands with updates.
type Updates struct {
	agent.Status
	Words words.Text `json:"words"` // the state in a sentence
}

// SetUpdates changes what is said of updates; what is left out stays.
type SetUpdates struct {
	URL  *string `json:"url,omitempty"`  // where they are; "" asks nobody
	Auto *bool   `json:"auto,omitempty"` // install them at night
}

// updateOperations are about the version that runs, and newer ones.
func updateOperations() map[string]operation {
	return map[string]operation{
		"update.status":   op((*House).updateStatus),
		"update.check":    op((*House).checkUpdate),
		"update.apply":    op((*House).applyUpdate),
		"update.settings": op((*House).setUpdates),
	}
}

func updateVerbs() []Operation {
	return []Operation{
		reads("update.status", (*House).updateStatus, "Tells which version runs, whether there is a newer one, and what became of updates before."),
		does("update.check", (*House).checkUpdate, "Looks for a newer version now."),
		does("update.apply", (*House).applyUpdate, "Installs the newer version now. The box restarts with it, and goes back by itself if it does not work."),
		does("update.settings", (*House).setUpdates, "Says where newer versions are looked for, and whether they are installed at night."),
	}
}

// toldUpdate gives an error of an update its words.
func toldUpdate(err error) error {
	if code := agent.Code(err); code != "" {
		return words.Because(fmt.Errorf("%w: %w", store.ErrInvalid, err), "update.refused."+code, "said", err)
	}
	return err
}

func (h *House) updateStatus(ctx context.Context, _ Empty) (Updates, error) {
	if h.Updates == nil { // no server runs
		return Updates{}, toldUpdate(agent.ErrNoBox)
	}
	s, err := h.Updates.Status(ctx)
	if err != nil {
		return Updates{}, err
	}
	return Updates{s, updateWords(s)}, nil
}

// updateWords say the state in a sentence.
func updateWords(s agent.Status) words.Text {
	newer := s.Version
	switch {
	case s.Offer != nil:
		newer = s.Offer.Version
	case s.Last != nil:
		newer = s.Last.To
	}
	why := words.Text{EN: s.Detail, JA: s.Detail}
	switch {
	case s.Code != "":
		why = words.Say("update.refused."+s.Code, "said", s.Detail).Text()
	case s.State == agent.Back:
		why = WentBack(*s.Last)
	}
	return words.Text{
		EN: words.Say("update.state."+string(s.State), "version", s.Version, "newer", newer, "why", why.EN).In("en"),
		JA: words.Say("update.state."+string(s.State), "version", s.Version, "newer", newer, "why", why.JA).In("ja"),
	}
}

func (h *House) checkUpdate(ctx context.Context, _ Empty) (Updates, error) {
	if h.Updates == nil {
		return Updates{}, toldUpdate(agent.ErrNoBox)
	}
	if err := h.Updates.Check(ctx); err != nil {
		return Updates{}, toldUpdate(err)
	}
	return h.updateStatus(ctx, Empty{})
}

func (h *House) applyUpdate(ctx context.Context, _ Empty) (Updates, error) {
	if h.Updates == nil {
		return Updates{}, toldUpdate(agent.ErrNoBox)
	}
	if err := h.Updates.Apply(); err != nil {
		return Updates{}, toldUpdate(err)
	}
	return h.updateStatus(ctx, Empty{})
}

func (h *House) setUpdates(ctx context.Context, q SetUpdates) (Updates, error) {
	if h.Updates == nil {
		return Updates{}, toldUpdate(agent.ErrNoBox)
	}
	s := h.Updates.Settings()
	if q.URL != nil {
		s.URL = *q.URL
	}
	if q.Auto != nil {
		s.Auto = *q.Auto
	}
	if err := h.Updates.Set(s); err != nil {
		return Updates{}, toldUpdate(err)
	}
	return h.updateStatus(ctx, Empty{})
}

// InstallUpdate installs an update that comes as the bytes of a file. When it
// returns nil the box is about to restart.
func (h *House) InstallUpdate(ctx context.Context, file io.Reader) error {
	err := agent.ErrNoBox
	if h.Updates != nil {
		err = h.Updates.Upload(ctx, file)
	}
	h.audit(ctx, "update.upload", nil, err)
	return toldUpdate(err)
}

// WentBack says why a box went back from an update.
func WentBack(p agent.Past) words.Text {
	return words.Say("update.back."+string(p.Reason), "said", p.Detail).Text()
}

// updateLight is the light "up to date". Its codes are the states of
// update/agent.
func (h *House) updateLight(ctx context.Context) Light {
	l := Light{Name: "update", State: LightOff, Code: string(agent.NoBox), Who: h.Version}
	if h.Updates == nil {
		return l
	}
	s, err := h.Updates.Status(ctx)
	if err != nil {
		l.State, l.Code = check.CouldNotTest, string(agent.Unknown)
		return l
	}
	l.Code, l.At = string(s.State), s.Checked
	switch s.State {
	case agent.Current:
		l.State = check.Good
	case agent.Ready:
		l.State, l.Who = check.Waiting, string(s.Offer.Version)
	case agent.Trial, agent.Fetching:
		l.State = check.Waiting
	case agent.Back, agent.Trouble:
		l.State = check.Bad
	case agent.Unknown:
		l.State = check.CouldNotTest
	}
	return l
}
