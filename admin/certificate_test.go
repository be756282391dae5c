package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"homemail/certs"
	"homemail/internal/storetest"
	"homemail/store"
)

// TestAgreeCA: in a world of its own nobody is told that a CA is asked.
func TestAgreeCA(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	h := &House{Store: s, CA: Authority{Directory: certs.LetsEncrypt}}
	agree := func() (Certificates, error) {
		out, err := h.Do(t.Context(), "certificate.agree", json.RawMessage(`{"email":"me@example.test"}`))
		c, _ := out.(Certificates)
		return c, err
	}
	if _, err := agree(); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "homemail try") {
		t.Error(err)
	}
	if _, err := certs.Agreed(s, certs.LetsEncrypt); !errors.Is(err, certs.ErrNoConsent) {
		t.Error("kept all the same:", err)
	}
	h.DNS = fixedDNS(nil)
	if c, err := agree(); err != nil || c.Agreed == nil || c.Agreed.Email != "me@example.test" {
		t.Errorf("%+v, %v", c, err)
	}
}
