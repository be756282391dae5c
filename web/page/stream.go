package page

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Limits of Server-Sent Events (HTML Standard §9.2).
const (
	maxStreams     = 64               // at once; a family's open tabs are a dozen
	maxStreamsFrom = 12               // of one address: more is a page gone wild
	heartbeat      = 20 * time.Second // routers forget a silent connection after 30 s and more
	streamLife     = 10 * time.Minute // then the browser asks again, and is asked again who it is
	streamWrite    = 10 * time.Second // for what is written to be taken
)

// streams counts those that are open.
type streams struct {
	mu   sync.Mutex
	n    int
	from map[string]int
	done chan struct{}
	once sync.Once
}

func newStreams() *streams { return &streams{from: map[string]int{}, done: make(chan struct{})} }

func (c *streams) close() { c.once.Do(func() { close(c.done) }) }

// take makes room for one more from an address; release gives it back.
func (c *streams) take(addr string) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n >= maxStreams || c.from[addr] >= maxStreamsFrom {
		return nil, false
	}
	c.n++
	c.from[addr]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n--
		if c.from[addr]--; c.from[addr] == 0 {
			delete(c.from, addr)
		}
	}, true
}

// A Sender sends the template NAME, made from a view, as an event: sse-swap of
// that event puts it into the page. Without a name it sends an event without a
// body, as for sse-close.
type Sender func(event, name string, view any) error

// Stream answers with Server-Sent Events that run sends. It ends when run does,
// with the request, with Close, and after ten minutes: browsers then ask again,
// so run begins with what there is now.
func (s *Set) Stream(w http.ResponseWriter, r *http.Request, run func(context.Context, Sender) error) {
	release, ok := s.streams.take(peer(r))
	if !ok {
		w.Header().Set("Retry-After", "10")
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // the server's is for requests; ignored where there is none to set
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)

	var mu sync.Mutex
	write := func(b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		_ = c.SetWriteDeadline(time.Now().Add(streamWrite))
		if _, err := w.Write(b); err != nil {
			return err
		}
		return c.Flush()
	}
	var beats sync.WaitGroup
	beats.Go(func() { s.beat(ctx, cancel, write) })
	defer func() { // even if run panics: nobody may write to w after that
		cancel()
		beats.Wait()
	}()
	err := run(ctx, func(event, name string, view any) error {
		var body []byte
		if name != "" {
			var err error
			if body, err = s.execute(s.Lang(r), name, view); err != nil {
				return err
			}
			body = s.fillToken(r, body)
		}
		return write(encodeEvent(event, body))
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("a stream of events was cut", "path", Where(r), "err", err)
	}
}

// beat keeps a connection known to routers until ctx or the set ends.
func (s *Set) beat(ctx context.Context, cancel func(), write func([]byte) error) {
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // net/http catches those of its own goroutines only
			s.log.Error("a bug cut a stream of events", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if write([]byte("retry: 3000\n\n")) != nil {
		return
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.streams.done:
			return
		case <-tick.C:
			if write([]byte(":\n\n")) != nil {
				return
			}
		}
	}
}

// encodeEvent writes an event; each line of its body is a field of its own.
func encodeEvent(event string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString("event: " + strings.NewReplacer("\n", "", "\r", "").Replace(event) + "\n")
	body = bytes.ReplaceAll(bytes.TrimSpace(body), []byte("\r"), nil)
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// peer is the address that a request came from; of IPv6, the network that one
// home has.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	if p, err := addr.WithZone("").Prefix(64); err == nil && !addr.IsLinkLocalUnicast() {
		return p.String()
	}
	return host
}
