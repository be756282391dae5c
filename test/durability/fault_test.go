package durability

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A fault makes a system call fail: the n-th of each thread, or from then on all.
type fault struct {
	call, errno string
	n           int
	forever     bool
}

func (f fault) String() string {
	s := fmt.Sprintf("%s:error=%s:when=%d", f.call, f.errno, f.n)
	if f.forever {
		s += "+"
	}
	return s
}

// calls are those by which a store reaches the disk, besides its mappings.
const calls = "fsync,fdatasync,msync,pwrite64,ftruncate,fallocate"

// faults are 60 points.
func faults() (list []fault) {
	for _, call := range strings.Split(calls, ",") {
		for i, n := range []int{1, 2, 3, 5, 9} {
			for j, errno := range []string{"EIO", "ENOSPC"} {
				list = append(list, fault{call, errno, n, (i+j)%2 == 0})
			}
		}
	}
	return list
}

// TestFaults lets system calls fail. Nothing may be acknowledged after a flush
// that failed, and the next start must find all that was.
func TestFaults(t *testing.T) {
	needAll(t, "strace")
	b := &book{}
	o := options(filepath.Join(t.TempDir(), "data"))
	b.inspect(t, o) // makes it
	fired, ended, died, wrong, acks := 0, 0, 0, 0, 0
	list := faults()
	for i, f := range list {
		o.Seed, o.Maintain = uint64(5000+i), i%3 == 0
		trace := filepath.Join(t.TempDir(), "trace")
		l := b.live(t, o, func(l *life) {
			l.untilReady()
			select {
			case <-l.over:
			case <-time.After(500 * time.Millisecond):
				l.close() // the end flushes too
			}
			select {
			case <-l.over:
			case <-time.After(2 * time.Second):
				l.kill()
			}
		}, "strace", "-f", "-qq", "--seccomp-bpf", "-ttt", "-s", "100", "-o", trace, "-e", "trace=write,"+calls, "-e", "inject="+f.String())
		if n := len(b.wrong); n > 0 && strings.HasPrefix(b.wrong[n-1], "the process panicked") {
			died++ // it may, if the next start is sound
			t.Logf("%v: %s", f, firstLines(b.wrong[n-1], 3))
			b.wrong = b.wrong[:n-1]
		}
		tr := readTrace(t, trace)
		fired += min(1, len(tr.failed))
		ended += btoi(l.failed != "")
		b.wrong = append(b.wrong, tr.lies(f)...)
		o.Maintain = false
		b.inspect(t, o)
		if len(b.wrong) > 0 { // the other points deserve a sound store
			for _, w := range b.wrong {
				t.Errorf("%v: %s", f, w)
			}
			acks, wrong = acks+b.ledger.Acks, wrong+1
			b, o.Dir = &book{}, filepath.Join(t.TempDir(), "data")
			b.inspect(t, o)
		}
	}
	if fired < len(list)*2/3 {
		t.Errorf("only %d of %d faults happened", fired, len(list))
	}
	b.report(t, "%d points, %d of them met; the process gave up %d times and crashed %d times; %d points did harm, with %d acknowledged before",
		len(list), fired, ended, died, wrong, acks)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func firstLines(s string, n int) string {
	lines := strings.SplitN(s, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], " | ")
}

// A trace is what strace saw of a life.
type trace struct {
	failed []float64          // when the fault happened
	begun  map[string]float64 // operations, by worker and number
	acked  map[string]float64
}

var (
	traceLine  = regexp.MustCompile(`^\d+ +(\d+\.\d+) (.*)`)
	traceWrite = regexp.MustCompile(`^write\(1, "\{\\"t\\":\\"(begin|end)\\",\\"op\\":\{\\"w\\":(\d+),\\"i\\":(\d+),(.*)`)
)

func readTrace(t *testing.T, path string) trace {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := trace{begun: map[string]float64{}, acked: map[string]float64{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m[2], "(INJECTED)") {
			tr.failed = append(tr.failed, at)
		}
		if w := traceWrite.FindStringSubmatch(m[2]); w != nil {
			op := w[2] + "/" + w[3]
			switch {
			case w[1] == "begin":
				tr.begun[op] = at
			case strings.Contains(w[4], `\"r\":`):
				tr.acked[op] = at
			}
		}
	}
	if len(tr.begun) > 0 && len(tr.acked) == 0 && len(tr.failed) == 0 {
		t.Error("the trace shows no acknowledgement: it is not read rightly")
	}
	slices.Sort(tr.failed)
	return tr
}

// lies returns the operations that began after a flush had failed and were
// acknowledged nevertheless. Badger flushes in the background, which is not
// what acknowledgements wait for, but has to be noticed soon.
func (tr trace) lies(f fault) (list []string) {
	grace := 0.5
	switch f.call {
	case "fdatasync": // the journal's
		grace = 0
	case "fsync", "msync":
	default:
		return nil
	}
	if len(tr.failed) == 0 {
		return nil
	}
	for op, begun := range tr.begun {
		if at, ok := tr.acked[op]; ok && begun > tr.failed[0]+grace {
			list = append(list, fmt.Sprintf("%v: operation %s began %.3f s after the failure and was acknowledged %.3f s after it",
				f, op, begun-tr.failed[0], at-tr.failed[0]))
		}
	}
	slices.Sort(list)
	return list[:min(5, len(list))]
}
