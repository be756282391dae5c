package events

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
)

// An index finds the events of a message without looking through the log. Of each
// id and Message-ID it has four octets of a hash and four of the event's number: a
// full log has 3 MB of them. It lives in memory, as a card wears out by what is
// written, and is made when the log is loaded. The hash is another one each time,
// so that nobody can send what has the same.
type index struct {
	seed  maphash.Seed
	base  uint64 // numbers are counted from it
	runs  []run  // the oldest first
	fresh []mark // the newest, as they came
}

type mark struct{ hash, n uint32 }

// A run is marks of which none is added any more, by their hash.
type run struct {
	marks []mark
	last  uint32 // number
}

const runMarks = 8192 // those of a page of the log: quick to sort, and to look through

func newIndex(base uint64) *index { return &index{seed: maphash.MakeSeed(), base: base} }

// add takes in an event as it is in a row.
func (x *index) add(seq uint64, event []byte) {
	n := seq - x.base
	if seq < x.base || n > math.MaxUint32 {
		return // 4,000,000,000 events after the start, which then ends this index' use and nothing else
	}
	id, name := messageOf(event)
	for _, key := range [][]byte{id, name} {
		if len(key) > 0 {
			x.fresh = append(x.fresh, mark{uint32(maphash.Bytes(x.seed, key)), uint32(n)})
		}
	}
	if len(x.fresh) < runMarks {
		return
	}
	slices.SortFunc(x.fresh, func(a, b mark) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.n, b.n)) })
	x.runs = append(x.runs, run{slices.Clone(x.fresh), uint32(n)})
	x.fresh = x.fresh[:0]
}

// find returns the numbers of events that may have an id or Message-ID, the newest
// first, at most so many.
func (x *index) find(key string, most int) (list []uint64) {
	hash := uint32(maphash.String(x.seed, key))
	for _, m := range slices.Backward(x.fresh) {
		if m.hash == hash {
			list = append(list, x.base+uint64(m.n))
		}
	}
	for _, r := range slices.Backward(x.runs) {
		if len(list) >= most {
			break
		}
		i, _ := slices.BinarySearchFunc(r.marks, mark{hash, math.MaxUint32}, func(a, b mark) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.n, b.n))
		})
		if i < len(r.marks) && r.marks[i] == (mark{hash, math.MaxUint32}) {
			i++
		}
		for ; i > 0 && r.marks[i-1].hash == hash; i-- {
			list = append(list, x.base+uint64(r.marks[i-1].n))
		}
	}
	return list[:min(len(list), most)]
}

// prune forgets runs of which no event is kept.
func (x *index) prune(oldest uint64) {
	x.runs = slices.DeleteFunc(x.runs, func(r run) bool { return x.base+uint64(r.last) < oldest })
}

// messageOf are the id and the Message-ID of an event as it is in a row.
func messageOf(event []byte) (id, name []byte) {
	for len(event) > 0 {
		n, w := binary.Uvarint(event[1:])
		if w <= 0 || n > uint64(len(event)-1-w) {
			return id, name
		}
		switch event[0] {
		case tID:
			id = event[1+w:][:n]
		case tMessageID:
			name = event[1+w:][:n]
		}
		event = event[1+w+int(n):]
	}
	return id, name
}
