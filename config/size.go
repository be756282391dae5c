package config

import (
	"fmt"
	"strconv"
	"strings"
)

// A Size is a number of bytes.
type Size int64

// The units that a size is written in; those of 1,000 are read too.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// units in the order in which String tries them.
func units() []struct {
	name string
	size Size
} {
	return []struct {
		name string
		size Size
	}{
		{"TiB", 1 << 40}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
	}
}

const maxSize = 1 << 50 // 1 PiB: more is a slip of the keyboard

// ParseSize reads "50 MiB", "50MB" or a plain number of bytes.
func ParseSize(s string) (Size, error) {
	number, unit := strings.TrimSpace(s), Size(1)
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > maxSize/uint64(unit) {
		return 0, fmt.Errorf(`%q is not a size; right would be "50 MiB" or "2 GB"`, s)
	}
	return Size(n) * unit, nil
}

// String is the shortest exact form that ParseSize reads.
func (s Size) String() string {
	for _, u := range units() {
		if s != 0 && s%u.size == 0 {
			return fmt.Sprintf("%d %s", s/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
