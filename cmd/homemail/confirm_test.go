package main

import (
	"io"
	"strings"
	"testing"

	"homemail/mail"
	"homemail/store"
)

// TestConfirmation: who asks for a report of success gets one about people of
// this house too, in INBOX.
func TestConfirmation(t *testing.T) {
	c := trySettings(t.TempDir())
	listenOn(&c, func(string) int { return 0 })
	h, err := openHouse(t.Context(), c, world{}, quietLog(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := h.store.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	anna, err := h.store.AddAccount(store.Profile{Address: "anna@example.test", Language: "ja"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.AddAccount(store.Profile{Address: "bert@example.test"}); err != nil {
		t.Fatal(err)
	}
	for _, notify := range [][]string{nil, {"FAILURE"}, {"SUCCESS"}} {
		m := h.agent.Begin("anna@example.test", anna.ID)
		defer m.Discard()
		if err := m.Rcpt("bert@example.test", 0); err != nil {
			t.Fatal(err)
		}
		io.WriteString(m, "From: anna@example.test\r\nSubject: x\r\n\r\nHallo\r\n")
		e := mail.Envelope{From: "anna@example.test", To: []mail.Recipient{{Path: "bert@example.test", Notify: notify}}}
		if _, err := m.Commit(e, mail.Trace{ID: "id" + strings.Join(notify, ""), Account: anna.ID}); err != nil {
			t.Fatal(err)
		}
	}
	inbox, err := anna.MailboxFor(mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if inbox.Messages != 1 {
		t.Errorf("%d reports", inbox.Messages)
	}
}
