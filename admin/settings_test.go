package admin

import (
	"errors"
	"testing"

	"homemail/store"
)

// A token must not make itself mightier.
func TestNoTokenOpensDoors(t *testing.T) {
	ctx := WithActor(t.Context(), Actor{Door: "api", Who: "script"})
	v := `["admin"]`
	for _, name := range []string{"web.outside", "listen.status"} {
		if _, err := new(House).setSetting(ctx, Setting{Name: name, Value: &v}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
