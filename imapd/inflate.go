package imapd

import (
	"bufio"
	"errors"
	"io"
)

// Bounds on what a client may make us unpack.
const (
	inflateRatio = 10
	inflateFree  = 10 << 20 // bytes that the ratio does not count
)

var (
	errBomb    = errors.New("compressed too far")
	errDeflate = errors.New("not a deflate stream")
)

// An inflater unpacks what the client sends (RFC 1951), as long as that stays in
// proportion. It hands out each byte as soon as its bits are there: clients end
// a command by a partial flush, as RFC 4978 §4 advises, and the readers that
// there are wait for more behind one.
type inflater struct {
	in     *bufio.Reader
	err    error
	packed int64
	loose  int64

	bits  uint32 // read and not used yet
	nbits uint

	window [1 << 15]byte
	at     int // where the next byte goes
	filled bool

	block     blockKind
	final     bool
	left      int // of a stored block
	length    int // of a match that is being copied
	distance  int
	lit, dist huffman
}

type blockKind int

const (
	between blockKind = iota // blocks: a header comes
	stored
	coded
)

func newInflater(in *bufio.Reader) *inflater { return &inflater{in: in} }

// Read unpacks until p is full, or there is something and no more input.
func (z *inflater) Read(p []byte) (n int, err error) {
	for n < len(p) && z.err == nil && (n == 0 || z.in.Buffered() > 0 || z.length > 0) {
		if c, ok := z.next(); ok {
			p[n] = c
			n++
			z.window[z.at] = c
			z.at = (z.at + 1) % len(z.window)
			z.filled = z.filled || z.at == 0
		}
	}
	z.loose += int64(n)
	if z.loose > inflateRatio*z.packed+inflateFree {
		z.err = errBomb
		return 0, z.err
	}
	if n > 0 {
		return n, nil
	}
	return 0, z.err
}

// next takes a step, which may bring a byte.
func (z *inflater) next() (c byte, ok bool) {
	switch {
	case z.length > 0:
		z.length--
		return z.window[(z.at-z.distance+len(z.window))%len(z.window)], true
	case z.block == between:
		z.header()
	case z.block == stored:
		if z.left == 0 {
			z.endBlock()
			return 0, false
		}
		z.left--
		return byte(z.take(8)), z.err == nil
	default:
		return z.symbol()
	}
	return 0, false
}

func (z *inflater) fail() {
	if z.err == nil {
		z.err = errDeflate
	}
}

// take takes n bits, the lowest first.
func (z *inflater) take(n uint) uint32 {
	for z.nbits < n && z.err == nil {
		c, err := z.in.ReadByte()
		if err != nil {
			z.err = err
			return 0
		}
		z.packed++
		z.bits |= uint32(c) << z.nbits
		z.nbits += 8
	}
	v := z.bits & (1<<n - 1)
	z.bits >>= n
	z.nbits -= min(n, z.nbits)
	return v
}

func (z *inflater) endBlock() {
	z.block = between
	if z.final { // nothing comes behind the last block of a connection
		z.err = io.ErrUnexpectedEOF
	}
}

// header reads what a block begins with, RFC 1951 §3.2.3.
func (z *inflater) header() {
	z.final = z.take(1) == 1
	switch kind := z.take(2); {
	case z.err != nil:
	case kind == 0:
		z.bits, z.nbits = 0, 0 // to the end of the byte
		size, not := z.take(16), z.take(16)
		if size != not^0xffff {
			z.fail()
		}
		z.left, z.block = int(size), stored
	case kind == 1:
		z.fixed()
		z.block = coded
	case kind == 2:
		z.dynamic()
		z.block = coded
	default:
		z.fail()
	}
}

// fixed sets the codes of §3.2.6.
func (z *inflater) fixed() {
	var lengths [288]byte
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	z.lit.set(lengths[:])
	for i := range 30 {
		lengths[i] = 5
	}
	z.dist.set(lengths[:30])
}

