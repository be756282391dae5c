package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

// seal returns a value as it is written: the payload, and a CRC32C of key and
// payload. Badger hands back wrong or empty bytes after damage without saying
// so; and a sum over the key notices a value in the wrong place.
func seal(key, payload []byte) []byte {
	v := make([]byte, 0, len(payload)+sumSize)
	v = append(v, payload...)
	return binary.BigEndian.AppendUint32(v, sum(key, payload))
}

// unseal returns the payload of a sealed value, or ErrCorrupt.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - sumSize
	if n < 0 || sum(key, value[:n]) != binary.BigEndian.Uint32(value[n:]) {
		return nil, fmt.Errorf("%w: row %q", ErrCorrupt, key)
	}
	return value[:n:n], nil
}

func sum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

// An encoder builds a payload of varints and strings.
type encoder []byte

func (e *encoder) uint(n uint64)   { *e = binary.AppendUvarint(*e, n) }
func (e *encoder) int(n int64)     { *e = binary.AppendVarint(*e, n) }
func (e *encoder) bytes(b []byte)  { e.uint(uint64(len(b))); *e = append(*e, b...) }
func (e *encoder) string(s string) { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) bool(b bool) {
	if b {
		*e = append(*e, 1)
	} else {
		*e = append(*e, 0)
	}
}

// A decoder reads what an encoder built. After a fault every read gives zero
// and err is set.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail() {
	d.rest = nil
	d.err = fmt.Errorf("%w: a row is cut short", ErrCorrupt)
}

func (d *decoder) uint() uint64 {
	n, w := binary.Uvarint(d.rest)
	if w <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[w:]
	return n
}

func (d *decoder) int() int64 {
	n, w := binary.Varint(d.rest)
	if w <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[w:]
	return n
}

// bytes returns a part of the payload, not a copy.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) bool() bool {
	if len(d.rest) == 0 {
		d.fail()
		return false
	}
	b := d.rest[0] != 0
	d.rest = d.rest[1:]
	return b
}
