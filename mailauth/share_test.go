package mailauth

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// endless counts the questions that are open; none is ever answered.
type endless struct {
	silent
	open, most atomic.Int64
}

func (e *endless) LookupTXT(ctx context.Context, name string) ([]string, error) {
	e.most.Store(max(e.most.Load(), e.open.Add(1)))
	defer e.open.Add(-1)
	return e.silent.LookupTXT(ctx, name)
}

// TestLookupsAtOnce has many messages whose keys are never found: they leave
// room for others' questions, and nothing stays behind.
func TestLookupsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endless{}
		c := New(Options{Resolver: e})
		var checks []*Check
		for range 20 {
			k := c.Begin(t.Context(), Origin{Helo: "h.test", From: "a@b.test"})
			var b strings.Builder
			for i := range 8 {
				fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=b.test; s=s%d; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n", i)
			}
			k.Write([]byte(b.String() + "From: a@b.test\r\n\r\n"))
			checks = append(checks, k)
			synctest.Wait()
		}
		if n := e.most.Load(); n != maxLookups {
			t.Errorf("%d at once", n)
		}
		for _, k := range checks {
			k.Close()
		}
		synctest.Wait()
		if n := e.open.Load(); n != 0 {
			t.Errorf("%d are still open", n)
		}
	})
}
