package me

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// TestExports: there are some at once, one a person, and a new one ends the
// person's old one.
func TestExports(t *testing.T) {
	x := newExports()
	first, endFirst, ok := x.begin(t.Context(), 1)
	if !ok {
		t.Fatal("no room at all")
	}
	again, endAgain, ok := x.begin(t.Context(), 1)
	if !ok || !errors.Is(context.Cause(first), errReplaced) || again.Err() != nil {
		t.Errorf("%v, %v, %v", ok, context.Cause(first), again.Err())
	}
	endFirst() // which is not the end of the other
	_, end2, ok2 := x.begin(t.Context(), 2)
	_, end3, ok3 := x.begin(t.Context(), 3)
	if _, _, ok := x.begin(t.Context(), 4); !ok2 || !ok3 || ok {
		t.Errorf("room for %v, %v, %v", ok2, ok3, ok)
	}
	endAgain()
	_, end4, ok := x.begin(t.Context(), 4)
	if !ok {
		t.Error("an export that ended still has its place")
	}
	for _, end := range []func(){end2, end3, end4} {
		end()
	}
	if len(x.list) != 0 {
		t.Errorf("%v", x.list)
	}
}

// slow takes what it is given in its own time.
type slow struct {
	*httptest.ResponseRecorder
	each time.Duration
}

func (s slow) Write(b []byte) (int, error) {
	time.Sleep(s.each)
	return len(b), nil
}

func TestExportTakenSlowly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		piece int
		each  time.Duration
		ends  bool
	}{
		{"a phone at the edge of a cell", 32 << 10, time.Second, false},
		{"a drop at a time", 1, 10 * time.Second, true},
		{"a piece a minute", 64 << 10, 59 * time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, end, _ := newExports().begin(t.Context(), 1)
			defer end()
			w := slow{httptest.NewRecorder(), tt.each}
			out, begun := &patient{ctx: ctx, w: w, c: http.NewResponseController(w)}, time.Now()
			var err error
			for err == nil && time.Since(begun) < time.Hour {
				_, err = out.Write(make([]byte, tt.piece))
			}
			if errors.Is(err, errSlow) != tt.ends {
				t.Errorf("%s: %v after %v", tt.name, err, time.Since(begun))
			}
			time.Sleep(exportLongest)
			if _, err := out.Write([]byte("x")); err == nil {
				t.Errorf("%s: it has no end", tt.name)
			}
		})
	}
}
