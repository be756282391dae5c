package dash

import (
	"context"
	"io"
	"log/slog"
	"testing"
)

// A bug in what a page has begun must not end the server, which has mail to take.
func TestJobPanics(t *testing.T) {
	js := newJobs(slog.New(slog.NewTextHandler(io.Discard, nil)))
	j := js.start(t.Context(), "x", 0, func(context.Context) (any, error) { panic("a bug") })
	<-j.done
	if j.err == nil || j.running() || j.ended.IsZero() {
		t.Errorf("%+v", j)
	}
	js.close()
}
