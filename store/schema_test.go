package store

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSchemaRule: what a release writes can be read by the one before. A release
// adds its line to testdata/releases.txt; lines are never changed.
func TestSchemaRule(t *testing.T) {
	f, err := os.Open("testdata/releases.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type release struct {
		version       string
		reads, writes int
	}
	var list []release
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") || s.Text() == "" {
			continue
		}
		var r release
		if _, err := fmt.Sscanf(s.Text(), "%s reads %d writes %d", &r.version, &r.reads, &r.writes); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		list = append(list, r)
	}
	list = append(list, release{"this one", SchemaReads, SchemaWrites})
	for i, r := range list {
		if r.writes > r.reads || r.writes < 1 {
			t.Errorf("%s writes schema %d and reads up to %d", r.version, r.writes, r.reads)
		}
		if i > 0 && r.writes > list[i-1].reads {
			t.Errorf("%s writes schema %d and %s, to which a box may have to go back, reads up to %d", r.version, r.writes, list[i-1].version, list[i-1].reads)
		}
		if i > 0 && r.reads < list[i-1].writes {
			t.Errorf("%s cannot read what %s wrote", r.version, list[i-1].version)
		}
	}
	if len(migrations) != SchemaWrites {
		t.Errorf("%d migrations lead to schema %d", len(migrations), SchemaWrites)
	}
}

// TestSchemaNewer: a store that a later program has brought further than this one
// can read is refused, and not changed.
func TestSchemaNewer(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := encoder{}
	e.uint(SchemaReads + 1)
	b := &changes{}
	b.set([]byte{tSchema}, seal([]byte{tSchema}, e))
	if err := s.write(b, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s, err := Open(dir, Options{Reserve: 1}); err == nil || !strings.Contains(err.Error(), "newer homemail") {
			t.Errorf("%v", err)
			s.Close()
		}
	}
}
