package relay

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"homemail/mail"
	"homemail/relay/mtasts"
)

// running runs f beside Run.
func running(t *testing.T, w *world, f func(t *testing.T, r *Relay)) {
	t.Helper()
	bubble(t, w, func(t *testing.T) {
		r := w.relay()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		f(t, r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(r.lanes) != 0 {
			t.Errorf("%d lanes are left", len(r.lanes))
		}
	})
}

// TestReuse: what a connection is used for again, and what not.
func TestReuse(t *testing.T) {
	const again = "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\n> 250 ok\n"
	for name, tt := range map[string]struct {
		server  string
		between func(w *world)
		require bool // of the second message
		want    string
		dials   int
	}{
		"at once":       {tlsOn + takes + again + quit, nil, false, "relayed", 1},
		"after a while": {tlsOn + takes + quit, func(*world) { time.Sleep(idleFor + 2*time.Second) }, false, "relayed", 2},
		"another policy": {tlsOn + takes + quit, func(w *world) {
			w.policy["example.test"] = mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mx.example.test"}}
		}, false, "relayed", 2},
		"another server":     {tlsOn + takes + quit, func(w *world) { w.zone["A mx.example.test"] = []string{"192.0.2.9"} }, false, "temporary connect 4.4.1", 1},
		"REQUIRETLS":         {tlsOn + takes + quit, nil, true, "permanent needs-tls 5.7.30", 1},
		"closed by then":     {tlsOn + takes + "close---" + tlsOn + takes + quit, nil, false, "relayed", 2},
		"421 by then":        {tlsOn + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\n> 250 ok\n< MAIL\n> 421 4.7.0 enough\n---" + tlsOn + takes + quit, nil, false, "relayed", 2},
		"452 for this":       {tlsOn + takes + "< MAIL\n< RCPT\n< DATA\n> 452 4.5.3 enough messages\n> 503 x\n> 503 x\n" + quit + "---" + tlsOn + takes + quit, nil, false, "relayed", 2},
		"refused for good":   {tlsOn + takes + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 550 5.1.1 no\n> 503 x\n" + quit, nil, false, "permanent reply 5.1.1 no", 1},
		"lost after the dot": {tlsOn + takes + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\nclose---" + tlsOn + takes, nil, false, "temporary lost 4.4.2", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{zone: oneMX(), servers: map[string]string{addr: tt.server}, policy: policies{}}
			running(t, w, func(t *testing.T, r *Relay) {
				if outs := w.send(r, "mx:example.test", message("bob@example.test")); brief(outs) != "relayed" {
					t.Fatal(outs)
				}
				if tt.between != nil {
					tt.between(w)
				}
				m := message("eve@example.test")
				m.Envelope.RequireTLS = tt.require
				outs := w.send(r, "mx:example.test", m)
				if brief(outs) != tt.want || w.dials[addr] != tt.dials {
					t.Errorf("got %+v after %d dials", outs, w.dials[addr])
				}
			})
			for _, p := range w.played[addr] {
				if p.Err != nil && !strings.Contains(tt.server, "close") {
					t.Error(p.Err)
				}
			}
		})
	}
}

// TestManyThroughOne: a connection is not used for ever.
func TestManyThroughOne(t *testing.T) {
	w := &world{zone: oneMX(), servers: map[string]string{addr: greet + strings.Repeat(takes, maxMessages) + quit}}
	running(t, w, func(t *testing.T, r *Relay) {
		for range maxMessages + 1 {
			if outs := w.send(r, "mx:example.test", message("bob@example.test")); brief(outs) != "relayed" {
				t.Fatal(outs)
			}
		}
		if w.dials[addr] != 2 {
			t.Errorf("%d connections", w.dials[addr])
		}
	})
	if err := w.played[addr][0].Err; err != nil {
		t.Error(err)
	}
}

// TestSettledFirst: what became of the message is stable before the server
// hears another word, RFC 1047.
func TestSettledFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		quit bool
	}{"stored": {nil, true}, "not stored": {errors.New("disk full"), false}} {
		t.Run(name, func(t *testing.T) {
			w := &world{zone: oneMX(), servers: map[string]string{addr: greet + takes + "<all"}}
			bubble(t, w, func(t *testing.T) {
				r := w.relay()
				r.Send(t.Context(), "mx:example.test", message("bob@example.test"), func(outs []mail.Outcome) error {
					time.Sleep(time.Minute)
					w.mu.Lock()
					defer w.mu.Unlock()
					if brief(outs) != "relayed" || len(w.played[addr]) != 0 {
						t.Error("the connection was not left alone")
					}
					return tt.err
				})
				w.wg.Wait()
				if heard := w.played[addr][0].Heard; strings.HasSuffix(heard, "QUIT\r\n") != tt.quit {
					t.Errorf("heard %q", heard)
				}
			})
		})
	}
}

// TestOwnHopOnly: a server that never answers costs its own hop, and no more
// than so many connections at once.
func TestOwnHopOnly(t *testing.T) {
	w := &world{zone: oneMX(), servers: map[string]string{addr: nothing, "192.0.2.7:25": greet + takes + quit}}
	w.zone["A other.test"] = []string{"192.0.2.7"}
	bubble(t, w, func(t *testing.T) {
		r := w.relay()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan string)
		for range perHop + 1 {
			go r.Send(ctx, "mx:example.test", message("bob@example.test"), func(outs []mail.Outcome) error {
				ended <- brief(outs)
				return nil
			})
		}
		synctest.Wait()
		start := time.Now()
		if outs := w.send(r, "mx:other.test", message("bob@other.test")); brief(outs) != "relayed" || time.Since(start) != 0 {
			t.Error(outs, time.Since(start))
		}
		if w.dials[addr] != perHop {
			t.Errorf("%d connections", w.dials[addr])
		}
		cancel()
		for range perHop + 1 {
			if got := <-ended; got != "temporary ours 4.3.0" {
				t.Error(got)
			}
		}
		synctest.Wait()
		if time.Since(start) != 0 || len(r.lanes) != 0 {
			t.Errorf("ended after %v, %d lanes are left", time.Since(start), len(r.lanes))
		}
	})
}
