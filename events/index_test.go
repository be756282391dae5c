package events

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIndex holds the index against a list of all there is.
func TestIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := newIndex(1000)
	have := map[string][]uint64{}
	for n := range uint64(3 * runMarks) {
		e := Event{Kind: Filed, ID: fmt.Sprint("id", r.IntN(4000)), MessageID: fmt.Sprintf("<%d@x>", r.IntN(4000)), Subject: "id7"}
		seq := 1000 + n
		for _, key := range []string{e.ID, e.MessageID} {
			have[key] = append(have[key], seq)
		}
		x.add(seq, appendEvent(nil, &e))
	}
	check := func(from uint64) {
		t.Helper()
		for key, want := range have {
			i, _ := slices.BinarySearch(want, from)
			want = slices.Clone(want[i:])
			slices.Reverse(want)
			got := x.find(key, 1<<20)
			got = got[:min(len(got), len(want))] // what is pruned goes by the run
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %v, want %v", key, got, want)
			}
		}
	}
	check(0)
	if got := x.find("id1", 2); len(got) != 2 || got[0] < got[1] {
		t.Errorf("%v", got)
	}
	before := len(x.runs)
	x.prune(1000 + 2*runMarks)
	if len(x.runs) >= before {
		t.Error("nothing was pruned")
	}
	check(1000 + 2*runMarks)
	if len(x.find("nobody", 100)) > 0 || len(x.find("", 100)) > 0 {
		t.Error("what is not there is found")
	}
}

// TestTraceAfterRestart: what an earlier process has noted is found, packed or not,
// and what was pruned is not.
func TestTraceAfterRestart(t *testing.T) {
	s, l := open(t, Options{Count: 500})
	for n := range 700 {
		l.Add(message(n))
		if n%7 == 0 {
			must(t, l.write())
		}
	}
	must(t, l.Close())
	for _, l := range []*Log{l, New(s, Options{Count: 500})} {
		for n := range 700 {
			way, err := l.Trace(message(n).ID, 0)
			must(t, err)
			if kept := n >= 200; kept && (len(way) != 1 || way[0].Subject != message(n).Subject) || n < 100 && len(way) > 0 {
				t.Errorf("%d: %+v", n, way)
			}
		}
	}
}

func FuzzLower(f *testing.F) {
	f.Add([]byte("Hello, WORLD [@`{] \x00\x7f\x80\xc1\xda\xff AZaz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := bytes.Clone(b)
		for i, c := range want {
			if 'A' <= c && c <= 'Z' {
				want[i] = c + 32
			}
		}
		if got := lower(bytes.Clone(b)); !bytes.Equal(got, want) {
			t.Errorf("%q of %q", got, b)
		}
	})
}

func FuzzMessageOf(f *testing.F) {
	f.Add(appendEvent(nil, &Event{Kind: Filed, ID: "a", MessageID: "<b@c>"}))
	f.Add([]byte{tID, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEvent(b)
		id, name := messageOf(b)
		if err == nil && (string(id) != e.ID || string(name) != e.MessageID) {
			t.Errorf("%q, %q of %+v", id, name, e)
		}
	})
}
