package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed debian
var debianFiles embed.FS

const debianControl = `Package: homemail
Version: %s
Section: mail
Priority: optional
Architecture: %s
Maintainer: The homemail authors <homemail@localhost>
Installed-Size: %d
Depends: systemd (>= 247), ca-certificates
Recommends: tzdata
Provides: imap-server, pop3-server
Description: mail for a family or a small office
 One program that takes mail in and sends it (SMTP), keeps it safe, and shows it
 to mail programs (IMAP, POP3). It has web pages for its owners and needs no
 database and no other mail software.
`

// A placed file is one of a package.
type placed struct {
	path string // in the package
	from string // a file of ours, or
	own  string // one below debian
	mode os.FileMode
}

// placedFiles are those of the package.
func placedFiles(program, bill string) []placed {
	list := []placed{
		{"usr/bin/homemail", program, "", 0o755},
		{"usr/share/doc/homemail/homemail.cdx.json", bill, "", 0o644},
		{"usr/share/doc/homemail/README.md", "README.md", "", 0o644},
		{"usr/share/doc/homemail/CHANGELOG.md", "CHANGELOG.md", "", 0o644},
		{"usr/share/doc/homemail/copyright", "LICENSE", "", 0o644},
		{"etc/homemail/config.toml", "config.example.toml", "", 0o644},
		{"usr/lib/sysusers.d/homemail.conf", "", "homemail.sysusers", 0o644},
		{"usr/lib/systemd/system/homemail.service", "", "homemail.service", 0o644},
		{"DEBIAN/postinst", "", "postinst", 0o755},
		{"DEBIAN/prerm", "", "prerm", 0o755},
		{"DEBIAN/postrm", "", "postrm", 0o755},
	}
	for _, door := range []string{"smtp", "imap", "pop3", "web"} {
		unit := "homemail-" + door + ".socket"
		list = append(list, placed{"usr/lib/systemd/system/" + unit, "", unit, 0o644})
	}
	return list
}

// debian makes the package with dpkg-deb, which is Debian's own. The names and
// dates in it are not those of this machine.
func (b *builder) debian(ctx context.Context, arch, program, bill string) (string, error) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		return "", fmt.Errorf("a Debian package takes the program dpkg-deb: %w", err)
	}
	dir, err := os.MkdirTemp("", "homemail-deb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := b.fill(dir, arch, placedFiles(program, bill)); err != nil {
		return "", err
	}
	deb := filepath.Join(b.out, fmt.Sprintf("homemail_%s_%s.deb", b.version, arch))
	c := exec.CommandContext(ctx, "dpkg-deb", "--root-owner-group", "-Zxz", "--build", dir, deb)
	c.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(b.date.Unix(), 10))
	if text, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("dpkg-deb: %w\n%s", err, text)
	}
	return deb, nil
}

// fill lays the package out.
func (b *builder) fill(dir, arch string, list []placed) error {
	var size int64
	for _, p := range list {
		text, err := p.read()
		if err != nil {
			return err
		}
		size += int64(len(text))
		if err := write(filepath.Join(dir, p.path), text, p.mode); err != nil {
			return err
		}
	}
	control := fmt.Sprintf(debianControl, b.version, arch, (size+1023)/1024)
	if err := write(filepath.Join(dir, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "DEBIAN/conffiles"), []byte("/etc/homemail/config.toml\n"), 0o644); err != nil {
		return err
	}
	return stamp(dir, b.date)
}

func (p placed) read() ([]byte, error) {
	if p.own != "" {
		return debianFiles.ReadFile("debian/" + p.own)
	}
	return os.ReadFile(p.from)
}

// write writes a file whose mode is not the umask's business.
func write(name string, text []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, text, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// stamp gives everything below a directory one date and the modes of a package.
func stamp(dir string, date time.Time) error {
	return filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if err := os.Chmod(name, 0o755); err != nil {
				return err
			}
		}
		return os.Chtimes(name, date, date)
	})
}
