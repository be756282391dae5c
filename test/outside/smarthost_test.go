package outside

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/mail"
	"homemail/store"
)

// TestSmarthost: all mail leaves through a Postfix that wants a name and a
// password. Without the right one it waits, and the owner is told in words.
func TestSmarthost(t *testing.T) {
	p := postfix(t)
	h := newHouse(t, plan{off: true}, "dovecot")
	secret := func(text string) string {
		path := filepath.Join(h.dir, "secret")
		must(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
		return path
	}
	add := func(password string, more ...string) (string, error) {
		return h.try(append([]string{"smarthost", "add", "isp", "-host", "mx.postfix.test", "-port", "587", "-tls", "starttls",
			"-user", smarthostUser, "-password-file", secret(password), "-from", h.anna.Address}, more...)...)
	}
	const wrong = "wrong-password-71kd9"
	out, err := add(wrong)
	if err == nil || !strings.Contains(out, "not kept") || !strings.Contains(out, "535") {
		t.Errorf("with a wrong password: %v\n%s", err, out)
	}
	if out := h.cli("smarthost", "list"); strings.Contains(out, "isp") {
		t.Errorf("it was kept:\n%s", out)
	}

	if out, err = add(wrong, "-untried"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.cli("route", "set", "default", "smarthost", "isp")
	to := "carl@far.away.postfix.test"
	text := h.letter("through another", to)
	h.send(text, to)
	r := h.waits(to, 1)
	if last := r.Tries[len(r.Tries)-1]; last.Cause != mail.CauseAuth || last.Why == "" || last.Todo == "" {
		t.Errorf("%+v", last)
	}
	out, err = h.try("smarthost", "test", "isp", "-from", h.anna.Address)
	if err == nil || !strings.Contains(out, "password") || !strings.Contains(out, "535") {
		t.Errorf("smarthost test: %v\n%s", err, out)
	}
	t.Logf("smarthost test says:\n%s", out)

	if out, err = add(smarthostPassword); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, out, "ok ", "kept isp")
	r = h.endsSoon(to, store.Relayed)
	if last := r.Tries[len(r.Tries)-1]; !strings.Contains(last.TLS, "certificate verified") || !strings.Contains(last.Remote, ":587") {
		t.Errorf("%+v", last)
	}
	got := p.arrives(t, to, "through another")
	if err := same(got, text); err != nil {
		t.Error(err)
	}
	contains(t, got, "(Authenticated sender: "+smarthostUser+")")
	for _, secret := range []string{wrong, smarthostPassword} {
		if strings.Contains(h.log(), secret) {
			t.Error("a password is in the log")
		}
	}
}

// TestDirectThenSmarthost: where the direct way does not work, the other does;
// a domain may have a way of its own.
func TestDirectThenSmarthost(t *testing.T) {
	p := postfix(t)
	s := meet(t, "192.0.2.120", "fussy.postfix.test", manners{answer: func(_ int, verb, _ string) string {
		if verb == "MAIL" {
			return "450 4.7.1 your line has no reverse name"
		}
		return ""
	}})
	h := newHouse(t, plan{}, "dovecot")
	file := filepath.Join(h.dir, "secret")
	must(t, os.WriteFile(file, []byte(smarthostPassword), 0o600))
	h.cli("smarthost", "add", "isp", "-host", "mx.postfix.test", "-port", "587", "-tls", "starttls", "-user", smarthostUser, "-password-file", file, "-from", h.anna.Address)
	h.cli("route", "set", "fussy.postfix.test", "direct-then-smarthost", "isp", "-after", "2")
	h.cli("route", "set", "never.postfix.test", "off")
	to := "carl@fussy.postfix.test"
	h.send(h.letter("the long way", to), to)
	contains(t, p.arrives(t, to, "the long way"), "(Authenticated sender: "+smarthostUser+")")
	if n, _ := s.seen(); n != 2 {
		t.Errorf("%d tries went direct", n)
	}
	if err := h.submit(h.anna, h.letter("never", "carl@never.postfix.test"), posting{}, "carl@never.postfix.test"); err == nil || !strings.Contains(err.Error(), "550") {
		t.Errorf("to a domain without a way out: %v", err)
	}
	to = "carl@direct.postfix.test"
	h.send(h.letter("the short way", to), to)
	if got := p.arrives(t, to, "the short way"); strings.Contains(got, "Authenticated") {
		t.Errorf("it went through the smarthost:\n%s", got)
	}
}

// TestThousand: a queue of a thousand messages empties into Postfix, through a
// crash in the middle of it.
func TestThousand(t *testing.T) {
	p := postfix(t)
	h := newHouse(t, plan{})
	const all, at = 1000, 10
	errs := make(chan error, at)
	to := "carl@thousand.postfix.test"
	for i := range at {
		go func() {
			errs <- h.sendMany(all/at, func(n int) string { return h.letter(fmt.Sprintf("number %d.", i*all/at+n), to) }, to)
		}()
	}
	for range at {
		must(t, <-errs)
	}
	within(t, 2*patience, "some that left", func() bool { return len(p.received(t, to)) > all/4 })
	h.crash()
	count := map[string]int{}
	within(t, 2*patience, "all of them", func() bool {
		clear(count)
		for _, m := range p.received(t, to) {
			_, rest, _ := strings.Cut(m, "Subject: "+canary+" number ")
			n, _, _ := strings.Cut(rest, ".")
			count[n]++
		}
		return len(count) == all
	})
	twice := 0
	for _, n := range count {
		if n > 1 {
			twice += n - 1
		}
	}
	t.Logf("%d came twice", twice)
	if twice > 5 { // what was in flight, by per_hop
		t.Errorf("%d came twice", twice)
	}
}
