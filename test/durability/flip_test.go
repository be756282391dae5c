package durability

import (
	"bytes"
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

// A prepared store is copied for each flip.
type prepared struct {
	name, dir string
	state     torture.State
}

// TestBitFlips flips one random bit in a file of a store. Whatever is lost or
// changed by that has to be reported, by Open, by a read or by a check.
func TestBitFlips(t *testing.T) {
	needAll(t, "cp")
	const flips = 200
	stores := []prepared{prepare(t, "closed"), prepare(t, "killed")}
	r := rand.New(rand.NewPCG(6, 6))
	outcomes := map[string]int{}
	for i := range flips {
		kind := kinds[i%len(kinds)]
		p, path := choose(t, r, stores, kind)
		dir := filepath.Join(t.TempDir(), "data")
		command(t, "cp", "-a", "--sparse=always", p.dir, dir)
		at, bit := flip(t, r, filepath.Join(dir, path))
		outcome, detail := judge(t, p, dir)
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
	t.Logf("%s: %d flips in %d kinds of files: %s", t.Name(), flips, len(kinds), strings.Join(list, ", "))
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
		work((*life).kill)
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

// choose takes a file of a kind from a store that has one.
func choose(t *testing.T, r *rand.Rand, stores []prepared, kind string) (p prepared, path string) {
	t.Helper()
	for _, i := range r.Perm(len(stores)) {
		paths, err := filepath.Glob(filepath.Join(stores[i].dir, kind))
		if err != nil {
			t.Fatal(err)
		}
		paths = slices.DeleteFunc(paths, func(path string) bool {
			info, err := os.Stat(path)
			return err != nil || info.Size() == 0
		})
		if len(paths) > 0 {
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

// flip changes one bit of a file, mostly where there is something.
func flip(t *testing.T, r *rand.Rand, path string) (at int64, bit int) {
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
	if len(used) > 0 && r.IntN(10) > 0 {
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
