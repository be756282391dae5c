package bench

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A sink takes every message and keeps none.
type sink struct {
	port  int
	delay time.Duration // before it answers, as if it were far

	mu          sync.Mutex
	n, want     int
	first, last time.Time
	done        chan struct{}
}

func newSink(b *testing.B, delay time.Duration) *sink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	s := &sink{port: l.Addr().(*net.TCPAddr).Port, delay: delay}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

// expect starts to count anew. The channel is closed when n messages have come.
func (s *sink) expect(n int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.want, s.done = 0, n, make(chan struct{})
	return s.done
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// times are when the first and the last message came.
func (s *sink) times() (first, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.last
}

func (s *sink) took() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; s.n == 1 {
		s.first = time.Now()
	}
	if s.n == s.want {
		s.last = time.Now()
		close(s.done)
	}
}

const features = "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 50000000\r\n250 ENHANCEDSTATUSCODES\r\n"

// serve speaks SMTP, with replies to a pipelined group in one packet.
func (s *sink) serve(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
	reply := func(text string) {
		w.WriteString(text)
		if r.Buffered() == 0 {
			time.Sleep(s.delay)
			w.Flush()
		}
	}
	reply("220 sink.test ESMTP\r\n")
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(string(line)), " "); strings.ToUpper(verb) {
		case "EHLO":
			reply(features)
		case "DATA":
			reply("354 go ahead\r\n")
			if !toDot(r) {
				return
			}
			s.took()
			reply("250 2.0.0 taken\r\n")
		case "QUIT":
			io.WriteString(c, "221 2.0.0 bye\r\n")
			return
		default:
			reply("250 2.0.0 ok\r\n")
		}
	}
}

// toDot reads a message.
func toDot(r *bufio.Reader) bool {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			return true
		}
	}
}
