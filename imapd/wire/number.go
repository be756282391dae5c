package wire

import (
	"math"
	"time"

	"github.com/emersion/go-imap/v2"
)

// number reads a decimal number.
func (l *Lexer) number(most uint64) int64 {
	n, digits := uint64(0), 0
	for l.err == nil && isDigit(l.Peek()) {
		c := uint64(l.take() - '0')
		if n > (most-c)/10 {
			l.Fail("The number is too large")
		}
		n = 10*n + c
		digits++
	}
	if digits == 0 {
		l.Fail("Expected a number")
	}
	if l.err != nil {
		return 0
	}
	return int64(n)
}

// Number reads a number of RFC 9051 §9.
func (l *Lexer) Number() uint32 { return uint32(l.number(math.MaxUint32)) }

// Number64 reads a number64 of RFC 9051 §9, which is 63 bits wide.
func (l *Lexer) Number64() int64 { return l.number(math.MaxInt64) }

// Signed reads a number that may be negative, as in PARTIAL of RFC 9394.
func (l *Lexer) Signed() int64 {
	if l.Accept('-') {
		return -l.number(math.MaxUint32)
	}
	return l.number(math.MaxUint32)
}

// seqNumber reads a seq-number: "*" is 0.
func (l *Lexer) seqNumber() uint32 {
	if l.Accept('*') {
		return 0
	}
	n := l.Number()
	if n == 0 {
		l.Fail("A message number is not zero")
	}
	return n
}

// ranges reads a sequence-set, and calls add for each range in it: where 0 is
// "*", and start is not above stop otherwise.
func (l *Lexer) ranges(add func(start, stop uint32)) {
	for n := 0; l.err == nil; n++ {
		if n == MaxRanges {
			l.Fail("The set has too many ranges")
			return
		}
		start := l.seqNumber()
		stop := start
		if l.Accept(':') {
			stop = l.seqNumber()
		}
		if start == 0 || stop != 0 && stop < start {
			start, stop = stop, start // 4:2 is 2:4, RFC 9051 §9 seq-range
		}
		if l.err == nil {
			add(start, stop)
		}
		if !l.Accept(',') {
			return
		}
	}
}

// SeqSet reads a set of message numbers, in the order in which they stand.
func (l *Lexer) SeqSet() imap.NumSet {
	if l.Accept('$') { // RFC 5182 §2
		return imap.SearchRes()
	}
	var set imap.SeqSet
	l.ranges(func(start, stop uint32) { set = append(set, imap.SeqRange{Start: start, Stop: stop}) })
	return set
}

// UIDSet reads a set of UIDs.
func (l *Lexer) UIDSet() imap.UIDSet {
	if l.Accept('$') {
		return imap.SearchRes()
	}
	set := imap.UIDSet{}
	l.ranges(func(start, stop uint32) {
		set = append(set, imap.UIDRange{Start: imap.UID(start), Stop: imap.UID(stop)})
	})
	return set
}

// Date reads a date, RFC 9051 §9: 1-Feb-2026, perhaps in quotes.
func (l *Lexer) Date() time.Time {
	s := ""
	if l.Peek() == '"' {
		s = l.quoted()
	} else {
		s = l.Atom()
	}
	if l.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		l.Fail("Bad date")
	}
	return t
}

// DateTimeLayout is the date-time of RFC 9051 §9, where a day below 10 has a
// space before it.
const DateTimeLayout = "_2-Jan-2006 15:04:05 -0700"

// DateTime reads a date-time.
func (l *Lexer) DateTime() time.Time {
	s := l.quoted()
	if l.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(DateTimeLayout, s)
	if err != nil {
		l.Fail("Bad date and time")
	}
	return t
}
