package page

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEncodeEvent(t *testing.T) {
	if got := string(encodeEvent("a\nb", []byte("<p>\r\n\n</p>\n"))); got != "event: ab\ndata: <p>\ndata: \ndata: </p>\n\n" {
		t.Errorf("%q", got)
	}
}

func TestStream(t *testing.T) {
	s := newSet(t, nil)
	over := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Stream(w, r, func(ctx context.Context, send Sender) error {
			if err := send("mail", "x", view{Name: "Taro", N: 2}); err != nil {
				return err
			}
			<-ctx.Done()
			over <- ctx.Err()
			return ctx.Err()
		})
	}))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	if !strings.Contains(lines.Text(), "Hello, Taro") {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
	s.Close()
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Error("Close does not end it")
	}
}

// TestStreamBeats takes ten minutes of the bubble's time.
func TestStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := newSet(t, nil), time.Now()
		w := httptest.NewRecorder()
		s.Stream(w, request("GET", "/", ""), func(ctx context.Context, _ Sender) error { <-ctx.Done(); return ctx.Err() })
		if d := time.Since(start); d != streamLife {
			t.Errorf("it took %v", d)
		}
		if n := strings.Count(w.Body.String(), "\n:\n"); n < int(streamLife/heartbeat)-2 {
			t.Errorf("%d heartbeats", n)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	c := newStreams()
	var release []func()
	for range maxStreamsFrom {
		r, ok := c.take("a")
		if !ok {
			t.Fatal("refused too early")
		}
		release = append(release, r)
	}
	if _, ok := c.take("a"); ok {
		t.Error("one address took more than its share")
	}
	for c.n < maxStreams {
		if _, ok := c.take(strings.Repeat("b", c.n)); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := c.take("c"); ok {
		t.Error("more than there may be")
	}
	for _, r := range release {
		r()
	}
	if _, ok := c.take("a"); !ok || len(c.from) != maxStreams-maxStreamsFrom+1 {
		t.Errorf("not given back: %d", len(c.from))
	}
	for addr, want := range map[string]string{"192.0.2.1:5": "192.0.2.1", "[2001:db8::1]:5": "2001:db8::/64", "[fe80::1%eth0]:5": "fe80::1%eth0"} {
		if got := peer(&http.Request{RemoteAddr: addr}); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// broken is a connection with a bug.
type broken struct{ http.ResponseWriter }

func (broken) Write([]byte) (int, error) { panic("a bug") }

// TestStreamPanics: a bug in what goes on beside a request ends the stream, and
// not the server.
func TestStreamPanics(t *testing.T) {
	s := newSet(t, nil)
	s.log = slog.New(slog.DiscardHandler)
	ended := false
	s.Stream(broken{httptest.NewRecorder()}, request("GET", "/", ""), func(ctx context.Context, _ Sender) error {
		<-ctx.Done() // which the bug brings about
		ended = true
		return ctx.Err()
	})
	if !ended {
		t.Error("it goes on")
	}
}
