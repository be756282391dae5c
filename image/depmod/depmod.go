// Package depmod chooses kernel modules by a list and writes the tables that a
// loader of modules reads: modules.dep, modules.alias and modules.softdep, as
// depmod(8) does. Debian's package of a kernel comes without them. What a module
// needs and what it is for stands in its ELF section .modinfo.
package depmod

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Module is one file of the kernel's, unpacked.
type Module struct {
	Path     string // below lib/modules/RELEASE: kernel/...
	Needs    []string
	Aliases  []string
	Soft     []string // "pre: a b post: c", one for each line
	Firmware []string // files below lib/firmware that it may ask for
}

// A Set has modules by their names.
type Set map[string]*Module

// Name is what the kernel calls the module in a file.
func Name(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

func read(file string) (*Module, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sec := f.Section(".modinfo")
	if sec == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	b, err := sec.Data()
	if err != nil {
		return nil, err
	}
	m := &Module{}
	for field := range bytes.SplitSeq(b, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "depends":
			for n := range strings.SplitSeq(value, ",") {
				if n != "" {
					m.Needs = append(m.Needs, Name(n))
				}
			}
		case "alias":
			m.Aliases = append(m.Aliases, value)
		case "softdep":
			m.Soft = append(m.Soft, value)
		case "firmware":
			m.Firmware = append(m.Firmware, value)
		}
	}
	return m, nil
}

// Rules say which modules to take. A later rule wins over an earlier one.
type Rules []rule

type rule struct {
	take    bool
	pattern string
}

// ParseRules reads lines of "+ PATTERN" and "- PATTERN". A pattern is of
// path.Match, below kernel/, and also takes all that is below what it matches.
func ParseRules(r io.Reader) (Rules, error) {
	var rules Rules
	in := bufio.NewScanner(r)
	for in.Scan() {
		w := strings.Fields(in.Text())
		if len(w) == 0 || w[0][0] == '#' {
			continue
		}
		if len(w) != 2 || w[0] != "+" && w[0] != "-" {
			return nil, fmt.Errorf("%q is no rule", in.Text())
		}
		if _, err := path.Match(w[1], ""); err != nil {
			return nil, fmt.Errorf("%q: %w", w[1], err)
		}
		rules = append(rules, rule{w[0] == "+", w[1]})
	}
	return rules, in.Err()
}

func (rs Rules) take(file string) (take bool) {
	name := strings.TrimSuffix(strings.TrimPrefix(file, "kernel/"), ".ko")
	for _, r := range rs {
		if r.matches(name) {
			take = r.take
		}
	}
	return take
}

func (r rule) matches(name string) bool {
	for p := name; p != "."; p = path.Dir(p) {
		if ok, _ := path.Match(r.pattern, p); ok {
			return true
		}
	}
	return false
}

// Choose reads the modules that the rules take and what those need. The files are
// relative to dir, which is lib/modules/RELEASE; before they are read, unpack is
// called with them.
func Choose(dir string, files []string, rules Rules, unpack func(files []string) error) (Set, error) {
	byName := map[string]string{}
	var next []string
	for _, f := range files {
		byName[Name(f)] = f
		if rules.take(f) {
			next = append(next, f)
		}
	}
	got := Set{}
	for len(next) > 0 {
		if err := unpack(next); err != nil {
			return nil, err
		}
		var wanted []string
		for _, f := range next {
			m, err := read(filepath.Join(dir, f))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			m.Path = f
			got[Name(f)] = m
			for _, n := range m.Needs {
				if byName[n] == "" {
					return nil, fmt.Errorf("module %s, which %s needs, is missing", n, f)
				}
			}
			wanted = append(append(wanted, m.Needs...), m.softNames()...)
		}
		next = next[:0]
		slices.Sort(wanted)
		for _, n := range slices.Compact(wanted) {
			if f := byName[n]; f != "" && got[n] == nil { // a soft one may be built in, or absent
				next = append(next, f)
			}
		}
	}
	return got, nil
}

func (m *Module) softNames() (names []string) {
	for _, line := range m.Soft {
		for w := range strings.FieldsSeq(line) {
			if !strings.HasSuffix(w, ":") {
				names = append(names, Name(w))
			}
		}
	}
	return names
}

// Tables returns the three tables, by the names of their files.
func (s Set) Tables() map[string][]byte {
	var dep, alias, soft bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(s)) {
		m := s[name]
		fmt.Fprintf(&dep, "%s:", m.Path)
		for _, n := range s.closure(m) {
			fmt.Fprintf(&dep, " %s", s[n].Path)
		}
		dep.WriteByte('\n')
		for _, a := range m.Aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", a, name)
		}
		for _, line := range m.Soft {
			fmt.Fprintf(&soft, "softdep %s %s\n", name, line)
		}
	}
	return map[string][]byte{"modules.dep": dep.Bytes(), "modules.alias": alias.Bytes(), "modules.softdep": soft.Bytes()}
}

// closure is all that a module needs, in depmod's order: what is to be loaded
// first comes last.
func (s Set) closure(m *Module) []string {
	var order []string // first to last
	var visit func(m *Module)
	visit = func(m *Module) {
		for _, n := range m.Needs {
			if s[n] != nil && !slices.Contains(order, n) {
				visit(s[n])
				if !slices.Contains(order, n) {
					order = append(order, n)
				}
			}
		}
	}
	visit(m)
	slices.Reverse(order)
	return order
}

// CopyTo writes the modules and their tables below dir.
func (s Set) CopyTo(from, dir string) error {
	for _, m := range s {
		b, err := os.ReadFile(filepath.Join(from, m.Path))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, m.Path), b); err != nil {
			return err
		}
	}
	for name, b := range s.Tables() {
		if err := write(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

func write(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
