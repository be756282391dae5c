package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aead.dev/minisign"

	"homemail/update"
)

// A source is an update that was found, its signature verified.
type source struct {
	offer           Offer
	text, signature []byte
	manifest        update.Manifest
	path            string // of the file, "" if it is not one
	opener          func(ctx context.Context, offset int64) (io.ReadCloser, error)
}

func (s *source) open(ctx context.Context) update.Opener {
	return func(offset int64) (io.ReadCloser, error) { return s.opener(ctx, offset) }
}

// newSource verifies a manifest.
func newSource(keys []minisign.PublicKey, text, signature []byte, from string) (*source, error) {
	m, err := update.Verify(keys, text, signature)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return &source{text: text, signature: signature, manifest: m,
		offer: Offer{Version: m.Version, Notes: m.Notes, Created: m.Created, Size: m.Size(), From: from}}, nil
}

// Names of what belongs to an update. A URL has the first two for the newest
// update of each target; a file that ends with Suffix is a tar with the first
// two and the payload, in this order.
const (
	Suffix          = ".update"
	SignatureSuffix = ".minisig"
)

// ManifestName is the name of a target's manifest.
func ManifestName(target string) string { return "homemail-" + target + ".manifest" }

// errFile says that a file is no update.
var errFile = errors.New("the file is no update")

// unpack reads an update from the bytes of a file. The payload is read when it is
// installed, and only once.
func unpack(keys []minisign.PublicKey, r io.Reader) (*source, error) {
	t := tar.NewReader(r)
	text, name, err := part(t, update.ManifestMost)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".manifest") {
		return nil, fmt.Errorf("%w: it begins with %.80q", errFile, name)
	}
	signature, _, err := part(t, update.SignatureMost)
	if err != nil {
		return nil, err
	}
	s, err := newSource(keys, text, signature, name)
	if err != nil {
		return nil, err
	}
	h, err := t.Next()
	if err != nil || h.Size != s.manifest.Size() {
		return nil, fmt.Errorf("%w: its payload is not there, or not whole", errFile)
	}
	s.opener = func(_ context.Context, offset int64) (io.ReadCloser, error) {
		_, err := io.CopyN(io.Discard, t, offset)
		return io.NopCloser(t), err
	}
	return s, nil
}

// part reads a small file of a tar.
func part(t *tar.Reader, most int64) ([]byte, string, error) {
	h, err := t.Next()
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errFile, err)
	}
	if h.Typeflag != tar.TypeReg || h.Size > most {
		return nil, "", fmt.Errorf("%w: %.80q has %d bytes", errFile, h.Name, h.Size)
	}
	b, err := io.ReadAll(t)
	return b, h.Name, err
}

// filesMost bounds the directories of strangers' sticks.
const filesMost = 20

// paths are the files of a target that may be updates.
func (a *Agent) paths(target string) (list []string) {
	for _, dir := range a.o.Dirs {
		entries, _ := os.ReadDir(dir) // no stick is there
		for _, e := range entries {
			if name := e.Name(); strings.HasPrefix(name, "homemail-"+target) && strings.HasSuffix(name, Suffix) && e.Type().IsRegular() {
				list = append(list, filepath.Join(dir, name))
			}
		}
	}
	slices.Sort(list)
	return list[max(0, len(list)-filesMost):] // the newest versions are last
}

// files opens those updates.
func (a *Agent) files(target string) (list []*source, errs []error) {
	for _, path := range a.paths(target) {
		s, err := a.file(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(path), err))
			continue
		}
		list = append(list, s)
	}
	return list, errs
}

func (a *Agent) file(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := unpack(a.o.Keys, f)
	if err != nil {
		return nil, err
	}
	s.path, s.offer.From = path, filepath.Base(path)
	s.opener = func(ctx context.Context, offset int64) (io.ReadCloser, error) { // the stick may have been changed since
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		again, err := unpack(a.o.Keys, f)
		if err == nil && !bytes.Equal(again.text, s.text) {
			err = fmt.Errorf("%w: another one is there now", errFile)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		r, err := again.opener(ctx, offset)
		return file{r, f}, err
	}
	return s, nil
}

// file closes what it is read from.
type file struct {
	io.Reader
	io.Closer
}

// newStick reports whether a file is there that is not the offer, or the offer's
// is gone.
func (a *Agent) newStick() bool {
	var seen []string
	for _, dir := range a.o.Dirs {
		found, _ := filepath.Glob(filepath.Join(dir, "homemail-*"+Suffix))
		seen = append(seen, found...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Equal(seen, a.sticks) {
		return false
	}
	a.sticks = seen
	return true
}
