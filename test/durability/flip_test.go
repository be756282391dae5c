package durability

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/internal/torture"
)

// kinds are the files of a store.
var kinds = []string{
	"journal/*.log", "db/*.mem", "db/*.vlog", "db/*.sst", "db/MANIFEST", "db/KEYREGISTRY", "db/DISCARD", "last-stop",
}

// rowFiles are those that a row of the queue is in, and queueRow is in each
// such row. Few of the other flips hit one: most of a store is bodies.
var rowFiles = []string{"journal/*.log", "db/*.mem", "db/*.sst"}

const queueRow = `"state":"queued"`

// A prepared store is copied for each flip.
type prepared struct {
	name, dir string
	state     torture.State
}

// TestBitFlips flips one random bit in a file of a store. Whatever is lost or
// changed by that has to be reported, by Open, by a read or by a check.
func TestBitFlips(t *testing.T) {
	needAll(t, "cp")
	const flips, aimed = 200, 24
	stores := []prepared{prepare(t, "closed"), prepare(t, "killed")}
	r := rand.New(rand.NewPCG(6, 6))
	outcomes := map[string]int{}
	for i := range flips + aimed {
		kind, word := kinds[i%len(kinds)], ""
		if i >= flips {
			kind, word = rowFiles[i%len(rowFiles)], queueRow
		}
		p, path := choose(t, r, stores, kind, word)
		dir := filepath.Join(t.TempDir(), "data")
		command(t, "cp", "-a", "--sparse=always", p.dir, dir)
		at, bit := flip(t, r, filepath.Join(dir, path), word)
		outcome, detail := judge(t, p, dir)
		if outcome == "SILENT" && inTail(t, p.dir, path, at) {
			outcome = "loss in the torn tail"
		}
		outcomes[outcome]++
		what := fmt.Sprintf("%s store, %s, byte %d, bit %d: %s", p.name, path, at, bit, outcome)
		switch outcome {
		case "SILENT", "crash", "no start":
			t.Errorf("%s: %s", what, detail)
		case "refused":
			t.Logf("%s: %s", what, detail)
		}
		os.RemoveAll(dir)
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(outcomes)) {
		list = append(list, fmt.Sprintf("%s %d", k, outcomes[k]))
	}
	t.Logf("%s: %d flips in %d kinds of files, and %d in rows of the queue: %s", t.Name(), flips, len(kinds), aimed, strings.Join(list, ", "))
}

// prepare makes a store that was closed in order or killed.
func prepare(t *testing.T, end string) prepared {
	t.Helper()
	b := &book{}
	p := prepared{name: end, dir: filepath.Join(t.TempDir(), "data")}
	o := options(p.dir)
	o.Large, o.Workers = 400<<10, 4
	work := func(finish func(*life)) {
		o.Seed++
		b.live(t, o, func(l *life) {
			l.untilReady()
			time.Sleep(700 * time.Millisecond)
			finish(l)
		})
	}
	work((*life).close)
	work((*life).kill)
	if end == "killed" {
		// A kill right behind a flush leaves rows of the queue only in tables.
		for n := 1; ; n++ {
			if work((*life).kill); len(having(t, p.dir, "db/*.mem", queueRow)) > 0 {
				break
			}
			if n == 20 {
				t.Fatalf("after %d kills no row of the queue was in a store's db/*.mem", n)
			}
		}
	} else {
		work((*life).close)
	}
	// What is there is read from a copy, since opening a store changes it.
	o.Work, o.Dir = false, filepath.Join(t.TempDir(), "copy")
	command(t, "cp", "-a", "--sparse=always", p.dir, o.Dir)
	l := b.live(t, o, func(l *life) {
		l.untilReady()
		l.close()
	})
	b.inOrder(l)
	if l.state == nil || len(b.wrong) > 0 {
		t.Fatalf("the %s store is not sound: %q", end, b.wrong)
	}
	p.state = *l.state
	return p
}

