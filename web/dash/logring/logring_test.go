package logring

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFind(t *testing.T) {
	r := New()
	log := slog.New(r.Handler(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Debug("too small for the log")
	log.Info("mail taken", "id", "A1", "from", "")
	log.With("door", "smtp").WithGroup("tls").Warn("Slow client", "version", "1.2", slog.Group("peer", "name", "a b"))
	if got := r.Find(slog.LevelDebug, "", 10); len(got) != 2 || got[0].Text != "Slow client" || got[1].About != `id=A1 from=""` {
		t.Errorf("all: %+v", got)
	}
	if got := r.Find(slog.LevelWarn, "", 10); len(got) != 1 || got[0].About != `door=smtp tls.version=1.2 tls.peer.name="a b"` {
		t.Errorf("warnings: %+v", got)
	}
	if got := r.Find(slog.LevelDebug, "ID=a1", 10); len(got) != 1 {
		t.Errorf("by text: %+v", got)
	}
	if got := (*Ring)(nil).Find(slog.LevelDebug, "", 10); got != nil {
		t.Errorf("no ring: %+v", got)
	}
}

// The ring keeps the newest lines, in order, and no more.
func TestBounded(t *testing.T) {
	r := New()
	h := r.Handler(slog.NewTextHandler(io.Discard, nil))
	log := slog.New(h)
	for i := range lines + 10 {
		log.Info(fmt.Sprint(i), "x", strings.Repeat("あ", textMax))
	}
	got := r.Find(slog.LevelDebug, "", 2*lines)
	if len(got) != lines || got[0].Text != fmt.Sprint(lines+9) || got[lines-1].Text != "10" {
		t.Fatalf("%d lines, from %q to %q", len(got), got[0].Text, got[len(got)-1].Text)
	}
	for _, l := range got {
		if len(l.About) > textMax+3 || !utf8.ValidString(l.About) {
			t.Fatalf("%d octets, %q", len(l.About), l.About[len(l.About)-6:])
		}
	}
}
