package search

import (
	"unicode/utf8"

	"homemail/mail/text"
)

// A term of the index is a word of folded text: letters and digits without a
// break. Scripts without spaces have terms of each two neighbours instead, and
// of a letter that stands alone; symbols each are one. So every substring of a
// text that is part of one word is part of a term, and the messages that have
// it are those that have the terms: nothing needs to be read again.

// A class is what a rune is to the index.
type class byte

const (
	space  class = iota
	symbol       // neither space nor part of a word
	letter       // of a word
	dense        // of a script without spaces
)

// asciiClass is the class of each ASCII byte of folded text.
var asciiClass = func() (t [utf8.RuneSelf]class) {
	for c := range t {
		switch {
		case c <= ' ':
			t[c] = space
		case text.Letter(rune(c)):
			t[c] = letter
		default:
			t[c] = symbol
		}
	}
	return t
}()

// classAt returns the class of the rune at the start of b, and its length.
func classAt(b []byte) (class, int) {
	if b[0] < utf8.RuneSelf {
		return asciiClass[b[0]], 1
	}
	r, n := utf8.DecodeRune(b)
	switch {
	case text.Unspaced(r):
		return dense, n
	case text.Letter(r):
		return letter, n
	}
	return symbol, n
}

const (
	// wordMax is the longest term. A longer word has overlapping terms.
	wordMax = 64
	// wholeMax is how long a part of a word surely is part of one term.
	wholeMax = wordMax / 2
)

// terms gives fn the terms of folded text; they are parts of it.
func terms(b []byte, fn func(term []byte)) {
	for i := 0; i < len(b); {
		c, n := classAt(b[i:])
		switch c {
		case space:
			i += n
		case symbol:
			fn(b[i : i+n])
			i += n
		case letter:
			start := i
			for i += n; i < len(b); i += n {
				if c, n = classAt(b[i:]); c != letter {
					break
				}
			}
			words(b[start:i], fn)
		case dense:
			i = pairs(b, i, n, fn)
		}
	}
}

// words gives fn the terms of a word.
func words(b []byte, fn func([]byte)) {
	for len(b) > wordMax {
		fn(b[:wordMax])
		b = b[wholeMax:]
	}
	fn(b)
}

// pairs gives fn the terms of a run of a script without spaces, which starts at
// i with a rune of n bytes. It returns the run's end.
func pairs(b []byte, i, n int, fn func([]byte)) int {
	last, alone := i, true
	for i += n; i < len(b); i += n {
		var c class
		if c, n = classAt(b[i:]); c != dense {
			break
		}
		fn(b[last : i+n])
		last, alone = i, false
	}
	if alone {
		fn(b[last:i])
	}
	return i
}

// A probe asks for terms.
type probe struct {
	text  []byte
	start bool // a term starts with it
	end   bool // and ends
}

// A plan is what a substring asks of the index: all its probes must find
// something. If it is sure, the messages that do are the hits; else they may
// be.
type plan struct {
	probes []probe
	sure   bool
}

// planFor makes the plan for folded text. A plan without probes fits all.
func planFor(q []byte) plan {
	var p plan
	runs := 0
	for i := 0; i < len(q); runs++ {
		c, n := classAt(q[i:])
		start := i
		for i += n; i < len(q) && c != symbol; i += n {
			var next class
			if next, n = classAt(q[i:]); next != c {
				break
			}
		}
		p.run(c, q[start:i], start == 0, i == len(q))
	}
	p.sure = runs == 1 && len(p.probes) == 1
	return p
}

// run adds the probes for a run of one class.
func (p *plan) run(c class, run []byte, first, last bool) {
	switch c {
	case symbol:
		p.probes = append(p.probes, probe{run, true, true})
	case letter:
		if len(run) <= wholeMax {
			p.probes = append(p.probes, probe{run, !first, !last})
			return
		}
		p.probes = append(p.probes, probe{text: run[:wholeMax]}, probe{text: run[len(run)-wholeMax:]})
	case dense:
		_, n := classAt(run)
		if n == len(run) { // at either end it may have a neighbour
			p.probes = append(p.probes, probe{run, !first && !last, !first && !last})
			return
		}
		pairs(run, 0, n, func(term []byte) { p.probes = append(p.probes, probe{term, true, true}) })
	}
}
