package publish

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libdns/libdns"

	"homemail/dnsplan"
)

// slow is a provider that sees how many change it at once.
type slow struct {
	*memory
	busy, most, done atomic.Int32
}

func (s *slow) count() func() {
	s.most.Store(max(s.most.Load(), s.busy.Add(1)))
	time.Sleep(time.Second)
	return func() { s.busy.Add(-1); s.done.Add(1) }
}

func (s *slow) AppendRecords(ctx context.Context, z string, r []libdns.Record) ([]libdns.Record, error) {
	defer s.count()()
	return s.memory.AppendRecords(ctx, z, r)
}

func (s *slow) SetRecords(ctx context.Context, z string, r []libdns.Record) ([]libdns.Record, error) {
	defer s.count()()
	return s.memory.SetRecords(ctx, z, r)
}

func (s *slow) DeleteRecords(ctx context.Context, z string, r []libdns.Record) ([]libdns.Record, error) {
	defer s.count()()
	return s.memory.DeleteRecords(ctx, z, r)
}

// TestTurn: what changes a zone at the same time does so one after the other.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{memory: &memory{}}
		z := Zone{Name: "example.org", Provider: s, Turn: NewTurn()}
		p := New(Options{Store: shelf{}, NotFound: errNothing})
		add := func(rtype, v string) []Step {
			return []Step{{Change: dnsplan.Change{Action: dnsplan.Add, Name: "example.org", Type: rtype, Add: []string{v}, TTL: time.Hour}}}
		}
		txt := []libdns.Record{libdns.TXT{Name: "_acme-challenge", Text: "x", TTL: time.Minute}}
		const changes = 5
		errs := make(chan error, changes)
		go func() {
			_, err := p.Apply(t.Context(), z, Changes{Zone: z.Name, Steps: add("A", "192.0.2.1")})
			errs <- err
		}()
		go func() {
			_, err := p.SwitchMX(t.Context(), z, Changes{Zone: z.Name, MX: add("MX", "10 a.example.org")})
			errs <- err
		}()
		go func() {
			_, err := p.RestoreMX(t.Context(), z, Changes{Zone: z.Name, MX: add("MX", "10 a.example.org")})
			errs <- err
		}()
		go func() { _, err := Challenges{z}.AppendRecords(t.Context(), "example.org.", txt); errs <- err }()
		go func() { _, err := Challenges{z}.DeleteRecords(t.Context(), "example.org.", txt); errs <- err }()
		for range changes {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if s.most.Load() != 1 || s.done.Load() < changes-1 { // one of the MX finds it done
			t.Errorf("%d at once, %d in all", s.most.Load(), s.done.Load())
		}

		leave, err := z.Turn.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if r, err := p.Apply(ctx, z, Changes{Zone: z.Name, Steps: add("A", "192.0.2.2")}); !errors.Is(err, context.DeadlineExceeded) || len(r.NotDone) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
