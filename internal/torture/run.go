package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Options say what a tortured process does with a store.
type Options struct {
	Dir      string   `json:"dir"`
	Seed     uint64   `json:"seed"`
	Accounts []string `json:"accounts"` // are made if they are missing
	State    bool     `json:"state"`    // print what is there, once open
	Work     bool     `json:"work"`     // then do random operations
	Workers  int      `json:"workers"`
	Messages int      `json:"messages"`
	Large    int      `json:"large"`
	Fill     bool     `json:"fill"` // or fill the disk and empty it, again and again
	Maintain bool     `json:"maintain"`
	Only     []string `json:"only"` // these kinds of operations

	Reserve    int64 `json:"reserve"`
	Segment    int64 `json:"segment"`
	JournalMax int64 `json:"journal_max"`
	NoSync     bool  `json:"no_sync"`
}

// Run opens a store, prints its state and works on it until in ends; then it
// closes the store in order. It returns the exit code. What the store logs
// goes to logs.
func Run(options string, in io.Reader, out, logs io.Writer) int {
	p := &Printer{W: out}
	if err := run(options, in, p, logs); err != nil {
		p.Print(Line{T: "failed", Err: err.Error()})
		return 1
	}
	p.Print(Line{T: "closed"})
	return 0
}

func run(options string, in io.Reader, p *Printer, logs io.Writer) (err error) {
	var o Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // ends with the process
		io.Copy(io.Discard, in)
		stop()
	}()
	start := time.Now()
	s, err := store.Open(o.Dir, store.Options{Log: slog.New(slog.NewTextHandler(logs, nil)),
		Reserve: o.Reserve, JournalSegment: o.Segment, JournalMax: o.JournalMax, NoSync: o.NoSync})
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	if err := setUp(s, o.Accounts); err != nil {
		return err
	}
	p.Print(Line{T: "open", Damage: s.Damage(), MS: time.Since(start).Milliseconds()})
	st := Read(s, o.State)
	if o.State {
		p.PrintState(st)
	} else {
		p.Print(Line{T: "state", State: &st})
	}
	work := Work{Driver: &StoreDriver{Store: s}, Out: p, Seed: o.Seed, Workers: o.Workers, Messages: o.Messages,
		Large: o.Large, Maintain: o.Maintain, Only: o.Only}
	switch {
	case o.Fill:
		Rounds{Work: work, Store: s, Keep: o.Messages}.Run(ctx, st)
		return s.Broken()
	case o.Work:
		work.Run(ctx, st)
		return s.Broken()
	}
	<-ctx.Done()
	return nil
}

func setUp(s *store.Store, accounts []string) error {
	for _, name := range accounts {
		address := mail.Path(name)
		if _, err := s.Account(address); err == nil {
			continue
		}
		if !s.IsLocal(address.Domain()) {
			if err := s.AddDomain(address.Domain()); err != nil {
				return fmt.Errorf("domain: %w", err)
			}
		}
		if _, err := s.AddAccount(store.Profile{Address: address, KeepDays: -1}); err != nil {
			return err
		}
	}
	return nil
}
