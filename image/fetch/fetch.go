package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// A Cache keeps what was fetched, by its sum.
type Cache struct {
	Dir    string
	Mirror string // of Debian, without a slash at the end
	Pins   *Pins
	Log    func(format string, args ...any)
}

// DefaultMirror is Debian's own. It has the versions of today; the archive has
// all that ever were.
const (
	DefaultMirror = "http://deb.debian.org"
	archive       = "https://snapshot.debian.org/archive"
)

// Unpack returns a directory with the files of a package. It is fetched and
// unpacked once; what is there already is believed, as it was named by its sum.
func (c *Cache) Unpack(ctx context.Context, d Deb) (string, error) {
	dir := filepath.Join(c.Dir, d.Name+"_"+d.SHA256[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return "", err
	}
	file, err := c.deb(ctx, d)
	if err != nil {
		return "", err
	}
	defer os.Remove(file)
	tmp, err := os.MkdirTemp(c.Dir, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := unpackDeb(ctx, file, tmp); err != nil {
		return "", fmt.Errorf("unpack %s: %w", d.Name, err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) { // another may have been faster
		return "", err
	}
	return dir, nil
}

// deb fetches a package from the mirror, or from the archive if the mirror has
// a newer one only.
func (c *Cache) deb(ctx context.Context, d Deb) (string, error) {
	root, rest, _ := strings.Cut(d.Path, "/")
	var errs []error
	for _, url := range []string{
		c.Mirror + "/" + d.Path,
		archive + "/" + path.Join(root, c.Pins.Time.Format(stamp), rest),
	} {
		c.Log("fetch %s %s", d.Name, d.Version)
		file, err := c.get(ctx, url, d.SHA256)
		if err == nil {
			return file, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", url, err))
	}
	return "", errors.Join(errs...)
}

// get fetches a file whose sum is known into a temporary one.
func (c *Cache) get(ctx context.Context, url, sum string) (name string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	f, err := os.CreateTemp(c.Dir, "fetch-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), resp.Body); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return "", fmt.Errorf("the SHA-256 is %s, and not %s", got, sum)
	}
	return f.Name(), f.Close()
}

// Module returns the directory of a Go module, which the go command fetches as
// it fetches any other, and keeps.
func (c *Cache) Module(ctx context.Context, m Module) (string, error) {
	c.Log("fetch %s %s", m.Path, m.Version)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.Path+"@"+m.Version)
	cmd.Dir = os.TempDir() // outside our own module, whose go.mod stays as it is
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jerr := json.Unmarshal(out, &got); jerr != nil || got.Error != "" || err != nil {
		return "", fmt.Errorf("go mod download %s@%s: %s %w", m.Path, m.Version, got.Error, errors.Join(err, jerr))
	}
	if got.Sum != m.Sum {
		return "", fmt.Errorf("%s %s has the sum %s, and not %s", m.Path, m.Version, got.Sum, m.Sum)
	}
	return got.Dir, nil
}
