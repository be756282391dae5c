// Package sbom writes what a Go program was built from as CycloneDX 1.6, the
// software bill of materials that scanners for known holes read. It takes it from
// the program itself, which the linker has told.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
)

// A Document is what is written, as far as we use it.
type Document struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    Metadata    `json:"metadata"`
	Components  []Component `json:"components"`
}

// Metadata says what the document is about.
type Metadata struct {
	Component Component `json:"component"`
}

// A Component is a program, or a module in it.
type Component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"` // where it is known by that name: package-url
	Ref        string     `json:"bom-ref,omitempty"`
	Hashes     []Hash     `json:"hashes,omitempty"`
	Properties []Property `json:"properties,omitempty"`
}

// A Hash is that of a file.
type Hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

// A Property is what CycloneDX has no field for.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Of describes a program. The version is that of the release.
func Of(file, version string) (*Document, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	d := &Document{Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Components: []Component{goItself(info.GoVersion)}}
	d.Metadata.Component = Component{
		Type: "application", Name: "homemail", Version: version, Ref: "homemail@" + version,
		Hashes: []Hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED", "vcs.revision":
			d.Metadata.Component.Properties = append(d.Metadata.Component.Properties, Property{"homemail:" + s.Key, s.Value})
		}
	}
	for _, m := range info.Deps {
		d.Components = append(d.Components, module(m))
	}
	return d, nil
}

// goItself is Go's library, whose holes are ours, too.
func goItself(version string) Component {
	version = strings.TrimPrefix(version, "go")
	return Component{Type: "library", Name: "std", Version: version, PURL: "pkg:golang/std@" + version, Ref: "std@" + version}
}

func module(m *debug.Module) Component {
	c := Component{Type: "library", Name: m.Path, Version: m.Version, PURL: purl(m), Ref: m.Path + "@" + m.Version}
	if m.Replace != nil { // with a copy of ours; its holes are known by the first name
		c.Properties = append(c.Properties, Property{"homemail:replaced", "patched, see " + strings.TrimPrefix(m.Replace.Path, "./")})
	}
	if m.Sum != "" {
		c.Properties = append(c.Properties, Property{"homemail:go.sum", m.Sum})
	}
	return c
}

// purl is the name by which scanners know a Go module.
func purl(m *debug.Module) string {
	parts := strings.Split(m.Path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return fmt.Sprintf("pkg:golang/%s@%s", strings.Join(parts, "/"), url.QueryEscape(m.Version))
}

// Write writes the document to a file.
func (d *Document) Write(file string) error {
	b, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
