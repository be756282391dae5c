//go:build linux

// Package timekeeper sets the clock of a box that may have none which runs while
// the power is off. At the start it is the latest of what the kernel says, what was
// saved, and the day on which the program was built; then two time servers that
// agree correct it. Time servers are asked by a confined process, which says one
// line of words; the half with privileges reads nothing that came from the network.
package timekeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"
)

const (
	agree     = 2               // servers that have to say the same
	tolerance = time.Second     // within which that is the same
	askTime   = 4 * time.Second // for one server to answer
	again     = time.Hour       // the kernel calls the clock unset after nine
	soonest   = 2 * time.Second // after a try that failed; doubled up to latest
	latest    = 5 * time.Minute
	maxAsked  = 8
)

// Servers are asked if the network names none, or none that agrees. They are of
// different houses, and none of them smears leap seconds.
func Servers() []string {
	return []string{"time.cloudflare.com", "time.apple.com", "ntp.nict.jp", "ptbtime1.ptb.de"}
}

// A Reading is how far the clock is off, and how many servers say so.
type Reading struct {
	Offset  time.Duration // to add
	Servers int
}

// String is the line of a reading.
func (r Reading) String() string { return fmt.Sprintf("time %d %d", int64(r.Offset), r.Servers) }

// ParseReading reads a line that String made, from a process that may lie.
func ParseReading(line string) (r Reading, err error) {
	w := strings.Split(line, " ")
	if len(w) != 3 || w[0] != "time" {
		return r, errors.New("not a reading of the time")
	}
	n, err := strconv.ParseInt(w[1], 10, 64)
	if err != nil {
		return r, err
	}
	if r.Servers, err = strconv.Atoi(w[2]); err != nil {
		return r, err
	}
	if r.Servers < agree || r.Servers > maxAsked {
		return r, fmt.Errorf("%d servers are not enough, or too many", r.Servers)
	}
	r.Offset = time.Duration(n)
	return r, nil
}

// Query asks one server how far the clock is off.
func Query(server string) (time.Duration, error) {
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: askTime})
	if err != nil {
		return 0, err
	}
	return r.ClockOffset, r.Validate()
}

// Ask asks the servers again and again until ctx ends, and writes a line for each
// reading that enough of them agree on. It is what runs confined.
func Ask(ctx context.Context, servers func() []string, query func(string) (time.Duration, error), out io.Writer) error {
	for pause := soonest; ; {
		r, ok := majority(poll(servers(), query))
		next := again
		if ok {
			if _, err := fmt.Fprintln(out, r); err != nil {
				return err
			}
			pause = soonest
		} else {
			next, pause = pause, min(2*pause, latest)
		}
		select {
		case <-time.After(next):
		case <-ctx.Done():
			return nil
		}
	}
}

// poll asks all servers at once.
func poll(servers []string, query func(string) (time.Duration, error)) (list []time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, s := range servers[:min(len(servers), maxAsked)] {
		wg.Go(func() {
			if d, err := query(s); err == nil {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, d)
			}
		})
	}
	wg.Wait()
	return list
}

// majority is the middle of the largest group that agrees. It has to be more than
// half of those who answered: one liar of two proves nothing.
func majority(list []time.Duration) (r Reading, ok bool) {
	slices.Sort(list)
	var best []time.Duration
	for i := range list {
		n := i
		for n < len(list) && list[n]-list[i] <= tolerance {
			n++
		}
		if n-i > len(best) {
			best = list[i:n]
		}
	}
	if len(best) < agree || 2*len(best) <= len(list) {
		return r, false
	}
	return Reading{best[len(best)/2], len(best)}, true
}

// A Keeper sets the system's clock.
type Keeper struct {
	Saved string    // file with the time of the last stop, or of some minutes before
	Built time.Time // nothing is ever earlier

	step  func(time.Time) error     // for tests
	slew  func(time.Duration) error // for tests
	stamp func() error              // says that the clock was set
}

// lifetime is how long after it was built nobody runs this program any more, as in
// package clock.
const lifetime = 20 * 365 * 24 * time.Hour

// Begin sets the clock to what is known without asking anybody, and reports from
// where: "kernel", "saved" or "built".
func (k *Keeper) Begin() (from string, err error) {
	now, from := time.Now().Round(0), "kernel"
	best := now
	if k.Built.After(best) {
		best, from = k.Built, "built"
	}
	if t, ok := k.load(); ok && t.After(best) {
		best, from = t, "saved"
	}
	if best.Equal(now) {
		return from, nil
	}
	return from, k.set(best)
}

// load reads what was saved. A time beyond the program's life is from a day when
// the clock was wrong.
func (k *Keeper) load() (t time.Time, ok bool) {
	b, err := os.ReadFile(k.Saved)
	if err != nil || len(b) > 64 {
		return t, false
	}
	t, err = time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	return t, err == nil && k.plausible(t)
}

func (k *Keeper) plausible(t time.Time) bool {
	return k.Built.IsZero() || !t.Before(k.Built) && t.Before(k.Built.Add(lifetime))
}

// Save writes the time down for the next start.
func (k *Keeper) Save() error {
	now := time.Now().Round(0)
	if !k.plausible(now) {
		return nil
	}
	if err := os.WriteFile(k.Saved+".new", []byte(now.UTC().Format(time.RFC3339)+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(k.Saved+".new", k.Saved)
}

// small is what the clock is led to instead of set: nobody sees a jump.
const small = 128 * time.Millisecond

// Correct sets the clock by a reading. It never believes a time before the program
// was built.
func (k *Keeper) Correct(r Reading) error {
	t := time.Now().Round(0).Add(r.Offset)
	if !k.plausible(t) {
		return fmt.Errorf("time servers say that it is %s, but this program was built on %s", t.UTC().Format(time.DateOnly), k.Built.UTC().Format(time.DateOnly))
	}
	var err error
	if r.Offset.Abs() < small {
		err = k.lead(r.Offset)
	} else {
		err = k.set(t)
	}
	if err != nil {
		return err
	}
	return k.mark()
}

func (k *Keeper) set(t time.Time) error {
	if k.step != nil {
		return k.step(t)
	}
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return os.NewSyscallError("clock_settime", unix.ClockSettime(unix.CLOCK_REALTIME, &ts))
}

func (k *Keeper) lead(d time.Duration) error {
	if k.slew != nil {
		return k.slew(d)
	}
	_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_OFFSET_SINGLESHOT, Offset: int64(d / time.Microsecond)})
	return os.NewSyscallError("adjtimex", err)
}

// mark tells the kernel that the clock is set, and how far it may be off. From then
// on it also keeps the clock that runs without power in step, if there is one.
func (k *Keeper) mark() error {
	if k.stamp != nil {
		return k.stamp()
	}
	off := int64(tolerance / time.Microsecond)
	_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR, Maxerror: off, Esterror: off})
	return os.NewSyscallError("adjtimex", err)
}
