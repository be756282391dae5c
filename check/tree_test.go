package check

import (
	"testing"
	"time"
)

// TestTree: checks come after those that they wait for, and the longest way
// through them ends before the run does.
func TestTree(t *testing.T) {
	ends := make(map[string]time.Duration)
	for _, s := range steps {
		if _, twice := ends[s.name]; twice {
			t.Errorf("%s is there twice", s.name)
		}
		var begins time.Duration
		for _, n := range s.before() {
			end, ok := ends[n]
			if !ok {
				t.Errorf("%s comes before %s", s.name, n)
			}
			begins = max(begins, end)
		}
		ends[s.name] = begins + s.limit + grace
		if ends[s.name] > runTime {
			t.Errorf("%s may end after %v", s.name, ends[s.name])
		}
		if s.every < often || s.title().EN == "" {
			t.Errorf("%s: %+v", s.name, s)
		}
	}
}
