package firstboot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A File is a set-up that somebody wrote down beforehand: a section for each
// step, in it the step's fields. See Parse.
type File struct {
	Name   string
	Claim  string // a code for the claim, set beforehand
	Steps  []Given
	Skip   []ID
	data   []byte
	secret []place
}

// A place is where a secret stands in a file.
type place struct {
	line int
	key  string
}

// fileMax is more than any set-up needs.
const fileMax = 64 << 10

// ReadFile reads a set-up.
func ReadFile(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err != nil {
		return nil, err
	}
	return Parse(name, data)
}

// Parse reads a set-up, in TOML:
//
//	claim = "K7QM-4T2X"      # for the pages, instead of a code of chance
//	language = "ja"
//	[you]
//	name = "Taro"
//	password = "..."
//	[address]
//	kind = "own"
//	domain = "example.jp"
//	local = "taro"
//	[line]
//	mode = "auto"
//	[connection]
//	preset = "brevo"
//	user = "..."
//	password = "..."
//	[dns]
//	kind = "self"
//	provider = "desec"
//	agree_ca = true
//	credential.token = "..."
//	[switch]
//	confirm = true
//	[safe]
//	alert = "taro@example.com"
//	[people]
//	people = ["hanako Hanako Suzuki"]
//	devices = ["phone"]
//
// A section may also have skip = true. What is not known is an error that says
// where it stands.
func Parse(name string, data []byte) (*File, error) {
	if len(data) > fileMax {
		return nil, fmt.Errorf("%s: is larger than %d KiB; this is no set-up", name, fileMax>>10)
	}
	data = []byte(strings.TrimPrefix(string(data), "\ufeff")) // of Windows' Notepad
	var top map[string]toml.Primitive
	md, err := toml.Decode(string(data), &top)
	if at := (toml.ParseError{}); errors.As(err, &at) {
		return nil, fmt.Errorf("%s:%d: %s", name, at.Position.Line, at.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := fileReader{File: &File{Name: name, data: data}, md: &md, given: map[ID]Answers{}}
	for _, key := range sorted(top) {
		r.top(key, top[key])
	}
	if r.errs != nil {
		return nil, errors.Join(r.errs...)
	}
	r.defaults()
	for _, s := range steps() {
		if a := r.given[s.ID]; len(a) > 0 && !slices.Contains(r.Skip, s.ID) {
			r.Steps = append(r.Steps, Given{s.ID, a})
		}
	}
	return r.File, nil
}

type fileReader struct {
	*File
	md    *toml.MetaData
	given map[ID]Answers
	errs  []error
}

func sorted[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r *fileReader) fail(p toml.Primitive, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", r.Name, r.line(p), fmt.Sprintf(format, args...)))
}

// line finds where a value stands: the decoder tells that only with an error.
func (r *fileReader) line(p toml.Primitive) int {
	var where toml.ParseError
	if errors.As(r.md.PrimitiveDecode(p, &nowhere{}), &where) {
		return where.Position.Line
	}
	return 0
}

type nowhere struct{}

func (*nowhere) UnmarshalTOML(any) error { return errors.New("here") }

func (r *fileReader) top(key string, p toml.Primitive) {
	switch key {
	case "claim":
		if v, ok := r.value(key, p, Text); ok {
			r.Claim = v
			r.keepPlace(key, p, v)
		}
		return
	case "language":
		if v, ok := r.value(key, p, Text); ok {
			r.given[Language] = Answers{"language": v}
		}
		return
	}
	i := slices.IndexFunc(steps(), func(s step) bool { return string(s.ID) == key && len(s.Fields) > 0 })
	if i < 0 {
		r.fail(p, "unknown section %q", key)
		return
	}
	s := steps()[i]
	keys, ok := r.section(p)
	if !ok {
		r.fail(p, "%s is a section: [%[1]s], with its settings below", key)
		return
	}
	r.given[s.ID] = Answers{}
	for _, name := range sorted(keys) {
		r.field(s, name, keys[name])
	}
}

// bareKey are the characters of keys that need no quotes.
const bareKey = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// section reads a value that is a section.
func (r *fileReader) section(p toml.Primitive) (keys map[string]toml.Primitive, ok bool) {
	var v any
	if r.md.PrimitiveDecode(p, &v) != nil {
		return nil, false
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, false
	}
	return keys, r.md.PrimitiveDecode(p, &keys) == nil
}

func (r *fileReader) field(s step, name string, p toml.Primitive) {
	if name == "skip" && s.MaySkip {
		if v, ok := r.value(name, p, Yes); ok && v != "" {
			r.Skip = append(r.Skip, s.ID)
		}
		return
	}
	if f, ok := s.field(name); ok && !strings.HasSuffix(f.Name, ".") {
		r.set(s.ID, f, name, p)
		return
	}
	f, ok := s.field(name + ".x") // a section of its own, such as [dns.credential]
	keys, isSection := r.section(p)
	if !ok || !isSection {
		r.fail(p, "unknown setting %q in [%s]", name, s.ID)
		return
	}
	for _, k := range sorted(keys) {
		if k == "" || strings.Trim(k, bareKey) != "" {
			r.fail(keys[k], "unknown setting %q in [%s.%s]", k, s.ID, name)
			continue
		}
		r.set(s.ID, f, name+"."+k, keys[k])
	}
}

func (r *fileReader) set(id ID, f Field, name string, p toml.Primitive) {
	kind := f.Kind
	if name == "confirm" {
		kind = Yes
	}
	v, ok := r.value(name, p, kind)
	switch {
	case !ok:
	case f.Kind == Choice && v != "" && !slices.Contains(f.Choices, v):
		r.fail(p, "%s is %q; right is one of %s", name, v, strings.Join(f.Choices, ", "))
	case name == "confirm" && v != "":
		r.given[id][name] = anyDigest
	case v != "":
		r.given[id][name] = v
		if f.Kind == Secret {
			r.keepPlace(name, p, v)
		}
	}
}

func (r *fileReader) keepPlace(name string, p toml.Primitive, v string) {
	if v != "" {
		r.secret = append(r.secret, place{r.line(p), name[strings.LastIndexByte(name, '.')+1:]})
	}
}

// value reads a value as the answer that it stands for.
func (r *fileReader) value(name string, p toml.Primitive, kind Kind) (string, bool) {
	var v any
	if err := r.md.PrimitiveDecode(p, &v); err != nil {
		r.fail(p, "%s: %v", name, err)
		return "", false
	}
	switch v := v.(type) {
	case string:
		if kind != Yes {
			return v, true
		}
	case int64:
		if kind == Text {
			return strconv.FormatInt(v, 10), true
		}
	case bool:
		if kind == Yes {
			return map[bool]string{true: "yes"}[v], true
		}
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		if kind == Lines && len(list) == len(v) {
			return strings.Join(list, "\n"), true
		}
	}
	right := map[Kind]string{Yes: "true or false, without quotes", Lines: `a list: ["...", "..."]`}[kind]
	if right == "" {
		right = `text in quotes: "..."`
	}
	r.fail(p, "%s is not right here; right is %s", name, right)
	return "", false
}

// defaults fills in what follows from the file being one: it is for a new box,
// and whoever wrote it has confirmed what it asks for.
func (r *fileReader) defaults() {
	with := func(id ID, name, v string) {
		if r.given[id] == nil {
			r.given[id] = Answers{}
		}
		if r.given[id][name] == "" {
			r.given[id][name] = v
		}
	}
	if len(r.given) == 0 {
		return
	}
	with(Language, "language", "en")
	with(Start, "kind", "new")
	if r.given[Connection] != nil || r.given[DNS] != nil {
		with(Line, "mode", "auto")
	}
	if r.given[DNS]["kind"] == "self" {
		with(DNS, "confirm", anyDigest)
	}
}

// Wiped is the file without its secrets. All else stays as it was written where
// that can be done; if a secret stands in a form that we do not cut out safely,
// the file is written anew.
func (f *File) Wiped() []byte {
	text := strings.Split(string(f.data), "\n")
	for _, s := range f.secret {
		if s.line < 1 || s.line > len(text) {
			continue
		}
		text[s.line-1] = quoted(s.key).ReplaceAllString(text[s.line-1], `${1}""`)
	}
	out := []byte(strings.Join(text, "\n"))
	if again, err := Parse(f.Name, out); err == nil && len(again.secret) == 0 && !f.leaks(out) {
		return out
	}
	return f.anew()
}

// quoted finds a key and its value in quotes, on one line.
func quoted(key string) *regexp.Regexp {
	return regexp.MustCompile(`^(\s*(?:[A-Za-z0-9_-]+\s*\.\s*)*["']?` + regexp.QuoteMeta(key) + `["']?\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*')`)
}

// leaks reports whether a secret is still to be read, such as in a comment.
func (f *File) leaks(out []byte) bool {
	for _, g := range f.Steps {
		s := steps()[slices.IndexFunc(steps(), func(s step) bool { return s.ID == g.Step })]
		for name, v := range g.Answers {
			if fd, ok := s.field(name); ok && fd.Kind == Secret && strings.Contains(string(out), v) {
				return true
			}
		}
	}
	return f.Claim != "" && strings.Contains(string(out), f.Claim)
}

// anew writes the file from what was read, without comments.
func (f *File) anew() []byte {
	var b strings.Builder
	b.WriteString("# The secrets were taken out after use.\n")
	for _, g := range f.Steps {
		s := steps()[slices.IndexFunc(steps(), func(s step) bool { return s.ID == g.Step })]
		if g.Step == Language {
			fmt.Fprintf(&b, "language = %s\n", tomlString(g.Answers["language"]))
			continue
		}
		fmt.Fprintf(&b, "\n[%s]\n", g.Step)
		for _, name := range sorted(g.Answers) {
			fd, _ := s.field(name)
			switch v := g.Answers[name]; {
			case fd.Kind == Secret:
				fmt.Fprintf(&b, "%s = \"\"\n", name)
			case fd.Kind == Yes || name == "confirm":
				fmt.Fprintf(&b, "%s = true\n", name)
			case fd.Kind == Lines:
				var list []string
				for line := range strings.SplitSeq(v, "\n") {
					list = append(list, tomlString(line))
				}
				fmt.Fprintf(&b, "%s = [%s]\n", name, strings.Join(list, ", "))
			default:
				fmt.Fprintf(&b, "%s = %s\n", name, tomlString(v))
			}
		}
	}
	for _, id := range f.Skip {
		fmt.Fprintf(&b, "\n[%s]\nskip = true\n", id)
	}
	return []byte(b.String())
}

// tomlString is a basic string of TOML 1.0, which has no \x.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Wipe writes the file anew without its secrets. On flash the old bytes may stay
// in blocks that are not in use any more, where only the card's own maker could
// overwrite them: whoever gives the card away should destroy it, or change the
// passwords.
func (f *File) Wipe() error {
	if len(f.secret) == 0 {
		return nil
	}
	mode := os.FileMode(0o600)
	if info, err := os.Stat(f.Name); err == nil {
		mode = info.Mode().Perm()
	}
	return replaceFile(f.Name, f.Wiped(), mode)
}
