package mailauth

import (
	"context"
	"net"
	"net/netip"
)

// maxLookups is how many questions all messages together may have open: fewer
// than half of those that the resolver has at once, so that strangers, whose
// servers need not answer, cannot keep our own mail from leaving.
const maxLookups = 50

// A share is the part of a resolver that strangers' messages get.
type share struct {
	r    Resolver
	open chan struct{} // holds one for each question
}

func newShare(r Resolver) *share { return &share{r, make(chan struct{}, maxLookups)} }

// enter waits for a place. To be late is temporary.
func (s *share) enter(ctx context.Context, name string) error {
	select {
	case s.open <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &net.DNSError{Err: "too many questions at once", Name: name, IsTemporary: true, IsTimeout: true}
	}
}

func (s *share) leave() { <-s.open }

func (s *share) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := s.enter(ctx, name); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.r.LookupTXT(ctx, name)
}

func (s *share) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := s.enter(ctx, name); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.r.LookupMX(ctx, name)
}

func (s *share) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := s.enter(ctx, host); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.r.LookupNetIP(ctx, network, host)
}

func (s *share) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if err := s.enter(ctx, addr); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.r.LookupAddr(ctx, addr)
}
