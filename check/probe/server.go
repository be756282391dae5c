package probe

import (
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// ServerOptions are the settings of a Server; the zero value is right.
type ServerOptions struct {
	// Allow are networks that may ask though they are not of the Internet.
	Allow []netip.Prefix
	Dial  Dial         // nil means net.Dialer
	Log   *slog.Logger // nil means nowhere
}

// A Server looks at whoever asks it. It is an http.Handler for EchoPath and
// ReachPath. It must see the address of its caller itself: what a proxy says in
// a header is what anybody may say, and is not read.
type Server struct {
	o      ServerOptions
	limits limits
}

// NewServer returns a Server.
func NewServer(o ServerOptions) *Server {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o}
}

// ServeHTTP answers one caller.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	from, ok := s.caller(r)
	switch {
	case !ok:
		http.Error(w, "only for addresses of the Internet", http.StatusForbidden)
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "":
		http.Error(w, "not for web pages", http.StatusForbidden) // of a stranger, in a visitor's browser
	case r.URL.Path == EchoPath && r.Method == http.MethodGet:
		s.echo(w, from)
	case r.URL.Path == ReachPath && r.Method == http.MethodPost:
		s.reach(w, r, from)
	default:
		http.NotFound(w, r)
	}
}

// caller is where the connection comes from: TCP has proved it.
func (s *Server) caller(r *http.Request) (netip.AddrPort, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}, false
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && local.AddrPort().Addr().Unmap() == from.Addr() {
		return netip.AddrPort{}, false // ourselves: that would not be outside
	}
	allowed := slices.ContainsFunc(s.o.Allow, func(p netip.Prefix) bool { return p.Contains(from.Addr()) })
	return from, Public(from.Addr()) || allowed
}

func (s *Server) echo(w http.ResponseWriter, from netip.AddrPort) {
	if !s.limits.echo(from.Addr()) {
		tooOften(w)
		return
	}
	answer(w, Echo{from.Addr(), from.Port(), time.Now().UTC()})
}

// reach looks at the caller's ports, all at once.
func (s *Server) reach(w http.ResponseWriter, r *http.Request, from netip.AddrPort) {
	req, ok := request(w, r)
	if !ok {
		http.Error(w, "not a request of ours", http.StatusBadRequest)
		return
	}
	if !s.limits.look(from.Addr()) {
		tooOften(w)
		return
	}
	defer s.limits.done()
	report := Report{Echo: Echo{from.Addr(), from.Port(), time.Now().UTC()}, Ports: make(map[uint16]Seen)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, port := range req.Ports {
		wg.Go(func() {
			seen := Look(r.Context(), s.o.Dial, netip.AddrPortFrom(from.Addr(), port), req.Token)
			mu.Lock()
			defer mu.Unlock()
			report.Ports[port] = seen
		})
	}
	wg.Wait()
	s.o.Log.Debug("looked at a caller", "ports", len(req.Ports)) // not at whom: nothing is kept
	answer(w, report)
}

// request reads what is asked for: each port once, and of the list.
func request(w http.ResponseWriter, r *http.Request) (req Request, ok bool) {
	// A page in a browser may not send this type without asking us first, and we
	// do not answer that.
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return req, false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if d.Decode(&req) != nil || len(req.Ports) == 0 || len(req.Ports) > len(Ports) || !validToken(req.Token) {
		return req, false
	}
	if _, err := d.Token(); err != io.EOF {
		return req, false
	}
	slices.Sort(req.Ports)
	distinct := len(slices.Compact(slices.Clone(req.Ports))) == len(req.Ports)
	return req, distinct && !slices.ContainsFunc(req.Ports, func(p uint16) bool { return !Known(p) })
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func tooOften(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "3600")
	http.Error(w, "too often; try again in an hour", http.StatusTooManyRequests)
}
