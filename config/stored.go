package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// UseStored takes settings that are kept in the store, each as the file would
// have it. They win over the defaults, and the file and the flags win over them.
// Those that cannot be used are left out and told of: nobody can mend them if the
// server does not start.
func (c *Config) UseStored(values map[string]string) error {
	var errs []error
	for _, f := range c.fields() {
		v, ok := values[f.name]
		if _, pinned := c.Pinned(f.name); !ok || pinned {
			continue
		}
		if err := c.take(f, v); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// take sets a field that is not pinned, if all is valid then.
func (c *Config) take(f field, literal string) error {
	was := *c
	err := Storable(f.name)
	if err == nil {
		var v any
		if v, err = decode(literal); err == nil {
			err = f.set(v)
		}
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		*c = was
		return fmt.Errorf("%s = %s: %w", f.name, literal, err)
	}
	if c.stored == nil {
		c.stored = map[string]bool{}
	}
	c.stored[f.name] = true
	return nil
}

// decode reads one value as it stands in a file.
func decode(literal string) (any, error) {
	var to map[string]any
	md, err := toml.Decode("v = "+literal, &to)
	if err != nil || len(md.Keys()) != 1 {
		return nil, errors.New("is not a value; right is what would stand in the file after the =")
	}
	return to["v"], nil
}

// Set returns how a setting would be kept, given as people type it at a command
// line, where quotes are for the shell: a text may come without. What it returns
// has been tried out.
func (c Config) Set(name, value string) (literal string, err error) {
	if err := Storable(name); err != nil {
		return "", err
	}
	if where, pinned := c.Pinned(name); pinned {
		return "", fmt.Errorf("%s is set in %s, which wins; change it there", name, where)
	}
	fs := c.fields()
	i := slices.IndexFunc(fs, func(f field) bool { return f.name == name })
	if i < 0 {
		return "", fmt.Errorf("unknown setting %q; config.example.toml lists them all", name)
	}
	switch fs[i].to.(type) {
	case *int, *bool:
	case *[]string, *Schedule:
		if !strings.HasPrefix(value, "[") {
			value = fmt.Sprintf("[%q]", value)
		}
	default:
		if !strings.HasPrefix(value, `"`) {
			value = fmt.Sprintf("%q", value)
		}
	}
	c.stored = maps.Clone(c.stored)
	if err := c.take(fs[i], value); err != nil {
		return "", err
	}
	return value, nil
}

// Storable says why a setting cannot be kept in the store, nil if it can.
func Storable(name string) error {
	if name == "data" || strings.HasPrefix(name, "store.") || strings.HasPrefix(name, "log.") {
		return fmt.Errorf("%s is needed before the store is open; right is to set it in config.toml", name)
	}
	return nil
}

// Pinned tells where a setting is set that wins over the store.
func (c Config) Pinned(name string) (where string, ok bool) {
	if flag, ok := c.flags[name]; ok {
		return flag, true
	}
	if line, ok := c.lines[name]; ok {
		return fmt.Sprintf("%s:%d", c.file, line), true
	}
	return "", false
}
