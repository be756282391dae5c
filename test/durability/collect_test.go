package durability

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/internal/torture"
	"homemail/mail"
	"homemail/store"
)

// TestFlipBeforeCollection flips a bit of a message that was removed. Giving
// back the space of such messages must not take the others with it.
func TestFlipBeforeCollection(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	a, err := s.Account("anna@example.test")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	const messages, size = 120, 200 << 10
	var gone []mail.UID
	for i := range messages {
		sp := s.NewSpool()
		line := fmt.Sprintf("X-Torture: message %d of many\r\n", i)
		if _, err := sp.Write([]byte(line + "\r\n" + strings.Repeat(line, size/len(line)))); err != nil {
			t.Fatal(err)
		}
		placed, err := s.Deliver(sp, []store.Delivery{{Account: a.ID, Mailbox: inbox.ID}})
		if err != nil {
			t.Fatal(err)
		}
		if i%8 != 0 {
			gone = append(gone, placed[0].UID)
		}
	}
	if _, err := a.Expunge(inbox.ID, gone); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	flipText(t, dir, "X-Torture: message 9 of many")
	s = openStore(t, dir)
	if err := s.Maintain(t.Context()); err != nil {
		t.Logf("maintenance: %v", err)
	}
	st := torture.Read(s, true)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range st.Findings {
		t.Error(f)
	}
	if n := len(st.Boxes[0].Messages); n != messages-len(gone) {
		t.Errorf("%d messages of %d", n, messages-len(gone))
	}
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{Reserve: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Account("anna@example.test"); err == nil {
		return s
	}
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddAccount(store.Profile{Address: "anna@example.test", KeepDays: -1}); err != nil {
		t.Fatal(err)
	}
	return s
}

// flipText flips a bit of a text in the value log.
func flipText(t *testing.T, dir, text string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "db", "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in no value log file", text)
}
