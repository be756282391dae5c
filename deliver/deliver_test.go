package deliver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

const letter = "From: a@outside.test\r\nTo: anna@example.test\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <1@outside.test>\r\nSubject: Hello\r\n\r\nLunch?\r\n"

// A house is a store with the accounts anna, otto and old (disabled) in
// example.test, and an Agent for it.
type house struct {
	*Agent
	t          *testing.T
	s          *store.Store
	anna, otto *store.Account
}

func newHouse(t *testing.T) *house {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := storetest.Open(t, t.TempDir(), quiet)
	h := &house{t: t, s: s}
	for _, d := range []string{"example.test", "all.test", "empty.test"} {
		h.must(s.AddDomain(d))
	}
	h.account("old@example.test", func(p *store.Profile) { p.Disabled = true })
	h.anna = h.account("anna@example.test", nil)
	h.otto = h.account("otto@example.test", nil)
	h.Agent = New(s, Options{Host: "mx.example.test", Log: quiet, Separator: "+"})
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) account(address mail.Path, change func(*store.Profile)) *store.Account {
	h.t.Helper()
	p := store.Profile{Address: address}
	if change != nil {
		change(&p)
	}
	a, err := h.s.AddAccount(p)
	h.must(err)
	return a
}

func (h *house) alias(address mail.Path, to ...mail.Path) {
	h.t.Helper()
	h.must(h.s.SetAlias(store.Alias{Address: address, To: to}))
}

// send delivers a message, and returns the transaction.
func (h *house) send(text string, to ...mail.Path) (*Transaction, string, error) {
	h.t.Helper()
	return h.sendAs(mail.Trace{ID: "id1", Remote: netip.MustParseAddr("192.0.2.1"), Helo: "client.test", Protocol: "ESMTPS", TLS: "TLS_X", Time: time.Unix(1, 0).UTC()}, text, to...)
}

func (h *house) sendAs(tr mail.Trace, text string, to ...mail.Path) (*Transaction, string, error) {
	h.t.Helper()
	e := mail.Envelope{From: "a@outside.test"}
	t := h.Begin(e.From, tr.Account)
	h.t.Cleanup(t.Discard)
	for _, p := range to {
		if err := t.Rcpt(p, 0); err != nil {
			return t, "", err
		}
		e.To = append(e.To, mail.Recipient{Path: p})
	}
	if _, err := io.WriteString(t, text); err != nil {
		return t, "", err
	}
	id, err := t.Commit(e, tr)
	return t, id, err
}

// messages returns all that is in a mailbox, whole.
func (h *house) messages(a *store.Account, name string) (list []string) {
	h.t.Helper()
	m, err := a.Mailbox(name)
	h.must(err)
	entries, err := a.Entries(m.ID)
	h.must(err)
	for _, e := range entries {
		msg, err := a.Message(m.ID, e.UID)
		h.must(err)
		b, err := io.ReadAll(a.Body(msg))
		h.must(err)
		list = append(list, string(b))
	}
	return list
}

