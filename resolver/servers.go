package resolver

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	lookAgain  = 5 * time.Second  // how often we look whether the file has changed
	restFor    = 30 * time.Second // how long a silent server is asked last
	maxServers = 4                // libc knows three
)

// A server is one that we ask.
type server struct {
	addr    string // with the port
	trusted bool   // its AD bit is believed
}

// servers knows whom to ask.
type servers struct {
	fixed, file string
	trust       bool
	log         *slog.Logger

	mu      sync.Mutex
	list    []server
	looked  time.Time
	changed time.Time // of the file, when it was read
	size    int64
	resting map[string]time.Time // until
}

// order returns the servers in the order in which to ask them: those we trust
// before others, and those that were silent a moment ago after their like.
func (s *servers) order() []server {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load()
	now := time.Now()
	rank := func(sv server) (n int) {
		if !sv.trusted {
			n = 2
		}
		if now.Before(s.resting[sv.addr]) {
			n++
		}
		return n
	}
	list := slices.Clone(s.list)
	slices.SortStableFunc(list, func(a, b server) int { return rank(a) - rank(b) })
	return list
}

// silent is told of a server that did not answer.
func (s *servers) silent(sv server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.resting[sv.addr]) {
		s.log.Warn("name server does not answer", "server", sv.addr)
	}
	s.resting[sv.addr] = time.Now().Add(restFor)
}

// answered is told of a server that did.
func (s *servers) answered(sv server) {
	s.mu.Lock()
	delete(s.resting, sv.addr)
	s.mu.Unlock()
}

// load reads the file if it has changed. A file that cannot be read, as while
// it is replaced, leaves the servers as they are.
func (s *servers) load() {
	if s.fixed != "" {
		if s.list == nil {
			s.set([]string{s.fixed}, "53")
		}
		return
	}
	if s.list != nil && time.Since(s.looked) < lookAgain {
		return
	}
	s.looked = time.Now()
	fi, err := os.Stat(s.file)
	if err == nil && (s.list == nil || !fi.ModTime().Equal(s.changed) || fi.Size() != s.size) {
		if conf, err := dns.ClientConfigFromFile(s.file); err == nil && len(conf.Servers) > 0 {
			s.changed, s.size = fi.ModTime(), fi.Size()
			s.set(conf.Servers, conf.Port)
			return
		}
	}
	if s.list == nil {
		s.set([]string{"127.0.0.1"}, "53") // as resolv.conf(5) says of a file that names none
	}
}

// set takes the servers. One on this machine is trusted, as libc does, with an
// exception: Docker's only looks as if it were, and passes on an AD bit that has
// come from anywhere.
func (s *servers) set(addrs []string, port string) {
	docker := netip.AddrFrom4([4]byte{127, 0, 0, 11})
	s.list, s.resting = nil, map[string]time.Time{}
	for _, addr := range addrs[:min(len(addrs), maxServers)] {
		sv := server{addr: addr, trusted: s.trust}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			sv.addr = net.JoinHostPort(addr, port)
		}
		if ap, err := netip.ParseAddrPort(sv.addr); err == nil && ap.Addr().Unmap().IsLoopback() && ap.Addr() != docker {
			sv.trusted = true
		}
		s.list = append(s.list, sv)
	}
	s.log.Debug("name servers", "servers", s.list)
}
