package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

const maxFile = 1 << 20 // a configuration of more than 1 MiB is some other file

// Load reads the settings of a file over the defaults. An empty path means no
// file.
func Load(path string) (Config, error) {
	if path == "" {
		return Default(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return Default(), fmt.Errorf("cannot read the settings: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Default(), fmt.Errorf("cannot read the settings: %w", err)
	}
	return parse(path, data)
}

// parse reads settings that were written in the file of that name.
func parse(file string, data []byte) (Config, error) {
	c := Default()
	c.file, c.lines = file, map[string]int{}
	if len(data) > maxFile {
		return c, fmt.Errorf("%s: is larger than 1 MiB; this is not a file of settings", file)
	}
	var top map[string]toml.Primitive
	md, err := toml.Decode(string(data), &top)
	if err != nil {
		return c, syntaxError(file, err)
	}
	r := reader{c: &c, md: &md, fields: map[string]field{}, sections: map[string]bool{}}
	for _, f := range c.fields() {
		r.fields[f.name] = f
		if section, _, ok := strings.Cut(f.name, "."); ok {
			r.sections[section] = true
		}
	}
	r.table("", top)
	return c, errors.Join(errors.Join(r.errs...), c.Validate())
}

// A reader goes through the decoded file key by key, so that a name is known
// exactly as it is written: the decoder alone takes any case.
type reader struct {
	c        *Config
	md       *toml.MetaData
	fields   map[string]field
	sections map[string]bool
	errs     []error
}

const maxErrors = 20 // enough to mend at one go

func (r *reader) table(section string, keys map[string]toml.Primitive) {
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		if len(r.errs) >= maxErrors {
			return
		}
		name := toml.Key{k}.String()
		if section != "" {
			name = section + "." + name
		}
		r.key(name, section == "" && r.sections[k], keys[k])
	}
}

// key takes one key of the file: a section, a setting, or a mistake.
func (r *reader) key(name string, section bool, p toml.Primitive) {
	var v any
	err := r.md.PrimitiveDecode(p, &v)
	f, known := r.fields[name]
	switch {
	case section:
		var keys map[string]toml.Primitive
		if _, ok := v.(map[string]any); !ok || r.md.PrimitiveDecode(p, &keys) != nil {
			err = fmt.Errorf("%s: is a section; right is a line [%[1]s] and its settings below", name)
			break
		}
		r.table(name, keys)
	case !known:
		err = fmt.Errorf("unknown setting %q; config.example.toml lists them all", name)
	case err == nil:
		if err = f.set(v); err == nil {
			r.c.lines[name] = r.line(p)
			break
		}
		err = fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s:%d: %w", r.c.file, r.line(p), err))
	}
}

// line finds where a value stands in the file. The decoder tells that only
// with an error, so we ask for one.
func (r *reader) line(p toml.Primitive) int {
	var where toml.ParseError
	if errors.As(r.md.PrimitiveDecode(p, &probe{}), &where) {
		return where.Position.Line
	}
	return 0
}

type probe struct{}

func (*probe) UnmarshalTOML(any) error { return errors.New("here") }

// syntaxError says where a file stops being TOML.
func syntaxError(file string, err error) error {
	if at := (toml.ParseError{}); errors.As(err, &at) {
		return fmt.Errorf("%s:%d: %s", file, at.Position.Line, at.Message)
	}
	return fmt.Errorf("%s: %w", file, err)
}
