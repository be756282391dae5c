package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The bill of materials, in the form of CycloneDX 1.6 (ECMA-424).
type bom struct {
	Format       string      `json:"bomFormat"`
	SpecVersion  string      `json:"specVersion"`
	SerialNumber string      `json:"serialNumber"`
	Version      int         `json:"version"`
	Metadata     bomMetadata `json:"metadata"`
	Components   []component `json:"components"`
}

type bomMetadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type    string    `json:"type"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
	PURL    string    `json:"purl,omitempty"`
	Hashes  []bomHash `json:"hashes,omitempty"`
}

type bomHash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

// sbom writes what the image is made of: the Go modules of the program, Debian's
// packages and the modules with files. The tools that put it together leave
// nothing in it, and are not listed.
func (b *builder) sbom(file, imageSum string) error {
	info, err := buildinfo.ReadFile(filepath.Join(b.work, "root/bin/homemail"))
	if err != nil {
		return err
	}
	id := b.release.Build
	m := bom{
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		SerialNumber: fmt.Sprintf("urn:uuid:686f6d65-6d61-4000-8000-%s", id[:12]),
		Metadata: bomMetadata{b.pins.Time.Format(time.RFC3339), component{
			Type: "operating-system", Name: filepath.Base(b.out), Version: b.release.Version, Hashes: []bomHash{{"SHA-256", imageSum}},
		}},
		Components: []component{
			{Type: "application", Name: "homemail", Version: b.release.Version},
			{Type: "platform", Name: "go", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")},
		},
	}
	for _, d := range info.Deps {
		if d.Replace != nil && d.Replace.Version != "" {
			d = d.Replace
		}
		m.Components = append(m.Components, component{Type: "library", Name: d.Path, Version: d.Version, PURL: "pkg:golang/" + d.Path + "@" + d.Version})
	}
	for _, d := range b.pins.Debs {
		if b.used[d.SHA256] {
			m.Components = append(m.Components, component{
				Type: "library", Name: d.Name, Version: d.Version, Hashes: []bomHash{{"SHA-256", d.SHA256}},
				PURL: fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=debian-13", d.Name, url.PathEscape(d.Version), d.Arch),
			})
		}
	}
	for _, d := range b.pins.Modules {
		if b.used[d.Sum] {
			m.Components = append(m.Components, component{Type: "firmware", Name: d.Path, Version: d.Version, PURL: "pkg:golang/" + d.Path + "@" + d.Version})
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
