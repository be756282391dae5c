// Package logring keeps the newest lines of the log in memory, so that an owner
// can read them in a browser. It writes nothing to disk: what is to be kept is
// what the log itself goes to.
package logring

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// The bounds: some two megabytes at most, of which a house at rest needs a
// tenth.
const (
	lines   = 2000
	textMax = 1000 // octets of a line; longer ones are of bugs
)

// A Line is a record of the log, as text.
type Line struct {
	Seq   uint64
	At    time.Time
	Level slog.Level
	Text  string // the message
	About string // the attributes, as NAME=VALUE
}

// A Ring keeps the newest lines. It is safe for concurrent use.
type Ring struct {
	mu   sync.Mutex
	list []Line // the oldest at next, once it is full
	next int
	seq  uint64
}

// New makes an empty Ring.
func New() *Ring { return &Ring{} }

func (r *Ring) add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	l.Seq = r.seq
	if len(r.list) < lines {
		r.list = append(r.list, l)
		return
	}
	r.list[r.next] = l
	r.next = (r.next + 1) % lines
}

// Find returns the newest lines of a level and above that hold a text in any
// case, the newest first: at most so many.
func (r *Ring) Find(level slog.Level, text string, limit int) (found []Line) {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	list := slices.Concat(r.list[r.next:], r.list[:r.next])
	r.mu.Unlock()
	text = strings.ToLower(text)
	for _, l := range slices.Backward(list) {
		if len(found) >= limit {
			break
		}
		if l.Level >= level && (text == "" || strings.Contains(strings.ToLower(l.Text+" "+l.About), text)) {
			found = append(found, l)
		}
	}
	return found
}

// Handler returns a handler that keeps what goes through it to next.
func (r *Ring) Handler(next slog.Handler) slog.Handler { return &handler{ring: r, next: next} }

type handler struct {
	ring  *Ring
	next  slog.Handler
	group string // with a dot at its end
	about string // of WithAttrs
}

// Enabled follows the log itself, so that the page shows what the log has.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	var b strings.Builder
	b.WriteString(h.about)
	rec.Attrs(func(a slog.Attr) bool {
		write(&b, h.group, a)
		return b.Len() < textMax
	})
	h.ring.add(Line{At: rec.Time, Level: rec.Level, Text: short(rec.Message), About: short(b.String())})
	return h.next.Handle(ctx, rec)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.about)
	for _, a := range attrs {
		write(&b, h.group, a)
	}
	return &handler{h.ring, h.next.WithAttrs(attrs), h.group, short(b.String())}
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{h.ring, h.next.WithGroup(name), h.group + name + ".", h.about}
}

func write(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, a := range v.Group() {
			write(b, group, a)
		}
		return
	}
	if a.Key == "" {
		return
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	text := v.String()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' }) {
		text = fmt.Sprintf("%q", short(text))
	}
	b.WriteString(group + a.Key + "=" + text)
}

// short cuts a text between characters.
func short(s string) string {
	if len(s) > textMax {
		s = s[:textMax] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
