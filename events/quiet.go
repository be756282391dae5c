package events

import (
	"time"

	"homemail/mail"
)

// What strangers can cause without end, and what phones do all day, must not
// push out what matters.
const (
	noiseBurst   = 300              // refusals and failed sign-ins that are noted one by one,
	noiseEach    = 36 * time.Second // and one more each time: 72,000 in 30 days
	signInEach   = time.Hour        // a device's sign-ins from one place are noted once in so long
	signInsKnown = 2000             // of which so many are remembered
	tellOmitted  = 10 * time.Minute // how often it is noted what was left out
)

// quiet leaves out events that are more of the same.
type quiet struct {
	tokens  int
	filled  time.Time // up to when tokens were given
	omitted int       // since it was told
	since   time.Time
	all     int64
	signIns map[signIn]time.Time
}

type signIn struct {
	account      mail.AccountID
	door, device string
	remote       string
}

func newQuiet() quiet { return quiet{tokens: noiseBurst, signIns: make(map[signIn]time.Time)} }

// filter returns what is to be noted, and what is to be said of the rest.
func (q *quiet) filter(list []Event, lost int, now time.Time) []Event {
	q.refill(now)
	kept := list[:0]
	for i := range list {
		if !q.drop(&list[i], now) {
			kept = append(kept, list[i])
		}
	}
	if lost > 0 {
		kept = append(kept, Event{At: now, Kind: Lost, Count: lost})
	}
	if q.omitted > 0 && (q.tokens > 0 || now.Sub(q.since) >= tellOmitted) {
		kept = append(kept, Event{At: now, Kind: Omitted, Count: q.omitted})
		q.omitted = 0
	}
	return kept
}

func (q *quiet) refill(now time.Time) {
	if q.filled.IsZero() {
		q.filled = now
	}
	if n := int(now.Sub(q.filled) / noiseEach); n > 0 {
		q.tokens = min(q.tokens+n, noiseBurst)
		q.filled = q.filled.Add(time.Duration(n) * noiseEach)
	}
}

func (q *quiet) drop(e *Event, now time.Time) bool {
	switch {
	case e.Kind == SignedIn:
		return q.known(signIn{e.Account, e.Door, e.Device, e.Remote}, now)
	case e.Kind != SignInFailed && (e.Kind != Refused || e.Account != 0):
		return false
	case q.tokens > 0:
		q.tokens--
		return false
	}
	if q.omitted == 0 {
		q.since = now
	}
	q.omitted++
	q.all++
	return true
}

// known reports whether the same sign-in was noted lately.
func (q *quiet) known(s signIn, now time.Time) bool {
	if last, ok := q.signIns[s]; ok && now.Sub(last) < signInEach {
		return true
	}
	if len(q.signIns) >= signInsKnown {
		clear(q.signIns)
	}
	q.signIns[s] = now
	return false
}