// codeOrder is the order of the lengths of code lengths, §3.2.7.
var codeOrder = [...]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of §3.2.7.
func (z *inflater) dynamic() {
	nlit, ndist, ncode := int(z.take(5))+257, int(z.take(5))+1, int(z.take(4))+4
	if nlit > 286 || ndist > 30 {
		z.fail()
		return
	}
	var lengths [286 + 30]byte
	for i := range ncode {
		lengths[codeOrder[i]] = byte(z.take(3))
	}
	if z.lit.set(lengths[:19]) != 0 {
		z.fail()
	}
	clear(lengths[:19])
	for i := 0; i < nlit+ndist && z.err == nil; {
		i += z.repeat(lengths[:nlit+ndist], i)
	}
	if z.err != nil {
		return
	}
	if lengths[256] == 0 || !z.lit.complete(lengths[:nlit]) || !z.dist.complete(lengths[nlit:nlit+ndist]) {
		z.fail()
	}
}

// repeat reads one code length or several that are the same.
func (z *inflater) repeat(lengths []byte, i int) int {
	value, times := byte(0), 1
	switch sym := z.decode(&z.lit); {
	case sym < 16:
		value = byte(sym)
	case sym == 16:
		if i == 0 {
			z.fail()
			return 0
		}
		value, times = lengths[i-1], 3+int(z.take(2))
	case sym == 17:
		times = 3 + int(z.take(3))
	default:
		times = 11 + int(z.take(7))
	}
	if i+times > len(lengths) {
		z.fail()
		return 0
	}
	for j := range times {
		lengths[i+j] = value
	}
	return times
}

// The lengths and distances of §3.2.5: the least of each code, and its extra
// bits.
var (
	lengthBase  = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [...]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// symbol reads a literal byte, the start of a match, or the end of the block.
func (z *inflater) symbol() (c byte, ok bool) {
	sym := z.decode(&z.lit)
	switch {
	case z.err != nil:
		return 0, false
	case sym < 256:
		return byte(sym), true
	case sym == 256:
		z.endBlock()
		return 0, false
	case sym-257 >= len(lengthBase):
		z.fail()
		return 0, false
	}
	length := int(lengthBase[sym-257]) + int(z.take(lengthExtra[sym-257]))
	d := z.decode(&z.dist)
	if z.err != nil || d >= len(distBase) {
		z.fail()
		return 0, false
	}
	distance := int(distBase[d]) + int(z.take(distExtra[d]))
	if !z.filled && distance > z.at {
		z.fail()
	}
	if z.err == nil {
		z.length, z.distance = length, distance
	}
	return 0, false
}

// A huffman is a canonical code: how many symbols have each length, and the
// symbols by length.
type huffman struct {
	count   [16]int
	symbols [288]uint16
}

// set makes a code of the lengths of its symbols. It returns how many codes are
// not used: below 0, there are too many.
func (h *huffman) set(lengths []byte) (left int) {
	clear(h.count[:])
	for _, n := range lengths {
		h.count[n]++
	}
	left = 1
	for n := 1; n < len(h.count); n++ {
		left = 2*left - h.count[n]
		if left < 0 {
			return left
		}
	}
	var at [17]int
	for n := 1; n < len(h.count); n++ {
		at[n+1] = at[n] + h.count[n]
	}
	for sym, n := range lengths {
		if n > 0 {
			h.symbols[at[n]] = uint16(sym)
			at[n]++
		}
	}
	return left
}

// complete makes a code and reports whether it can be used: it uses all there is,
// or has one symbol, or none.
func (h *huffman) complete(lengths []byte) bool {
	left := h.set(lengths)
	return left == 0 || left > 0 && len(lengths) == h.count[0]+h.count[1]
}

// decode reads a symbol, a bit at a time: it takes no bit that is not its own.
func (z *inflater) decode(h *huffman) int {
	code, first, index := 0, 0, 0
	for n := 1; n < len(h.count) && z.err == nil; n++ {
		code |= int(z.take(1))
		if i := code - first; i < h.count[n] {
			return int(h.symbols[index+i])
		}
		index += h.count[n]
		first = (first + h.count[n]) << 1
		code <<= 1
	}
	z.fail()
	return 0
}
