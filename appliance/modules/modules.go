//go:build linux

// Package modules finds the kernel modules that the devices of a machine ask
// for and hands them to the kernel: what modprobe and udev do elsewhere. It
// reads the tables modules.dep, modules.alias and modules.softdep as they are in
// modules.dep(5), and the file "uevent" of each device, because some kinds, such
// as eMMC cards, have no file "modalias". It never unpacks or links a module.
package modules

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Set is the modules that one kernel may load. Its methods are for one
// goroutine at a time.
type Set struct {
	dir    string              // lib/modules/RELEASE
	files  map[string]string   // name to path below dir
	needs  map[string][]string // name to names, all that have to be there before
	before map[string][]string // soft: wanted before, and no harm if it fails
	after  map[string][]string
	alias  map[string][]entry // by what stands before the first wildcard

	loaded map[string]bool
	insert func(file *os.File, flags int) error
}

type entry struct{ pattern, module string }

// Running opens the modules of the kernel that runs, below root. A kernel that
// has all it needs built in has none, which is no error.
func Running(root string) (*Set, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	return Open(filepath.Join(root, "lib/modules", unix.ByteSliceToString(u.Release[:])))
}

// Open reads the tables of a directory lib/modules/RELEASE.
func Open(dir string) (*Set, error) {
	s := &Set{
		dir: dir, files: map[string]string{}, needs: map[string][]string{}, before: map[string][]string{}, after: map[string][]string{},
		alias: map[string][]entry{}, loaded: map[string]bool{}, insert: finit,
	}
	return s, errors.Join(s.lines("modules.dep", s.dep), s.lines("modules.alias", s.addAlias), s.lines("modules.softdep", s.softdep))
}

// lines calls fn with each line of a table. One that is missing is empty.
func (s *Set) lines(name string, fn func(string)) error {
	f, err := os.Open(filepath.Join(s.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20) // some modules need a hundred others
	for in.Scan() {
		if line := in.Text(); line != "" && line[0] != '#' {
			fn(line)
		}
	}
	return in.Err()
}

// dep takes "kernel/a.ko: kernel/b.ko kernel/c.ko": c is loaded first.
func (s *Set) dep(line string) {
	file, rest, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	name := Name(file)
	s.files[name] = file
	for f := range strings.FieldsSeq(rest) {
		s.needs[name] = append(s.needs[name], Name(f))
	}
}

// addAlias takes "alias pci:v00008086d* e1000e".
func (s *Set) addAlias(line string) {
	w := strings.Fields(line)
	if len(w) != 3 || w[0] != "alias" {
		return
	}
	at := strings.IndexAny(w[1], `*?[\`)
	if at < 0 {
		at = len(w[1])
	}
	s.alias[w[1][:at]] = append(s.alias[w[1][:at]], entry{w[1], canonical(w[2])})
}

// softdep takes "softdep a pre: b c post: d".
func (s *Set) softdep(line string) {
	w := strings.Fields(line)
	if len(w) < 3 || w[0] != "softdep" {
		return
	}
	var into map[string][]string
	for _, x := range w[2:] {
		switch {
		case x == "pre:":
			into = s.before
		case x == "post:":
			into = s.after
		case into != nil:
			into[canonical(w[1])] = append(into[canonical(w[1])], canonical(x))
		}
	}
}

// Name is the name of the module in a file: without its directory and what says
// how it is packed.
func Name(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return canonical(base)
}

// canonical is a name as the kernel shows it; files may have a hyphen instead.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Match returns the modules that are for a device, by its MODALIAS. The cost is
// that of the alias's length, not of the table's, which has 20,000 lines.
func (s *Set) Match(modalias string) (names []string) {
	seen := map[string]bool{}
	for n := range len(modalias) + 1 {
		for _, e := range s.alias[modalias[:n]] {
			if !seen[e.module] && glob(e.pattern, modalias) {
				seen[e.module] = true
				names = append(names, e.module)
			}
		}
	}
	return names
}

// glob is fnmatch(3) without its flags: an asterisk also takes slashes.
func glob(pattern, s string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}

// depth bounds how deep modules may need each other; a ring would have no end.
const depth = 40

// Load loads a module by its name or alias, with all it needs. One that is there
// already, or built into the kernel, is no error.
func (s *Set) Load(name string) error {
	name = canonical(name)
	if s.files[name] == "" {
		var errs []error
		for _, m := range s.Match(name) {
			errs = append(errs, s.load(m, depth))
		}
		return errors.Join(errs...) // none: built in, or not ours
	}
	return s.load(name, depth)
}

func (s *Set) load(name string, left int) error {
	file := s.files[name]
	if s.loaded[name] || file == "" {
		return nil
	}
	if left == 0 {
		return fmt.Errorf("module %s: what it needs has no end", name)
	}
	s.loaded[name] = true // also if it fails: a device that is missing stays so
	for _, m := range s.before[name] {
		s.soft(m, left-1)
	}
	needs := s.needs[name]
	for i := len(needs) - 1; i >= 0; i-- { // depmod's order is the reverse
		if err := s.load(needs[i], left-1); err != nil {
			return err
		}
	}
	if err := s.put(file); err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, m := range s.after[name] {
		s.soft(m, left-1)
	}
	return nil
}

// soft loads what is wanted, and may be a name that several modules have: ext4
// wants "crc32c". It is no harm if that fails.
func (s *Set) soft(name string, left int) {
	if s.files[name] != "" {
		s.load(name, left)
		return
	}
	for _, m := range s.Match(name) {
		s.load(m, left)
	}
}

// put hands a file to the kernel, which checks its signature, and unpacks it.
func (s *Set) put(file string) error {
	f, err := os.Open(filepath.Join(s.dir, filepath.FromSlash(file)))
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if !strings.HasSuffix(file, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := s.insert(f, flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func finit(f *os.File, flags int) error { return unix.FinitModule(int(f.Fd()), "", flags) }
