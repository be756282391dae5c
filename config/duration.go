package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Duration is a time span, as it is written in the file: "5 m" or "4 h".
type Duration time.Duration

// A Schedule is a list of them.
type Schedule []Duration

// The units that a Duration is written in, in the order in which String tries
// them.
func spans() []struct {
	name string
	span Duration
} {
	return []struct {
		name string
		span Duration
	}{{"d", Duration(24 * time.Hour)}, {"h", Duration(time.Hour)}, {"m", Duration(time.Minute)}, {"s", Duration(time.Second)}}
}

const maxDuration = Duration(10 * 365 * 24 * time.Hour)

// ParseDuration reads "5m", "4 h" or "5 d".
func ParseDuration(s string) (Duration, error) {
	for _, u := range spans() {
		number, ok := strings.CutSuffix(strings.TrimSpace(s), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
		if err == nil && n <= uint64(maxDuration/u.span) {
			return Duration(n) * u.span, nil
		}
	}
	return 0, fmt.Errorf(`%q is not a time; right would be "30s", "5m", "4h" or "5d"`, s)
}

// String is the shortest exact form that ParseDuration reads.
func (d Duration) String() string {
	for _, u := range spans() {
		if d != 0 && d%u.span == 0 {
			return strconv.FormatInt(int64(d/u.span), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d/Duration(time.Second)), 10) + "s"
}

// Durations are the spans as the standard library has them.
func (s Schedule) Durations() []time.Duration {
	list := make([]time.Duration, len(s))
	for i, d := range s {
		list[i] = time.Duration(d)
	}
	return list
}
