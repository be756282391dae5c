package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"homemail/internal/mailtest"
	"homemail/mail"
)

// A sink is a server that others wrote. It counts.
type sink struct {
	mu       sync.Mutex
	sessions int
	data     map[string]int
}

type sinkSession struct{ *sink }

func (s *sink) NewSession(*gosmtp.Conn) (gosmtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	return sinkSession{s}, nil
}
func (sinkSession) Reset()                                 {}
func (sinkSession) Logout() error                          { return nil }
func (sinkSession) Mail(string, *gosmtp.MailOptions) error { return nil }
func (sinkSession) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (s sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data[string(b)]++
	return err
}

// toSink returns a relay whose example.test is a sink on loopback.
func toSink(t testing.TB, secure bool) (*Relay, *sink) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	s := &sink{data: map[string]int{}}
	server := gosmtp.NewServer(s)
	server.Domain = "mx.example.test"
	if secure {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil, "mx.example.test")}}
	}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	r := New(Options{
		Host: "box.example.org", Port: n, Roots: ca.pool(), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Resolver: mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "A mx.example.test": {"127.0.0.1"}},
		Routes:   func() Routes { return Routes{Default: Route{Way: Direct}} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	for !r.isRunning() {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() { cancel(); <-done })
	return r, s
}

func (r *Relay) isRunning() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// TestConcurrent: many messages over few connections, each once.
func TestConcurrent(t *testing.T) {
	r, s := toSink(t, true)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			text := fmt.Sprintf("Subject: %d\r\n\r\n.\r\nhi\r\n", i)
			m := message("bob@example.test")
			m.Size, m.Open = int64(len(text)), func() (io.Reader, error) { return strings.NewReader(text), nil }
			r.Send(t.Context(), "mx:example.test", m, func(outs []mail.Outcome) error {
				if brief(outs) != "relayed" || outs[0].TLS != "TLS 1.3, certificate verified" {
					t.Errorf("%+v", outs)
				}
				return nil
			})
		})
	}
	wg.Wait()
	if len(s.data) != n || s.sessions > 2*(n/maxMessages+perHop) { // two EHLOs each
		t.Errorf("%d messages in %d sessions", len(s.data), s.sessions)
	}
	for text, times := range s.data {
		if times != 1 {
			t.Errorf("%q came %d times", text, times)
		}
	}
}

// BenchmarkSend is messages to one hop, over a connection that is used again.
func BenchmarkSend(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", secure), func(b *testing.B) {
			r, _ := toSink(b, secure)
			text := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 60)
			m := message("bob@example.test")
			m.Size, m.Open = int64(len(text)), func() (io.Reader, error) { return strings.NewReader(text), nil }
			start := time.Now()
			for b.Loop() {
				r.Send(b.Context(), "mx:example.test", m, func(outs []mail.Outcome) error {
					if brief(outs) != "relayed" {
						b.Fatalf("%+v", outs)
					}
					return nil
				})
			}
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
		})
	}
}
