// Package update puts a newer homemail onto the box: what comes is signed,
// written to the root that does not run, read back, tried once, and kept after
// ten healthy minutes; otherwise the box goes back by itself.
//
// Box is the half with privilege, which belongs to PID 1. It opens no connection
// and parses nothing that is not signed by a key of the build: an update reaches
// it over a Unix socket from the server without privilege, which has fetched it.
// Client is that server's end of the socket; package update/agent decides when.
package update

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"aead.dev/minisign"
)

// Set by the linker, -X homemail/update.version=1.2.3, and never changed.
var (
	version = "" // of a release
	keys    = "" // public keys of minisign that may sign updates, with commas between
)

// A Version is three numbers, "1.2.3". It only goes up.
type Version string

// Development is the version of a build that is no release. It takes any update.
const Development Version = "0.0.0"

// Release returns the version of this build, Development if it is no release.
func Release() Version {
	if version == "" {
		return Development
	}
	return Version(version)
}

// ErrVersion says that a text is no version.
var ErrVersion = errors.New("a version is three numbers with points between, such as 1.2.3")

// Parse returns the three numbers.
func (v Version) Parse() (n [3]int, err error) {
	parts := strings.Split(string(v), ".")
	if len(parts) != len(n) {
		return n, fmt.Errorf("%.40q: %w", v, ErrVersion)
	}
	for i, p := range parts {
		n[i], err = strconv.Atoi(p)
		if err != nil || n[i] < 0 || n[i] > 1e6 || strconv.Itoa(n[i]) != p { // one spelling each
			return n, fmt.Errorf("%.40q: %w", v, ErrVersion)
		}
	}
	return n, nil
}

// After reports whether v is newer than w. What is no version is newer than
// nothing, and nothing is newer than it.
func (v Version) After(w Version) bool {
	a, err := v.Parse()
	b, err2 := w.Parse()
	if err != nil || err2 != nil {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return a[i] > b[i]
		}
	}
	return false
}

// Keys returns the public keys of this build. Two are usual: one signs the
// releases, the other lies in a safe, for the day when the first is lost. Each
// of them alone is enough. A build without keys takes no updates.
func Keys() ([]minisign.PublicKey, error) { return ParseKeys(keys) }

// ParseKeys reads public keys, as minisign prints them, with commas between.
func ParseKeys(text string) (list []minisign.PublicKey, err error) {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		var k minisign.PublicKey
		if err := k.UnmarshalText([]byte(one)); err != nil {
			return nil, fmt.Errorf("key %.80q: %w", one, err)
		}
		list = append(list, k)
	}
	return list, nil
}
