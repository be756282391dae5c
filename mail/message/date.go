package message

import (
	"bytes"
	"time"
)

const maxDate = 256 // bytes of a Date that are read

// parseDate reads a date-time of RFC 5322 §3.3 with the obsolete forms of
// §4.3, and the zero Time if it cannot. Text after the zone does not matter.
func parseDate(value []byte) time.Time {
	sc := scanner{v: value[:min(len(value), maxDate)]}
	day, ok := sc.number()
	if !ok { // day-of-week
		sc.word()
		sc.skip(',')
		sc.skip('.')
		if day, ok = sc.number(); !ok {
			return time.Time{}
		}
	}
	sc.skip('-')
	month := monthNumber(sc.word())
	sc.skip('-')
	sc.space()
	start := sc.i
	year, ok := sc.number()
	if !ok || month == 0 {
		return time.Time{}
	}
	year = fullYear(year, sc.i-start)
	hour, ok1 := sc.number()
	ok2 := sc.skip(':')
	minute, ok3 := sc.number()
	second := 0
	if sc.skip(':') {
		second, _ = sc.number()
	}
	if !ok1 || !ok2 || !ok3 || year < 1900 || year > 9999 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}
	}
	offset, ok := sc.zone()
	if !ok || day < 1 || day > time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return time.Time{}
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix()
	return inZone(at-int64(offset), offset)
}

// inZone makes equal Times of equal numbers, for Decode.
func inZone(unix int64, offset int) time.Time {
	if offset == 0 {
		return time.Unix(unix, 0).UTC()
	}
	return time.Unix(unix, 0).In(time.FixedZone("", offset))
}

// fullYear completes a year of two or three digits, RFC 5322 §4.3.
func fullYear(year, digits int) int {
	switch {
	case digits > 3:
		return year
	case digits == 2 && year < 50:
		return 2000 + year
	}
	return 1900 + year
}

func monthNumber(word []byte) int {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	var b [3]byte
	if len(word) < len(b) {
		return 0
	}
	at := bytes.Index([]byte(names), toLower(b[:0], word[:3]))
	if at < 0 || at%3 != 0 {
		return 0
	}
	return at/3 + 1
}

// zones of RFC 5322 §4.3 in hours, and the one that Japan writes.
var zones = map[string]int{
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "JST": 9,
}

// zone returns seconds east of UTC. A zone that is missing or not known is
// UTC, as the RFC says.
func (sc *scanner) zone() (offset int, ok bool) {
	sign := 1
	switch {
	case sc.skip('+'):
	case sc.skip('-'):
		sign = -1
	default:
		return zones[string(sc.word())] * 3600, true
	}
	start := sc.i
	hhmm, ok := sc.number()
	if !ok || sc.i-start != 4 || hhmm%100 > 59 || hhmm >= 2400 {
		return 0, false
	}
	return sign * (hhmm/100*3600 + hhmm%100*60), true
}
