package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"

	"homemail/dnsplan"
	"homemail/words"
)

// A Report says which steps were done and which were not.
type Report struct {
	Done    []Step `json:"done,omitempty"`
	NotDone []Step `json:"not_done,omitempty"`

	// Unclear are those that failed half way, or whose end could not be seen.
	Unclear []Step `json:"unclear,omitempty"`
}

// Errors of Apply, SwitchMX and RestoreMX.
var (
	// ErrChanged says that the zone is not any more as it was when the changes
	// were planned. Nothing was done; plan again.
	ErrChanged = errors.New("the records at the DNS host have changed meanwhile")

	// ErrPart says that some steps were not done; the Report says which.
	ErrPart = errors.New("not all records could be changed")

	// ErrIgnored says that the provider took a change but shows another result.
	ErrIgnored = errors.New("the DNS host did not do as it said")
)

// Apply does what was planned, but for the MX. It stops at the first error, but
// goes on where only one record was refused. Steps that somebody has done
// meanwhile count as done, so that to apply again is safe.
func (p *Publisher) Apply(ctx context.Context, z Zone, c Changes) (Report, error) {
	if slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Type == "MX" }) {
		return Report{NotDone: c.Steps}, errors.New("an MX record is switched by itself")
	}
	leave, err := z.Turn.take(ctx)
	if err != nil {
		return Report{NotDone: c.Steps}, err
	}
	defer leave()
	return p.apply(ctx, z, c.Zone, c.Steps)
}

