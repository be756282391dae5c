// Package fetch gets the parts of the images that others make: Debian's
// packages over HTTP, and Go modules by the go command. Which ones is written in
// a list of pins with their sums, and nothing else is ever taken. It knows
// nothing of what is done with them.
package fetch

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Pins are the parts, each at one version.
type Pins struct {
	// Time is when the versions were chosen. It is the time of all files in the
	// images, and where Debian's archive of old packages is asked.
	Time    time.Time
	Debs    []Deb
	Modules []Module
}

// A Deb is one of Debian's packages.
type Deb struct {
	For     string // what it is for: "amd64", "pi", "all", or "tool"
	Name    string
	Version string
	Arch    string
	SHA256  string
	Path    string // on a mirror: debian/pool/...
}

// A Module is a Go module that carries files, not code.
type Module struct {
	For     string
	Path    string
	Version string
	Sum     string // as in go.sum: "h1:..."
}

const stamp = "20060102T150405Z"

// ParsePins reads a list of pins. A line is one of
//
//	time 20261122T000000Z
//	deb FOR NAME VERSION ARCH SHA256 PATH
//	go FOR PATH VERSION SUM
func ParsePins(r io.Reader) (*Pins, error) {
	p := &Pins{}
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		if err := p.line(strings.Fields(in.Text())); err != nil {
			return nil, fmt.Errorf("pins, line %d: %w", n, err)
		}
	}
	if in.Err() == nil && p.Time.IsZero() {
		return nil, fmt.Errorf("the pins have no time")
	}
	return p, in.Err()
}

func (p *Pins) line(w []string) (err error) {
	switch {
	case len(w) == 0 || w[0][0] == '#':
	case w[0] == "time" && len(w) == 2:
		p.Time, err = time.Parse(stamp, w[1])
	case w[0] == "deb" && len(w) == 7:
		d := Deb{For: w[1], Name: w[2], Version: w[3], Arch: w[4], SHA256: w[5], Path: w[6]}
		if len(d.SHA256) != 64 || path.Clean(d.Path) != d.Path || !strings.HasPrefix(d.Path, "debian") {
			return fmt.Errorf("%s has no sum, or no path", d.Name)
		}
		p.Debs = append(p.Debs, d)
	case w[0] == "go" && len(w) == 5:
		p.Modules = append(p.Modules, Module{w[1], w[2], w[3], w[4]})
	default:
		return fmt.Errorf("%q is not a pin", strings.Join(w, " "))
	}
	return err
}

// Deb returns the package of a name for one purpose, or for all.
func (p *Pins) Deb(purpose, name string) (Deb, error) {
	for _, d := range p.Debs {
		if d.Name == name && (d.For == purpose || d.For == "all") {
			return d, nil
		}
	}
	return Deb{}, fmt.Errorf("%s for %s is not among the pins", name, purpose)
}

// Module returns the module of a path.
func (p *Pins) Module(path string) (Module, error) {
	for _, m := range p.Modules {
		if m.Path == path {
			return m, nil
		}
	}
	return Module{}, fmt.Errorf("%s is not among the pins", path)
}
