package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"homemail/config"
	"homemail/firstboot"
	"homemail/listen"
	"homemail/web/dash/logring"
)

func serve(in *invocation, f *flag.FlagSet) action {
	ports := f.String("ports", "", "\"high\" takes ports above 1024, on this computer alone, for trying out without root")
	letters := f.String("claim", "", "write homemail-claim.txt into `DIR`, with the code that makes the house yours; a code set in its homemail.toml is taken")
	plug := f.Bool("plug", false, "let the house be claimed by unplugging this computer, which does nothing else and starts homemail by itself")
	return func(ctx context.Context, _ []string) error {
		c, err := in.settings()
		if err != nil {
			return err
		}
		switch *ports {
		case "":
		case "high":
			listenOn(&c, func(name string) int { return tryPorts[name] })
		default:
			return fmt.Errorf("-ports %s: right is high", *ports)
		}
		log := newLog(in.stderr, c)
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return err
		}
		return live(ctx, c, log, console{in.stderr, *letters, *plug})
	}
}

// A console is where people see what to do: a terminal, and a directory that they
// can read elsewhere, such as the boot partition.
type console struct {
	out  io.Writer
	dir  string // "" for none
	plug bool   // the computer is the house's box, which people may unplug
}

// live runs houses, one after the other, until ctx ends or something fails. If
// settings of the store are such that no house can be opened any more, those
// before are taken again.
func live(ctx context.Context, c config.Config, log *slog.Logger, to console) error {
	var good map[string]string // of the last house
	code, err := newCode(to, log)
	if err != nil {
		return err
	}
	given, err := listen.TakeGiven(os.Getenv)
	if err != nil {
		return err
	}
	w := world{code: code, lines: logring.New(), given: given}
	log = slog.New(w.lines.Handler(log.Handler()))
	for {
		h, err := openHouse(ctx, c, w, log)
		if err != nil && good != nil {
			log.Error("homemail cannot start with the new settings and takes those before", "err", err)
			if err := keepSettings(c, good, log); err != nil {
				return err
			}
			good = nil
			continue
		}
		if err != nil {
			return err
		}
		h.hint(ctx, to)
		if err := h.run(ctx); !errors.Is(err, errAgain) {
			return err
		}
		good = h.kept
	}
}

// hint says what is missing before mail can come in. A house that is nobody's
// shows how to claim it.
func (h *house) hint(ctx context.Context, to console) {
	if g, ok := greeting(ctx, h.people.claim, h.config, h.localName(), h.certs.Fingerprint()); ok {
		fmt.Fprint(to.out, g.Text())
		if to.dir == "" {
			return
		}
		if err := g.WriteFile(to.dir); err != nil {
			h.log.Warn("the code for the claim was not written", "err", err)
		}
		return
	}
	if to.dir != "" {
		if err := firstboot.RemoveFile(to.dir); err != nil {
			h.log.Warn("the code of a claim that is over was not removed", "err", err)
		}
	}
	if list, err := h.store.Domains(); err == nil && len(list) == 0 {
		h.log.Warn("no mail is taken for any domain yet", "next", "homemail domain add example.org")
		return
	}
	if list, err := h.store.Accounts(); err == nil && len(list) == 0 {
		h.log.Warn("there is no account yet", "next", "homemail account add anna@example.org")
	}
}

func newLog(w io.Writer, c config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level()}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