func TestDeliver(t *testing.T) {
	h := newHouse(t)
	_, id, err := h.send(letter, "Anna+x@EXAMPLE.test")
	h.must(err)
	want := "Return-Path: <a@outside.test>\r\nDelivered-To: Anna+x@example.test\r\n" +
		"Received: from client.test ([192.0.2.1])\r\n\tby mx.example.test with ESMTPS id id1\r\n\tfor <Anna+x@example.test>\r\n\ttls TLS_X;\r\n\tThu, 01 Jan 1970 00:00:01 +0000\r\n" + letter
	if got := h.messages(h.anna, "INBOX"); id != "id1" || len(got) != 1 || got[0] != want {
		t.Errorf("id %s\ngot  %q\nwant %q", id, got, want)
	}
	if s := h.Stats(); s.Messages != 1 || s.Copies != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestReceived(t *testing.T) {
	e := mail.Envelope{To: []mail.Recipient{{Path: "a@x.test"}, {Path: "b@x.test"}}}
	tr := mail.Trace{ID: "i", Remote: netip.MustParseAddr("2001:db8::1%eth0"), Helo: "(evil)\tx\r\nBcc: é", Protocol: "SMTP", Time: time.Unix(1, 0).UTC()}
	want := "Received: from ?evil??x??Bcc:?? ([IPv6:2001:db8::1])\r\n\tby h with SMTP id i;\r\n\tThu, 01 Jan 1970 00:00:01 +0000\r\n"
	if got := string(received("h", e, tr)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestAddresses looks at who gets what, without a message.
func TestAddresses(t *testing.T) {
	h := newHouse(t)
	_, err := h.anna.Create("Shop", mail.NoUse)
	h.must(err)
	h.alias("family@example.test", "anna@example.test", "otto@example.test", "old@example.test")
	h.alias("everybody@example.test", "family@example.test", "anna@example.test")
	h.alias("gone@example.test", "old@example.test")
	h.alias("@all.test", "otto@example.test")
	h.alias("abuse@all.test", "anna@example.test")
	const anna, otto, both = "anna", "otto", "anna otto"
	for p, want := range map[mail.Path]any{
		"anna@example.test":                  anna,
		"ANNA@Example.Test":                  anna,
		"\"anna\"@example.test":              anna,
		"anna+shop@example.test":             anna,
		"anna+@example.test":                 anna,
		"family@example.test":                both,
		"family+x@example.test":              both,
		"everybody@example.test":             both,
		"whoever@all.test":                   otto,
		"whoever+x@all.test":                 otto,
		"postmaster@all.test":                otto,
		"abuse@all.test":                     anna,
		"postmaster":                         anna,
		"PostMaster":                         anna,
		"postmaster@example.test":            anna,
		"abuse@empty.test":                   anna,
		"Postmaster+x@empty.test":            mail.ErrUnknownRecipient,
		"old@example.test":                   mail.ErrDisabled,
		"gone@example.test":                  mail.ErrDisabled,
		"nobody@example.test":                mail.ErrUnknownRecipient,
		"nobody+anna@example.test":           mail.ErrUnknownRecipient,
		"anna@empty.test":                    mail.ErrUnknownRecipient,
		"anna%example.test@outside.test":     mail.ErrNotLocal,
		"anna@outside.test":                  mail.ErrNotLocal,
		"anna@sub.example.test":              mail.ErrNotLocal,
		"anna@[127.0.0.1]":                   mail.ErrNotLocal,
		"\"anna@example.test\"@example.test": mail.ErrUnknownRecipient,
	} {
		found, err := h.accounts(p)
		names := ""
		for _, f := range found {
			names += map[mail.AccountID]string{h.anna.ID: " anna", h.otto.ID: " otto"}[f.id]
		}
		switch want := want.(type) {
		case string:
			if err != nil || strings.TrimSpace(names) != want {
				t.Errorf("%s: got%s, %v, want %s", p, names, err, want)
			}
			if !h.Owns(h.anna.ID, p) != !strings.Contains(want, anna) {
				t.Errorf("anna and %s: wrong owner", p)
			}
		case error:
			if !errors.Is(err, want) || h.Owns(h.anna.ID, p) {
				t.Errorf("%s: got%s, %v, want %v", p, names, err, want)
			}
		}
	}
}

func TestSeveralRecipients(t *testing.T) {
	h := newHouse(t)
	_, err := h.anna.Create("Shop", mail.NoUse)
	h.must(err)
	h.alias("family@example.test", "anna@example.test", "otto@example.test")
	_, _, err = h.send(letter, "anna+Shop@example.test", "family@example.test", "otto@example.test")
	h.must(err)
	shop, otto := h.messages(h.anna, "Shop"), h.messages(h.otto, "INBOX")
	if _, _, err := h.send(letter, "otto+sent@example.test"); err != nil || len(h.messages(h.otto, "Sent")) > 0 {
		t.Errorf("mail from outside is in Sent: %v", err)
	}
	if len(shop) != 1 || len(otto) != 1 || len(h.messages(h.anna, "INBOX")) != 0 {
		t.Fatalf("anna has %d in Shop, otto %d", len(shop), len(otto))
	}
	if !strings.Contains(shop[0], "Delivered-To: anna+Shop@example.test\r\n") || !strings.Contains(otto[0], "Delivered-To: family@example.test\r\n") || strings.Contains(otto[0], "\tfor <") {
		t.Errorf("got %q and %q", shop[0], otto[0])
	}
}

func TestJunk(t *testing.T) {
	h := newHouse(t)
	_, _, err := h.send("X-Spam-Flag: YES\r\n"+letter, "anna@example.test")
	h.must(err)
	_, _, err = h.sendAs(mail.Trace{ID: "x", Junk: true}, letter, "anna@example.test")
	h.must(err)
	m, err := h.anna.MailboxFor(mail.Junk)
	h.must(err)
	if n := len(h.messages(h.anna, m.Name)); n != 2 || h.Stats().Junk != 2 {
		t.Errorf("%d messages in Junk", n)
	}
	h.must(h.anna.Delete(m.Name))
	_, _, err = h.sendAs(mail.Trace{Junk: true}, letter, "anna@example.test")
	h.must(err)
	if n := len(h.messages(h.anna, "INBOX")); n != 1 {
		t.Errorf("%d messages in INBOX", n)
	}
}

func TestRefused(t *testing.T) {
	h := newHouse(t)
	for text, want := range map[string]error{
		strings.Repeat("Received: x\r\n", maxReceived) + letter:   mail.ErrLoop,
		strings.Repeat("Received: x\r\n", maxReceived-1) + letter: nil,
		"Delivered-To: ANNA@example.test\r\n" + letter:            mail.ErrLoop,
		"Delivered-To: otto@example.test\r\n" + letter:            nil,
		"From: b@outside.test\r\n" + letter:                       mail.ErrBadHeader,
		strings.Repeat("X: y\r\n", 2000) + letter:                 mail.ErrBadHeader,
		"": nil,
	} {
		if _, _, err := h.send(text, "anna@example.test"); !errors.Is(err, want) {
			t.Errorf("%.50q: got %v, want %v", text, err, want)
		}
	}
	if n := len(h.messages(h.anna, "INBOX")); n != 3 || h.Stats().Loops != 2 {
		t.Errorf("%d messages, %+v", n, h.Stats())
	}
}

func TestQuota(t *testing.T) {
	h := newHouse(t)
	h.must(h.anna.Update(func(p *store.Profile) error { p.Quota = 1000; return nil }))
	full := func(size int64) error { return h.Begin("a@outside.test", 0).Rcpt("anna@example.test", size) }
	if err := full(900); err != nil {
		t.Error(err)
	}
	if err := full(1001); !errors.Is(err, mail.ErrMailboxFull) {
		t.Errorf("got %v", err)
	}
	if _, _, err := h.send(letter+strings.Repeat("x", 1000), "otto@example.test", "anna@example.test"); !errors.Is(err, mail.ErrMailboxFull) {
		t.Errorf("got %v", err)
	}
	if n := len(h.messages(h.otto, "INBOX")); n != 0 {
		t.Error("otto got a message whose sender was told that it failed")
	}
	_, _, err := h.send(letter+strings.Repeat("x", 500), "anna@example.test")
	h.must(err)
	h.must(h.anna.Update(func(p *store.Profile) error { p.Quota = 500; return nil }))
	if err := full(0); !errors.Is(err, mail.ErrMailboxFull) {
		t.Errorf("got %v", err)
	}
}

// TestChanges sees that what is remembered about people is never stale.
func TestChanges(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		disabled := i%2 == 0
		h.must(h.anna.Update(func(p *store.Profile) error { p.Disabled = disabled; return nil }))
		if err := h.Begin("a@outside.test", 0).Rcpt("anna@example.test", 0); errors.Is(err, mail.ErrDisabled) != disabled {
			t.Errorf("disabled %v: got %v", disabled, err)
		}
	}
	h.must(h.s.RemoveAccount("anna@example.test"))
	if err := h.Begin("a@outside.test", 0).Rcpt("anna@example.test", 0); !errors.Is(err, mail.ErrUnknownRecipient) {
		t.Errorf("got %v", err)
	}
}

// TestMailboxGone removes the mailbox between RCPT and the end of DATA.
func TestMailboxGone(t *testing.T) {
	h := newHouse(t)
	_, err := h.anna.Create("Shop", mail.NoUse)
	h.must(err)
	tx := h.Begin("a@outside.test", 0)
	defer tx.Discard()
	h.must(tx.Rcpt("anna+Shop@example.test", 0))
	if tx.targets[0].mailbox == tx.targets[0].who.inbox {
		t.Error("the mailbox for the detail was not found")
	}
	h.must(h.anna.Delete("Shop"))
	io.WriteString(tx, letter)
	_, err = tx.Commit(mail.Envelope{To: []mail.Recipient{{Path: "anna+Shop@example.test"}}}, mail.Trace{ID: "x"})
	h.must(err)
	if n := len(h.messages(h.anna, "INBOX")); n != 1 {
		t.Errorf("%d messages in INBOX", n)
	}
}

func TestResend(t *testing.T) {
	h := newHouse(t)
	trace := func(id, ip string) mail.Trace { return mail.Trace{ID: id, Remote: netip.MustParseAddr(ip)} }
	send := func(tr mail.Trace, text string, want string, to ...mail.Path) *Transaction {
		t.Helper()
		tx, id, err := h.sendAs(tr, text, to...)
		if err != nil || id != want {
			t.Errorf("got id %s, %v, want %s", id, err, want)
		}
		return tx
	}
	send(trace("1", "192.0.2.1"), letter, "1", "anna@example.test") // confirmed
	tx := send(trace("2", "192.0.2.1"), letter, "2", "anna@example.test")
	tx.Unconfirmed()
	send(trace("3", "192.0.2.1"), letter+"x\r\n", "3", "anna@example.test")
	send(trace("4", "192.0.3.1"), letter, "4", "anna@example.test")
	send(trace("5", "192.0.2.1"), letter, "5", "otto@example.test")
	tx = send(trace("6", "192.0.2.77"), letter, "2", "anna@example.test") // the resend, by a neighbour
	tx.Unconfirmed()                                                      // whose 250 is lost, too
	send(trace("7", "192.0.2.1"), letter, "2", "anna@example.test")
	send(trace("8", "192.0.2.1"), letter, "8", "anna@example.test") // confirmed now: another of its kind counts
	anonymous := strings.Replace(letter, "Message-ID", "X-ID", 1)
	send(trace("9", "192.0.2.1"), anonymous, "9", "anna@example.test").Unconfirmed()
	send(trace("10", "192.0.2.1"), anonymous, "10", "anna@example.test")
	if n := len(h.messages(h.anna, "INBOX")); n != 7 || h.Stats().Resends != 2 {
		t.Errorf("%d messages, %+v", n, h.Stats())
	}
}

func TestResendsAreBounded(t *testing.T) {
	r := resends{sent: make(map[digest]sent)}
	for i := range resendsMax + 100 {
		r.put(digest{byte(i), byte(i >> 8)}, fmt.Sprint(i))
	}
	if len(r.sent) != resendsMax {
		t.Errorf("%d remembered", len(r.sent))
	}
	if _, ok := r.take(digest{1}); ok {
		t.Error("an old one is remembered")
	}
	last := resendsMax + 99
	if id, ok := r.take(digest{byte(last), byte(last >> 8)}); !ok || id != fmt.Sprint(last) {
		t.Error("the last one is forgotten")
	}
	r.sent[digest{9}] = sent{"x", time.Now().Add(-resendFor)}
	if _, ok := r.take(digest{9}); ok {
		t.Error("one from five days ago counts")
	}
}

func TestNoSpace(t *testing.T) {
	h := newHouse(t)
	if err := h.Room(1000); err != nil {
		t.Error(err)
	}
	if err := h.Room(1 << 60); !errors.Is(err, mail.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
}

// TestRoute sees that aliases that lead in a circle end.
func TestCircles(t *testing.T) {
	h := newHouse(t)
	h.alias("a@example.test", "anna@example.test")
	h.alias("b@example.test", "a@example.test")
	if err := h.s.SetAlias(store.Alias{Address: "a@example.test", To: []mail.Path{"b@example.test"}}); err == nil {
		t.Fatal("the store takes a circle")
	}
	if _, err := h.expand(nil, "b@example.test", "b@example.test", "", 1); !errors.Is(err, mail.ErrLoop) {
		t.Errorf("got %v", err)
	}
	if all, err := h.expand(nil, "b@example.test", "b@example.test", "", aliasDepth); err != nil || !slices.Equal(all, []reached{{id: h.anna.ID}}) {
		t.Errorf("got %v, %v", all, err)
	}
}
