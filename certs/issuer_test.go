package certs

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mholt/acmez/v3/acme"
)

func TestNoOrder(t *testing.T) {
	problem := func(kind string, status int) error {
		return acme.Problem{Type: acme.ProblemTypeNamespace + kind, Status: status}
	}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("creating new order: no route"), false},
		{fmt.Errorf("creating new order: %w", problem("serverInternal", 500)), true},
		{fmt.Errorf("creating new order: attempt 3: %w", problem("serverInternal", 503)), true},
		{fmt.Errorf("creating new order: %w", problem("malformed", 400)), true},
		{fmt.Errorf("creating new order: %w", problem("rateLimited", 429)), false},
		{fmt.Errorf("creating new order: %w", problem("unauthorized", 403)), false},
		{fmt.Errorf("finalizing order: %w", problem("serverInternal", 500)), false}, // there is one by then
	} {
		if got := noOrder(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
