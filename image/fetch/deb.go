package fetch

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// unpackDeb unpacks the files of a package, deb(5), below dir. Owners and times
// are dropped: whoever uses the files sets them.
func unpackDeb(ctx context.Context, file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	name, data, err := arMember(bufio.NewReader(f), "data.tar")
	if err != nil {
		return err
	}
	if !strings.HasSuffix(name, ".xz") {
		return fmt.Errorf("%s is packed in a way that we do not know", name)
	}
	xz := exec.CommandContext(ctx, "xz", "-dc")
	xz.Stdin = data
	out, err := xz.StdoutPipe()
	if err != nil {
		return err
	}
	if err := xz.Start(); err != nil {
		return err
	}
	err = untar(out, dir)
	io.Copy(io.Discard, out)
	return errors.Join(err, xz.Wait())
}

const arHeader = 60

// arMember finds the member of an ar(5) archive whose name starts with prefix.
func arMember(r io.Reader, prefix string) (string, io.Reader, error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return "", nil, errors.New("this is no package of Debian")
	}
	for {
		h := make([]byte, arHeader)
		if _, err := io.ReadFull(r, h); err != nil {
			return "", nil, fmt.Errorf("no %s: %w", prefix, err)
		}
		name := strings.TrimRight(string(h[:16]), " /")
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || size < 0 {
			return "", nil, fmt.Errorf("%s has no size", name)
		}
		if strings.HasPrefix(name, prefix) {
			return name, io.LimitReader(r, size), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return "", nil, err
		}
	}
}

// untar writes files, directories and links. The root keeps what it names
// inside dir.
func untar(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(filepath.FromSlash(h.Name))
		if name == "." {
			continue
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeLink:
			err = root.Link(filepath.Clean(filepath.FromSlash(h.Linkname)), name)
		case tar.TypeReg:
			err = writeFile(root, name, in, os.FileMode(h.Mode)&0o755|0o600)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func writeFile(root *os.Root, name string, r io.Reader, mode os.FileMode) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
