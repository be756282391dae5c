package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"os"
	"strings"

	"homemail/admin"
	"homemail/config"
	"homemail/store"
)

// settingCommands are about the settings: the file's, and those in the store.
func settingCommands() []command {
	return []command{
		{"config", "", "show the settings in force and where each comes from", 0, 0, showConfig},
		{"config set", "NAME VALUE", "keep a setting in the store; config.toml wins over it", 2, 2, setConfig},
		{"config unset", "NAME", "forget a setting that is kept in the store", 1, 1, unsetConfig},
	}
}

func showConfig(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		c, err := in.settings()
		if err != nil {
			return err
		}
		list := c.Sources()
		if _, err := os.Stat(c.Data); err == nil { // else nothing is kept yet
			if err := in.ask(ctx, "setting.list", admin.Empty{}, &list); err != nil {
				return err
			}
		}
		return in.tellSettings(list)
	}
}

func (in *invocation) tellSettings(list []config.Setting) error {
	if in.global.json {
		return in.print(list)
	}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{s.Name, s.Value, s.From})
	}
	return in.table("SETTING VALUE FROM", rows)
}

func setConfig(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var list []config.Setting
		if err := in.ask(ctx, "setting.set", admin.Setting{Name: args[0], Value: &args[1]}, &list); err != nil {
			return err
		}
		return in.tellSettings(list)
	}
}

func unsetConfig(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var list []config.Setting
		if err := in.ask(ctx, "setting.set", admin.Setting{Name: args[0]}, &list); err != nil {
			return err
		}
		return in.tellSettings(list)
	}
}

// errAgain says that the house is to be built anew, with other settings.
var errAgain = errors.New("the settings have changed")

const settingPath = "setting/" // + name

// storedSettings are those that are kept in the store.
func storedSettings(s *store.Store) (map[string]string, error) {
	all := map[string]string{}
	err := s.States(settingPath, func(path string, v []byte) bool {
		if v != nil { // else it is damaged, and logged
			all[strings.TrimPrefix(path, settingPath)] = string(v)
		}
		return true
	})
	return all, err
}

// useStored puts the settings of the store under those of the file. A setting
// that cannot be used is told of and left out.
func (h *house) useStored() error {
	kept, err := storedSettings(h.store)
	if err != nil {
		return err
	}
	h.file, h.kept = h.config, kept
	if err := h.config.UseStored(kept); err != nil {
		h.log.Error("a setting in the store cannot be used", "err", err)
	}
	return nil
}

// settings is what admin sees of them.
func (h *house) settings() admin.Settings {
	return admin.Settings{File: h.file, Path: settingPath, Changed: func() {
		select {
		case h.again <- struct{}{}:
		default: // it is known
		}
	}}
}

// rebuild reports errAgain once the settings have changed.
func (h *house) rebuild(ctx context.Context) error {
	select {
	case <-h.again:
		h.log.Info("the settings have changed: starting again with the new ones")
		return errAgain
	case <-ctx.Done():
		return nil
	}
}

// keepSettings makes the store's settings those that were. It is for a house that
// could not be opened with newer ones.
func keepSettings(c config.Config, want map[string]string, log *slog.Logger) error {
	s, err := store.Open(c.Data, store.Options{Log: log, Reserve: int64(c.Store.Reserve)})
	if err != nil {
		return err
	}
	have, err := storedSettings(s)
	if err == nil {
		for name := range have {
			if _, ok := want[name]; !ok {
				err = errors.Join(err, s.PutState(settingPath+name, nil))
			}
		}
		for name, v := range maps.All(want) {
			err = errors.Join(err, s.PutState(settingPath+name, []byte(v)))
		}
	}
	return errors.Join(err, s.Close())
}
