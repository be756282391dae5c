package main

import (
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"homemail/admin"
	"homemail/config"
	"homemail/events"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/store"
)

// TestClaimOfServer shows a code only as long as nobody has an account.
func TestClaimOfServer(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	code, err := firstboot.NewCode("K7QM-4T2X")
	if err != nil {
		t.Fatal(err)
	}
	log := events.New(s, events.Options{})
	defer log.Close()
	e, err := newSetup(&admin.House{Store: s, Events: log}, s, code, firstboot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	g, ok := greeting(t.Context(), e.Claim(), c, "homemail.local", "")
	if !ok || g.Code != "K7QM-4T2X" || g.URLs()[0] != "https://homemail.local/claim" {
		t.Errorf("%+v %v", g, ok)
	}
	c.Listen.HTTPS = []string{"127.0.0.1:8443"}
	if g, _ := greeting(t.Context(), e.Claim(), c, "homemail.local", ""); g.URLs()[0] != "https://127.0.0.1:8443/claim" {
		t.Errorf("%q", g.URLs())
	}
	if !e.Claim().Near(netip.MustParseAddr("::1")) || e.Claim().Near(netip.MustParseAddr("203.0.113.77")) {
		t.Error("who is near")
	}

	if err := s.AddDomain("example.jp"); err != nil {
		t.Fatal(err)
	}
	a, err := s.AddAccount(store.Profile{Address: "taro@example.jp", KeepDays: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := greeting(t.Context(), e.Claim(), c, "", ""); ok {
		t.Error("a house with an account greets strangers")
	}

	since := time.Now().Add(-time.Minute)
	for _, ev := range []events.Event{
		{Kind: events.Filed, At: time.Now(), Account: a.ID, From: "mari@example.net", To: []mail.Path{"taro@example.jp"}, Subject: "hello", TLS: "TLS 1.3",
			Auth: events.Auth{SPF: mail.ResultPass, DKIM: mail.ResultNone, DMARC: mail.ResultPass}},
		{Kind: events.Filed, At: time.Now(), Account: a.ID, From: "hanako@example.jp", To: []mail.Path{"taro@example.jp"}},
	} {
		log.Add(ev)
	}
	p := firstPost{log, s}
	l, err := p.Arrived(t.Context(), "taro@example.jp", since)
	if err != nil || l == nil || l.From != "mari@example.net" || !l.TLS || l.Junk || l.SPF != "pass" || l.DKIM != "none" || l.DMARC != "pass" {
		t.Errorf("%+v %v", l, err)
	}
	if l, err := p.Left(t.Context(), "taro@example.jp", since); l != nil || err != nil {
		t.Errorf("%+v %v", l, err)
	}
	if l, _ := p.Arrived(t.Context(), "taro@example.jp", time.Now().Add(time.Hour)); l != nil {
		t.Errorf("one of before: %+v", l)
	}
}

// Neighbours at a provider's are no more at home than the world.
func TestHomely(t *testing.T) {
	for p, want := range map[string]bool{
		"192.168.1.2/24": true, "10.0.0.2/8": true, "127.0.0.1/8": true, "169.254.1.1/16": true, "203.0.113.5/20": false, "100.64.1.2/10": false,
		"2001:db8::2/64": true, "2001:db8::2/48": false, "fd00::2/48": true, "fe80::1/64": true, "192.168.1.2/0": false,
	} {
		if got := homely(netip.MustParsePrefix(p)); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}

// TestNewCode takes the code that somebody has set beforehand, and one of chance
// where that cannot be one.
func TestNewCode(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	for text, want := range map[string]string{`claim = "k7qm4t2x"`: "K7QM-4T2X", `claim = "short"`: "", `language = "en"`: "", `claim =`: ""} {
		if err := os.WriteFile(filepath.Join(dir, "homemail.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, err := newCode(console{dir: dir, plug: true}, log)
		if err != nil || want != "" && code.String() != want || len(code.String()) != 9 {
			t.Errorf("%s: %v, %v", text, code, err)
		}
	}
	if code, err := newCode(console{dir: t.TempDir()}, log); err != nil || code.String() == "" {
		t.Errorf("%v %v", code, err)
	}
}
