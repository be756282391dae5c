package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"homemail/admin"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const committed = "../../docs/openapi.json"

// TestDocument: the document in docs is that of the handlers.
func TestDocument(t *testing.T) {
	b, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(committed, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, there) {
		t.Error("docs/openapi.json is not what the handlers are; write it with: go test ./web/api -run TestDocument -update")
	}
}

// TestValid asks a validator that others wrote.
func TestValid(t *testing.T) {
	b, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	validate := func(b []byte) error {
		doc, err := openapi3.NewLoader().LoadFromData(b)
		if err != nil {
			return err
		}
		return doc.Validate(t.Context())
	}
	if err := validate(b); err != nil {
		t.Error(err)
	}
	for good, bad := range map[string]string{
		`"bearer"`: `"bear"`, `"type": "array"`: `"type": "arrays"`, `schemas/Failed"`: `schemas/Fialed"`, `"description": "It was done."`: `"about": ""`,
	} {
		if validate(bytes.ReplaceAll(b, []byte(good), []byte(bad))) == nil {
			t.Errorf("the validator takes %s", bad)
		}
	}
}

// TestEveryOperation: each has a scope and words, and is in the document if a
// token may ask for it.
func TestEveryOperation(t *testing.T) {
	b, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Description string
			Security    []map[string][]admin.Scope
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	never := 0
	for _, op := range operations() {
		p, there := doc.Paths[version+op.Name]["post"]
		if op.Scope == admin.ScopeNone {
			never++
			if there {
				t.Errorf("%s is in the document, and no token may ask for it", op.Name)
			}
			continue
		}
		if !there || p.Description != op.About || !strings.HasSuffix(op.About, ".") || len(op.About) < 10 {
			t.Errorf("%s is not described: %+v", op.Name, p)
		}
		if ids[p.OperationID] || p.OperationID == "" {
			t.Errorf("%s: the operationId %q is not its own", op.Name, p.OperationID)
		}
		ids[p.OperationID] = true
		for _, s := range admin.Scopes() {
			said := slices.ContainsFunc(p.Security, func(m map[string][]admin.Scope) bool { return slices.Contains(m["token"], s) })
			if said != op.Allowed([]admin.Scope{s}) {
				t.Errorf("%s with the scope %s: the document says %v", op.Name, s, said)
			}
		}
	}
	if got := len(doc.Paths) - 2; got != len(operations())-never {
		t.Errorf("%d paths for %d operations", got, len(operations())-never)
	}
}

// TestReferences: every reference leads somewhere, and nothing is there for nobody.
func TestReferences(t *testing.T) {
	b, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas map[string]any
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	const ref = `"$ref": "#/components/schemas/`
	for rest := string(b); ; {
		_, after, found := strings.Cut(rest, ref)
		if !found {
			break
		}
		name, _, _ := strings.Cut(after, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %q", name)
		}
		rest = after
	}
	for name := range doc.Components.Schemas {
		if !strings.Contains(string(b), ref+name+`"`) {
			t.Errorf("nobody uses the schema %q", name)
		}
	}
}

type inner struct {
	Near string `json:"near"`
	Far  int    `json:"far,omitempty"`
}

type sample struct {
	inner
	Near   bool              `json:"near"` // hides the other
	At     time.Time         `json:"at,omitzero"`
	For    time.Duration     `json:"for"`
	Addr   netip.Addr        `json:"addr"`
	Raw    []byte            `json:"raw,omitempty"`
	List   []inner           `json:"list"`
	Map    map[string]uint32 `json:"map,omitempty"`
	Again  *sample           `json:"again"`
	Plain  float64
	hidden int
	Not    chan int `json:"-"`
}

func TestSchema(t *testing.T) {
	_ = sample{}.hidden
	s := newSchemas()
	if _, err := s.of(reflect.TypeFor[sample]()); err != nil {
		t.Fatal(err)
	}
	want := `{"properties":{"Plain":{"type":"number"},"addr":{"description":"an IP address","type":"string"},` +
		`"again":{"anyOf":[{"$ref":"#/components/schemas/sample"},{"type":"null"}]},"at":{"format":"date-time","type":"string"},` +
		`"far":{"format":"int64","type":"integer"},"for":{"description":"nanoseconds","format":"int64","type":"integer"},` +
		`"list":{"items":{"$ref":"#/components/schemas/inner"},"type":["array","null"]},` +
		`"map":{"additionalProperties":{"minimum":0,"type":"integer"},"type":"object"},"near":{"type":"boolean"},` +
		`"raw":{"contentEncoding":"base64","type":"string"}},` +
		`"required":["Plain","addr","again","for","list","near"],"type":"object"}`
	if got, _ := json.Marshal(s.made["sample"]); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []reflect.Type{reflect.TypeFor[chan int](), reflect.TypeFor[struct{ A func() }](), reflect.TypeFor[func()](), reflect.TypeFor[netip.AddrPort]()} {
		if _, err := newSchemas().of(bad); err == nil {
			t.Errorf("%s has a schema", bad)
		}
	}
	if nameOf(reflect.TypeFor[reflect.Value]()) != "ReflectValue" {
		t.Error("a name without its package")
	}
}
