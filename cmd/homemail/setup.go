package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/config"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/session"
	"homemail/store"
)

// setupCommands set a house up without the pages.
func setupCommands() []command {
	return []command{
		{"setup", "", "set this mail server up, step by step, or as a file says", 0, 0, setUp},
	}
}

// setUp is the menu, and what programs use.
func setUp(in *invocation, f *flag.FlagSet) action {
	apply := f.String("apply", "", "answer the steps as `FILE` says, and wipe its secrets once they are used")
	wait := f.Bool("wait", false, "with -apply: wait until nothing goes on by itself any more")
	status := f.Bool("status", false, "tell how far it is, and change nothing")
	return func(ctx context.Context, _ []string) error {
		if *apply != "" {
			file, err := firstboot.ReadFile(*apply) // before anything is opened
			if err != nil {
				return err
			}
			return in.withSetup(ctx, func(ctx context.Context, a firstboot.Asker) error {
				return in.applySetup(ctx, a, file, *wait, in.asked())
			})
		}
		return in.withSetup(ctx, func(ctx context.Context, a firstboot.Asker) error {
			if *status || in.global.json {
				return in.showSetup(ctx, a, in.asked())
			}
			return newMenu(in, a, in.asked()).run(ctx)
		})
	}
}

// withSetup finds the engine of the server that runs, or makes one on the store
// if none does.
func (in *invocation) withSetup(ctx context.Context, fn func(context.Context, firstboot.Asker) error) error {
	c, err := in.settings()
	if err != nil {
		return err
	}
	client, err := admin.Dial(c.Data)
	if err == nil {
		return fn(ctx, client)
	}
	if !errors.Is(err, admin.ErrNotRunning) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", c.Data, err)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	log := quietLog(in.stderr)
	s, err := store.Open(c.Data, store.Options{Log: log, Reserve: int64(c.Store.Reserve)})
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w, and its control socket does not answer", err)
	}
	if err != nil {
		return err
	}
	defer s.Close() // a second Close says nothing new
	h := &setupHouse{in: in, config: c, store: s}
	if err := h.open(); err != nil {
		return err
	}
	sessions := session.New(s, session.Options{Log: log})
	recovery := func(_ context.Context, _ mail.Path, id mail.AccountID) ([]string, error) { return sessions.Kit(id) }
	engine, err := firstboot.New(firstboot.Options{House: h, State: s, Recovery: recovery, Log: log})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	err = fn(ctx, localSetup{engine})
	stop()
	return errors.Join(err, <-ended, s.Close())
}

// A setupHouse does operations on a store that no server has. Like a server it is
// built anew when a setting has changed.
type setupHouse struct {
	in     *invocation
	config config.Config
	store  *store.Store
	admin  *admin.House
}

func (h *setupHouse) open() error {
	in := &house{config: h.config, log: quietLog(h.in.stderr), store: h.store}
	if err := in.useStored(); err != nil {
		return err
	}
	if err := in.openOutside(); err != nil {
		return err
	}
	in.buildOutside(in.real(world{}))
	h.admin = in.admin()
	return nil
}

func (h *setupHouse) Do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	if group, _, _ := strings.Cut(verb, "."); slices.Contains([]string{"zone", "publish", "mx", "certificate"}, group) {
		// Only a server that runs knows its own address, asks for certificates, and
		// sees to it that what it has changed stays right.
		return nil, firstboot.ErrNextStart
	}
	v, err := h.admin.Do(ctx, verb, request)
	if err == nil && verb == "setting.set" {
		err = h.open()
	}
	return v, err
}

// localSetup asks an engine of this process.
type localSetup struct{ engine *firstboot.Engine }

func (l localSetup) Do(ctx context.Context, verb string, request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	v, err := l.engine.Do(ctx, verb, b)
	if err != nil {
		return err
	}
	if b, err = json.Marshal(v); err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

// applySetup answers the steps of a file.
func (in *invocation) applySetup(ctx context.Context, a firstboot.Asker, file *firstboot.File, wait bool, lang string) error {
	r, err := firstboot.ApplyFile(ctx, a, file)
	if err != nil {
		return err
	}
	if err := file.Used(r); err != nil {
		fmt.Fprintf(in.stderr, "homemail: %s\n", in.why(err))
	}
	if r.OK && wait {
		err = r.Wait(ctx, a)
	}
	if lang == "" {
		lang = r.Language
	}
	name, wrote := file.Beside(r, lang)
	if err = errors.Join(err, wrote); err != nil {
		return err
	}
	if len(r.Devices)+len(r.Invites) > 0 { // they are in the file, and on the screen
		if err := a.Do(ctx, "setup.forget", firstboot.Given{}, &admin.Empty{}); err != nil {
			return err
		}
	}
	if in.global.json {
		err = in.print(r)
	} else {
		fmt.Fprint(in.stdout, r.Text(lang))
		fmt.Fprintf(in.stderr, "homemail: %s\n", in.say("setup.same", "file", name))
	}
	if err == nil && !r.OK {
		return exitCode(1)
	}
	return err
}

func (in *invocation) showSetup(ctx context.Context, a firstboot.Asker, lang string) error {
	var r firstboot.Result
	if err := a.Do(ctx, "setup.show", firstboot.Given{}, &r.Overview); err != nil {
		return err
	}
	if in.global.json {
		return in.print(r.Overview)
	}
	if lang == "" {
		lang = r.Language
	}
	fmt.Fprint(in.stdout, r.Text(lang))
	return nil
}
