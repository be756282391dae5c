package api

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"homemail/admin"
)

// object is JSON whose keys come out in order.
type object = map[string]any

// schemas describes Go's types as encoding/json reads and writes them, in JSON
// Schema 2020-12, which is OpenAPI 3.1's own.
type schemas struct {
	made  object // by name; nil as long as it is under way
	names map[string]reflect.Type
	// asked are those that requests have in them: there no other field may be, and
	// each may be left out. What is only answered has all that is never left out.
	asked map[reflect.Type]bool
	about about // nil says nothing
}

func newSchemas() *schemas {
	return &schemas{made: object{}, names: map[string]reflect.Type{}, asked: map[reflect.Type]bool{}}
}

// all takes in what any operation is asked with and answers.
func (s *schemas) all() error {
	for _, op := range operations() {
		note(s.asked, op.Request)
	}
	for _, op := range operations() {
		if op.Scope == admin.ScopeNone {
			continue
		}
		for _, t := range []reflect.Type{op.Request, op.Answer} {
			if _, err := s.of(t); err != nil {
				return err
			}
		}
	}
	_, err := s.of(reflect.TypeFor[Failed]())
	return err
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// note marks every struct that a type has in it.
func note(seen map[reflect.Type]bool, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		note(seen, t.Elem())
	case reflect.Struct:
		if seen[t] || known(t) != nil {
			return
		}
		seen[t] = true
		for _, f := range fields(t) {
			note(seen, f.Type)
		}
	}
}

// known are the types that write themselves in a way of their own.
func known(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[time.Duration]():
		return object{"type": "integer", "format": "int64", "description": "nanoseconds"}
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]():
		return object{"type": "string", "description": "an IP address"}
	case reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	case reflect.TypeFor[admin.Scope]():
		return object{"type": "string", "enum": admin.Scopes()}
	}
	return nil
}

// of describes a type; a struct by a reference.
func (s *schemas) of(t reflect.Type) (object, error) {
	if k := known(t); k != nil {
		return k, nil
	}
	if t.Kind() != reflect.Pointer && (t.Implements(marshaler) || t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(marshaler)) {
		return nil, fmt.Errorf("api: %s writes itself as JSON; schema.go has to know how", t)
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}, nil
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.Int64, reflect.Int:
		return object{"type": "integer", "format": "int64"}, nil
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return object{"type": "integer", "format": "int32"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}, nil
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}, nil
	case reflect.Interface:
		return object{}, nil
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice, reflect.Array:
		items, err := s.of(t.Elem())
		return object{"type": "array", "items": items}, err
	case reflect.Map:
		values, err := s.of(t.Elem())
		return object{"type": "object", "additionalProperties": values}, err
	case reflect.Struct:
		return s.component(t)
	}
	return nil, fmt.Errorf("api: %s has no form in JSON", t)
}

func (s *schemas) component(t reflect.Type) (object, error) {
	if t.Name() == "" {
		return nil, fmt.Errorf("api: %s has no name", t)
	}
	name := nameOf(t)
	ref := object{"$ref": "#/components/schemas/" + name}
	if other, there := s.names[name]; there {
		if other != t {
			return nil, fmt.Errorf("api: %s and %s would have the same name", t, other)
		}
		return ref, nil
	}
	s.names[name] = t
	properties := object{}
	required := []string{}
	for _, f := range fields(t) {
		p, err := s.of(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		if !f.omit && nullable(f.Type) {
			p = orNull(p)
		}
		properties[f.json] = s.described(p, fieldKey(f))
		if !f.omit {
			required = append(required, f.json)
		}
	}
	made := s.described(object{"type": "object", "properties": properties}, typeKey(t))
	if s.asked[t] {
		made["additionalProperties"] = false
	} else if len(required) > 0 {
		slices.Sort(required)
		made["required"] = required
	}
	s.made[name] = made
	return ref, nil
}

// described adds what is said of something.
func (s *schemas) described(p object, key string) object {
	text := s.about.of(key)
	if text == "" {
		return p
	}
	if unit, ok := p["description"].(string); ok {
		text += " (" + unit + ")"
	}
	p = maps.Clone(p) // beside a $ref, too, which OpenAPI 3.1 allows
	p["description"] = text
	return p
}

// nullable reports whether a value may be written as null: a nil slice is.
func nullable(t reflect.Type) bool {
	k := t.Kind()
	return k == reflect.Slice || k == reflect.Map || k == reflect.Pointer
}

func orNull(p object) object {
	if kind, ok := p["type"].(string); ok {
		p["type"] = []string{kind, "null"}
		return p
	}
	return object{"anyOf": []any{p, object{"type": "null"}}}
}

// nameOf is what a type is called: admin's as they are, others with their package.
func nameOf(t reflect.Type) string {
	pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
	if pkg == "admin" || pkg == "api" {
		return t.Name()
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + strings.TrimPrefix(t.Name(), strings.ToUpper(pkg[:1])+pkg[1:])
}

// A field is one of an object in JSON.
type field struct {
	reflect.StructField
	of   reflect.Type // the struct that it is written in
	json string
	omit bool // it may be left out
}

// fields are those that encoding/json sees: those of embedded structs too, where
// nothing nearer has the same name.
func fields(t reflect.Type) (list []field) {
	have := map[string]bool{}
	for level := []reflect.Type{t}; len(level) > 0; {
		var next []reflect.Type
		for _, t := range level {
			for i := range t.NumField() {
				f := t.Field(i)
				name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct {
					next = append(next, f.Type)
					continue
				}
				if !f.IsExported() || f.Tag.Get("json") == "-" {
					continue
				}
				if name == "" {
					name = f.Name
				}
				if !have[name] {
					have[name] = true
					list = append(list, field{f, t, name, strings.HasPrefix(options, "omit")})
				}
			}
		}
		level = next
	}
	return list
}
