package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func eventNumbers(t *testing.T, s *Store, before uint64) (list []uint64) {
	t.Helper()
	err := s.Events(before, func(first uint64, row []byte) bool {
		list = append(list, first)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestEvents writes rows, reads them from both ends, and finds them after a
// restart.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var rows []EventRow
	for i := range uint64(300) {
		rows = append(rows, EventRow{1 + 7*i, fmt.Appendf(nil, "row %d", i)})
	}
	if err := s.PutEvents(rows, false); err != nil {
		t.Fatal(err)
	}
	if err := s.PutEvents([]EventRow{{First: 8}, {First: 1, Bytes: []byte("anew")}}, true); err != nil {
		t.Fatal(err)
	}
	if err := s.PutState("x", []byte("a neighbour")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := eventNumbers(t, s, 30); !slices.Equal(got, []uint64{29, 22, 15, 1}) {
			t.Errorf("before 30: %d", got)
		}
		if got := eventNumbers(t, s, 1<<63); len(got) != 299 || got[0] != 1+7*299 {
			t.Errorf("%d rows, the first %d", len(got), got[0])
		}
		var up []string
		err := s.EventsFrom(2, func(first uint64, row []byte) bool {
			up = append(up, fmt.Sprint(first, " ", string(row)))
			return len(up) < 2
		})
		if err != nil || strings.Join(up, ", ") != "15 row 2, 22 row 3" {
			t.Errorf("from 2: %q, %v", up, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(dir, Options{Reserve: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	if err := s.PutEvents([]EventRow{{5, bytes.Repeat([]byte{1}, EventBytes+1)}}, false); err == nil {
		t.Error("a row that is too long was taken")
	}
	if r, err := s.Check(context.Background(), CheckOptions{}); err != nil || len(r.Findings) > 0 {
		t.Errorf("%v, %v", r.Findings, err)
	}
}

// TestEventDamage damages a row and writes one with a key that cannot be: the
// others are still read, and a check tells of both.
func TestEventDamage(t *testing.T) {
	s, err := Open(t.TempDir(), Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.update(toChange, func(t *tx) error {
		t.put(eventKey(1), []byte("one"))
		t.own.set(eventKey(2), []byte("not sealed"))
		t.put(eventKey(3), []byte("three"))
		t.put(append(eventKey(4), 'x'), []byte("stray"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := s.Events(4, func(first uint64, row []byte) bool { got = append(got, string(row)); return true }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"three", "", "one"}; !slices.Equal(got, want) {
		t.Errorf("rows %q", got)
	}
	r, err := s.Check(context.Background(), CheckOptions{Repair: true})
	if err != nil || len(r.Findings) != 2 {
		t.Fatalf("findings %v, %v", r.Findings, err)
	}
	if err := s.PutEvents([]EventRow{{First: 2}}, false); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Check(context.Background(), CheckOptions{}); err != nil || len(r.Findings) != 0 {
		t.Errorf("afterwards %v, %v", r.Findings, err)
	}
}
