package search

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// errDamaged says that a part of the index is not as it was written.
var errDamaged = errors.New("the index is damaged")

// A bitset is a set of documents by number.
type bitset []uint64

func newBitset(n uint32) bitset { return make(bitset, (int(n)+63)/64) }

func (b bitset) has(i uint32) bool { return int(i>>6) < len(b) && b[i>>6]>>(i&63)&1 != 0 }
func (b bitset) set(i uint32)      { b[i>>6] |= 1 << (i & 63) }

func (b bitset) or(c bitset) {
	for i := range c {
		b[i] |= c[i]
	}
}

func (b bitset) and(c bitset) {
	for i := range b {
		if i < len(c) {
			b[i] &= c[i]
		} else {
			b[i] = 0
		}
	}
}

// A list of documents is kept as distances, or as bits if that is shorter: its
// length in bytes and which of both it is, then the bytes.

// appendList appends a list of ascending numbers below span.
func appendList(b []byte, docs []uint32, span uint32) []byte {
	size, last := 0, uint32(0)
	for _, d := range docs {
		size += uvarintLen(d - last)
		last = d
	}
	if n := int(span+7) / 8; n < size {
		b = binary.AppendUvarint(b, uint64(n)<<1|1)
		start := len(b)
		b = append(b, make([]byte, n)...)
		for _, d := range docs {
			b[start+int(d>>3)] |= 1 << (d & 7)
		}
		return b
	}
	b = binary.AppendUvarint(b, uint64(size)<<1)
	last = 0
	for _, d := range docs {
		b = binary.AppendUvarint(b, uint64(d-last))
		last = d
	}
	return b
}

func uvarintLen(n uint32) int { return (bits.Len32(n|1) + 6) / 7 }

// cutList cuts the list at the start of b off.
func cutList(b []byte) (list []byte, isBits bool, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n>>1 > uint64(len(b)-w) {
		return nil, false, nil, errDamaged
	}
	b = b[w:]
	return b[:n>>1], n&1 != 0, b[n>>1:], nil
}

// eachDoc gives fn the numbers of a list, all below span.
func eachDoc(list []byte, isBits bool, span uint32, fn func(uint32)) error {
	if isBits {
		for i, c := range list {
			for c != 0 {
				d := uint32(i)<<3 | uint32(bits.TrailingZeros8(c))
				if d >= span {
					return errDamaged
				}
				fn(d)
				c &= c - 1
			}
		}
		return nil
	}
	doc := uint64(0)
	for len(list) > 0 {
		n, w := binary.Uvarint(list)
		if w <= 0 {
			return errDamaged
		}
		if doc += n; n >= uint64(span) || doc >= uint64(span) {
			return errDamaged
		}
		fn(uint32(doc))
		list = list[w:]
	}
	return nil
}
