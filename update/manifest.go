package update

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"aead.dev/minisign"
)

// A Manifest says what an update consists of. Its JSON is what is signed. The
// bytes of its files follow each other in the update's payload, in this order
// and with nothing between.
type Manifest struct {
	Version Version   `json:"version"`
	Target  string    `json:"target"` // which image: "amd64" or "pi"
	Created time.Time `json:"created"`
	Schema
	Notes   Notes  `json:"notes"`
	Payload string `json:"payload"` // the file with the bytes, beside the manifest
	// Args are for the kernel, but for those that are the box's own: root= and
	// homemail.slot= stay as they are. "" changes none.
	Args  string `json:"args,omitempty"`
	Files []File `json:"files"`
}

// A Schema is what a release does to the store. The rule is that the release
// before can always go on with it: what a release writes must be readable by
// the one that runs until now, as the box may have to go back to that.
type Schema struct {
	// Schema is the newest layout that the release can read.
	Schema uint64 `json:"schema"`
	// ReadableBy is the layout that a program must know to read what the release
	// writes. It is Schema, or an older one that differs only in what older
	// programs do not look at.
	ReadableBy uint64 `json:"readable_by"`
}

// Notes say in plain words what is new.
type Notes struct {
	EN string `json:"en"`
	JA string `json:"ja"`
}

// A File of an update is the root, RootName, or has a path below the slot's
// directory on the boot partition.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 Hash   `json:"sha256"`
}

// RootName is the file that is written to the root partition itself.
const RootName = "root.squashfs"

// A Hash is a SHA-256.
type Hash [sha256.Size]byte

// MarshalText writes a hash in hex.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads a hash in hex.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return errors.New("a SHA-256 has 64 digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Bounds of an update. The signature is looked at first, so that these hold a
// mistake of ours and not an attack.
const (
	ManifestMost  = 256 << 10 // 500 files of the Pi's firmware and two languages of notes take 80 KiB
	SignatureMost = 1 << 10   // minisign's take 300 bytes and two comments
	filesMost     = 2000
	sizeMost      = 1 << 30 // of the whole payload
	notesMost     = 16 << 10
	argsMost      = 1 << 10 // the kernel takes 2 KiB
)

// Errors of Verify and Fits: why an update is not taken.
var (
	ErrSignature = errors.New("the update is not signed by a key that this homemail trusts")
	ErrManifest  = errors.New("the update's manifest is not right")
	ErrTarget    = errors.New("the update is for another kind of box")
	ErrOlder     = errors.New("the update is not newer than what runs")
	ErrSchema    = errors.New("the update's store does not go together with that of the version that runs")
)

// Verify returns the manifest if any of the keys has signed it. Nothing of it is
// parsed before.
func Verify(trusted []minisign.PublicKey, manifest, signature []byte) (m Manifest, err error) {
	if len(manifest) > ManifestMost || len(signature) > SignatureMost || !signed(trusted, manifest, signature) {
		return m, ErrSignature
	}
	d := json.NewDecoder(bytes.NewReader(manifest))
	if err := d.Decode(&m); err != nil { // unknown fields are of later versions
		return m, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return m, m.check()
}

func signed(trusted []minisign.PublicKey, manifest, signature []byte) bool {
	for _, k := range trusted {
		if minisign.Verify(k, manifest, signature) {
			return true
		}
	}
	return false
}

func (m Manifest) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrManifest, fmt.Sprintf(format, args...))
	}
	if _, err := m.Version.Parse(); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	switch {
	case m.Schema.Schema == 0 || m.ReadableBy == 0 || m.ReadableBy > m.Schema.Schema:
		return bad("schema %d, readable by %d", m.Schema.Schema, m.ReadableBy)
	case len(m.Files) > filesMost:
		return bad("%d files", len(m.Files))
	case len(m.Notes.EN) > notesMost || len(m.Notes.JA) > notesMost:
		return bad("the notes are too long")
	case len(m.Args) > argsMost || strings.ContainsFunc(m.Args, forbidden):
		return bad("the kernel's arguments")
	case !plain(m.Payload) || path.Base(m.Payload) != m.Payload:
		return bad("payload %q", m.Payload)
	}
	seen, total := map[string]bool{}, int64(0)
	for _, f := range m.Files {
		name := strings.ToLower(f.Name) // FAT knows no difference
		if !plain(f.Name) || seen[name] || f.Size <= 0 || f.Size > sizeMost {
			return bad("file %q of %d bytes", f.Name, f.Size)
		}
		seen[name] = true
		total += f.Size
	}
	if !seen[RootName] || total > sizeMost {
		return bad("%d bytes, a root: %v", total, seen[RootName])
	}
	return nil
}

// forbidden in the kernel's arguments is what would end GRUB's quotes.
func forbidden(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\"'$\\`", r) }

// plain reports whether a name is a path that stays where it is, in characters
// that FAT, tar and URLs take as they are. One that ends with the suffix of a
// file that is being written would be taken for that.
func plain(name string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("./_+-", r)
	}
	return len(name) <= 200 && name != "." && fs.ValidPath(name) && !strings.ContainsFunc(name, odd) && !strings.HasSuffix(name, newSuffix)
}

// Size is that of the payload.
func (m Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// An Opener gives the bytes of a payload from an offset on.
type Opener func(offset int64) (io.ReadCloser, error)

// A Running homemail is what an update is measured against.
type Running struct {
	Version Version
	Target  string
	Schema  Schema
}

// Fits returns nil if a homemail may be followed by the update, or why not.
func (m Manifest) Fits(r Running) error {
	switch {
	case m.Target != r.Target:
		return fmt.Errorf("%w: it is for %q and this is %q", ErrTarget, m.Target, r.Target)
	case !m.Version.After(r.Version):
		return fmt.Errorf("%w: it is %s and this is %s", ErrOlder, m.Version, r.Version)
	case m.Schema.Schema < r.Schema.ReadableBy:
		return fmt.Errorf("%w: this version writes what needs schema %d and the update reads up to %d", ErrSchema, r.Schema.ReadableBy, m.Schema.Schema)
	case m.ReadableBy > r.Schema.Schema:
		return fmt.Errorf("%w: the update writes what needs schema %d and this version, to which it may have to go back, reads up to %d: take one in between first",
			ErrSchema, m.ReadableBy, r.Schema.Schema)
	}
	return nil
}
