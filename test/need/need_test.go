package need

import "testing"

func TestTools(t *testing.T) {
	t.Setenv("HOMEMAIL_TOOLS", "")
	t.Run("not asked for", func(t *testing.T) {
		defer func() {
			if !t.Skipped() {
				t.Error("was not skipped")
			}
		}()
		Tools(t, "no-such-program")
	})
	t.Setenv("HOMEMAIL_TOOLS", "1")
	Tools(t, "sh")
	failed := &stub{TB: t}
	func() {
		defer func() { _ = recover() }()
		Tools(failed, "no-such-program")
	}()
	if !failed.fatal {
		t.Error("a missing program is no failure where it is needed")
	}
}

// A stub notes that a test would have failed.
type stub struct {
	testing.TB
	fatal bool
}

func (s *stub) Fatalf(string, ...any) { s.fatal = true; panic("fatal") }
