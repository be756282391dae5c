package api

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const commented = "about.json"

// comments are those of the source that structs and their fields in the document
// have, as descriptions: "admin.Account" and "admin.Account.Address".
func comments(t *testing.T) about {
	t.Helper()
	s := newSchemas()
	if err := s.all(); err != nil {
		t.Fatal(err)
	}
	in := map[string]bool{}
	for _, of := range s.names {
		embedded(in, of)
	}
	all := about{}
	for dir := range in {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if d, ok := d.(*ast.GenDecl); ok {
					for _, spec := range d.Specs {
						if spec, ok := spec.(*ast.TypeSpec); ok {
							noted(all, filepath.Base(dir), spec, d)
						}
					}
				}
			}
		}
	}
	return all
}

// embedded notes the packages of a struct and of those in it.
func embedded(in map[string]bool, t reflect.Type) {
	in[strings.TrimPrefix(t.PkgPath(), "homemail/")] = true
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type.Kind() == reflect.Struct {
			embedded(in, f.Type)
		}
	}
}

// noted takes in what is said of a struct, its doc comment first.
func noted(all about, pkg string, spec *ast.TypeSpec, d *ast.GenDecl) {
	of, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	name := pkg + "." + spec.Name.Name
	put := func(key string, groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if text := strings.Join(strings.Fields(g.Text()), " "); text != "" && all[key] == "" {
				all[key] = sentence(text)
			}
		}
	}
	put(name, spec.Doc, d.Doc, spec.Comment)
	for _, f := range of.Fields.List {
		for _, n := range f.Names {
			put(name+"."+n.Name, f.Doc, f.Comment)
		}
	}
}

// TestAbout: what is said of the fields is what the source says, and of each there
// is something to say.
func TestAbout(t *testing.T) {
	all := comments(t)
	s := newSchemas()
	if err := s.all(); err != nil {
		t.Fatal(err)
	}
	said, err := readTexts("said.json")
	if err != nil {
		t.Fatal(err)
	}
	used, needed := about{}, map[string]bool{}
	missing := 0
	for _, of := range s.names {
		used.take(all, typeKey(of))
		for _, f := range fields(of) {
			key := fieldKey(f)
			used.take(all, key)
			switch {
			case all[key] != "" && said[key] != "":
				t.Errorf("%s is described twice", key)
			case all[key] != "":
			case said[key] != "":
				needed[key] = true
			case said.of(key) != "":
				needed["*."+f.Name] = true
			default:
				missing++
				t.Logf("%s", key)
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d fields have no description: give each a comment", missing)
	}
	for key := range said {
		if !needed[key] {
			t.Errorf("said.json describes %s, which needs it not", key)
		}
	}
	b, err := json.MarshalIndent(used, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	if *update {
		if err := os.WriteFile(commented, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(commented)
	if err != nil || string(there) != string(b) {
		t.Errorf("%s is not what the source says (%v); write it with: go test ./web/api -run 'TestAbout' -update, and then -run TestDocument", commented, err)
	}
}

func (a about) take(all about, key string) {
	if all[key] != "" {
		a[key] = all[key]
	}
}
