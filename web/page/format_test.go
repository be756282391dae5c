package page

import (
	"testing"
	"time"

	"homemail/words"
)

func TestFormat(t *testing.T) {
	w, err := LoadWords(func() *time.Location { return time.FixedZone("JST", 9*3600) })
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 5, 35, 0, 0, time.UTC)
	now := time.Now()
	for _, c := range []struct{ got, want string }{
		{w.Date(English, at), "22 Nov 2026, 14:35"},
		{w.Date(Japanese, at), "2026年11月22日 14:35"},
		{w.Day(English, time.Time{}), "never"},
		{w.Ago(English, now.Add(-5*time.Minute)), "5 minutes ago"},
		{w.Ago(Japanese, now.Add(-5*time.Minute)), "5分前"},
		{w.Ago(English, now.Add(-time.Second)), "just now"},
		{w.Ago(English, now.Add(3*time.Hour+time.Minute)), "in 3 hours"},
		{w.Span(English, time.Hour), "1 hour"},
		{w.Span(English, 80*time.Minute), "80 minutes"},
		{w.Span(Japanese, 9*24*time.Hour), "9日"},
		{Bytes(999), "999 B"},
		{Bytes(1500), "1.5 kB"},
		{Bytes(999_600), "1.0 MB"},
		{Bytes(12_400_000_000), "12 GB"},
		{number(-1234567), "-1,234,567"},
		{number(999), "999"},
		{w.Value(Japanese, words.Text{EN: "a", JA: "あ"}), "あ"},
		{w.Value(English, 0.5), "0.5"},
		{w.Value(English, nil), ""},
		{w.Say(English, "no.such.key"), "no.such.key"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