// choose takes a file of a kind from a store that has one with a word in it.
func choose(t *testing.T, r *rand.Rand, stores []prepared, kind, word string) (p prepared, path string) {
	t.Helper()
	for _, i := range r.Perm(len(stores)) {
		if paths := having(t, stores[i].dir, kind, word); len(paths) > 0 {
			rel, err := filepath.Rel(stores[i].dir, paths[r.IntN(len(paths))])
			if err != nil {
				t.Fatal(err)
			}
			return stores[i], rel
		}
	}
	t.Fatalf("no store has a file %s", kind)
	return p, ""
}

// having lists a store's files of a kind that have a word in them.
func having(t *testing.T, dir, kind, word string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, kind))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		b, err := os.ReadFile(path)
		return err != nil || len(b) == 0 || !bytes.Contains(b, []byte(word))
	})
}

// flip changes one bit of a file: near a word, or mostly where there is something.
func flip(t *testing.T, r *rand.Rand, path, word string) (at int64, bit int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const block = 512
	var used []int
	for i := 0; i < len(b); i += block {
		if part := b[i:min(len(b), i+block)]; !bytes.Equal(part, make([]byte, len(part))) {
			used = append(used, i)
		}
	}
	i := r.IntN(len(b))
	if word != "" {
		i = near(r, b, word)
	} else if len(used) > 0 && r.IntN(10) > 0 {
		i = used[r.IntN(len(used))]
		i += r.IntN(min(block, len(b)-i))
	}
	bit = r.IntN(8)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{b[i] ^ 1<<bit}, int64(i)); err != nil {
		t.Fatal(err)
	}
	return int64(i), bit
}

// inTail reports whether a place is in what was written last before a kill: in
// frames of the journal of which no later one says that they were on disk. If
// such a frame is damaged nobody can tell that from a power cut which tore it,
// before anyone was told of what is in it.
func inTail(t *testing.T, dir, path string, at int64) bool {
	t.Helper()
	const align, magic = 4096, "hJM1" // see package store
	paths, err := filepath.Glob(filepath.Join(dir, "journal", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	stable, tail := uint64(0), uint64(0)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+align <= len(b); i += align {
			if string(b[i:i+len(magic)]) != magic {
				continue
			}
			stable = max(stable, binary.BigEndian.Uint64(b[i+24:]))
			if p == filepath.Join(dir, path) && int64(i) <= at {
				tail = binary.BigEndian.Uint64(b[i+16:])
			}
		}
	}
	return tail > stable
}

// near returns a place before, in or after one of the places of a word.
func near(r *rand.Rand, b []byte, word string) int {
	const reach = 150 // a row of the queue is about that long
	var places []int
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(word))
		if i < 0 {
			break
		}
		places = append(places, from+i)
		from += i + len(word)
	}
	i := places[r.IntN(len(places))] + r.IntN(2*reach) - reach
	return max(0, min(len(b)-1, i))
}

// judge opens a damaged store and says how that went.
func judge(t *testing.T, p prepared, dir string) (outcome, detail string) {
	t.Helper()
	o := options(dir)
	o.Work, o.Accounts = false, nil
	b := &book{ledger: torture.NewLedger(p.state)}
	l := b.live(t, o, func(l *life) {
		l.untilReady()
		l.close()
	})
	reported := l.damage
	if l.state != nil {
		reported = append(reported, l.state.Findings...)
	}
	wrong := slices.DeleteFunc(b.wrong, func(w string) bool { return strings.HasPrefix(w, "finding: ") })
	switch {
	case !l.opened && l.failed != "":
		return again(t, dir), l.failed
	case l.state == nil:
		return "crash", tail(l.logs.String(), 1500)
	case len(wrong) > 0 && len(reported) == 0:
		return "SILENT", strings.Join(wrong[:min(5, len(wrong))], "; ")
	case len(wrong) > 0:
		return "loss reported", ""
	case len(reported) > 0:
		return "no loss, reported", ""
	}
	return "no loss", ""
}

// again tells whether a store that refused to open refuses for ever.
func again(t *testing.T, dir string) string {
	t.Helper()
	o := options(dir)
	o.Work, o.Accounts = false, nil
	b := &book{}
	l := b.live(t, o, func(l *life) {
		l.untilReady()
		l.close()
	})
	if l.opened {
		return "refused once"
	}
	return "refused"
}
