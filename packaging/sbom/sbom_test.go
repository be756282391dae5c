package sbom

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOf describes this very test, which is a Go program.
func TestOf(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Of(exe, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sbom.json")
	if err := d.Write(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(b, &back); err != nil || back["bomFormat"] != "CycloneDX" {
		t.Errorf("%v, %v", err, back["bomFormat"])
	}
	if !strings.Contains(string(b), `"pkg:golang/std@`) || len(d.Metadata.Component.Hashes[0].Content) != 64 {
		t.Errorf("%s", b)
	}
	if _, err := Of("sbom.go", "1"); err == nil {
		t.Error("a text was taken for a program")
	}
}
