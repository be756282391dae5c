package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestServe(t *testing.T) {
	r := New()
	r.Gauge("homemail_connections", "Connections open.", func() float64 { return 3 }, "protocol", "smtp")
	r.Gauge("homemail_connections", "Connections open.", func() float64 { return 4 }, "protocol", "imap")
	r.Counter("homemail_messages_total", "Messages taken.", func() float64 { return 7 })

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	well := error(nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l, func(context.Context) error { return well }) }()

	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	code, body := get("/metrics")
	for _, want := range []string{
		`homemail_connections{protocol="smtp"} 3`, `homemail_connections{protocol="imap"} 4`,
		"homemail_messages_total 7", "# TYPE homemail_messages_total counter", "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%d; no line %s", code, want)
		}
	}
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("well: %d %q", code, body)
	}
	well = errors.New("the disk is full")
	if code, body := get("/healthz"); code != 503 || body != "the disk is full\n" {
		t.Errorf("not well: %d %q", code, body)
	}
	if code, _ := get("/debug/pprof/"); code != 404 {
		t.Errorf("pprof: %d", code)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("does not stop")
	}
}

func TestEndsWithItsListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New().Serve(context.Background(), l, nil); err == nil {
		t.Error("a broken listener is no error")
	}
}