// apply does steps while it is our turn.
func (p *Publisher) apply(ctx context.Context, z Zone, planned string, steps []Step) (Report, error) {
	z.Name = canonical(z.Name)
	if z.Name != planned {
		return Report{NotDone: steps}, fmt.Errorf("the changes are of %s, not of %s", planned, z.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now, err := read(ctx, z)
	if err != nil {
		return Report{NotDone: steps}, err
	}
	todo, err := now.todo(steps)
	if err != nil {
		return Report{NotDone: steps}, err
	}
	if len(todo) == 0 {
		return Report{Done: steps}, nil
	}
	failed := now.doAll(ctx, z, steps, todo)
	report, err := see(ctx, z, steps, failed)
	p.log(z, report, err)
	return report, err
}

// doAll does steps, of all that are to be done. What is only added goes in one
// call, which some providers do in one request; if that fails, one after the
// other, so that what can be done is.
func (s *snapshot) doAll(ctx context.Context, z Zone, all, todo []Step) error {
	added := 0
	var records []libdns.Record
	for ; added < len(todo) && len(todo[added].Del) == 0; added++ {
		records = append(records, s.records(todo[added], todo[added].Change.Add)...)
	}
	if added > 1 {
		_, failed := z.Provider.AppendRecords(ctx, z.Name+".", records)
		if failed == nil {
			todo = todo[added:]
		} else {
			now, err := read(ctx, z)
			if err != nil {
				return failed
			}
			if todo, err = now.todo(all); err != nil {
				return failed // in the middle of a step
			}
			s = now
		}
	}
	var refusals []error
	for _, st := range todo {
		err := s.do(ctx, z, st)
		if err == nil {
			continue
		}
		refusals = append(refusals, fmt.Errorf("%s %s: %w", st.Name, st.Type, err))
		if !refused(err) {
			break
		}
	}
	return errors.Join(refusals...)
}

// refused reports whether a provider does not take one record, as some do not
// take an SRV record that says that there is no service. That holds up no other.
func refused(err error) bool {
	return errors.Is(err, errRecord) || isStatus(err, http.StatusBadRequest) || isStatus(err, http.StatusConflict) || isStatus(err, http.StatusUnprocessableEntity)
}

// todo are the steps that are not done yet. All others must be as planned.
func (s *snapshot) todo(steps []Step) ([]Step, error) {
	var out []Step
	for _, st := range steps {
		switch now := s.values(st.Name, st.Type); {
		case !s.holds(st.Name):
			return nil, fmt.Errorf("%w: %s is not in %s", ErrChanged, st.Name, s.zone)
		case same(now, st.after()):
		case same(now, st.Was):
			out = append(out, st)
		default:
			return nil, fmt.Errorf("%w: %s %s", ErrChanged, st.Name, st.Type)
		}
	}
	return out, nil
}

// same reports whether two lists hold the same values.
func same(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func (s *snapshot) do(ctx context.Context, z Zone, st Step) (err error) {
	zone := z.Name + "."
	switch {
	case len(st.Del) == 0:
		_, err = z.Provider.AppendRecords(ctx, zone, s.records(st, st.Change.Add))
	case len(st.Change.Add) == 0:
		var gone []libdns.Record
		for _, rr := range s.sets[key(st.Name, st.Type)] { // as they were given, with their own TTL
			if slices.Contains(st.Del, plain(rr)) {
				gone = append(gone, rr)
			}
		}
		_, err = z.Provider.DeleteRecords(ctx, zone, gone)
	default:
		_, err = z.Provider.SetRecords(ctx, zone, s.records(st, st.after()))
	}
	return err
}

func (s *snapshot) records(st Step, values []string) (out []libdns.Record) {
	for _, v := range values {
		out = append(out, s.record(st.Name, st.Type, v, st.TTL))
	}
	return out
}

const (
	lookTime  = 30 * time.Second // for looking what became of it, also when the caller has gone
	lookAgain = 2 * time.Second  // a provider may show what was for a moment
	looks     = 4
)

// see finds out which steps are done by looking, whatever was answered.
func see(ctx context.Context, z Zone, steps []Step, failed error) (Report, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	var report Report
	for i := range looks {
		now, err := read(ctx, z)
		if err != nil {
			return Report{Unclear: steps}, errors.Join(failed, err)
		}
		report = now.report(steps)
		if len(report.Done) == len(steps) {
			return report, nil // even if it was an error: its answer was lost
		}
		if failed != nil || i == looks-1 || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
		}
	}
	if failed == nil {
		failed = ErrIgnored
	}
	return report, fmt.Errorf("%w: %w", ErrPart, failed)
}

func (s *snapshot) report(steps []Step) Report {
	var r Report
	for _, st := range steps {
		switch now := s.values(st.Name, st.Type); {
		case same(now, st.after()):
			r.Done = append(r.Done, st)
		case same(now, st.Was):
			r.NotDone = append(r.NotDone, st)
		default:
			r.Unclear = append(r.Unclear, st)
		}
	}
	return r
}

func (p *Publisher) log(z Zone, r Report, err error) {
	var done []string
	for _, s := range r.Done {
		done = append(done, s.Name+" "+s.Type)
	}
	if err != nil {
		p.o.Log.Warn("DNS records changed in part", "zone", z.Name, "done", strings.Join(done, ", "), "not done", len(r.NotDone), "unclear", len(r.Unclear), "err", err)
		return
	}
	p.o.Log.Info("DNS records changed", "zone", z.Name, "records", strings.Join(done, ", "))
}

// Text is the report for people.
func (r Report) Text() dnsplan.Text {
	if len(r.NotDone)+len(r.Unclear) == 0 {
		return words.Say("dnsplan.report.all").Text()
	}
	var t dnsplan.Text
	for _, part := range []struct {
		key   string
		steps []Step
	}{{"dnsplan.report.done", r.Done}, {"dnsplan.report.not-done", r.NotDone}, {"dnsplan.report.unclear", r.Unclear}} {
		if len(part.steps) == 0 {
			continue
		}
		var list []string
		for _, s := range part.steps {
			list = append(list, dnsplan.Display(s.Name)+" "+s.Type)
		}
		said := words.Say(part.key, "list", strings.Join(list, ", "))
		t.EN += said.In("en") + ". "
		t.JA += said.In("ja") + "。"
	}
	t.EN = strings.TrimSpace(t.EN)
	return t
}
