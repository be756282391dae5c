package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"homemail/check"
	"homemail/store"
	"homemail/update"
	"homemail/update/agent"
	"homemail/words"
)

// updateStates are all that update.status can say.
var updateStates = []agent.State{agent.NoBox, agent.NoSource, agent.Unknown, agent.Current, agent.Ready, agent.Fetching, agent.Trial, agent.Back, agent.Trouble}

// TestUpdateWords: each state, reason and refusal has its words, and none is
// over.
func TestUpdateWords(t *testing.T) {
	want := map[string]bool{"update.back." + string(update.Stopped): true, "update.back." + string(update.Unhealthy): true}
	for _, s := range updateStates {
		want["update.state."+string(s)] = true
	}
	for _, code := range append(agent.Codes(), update.Codes()...) {
		want["update.refused."+code] = true
	}
	for _, place := range words.Source() {
		b, err := fs.ReadFile(place, "en.json")
		if err != nil || !strings.Contains(string(b), `"update.`) {
			continue
		}
		words.Check(t, place, func(key string) bool { return want[key] })
		for key := range want {
			if !strings.Contains(string(b), `"`+key+`"`) {
				t.Errorf("there are no words for %s", key)
			}
		}
		return
	}
	t.Error("there is no catalogue")
}

type updateBox struct{ status update.Status }

func (b updateBox) Status(context.Context) (update.Status, error) { return b.status, nil }
func (b updateBox) Install(context.Context, []byte, []byte, update.Opener, int64, func(int64)) error {
	return nil
}

type updateMemory map[string][]byte

func (m updateMemory) State(string) ([]byte, error)         { return nil, store.ErrNotFound }
func (m updateMemory) PutState(path string, v []byte) error { m[path] = v; return nil }

func TestUpdates(t *testing.T) {
	box := updateBox{update.Status{Version: "1.2.0", Last: &update.Record{From: "1.2.0", To: "1.3.0", Stage: update.Back, Reason: update.Unhealthy, Detail: "smtp"}}}
	h := &House{Version: "1.2.0"}
	if l := h.updateLight(t.Context()); l.State != LightOff || l.Code != "no-box" {
		t.Errorf("%+v", l)
	}
	if _, err := h.updateStatus(t.Context(), Empty{}); Told(err).Code != "update.refused.no-box" || KindOf(err) != Impossible {
		t.Errorf("%v", err)
	}
	h.Updates = agent.New(agent.Options{Box: box, Memory: updateMemory{}, Log: slog.New(slog.DiscardHandler)})
	s, err := h.updateStatus(t.Context(), Empty{})
	if err != nil || s.State != agent.Back || !strings.Contains(s.Words.EN, "1.3.0") || !strings.Contains(s.Words.JA, "smtp") {
		t.Errorf("%+v, %v", s, err)
	}
	if l := h.updateLight(t.Context()); l.State != check.Bad || l.Code != "back" {
		t.Errorf("%+v", l)
	}
	bad, off := "nowhere", false
	if _, err := h.setUpdates(t.Context(), SetUpdates{URL: &bad}); Told(err).Code != "update.refused.url" {
		t.Errorf("%v", err)
	}
	if s, err := h.setUpdates(t.Context(), SetUpdates{Auto: &off}); err != nil || s.Settings.Auto {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := h.applyUpdate(t.Context(), Empty{}); Told(err).Code != "update.refused.no-offer" {
		t.Errorf("%v", err)
	}
	if err := toldUpdate(fmt.Errorf("x: %w", update.ErrRoom)); !errors.Is(err, update.ErrRoom) || Told(err).Code != "update.refused.room" {
		t.Errorf("%v", err)
	}
}
