package certs

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libdns/libdns"
	"github.com/mholt/acmez/v3/acme"
)

// oneZone is a provider that remembers what it was told.
type oneZone struct{ records []string }

func (z *oneZone) AppendRecords(_ context.Context, zone string, list []libdns.Record) ([]libdns.Record, error) {
	for _, r := range list {
		z.records = append(z.records, r.RR().Name+" in "+zone+" "+r.RR().Data)
	}
	return list, nil
}

func (z *oneZone) DeleteRecords(ctx context.Context, zone string, list []libdns.Record) ([]libdns.Record, error) {
	for _, r := range list {
		z.records = slices.DeleteFunc(z.records, func(s string) bool { return s == r.RR().Name+" in "+zone+" "+r.RR().Data })
	}
	return list, ctx.Err()
}

var dnsChallenge = acme.Challenge{Identifier: acme.Identifier{Type: "dns", Value: "mail.example.org"}, KeyAuthorization: "key"}

// TestDNS01: the record is made in the zone that is known, and taken away even
// if we are to stop.
func TestDNS01(t *testing.T) {
	z := new(oneZone)
	s := &dnsSolver{zone: &Zone{Name: "example.org", Provider: z}}
	if err := s.Present(t.Context(), dnsChallenge); err != nil {
		t.Fatal(err)
	}
	if want := "_acme-challenge.mail in example.org. " + dnsChallenge.DNS01KeyAuthorization(); !slices.Equal(z.records, []string{want}) {
		t.Errorf("%q, want %q", z.records, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.CleanUp(ctx, dnsChallenge); err != nil || len(z.records) > 0 {
		t.Errorf("%q is left: %v", z.records, err)
	}
}

// TestDNS01Waits: until the record is seen, for so long.
func TestDNS01Waits(t *testing.T) {
	dark := errors.New("nobody could be asked")
	for name, tt := range map[string]struct {
		seen func(n int) (bool, error)
		want error
		took time.Duration
	}{
		"at once":       {func(int) (bool, error) { return true, nil }, nil, 0},
		"after a while": {func(n int) (bool, error) { return n > 5, nil }, nil, 5 * seenEvery},
		"never":         {func(int) (bool, error) { return false, nil }, errUnseen, seenTime},
		"blind":         {func(int) (bool, error) { return false, dark }, nil, blindTime},
		"blind since":   {func(n int) (bool, error) { return false, map[bool]error{true: dark}[n > 1] }, errUnseen, seenTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				s := &dnsSolver{blind: blindTime, patience: seenTime, zone: &Zone{Seen: func(context.Context, string, string) (bool, error) { n++; return tt.seen(n) }}}
				began := time.Now()
				if err := s.Wait(t.Context(), dnsChallenge); !errors.Is(err, tt.want) || time.Since(began) != tt.took {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(began), tt.want, tt.took)
				}
			})
		})
	}
}
