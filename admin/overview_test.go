package admin

import (
	"testing"
	"time"
)

func TestMonthsLeft(t *testing.T) {
	const gb = 1_000_000_000
	for _, tt := range []struct {
		used, free int64
		since      time.Duration
		want       int
	}{
		{12 * gb, 120 * gb, 12 * month, 120},
		{12 * gb, 5 * gb, 12 * month, 5},
		{12 * gb, 0, 12 * month, 1},
		{12 * gb, 100 * gb, 2 * 24 * time.Hour, 0}, // a first import tells nothing
		{1000, 100 * gb, 12 * month, 0},
		{12 * gb, 1 << 60, 12 * month, mostMonths},
	} {
		if got := monthsLeft(tt.used, tt.free, tt.since); got != tt.want {
			t.Errorf("%d used and %d free in %v: %d months, not %d", tt.used, tt.free, tt.since, got, tt.want)
		}
	}
}
