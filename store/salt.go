package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
)

// A salt goes into the sum of every frame, and nobody outside knows it. Frames
// hold other people's mail as it came, and reading a damaged journal looks for
// the next good frame within a broken one: without a salt somebody could mail
// us a frame, and wait for a power cut.
type salt [16]byte

const (
	saltName = "salt"
	saltSize = len(salt{}) + sumSize
)

// saltCopies are the places in the first block of a segment that hold the salt
// too, since without it nothing in the journal can be read.
var saltCopies = [...]int{64, 2048}

func (s salt) sum(head, payload []byte) uint32 {
	crc := crc32.Checksum(s[:], castagnoli)
	return crc32.Update(crc32.Update(crc, castagnoli, head), castagnoli, payload)
}

// put writes the salt and its own sum.
func (s salt) put(b []byte) {
	copy(b, s[:])
	binary.BigEndian.PutUint32(b[len(s):], crc32.Checksum(s[:], castagnoli))
}

// readSalt reads what put wrote.
func readSalt(b []byte) (s salt, ok bool) {
	if len(b) < saltSize {
		return s, false
	}
	copy(s[:], b)
	return s, crc32.Checksum(s[:], castagnoli) == binary.BigEndian.Uint32(b[len(s):])
}

// loadSalt finds the salt in its file or in a segment, or makes one.
func loadSalt(dir string, segments []string) (salt, error) {
	path := filepath.Join(dir, saltName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return salt{}, err
	}
	if s, ok := readSalt(b); ok {
		return s, nil
	}
	s, found, err := saltOf(segments)
	if err != nil {
		return s, err
	}
	if !found {
		if len(segments) > 0 {
			return s, wrong("the journal's salt and all copies of it")
		}
		rand.Read(s[:])
	}
	file := make([]byte, saltSize)
	s.put(file)
	return s, writeFile(path, file)
}

// saltOf reads the salt from the first segment that has a good copy.
func saltOf(segments []string) (s salt, found bool, err error) {
	for _, path := range segments {
		head := make([]byte, segmentHead)
		f, err := os.Open(path)
		if err != nil {
			return s, false, err
		}
		_, err = readBlock(f, head, 0)
		f.Close()
		if err != nil {
			return s, false, err
		}
		for _, at := range saltCopies {
			if s, ok := readSalt(head[at:]); ok {
				return s, true, nil
			}
		}
	}
	return s, false, nil
}
