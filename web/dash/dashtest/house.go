// Package dashtest has a house for tests of the owner's pages: one that answers
// with values, and is as full as a family's. It is in no program.
package dashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/config"
	"homemail/store"
	"homemail/web/dash"
	"homemail/web/dash/logring"
	"homemail/web/page"
)

// A House answers with values.
type House struct {
	Answers map[string]any   // by operation
	Errors  map[string]error // these first
	Home    admin.Overview

	mu    sync.Mutex
	asked []Asked
	sent  []byte
}

// Asked is an operation that was asked for.
type Asked struct {
	Operation string
	Request   string
}

// Do answers with what the House has; of what changes something and has no
// answer, that it was done.
func (h *House) Do(_ context.Context, operation string, request json.RawMessage) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, Asked{operation, string(request)})
	if err := h.Errors[operation]; err != nil {
		return nil, err
	}
	if found, ok := h.Answers[operation].(admin.Events); ok {
		return ofKinds(found, request)
	}
	if answer, ok := h.Answers[operation]; ok {
		return answer, nil
	}
	return nil, fmt.Errorf("%w: there is no operation %q", store.ErrInvalid, operation)
}

// ofKinds leaves events of other kinds out.
func ofKinds(found admin.Events, request json.RawMessage) (any, error) {
	var q admin.FindEvents
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	found.Events = slices.DeleteFunc(slices.Clone(found.Events), func(e admin.Event) bool { return !slices.Contains(q.Kinds, e.Kind) })
	for i := range found.Events {
		found.Events[i].Words = found.Events[i].Event.Words(q.Language)
	}
	return found, nil
}

// Overview answers with Home.
func (h *House) Overview(context.Context) (admin.Overview, error) {
	return h.Home, h.Errors["overview"]
}

// Asked returns what was asked for with an operation.
func (h *House) Asked(operation string) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.asked {
		if a.Operation == operation {
			list = append(list, a.Request)
		}
	}
	return list
}

// All returns all that was asked.
func (h *House) All() []Asked {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

// Set makes pages of a House, whose owner is signed in.
func Set(h dash.House, own string) (*page.Set, *dash.Dash, error) {
	set, err := page.New(page.Options{
		Sources: []fs.FS{dash.Source()},
		Hosts:   func() []string { return []string{"mail.example.jp", "127.0.0.1"} },
		Key:     []byte("the key of a test, which is not secret"),
		Session: func(*http.Request) string { return "taro" },
		Body:    dash.Body,
		Zone:    func() *time.Location { return time.FixedZone("JST", 9*60*60) },
	})
	if err != nil {
		return nil, nil, err
	}
	ring := logring.New()
	lines(ring, own)
	d := dash.New(dash.Options{
		House: h, Upload: upload(h), Set: set, SignOut: "/out", Mine: "/me", Lines: ring,
		Who:    func(*http.Request) string { return "taro@example.jp" },
		Server: server,
		Router: func() (dash.Router, bool) {
			return dash.Router{Model: "WG1200HP4" + own, Own: "192.168.1.23", Gateway: "192.168.1.1", Page: "http://192.168.1.1/", Speaks: "UPnP",
				EN: "The router lets all doors through.", JA: "ルーターの設定は完了しています。"}, true
		},
	})
	return set, d, nil
}

func server(domain string) autoconfig.Server {
	return autoconfig.Server{
		Host: "mail.example.jp", Domain: domain,
		IMAP:       []autoconfig.Service{{Port: 993, TLS: autoconfig.Implicit}},
		Submission: []autoconfig.Service{{Port: 465, TLS: autoconfig.Implicit}},
	}
}

func lines(ring *logring.Ring, own string) {
	log := slog.New(ring.Handler(quiet{}))
	log.Info("mail taken", "id", "01J8Z3", "from", "hanako@example.net"+own, "size", 18400)
	log.Warn("a connection was slow", "remote", "203.0.113.9", "door", "smtp")
	log.Error("the disk is slow", "took", 3*time.Second)
	log.Info("delivered", "id", "01J8Z3", "to", "taro@example.jp", "mailbox", "INBOX")
}

// quiet is a log that takes everything and shows nothing.
type quiet struct{ slog.Handler }

func (quiet) Enabled(context.Context, slog.Level) bool  { return true }
func (quiet) Handle(context.Context, slog.Record) error { return nil }
func (q quiet) WithAttrs([]slog.Attr) slog.Handler      { return q }
func (q quiet) WithGroup(string) slog.Handler           { return q }

// Settings are those of a house of which one is set in the file, and one here.
func settings() []config.Setting {
	list := config.Default().Sources()
	for i := range list {
		switch list[i].Name {
		case "host_name":
			list[i].Value, list[i].From = `"mail.example.jp"`, "config.toml:12"
		case "limits.message_size":
			list[i].Value, list[i].From = `"80 MiB"`, "store"
		}
	}
	return list
}
