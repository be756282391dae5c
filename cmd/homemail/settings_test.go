package main

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"homemail/admin"
	"homemail/config"
)

// eventually asks again until an answer is right.
func eventually(t *testing.T, what string, right func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !right(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A setting of the store is in force without a new process, and one with which no
// house can be opened is taken back.
func TestSettingsInForce(t *testing.T) {
	c := config.Default()
	c.HostName, c.Data = "localhost", t.TempDir()
	listenOn(&c, func(string) int { return 0 })
	c.LAN = config.LAN{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- live(ctx, c, slog.New(slog.DiscardHandler), console{out: io.Discard}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	do := func(verb string, q, a any) error {
		client, err := admin.Dial(c.Data)
		if err != nil {
			return err
		}
		return client.Do(ctx, verb, q, a)
	}
	started := func() (at time.Time) {
		var s admin.Status
		if do("status", admin.Empty{}, &s) != nil || s.Started == nil {
			return at
		}
		return *s.Started
	}
	value := func(name string) string {
		var list []config.Setting
		if err := do("setting.list", admin.Empty{}, &list); err != nil {
			return err.Error()
		}
		for _, s := range list {
			if s.Name == name && s.From == "store" {
				return s.Value
			}
		}
		return ""
	}
	set := func(name, value string) {
		t.Helper()
		if err := do("setting.set", admin.Setting{Name: name, Value: &value}, &[]config.Setting{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the first house", func() bool { return !started().IsZero() })
	first := started()
	set("limits.recipients", "77")
	eventually(t, "a house with the setting", func() bool { at := started(); return at.After(first) && value("limits.recipients") == "77" })
	second := started()
	set("listen.smtp", "192.0.2.1:25") // nobody has that address
	eventually(t, "a house without what cannot be", func() bool { at := started(); return at.After(second) && value("listen.smtp") == "" })
	if got := value("limits.recipients"); got != "77" {
		t.Errorf("the setting before is %q now", got)
	}
}
