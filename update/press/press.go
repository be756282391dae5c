// Package press makes updates: it puts the files of a root and of a slot in a
// row, and signs what they are. It is for those who publish; a box has no use for
// it.
package press

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"aead.dev/minisign"

	"homemail/update"
	"homemail/update/agent"
)

// A Sheet is what goes into an update.
type Sheet struct {
	Manifest update.Manifest // but for its Files and Payload
	Root     string          // the file of the root
	Boot     fs.FS           // the slot's directory on the boot partition
	Key      minisign.PrivateKey
}

// Press writes into a directory the manifest, its signature and the payload, to
// be served below a URL, and a file with all three, for sticks. Then it verifies
// them as a box does.
func Press(dir string, s Sheet) (file string, err error) {
	m := s.Manifest
	stem := fmt.Sprintf("homemail-%s-%s", m.Target, m.Version)
	m.Payload = stem + ".payload"
	payload := filepath.Join(dir, m.Payload)
	if m.Files, err = row(payload, s.Root, s.Boot); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return "", err
	}
	text = append(text, '\n')
	note := fmt.Sprintf("homemail %s for %s", m.Version, m.Target)
	signature := minisign.SignWithComments(s.Key, text, note, "signature of a manifest of homemail")
	if _, err := update.Verify([]minisign.PublicKey{s.Key.Public().(minisign.PublicKey)}, text, signature); err != nil {
		return "", err
	}
	name := agent.ManifestName(m.Target)
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, name+agent.SignatureSuffix), signature, 0o644); err != nil {
		return "", err
	}
	file = filepath.Join(dir, stem+agent.Suffix)
	return file, bind(file, []string{filepath.Join(dir, name), filepath.Join(dir, name+agent.SignatureSuffix), payload}, m)
}

// ownArgs has the kernel's arguments on a Pi, among them where the box's own root
// is: it stays as it is on each, but for a manifest's Args.
const ownArgs = "cmdline.txt"

// row writes a payload: the root first, then the slot's files by name.
func row(payload, root string, boot fs.FS) (list []update.File, err error) {
	out, err := os.Create(payload)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	add := func(name string, in io.ReadCloser) error {
		defer in.Close()
		h := sha256.New()
		n, err := io.Copy(io.MultiWriter(out, h), in)
		list = append(list, update.File{Name: name, Size: n, SHA256: update.Hash(h.Sum(nil))})
		return err
	}
	in, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	if err := add(update.RootName, in); err != nil {
		return nil, err
	}
	err = fs.WalkDir(boot, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == ownArgs {
			return err
		}
		in, err := boot.Open(name)
		if err != nil {
			return err
		}
		return add(name, in)
	})
	if err != nil {
		return nil, err
	}
	return list, out.Close()
}

// bind puts files into one. It has no dates but the manifest's.
func bind(file string, names []string, m update.Manifest) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	t := tar.NewWriter(out)
	for name := range slices.Values(names) {
		if err := addFile(t, name, m); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return out.Close()
}

func addFile(t *tar.Writer, name string, m update.Manifest) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: filepath.Base(name), Size: info.Size(), Mode: 0o644, ModTime: m.Created, Format: tar.FormatUSTAR}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, in)
	return err
}
