package store

import (
	"encoding/binary"
	"fmt"
	"os"
)

// A journalScan is what the segments hold: where each good frame lies, and the
// gaps.
type journalScan struct {
	salt     salt
	segments []*segment
	frames   []frameAt
	dropped  []frameAt // the good ones behind a gap that was not acknowledged
	gaps     []damage
	damaged  []damage // the gaps that had been acknowledged
	stable   uint64   // the highest number that some frame calls stable
	last     uint64   // the last frame that counts
}

type frameAt struct {
	path   string
	offset int64
	size   int // of the payload
	seq    uint64
	stable uint64
}

// scanSegments finds all frames, in order, and decides which of them count: a
// gap in frames that nobody was told of ends them, as a power cut leaves it.
func scanSegments(paths []string, key salt) (*journalScan, error) {
	s := &journalScan{salt: key}
	for _, path := range paths {
		if err := s.scanSegment(path); err != nil {
			return nil, err
		}
	}
	s.judge()
	return s, nil
}

// judge tells gaps that were acknowledged from the torn tail.
func (s *journalScan) judge() {
	for _, g := range s.gaps {
		if g.from <= s.stable {
			g.to = min(g.to, s.stable)
			s.damaged = append(s.damaged, g)
			continue
		}
		for i, f := range s.frames {
			if f.seq > g.from {
				s.frames, s.dropped = s.frames[:i], s.frames[i:]
				break
			}
		}
		break
	}
	if n := len(s.frames); n > 0 {
		s.last = max(s.frames[n-1].seq, s.stable)
	}
}

func (s *journalScan) scanSegment(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var first uint64
	if _, err := fmt.Sscanf(info.Name(), "%016x.log", &first); err != nil {
		return fmt.Errorf("journal: %s: %w", info.Name(), err)
	}
	seg := &segment{path: path, first: first, end: segmentHead, cap: info.Size(), last: first - 1}
	s.segments = append(s.segments, seg)
	want := first
	if n := len(s.frames); n > 0 && s.frames[n-1].seq+1 < first {
		s.gaps = append(s.gaps, damage{path, 0, s.frames[n-1].seq + 1, first - 1})
	}
	for at := int64(segmentHead); at < info.Size(); {
		fr, ok, err := s.readFrame(f, path, at)
		if err != nil {
			return err
		}
		// A frame with a lower number is left over from the file's former use.
		if !ok || fr.seq < want {
			at += frameAlign
			continue
		}
		if fr.seq > want {
			s.gaps = append(s.gaps, damage{path, at, want, fr.seq - 1})
		}
		s.frames = append(s.frames, fr)
		s.stable = max(s.stable, fr.stable)
		want = fr.seq + 1
		at += align(int64(frameHeader + fr.size))
		seg.end, seg.last = at, fr.seq
	}
	return nil
}

// readFrame reads the frame at an offset; ok is false if there is no good one.
func (s *journalScan) readFrame(f *os.File, path string, at int64) (fr frameAt, ok bool, err error) {
	var head [frameHeader]byte
	n, err := readBlock(f, head[:], at)
	if err != nil || n < frameHeader || binary.BigEndian.Uint32(head[0:]) != frameMagic {
		return fr, false, err
	}
	info, err := f.Stat()
	if err != nil {
		return fr, false, err
	}
	size := int64(binary.BigEndian.Uint32(head[8:]))
	if at+frameHeader+size > info.Size() {
		return fr, false, nil
	}
	payload := make([]byte, size)
	if n, err := readBlock(f, payload, at+frameHeader); err != nil || int64(n) < size {
		return fr, false, err
	}
	if s.salt.sum(head[8:], payload) != binary.BigEndian.Uint32(head[4:]) {
		return fr, false, nil
	}
	return frameAt{path: path, offset: at, size: int(size),
		seq: binary.BigEndian.Uint64(head[16:]), stable: binary.BigEndian.Uint64(head[24:])}, true, nil
}

// replay gives each frame that counts to fn.
func (s *journalScan) replay(fn func(seq uint64, payload []byte) error) error {
	var f *os.File
	defer func() { f.Close() }()
	var payload []byte
	for _, fr := range s.frames {
		if f == nil || f.Name() != fr.path {
			f.Close()
			var err error
			if f, err = os.Open(fr.path); err != nil {
				return err
			}
		}
		if cap(payload) < fr.size {
			payload = make([]byte, fr.size)
		}
		payload = payload[:fr.size]
		if _, err := f.ReadAt(payload, fr.offset+frameHeader); err != nil {
			return err
		}
		if err := fn(fr.seq, payload); err != nil {
			return err
		}
	}
	return nil
}

// A change is a key and its new sealed value; nil removes it.
type change struct {
	key   []byte
	value []byte
}

// appendChange adds a change to a frame's payload.
func appendChange(b []byte, c change) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.key)))
	b = append(b, c.key...)
	if c.value == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(c.value))+1)
	return append(b, c.value...)
}

// decodeChanges reads a frame's payload. The changes are copies.
func decodeChanges(payload []byte) ([]change, error) {
	var list []change
	d := decoder{rest: payload}
	for len(d.rest) > 0 {
		c := change{key: append([]byte{}, d.bytes()...)}
		if n := d.uint(); n > 0 {
			if n-1 > uint64(len(d.rest)) {
				d.fail()
			} else {
				c.value = append([]byte{}, d.rest[:n-1]...)
				d.rest = d.rest[n-1:]
			}
		}
		if d.err != nil {
			return nil, d.err
		}
		list = append(list, c)
	}
	return list, nil
}
