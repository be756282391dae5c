package api

import (
	"embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An about is what is said of structs and their fields, by package, name and
// field: "admin.Account.Address".
type about map[string]string

// The comments of the source, which a test writes and compares, and what is said of
// fields that have none: "*.Domain" of all of that name.
//
//go:embed about.json said.json
var texts embed.FS

func readAbout() (about, error) {
	a, err := readTexts("about.json")
	if err != nil {
		return nil, err
	}
	said, err := readTexts("said.json")
	if err != nil {
		return nil, err
	}
	for key, text := range said {
		a[key] = text
	}
	return a, nil
}

func readTexts(name string) (a about, err error) {
	b, err := texts.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

// of is what is said of a struct or a field, "" for nothing.
func (a about) of(key string) string {
	if text := a[key]; text != "" {
		return text
	}
	if strings.Count(key, ".") < 2 {
		return ""
	}
	return a["*"+key[strings.LastIndexByte(key, '.'):]]
}

func typeKey(t reflect.Type) string { return t.String() }

// fieldKey names a field by the struct that it is written in.
func fieldKey(f field) string { return f.of.String() + "." + f.Name }

// sentence makes one of a comment, which goes on from the name of what it is about.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}
