package admin

import (
	"context"
	"fmt"
	"strings"

	"homemail/config"
	"homemail/store"
	"homemail/words"
)

// Settings is what an owner may change without writing config.toml.
type Settings struct {
	File    config.Config // as the file, the flags and the defaults have it
	Path    string        // of what is kept in the store, + name
	Changed func()        // the server starts again with them; nil if none runs
}

// Setting is a setting to be kept; no value is to forget it.
type Setting struct {
	Name  string  `json:"name"`
	Value *string `json:"value,omitempty"` // as it would stand in the file; a text may come without its quotes
}

func (h *House) inForce() (config.Config, error) {
	c := h.Settings.File
	kept := map[string]string{}
	err := h.Store.States(h.Settings.Path, func(path string, v []byte) bool {
		if v != nil {
			kept[path[len(h.Settings.Path):]] = string(v)
		}
		return true
	})
	if err == nil {
		_ = c.UseStored(kept) // was logged at the start
	}
	return c, err
}

func (h *House) listSettings(context.Context, Empty) ([]config.Setting, error) {
	c, err := h.inForce()
	return c.Sources(), err
}

// setSetting keeps a setting. The server ends what is under way in order, and
// goes on with it.
func (h *House) setSetting(ctx context.Context, q Setting) ([]config.Setting, error) {
	if by, ok := ctx.Value(actorKey{}).(Actor); ok && by.Door == "api" && opens(q.Name) {
		return nil, words.Because(store.ErrInvalid, "admin.token-setting", "name", q.Name)
	}
	c, err := h.inForce()
	if err != nil {
		return nil, err
	}
	var v []byte
	if q.Value != nil {
		literal, err := c.Set(q.Name, *q.Value)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		v = []byte(literal)
	}
	if err := h.Store.PutState(h.Settings.Path+q.Name, v); err != nil {
		return nil, err
	}
	if h.Settings.Changed != nil {
		h.Settings.Changed()
	}
	return h.listSettings(ctx, Empty{})
}

// opens reports whether a setting says who may come in from where. A token that
// could change that could make itself mightier.
func opens(name string) bool {
	section, _, _ := strings.Cut(name, ".")
	return section == "web" || section == "listen"
}
