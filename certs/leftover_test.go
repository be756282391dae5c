package certs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/libdns/libdns"
)

// deafZone takes records and gives none back.
type deafZone struct{ oneZone }

func (*deafZone) DeleteRecords(context.Context, string, []libdns.Record) ([]libdns.Record, error) {
	return nil, errors.New("not now")
}

// TestLeftovers: what a crash leaves in a zone is gone after the next start that
// can remove it, and what was cleaned up is not remembered.
func TestLeftovers(t *testing.T) {
	m, z := newMemory(), new(deafZone)
	var provider DNSProvider = z
	var log strings.Builder
	k := &keeper{storage: newStorage(m), log: slog.New(slog.NewTextHandler(&log, nil))}
	kept := func() (n int) {
		m.States(leftPath, func(string, []byte) bool { n++; return true })
		return n
	}
	solve := func() *dnsSolver {
		return &dnsSolver{zone: &Zone{Name: "example.org", Provider: provider}, left: leftovers{m}}
	}
	if err := solve().Present(t.Context(), dnsChallenge); err != nil || kept() != 1 || len(z.records) != 1 {
		t.Fatal(err, kept(), z.records)
	}
	k.sweep(t.Context()) // nobody knows the zone
	k.o.DNS = func(name string) *Zone {
		if name != "_acme-challenge.mail.example.org" {
			t.Errorf("asked for the zone of %q", name)
		}
		return &Zone{Name: "example.org", Provider: provider}
	}
	k.sweep(t.Context())
	if kept() != 1 || strings.Count(log.String(), "level=WARN") != 2 {
		t.Errorf("%d kept\n%s", kept(), log.String())
	}
	provider = &z.oneZone
	k.sweep(t.Context())
	if kept() != 0 || len(z.records) != 0 {
		t.Errorf("%d kept, left %q", kept(), z.records)
	}
	s := solve()
	if err := s.Present(t.Context(), dnsChallenge); err != nil || kept() != 1 {
		t.Error(err, kept())
	}
	if err := s.CleanUp(t.Context(), dnsChallenge); err != nil || kept() != 0 || len(z.records) != 0 {
		t.Error(err, kept(), z.records)
	}
}
