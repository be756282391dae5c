package torture

import (
	"strings"
	"testing"
)

// posted is a ledger after two lives, of which the first was killed: one was
// taken for a and b, of whom b refuses, with a copy; two has no answer; three
// was turned down.
func posted() *Post {
	p := NewPost()
	p.Begin()
	p.Submit(Letter{ID: "one", SHA: "1", To: []string{"a@x.test", "b@x.test"}, Refused: map[string]bool{"b@x.test": true}, Local: true})
	p.Answer("one", true)
	p.Submit(Letter{ID: "two", SHA: "2", To: []string{"a@x.test", "c@x.test"}, Local: true})
	p.Submit(Letter{ID: "three", SHA: "3", To: []string{"a@x.test"}})
	p.Answer("three", false)
	p.Killed()
	p.Begin()
	return p
}

func TestPost(t *testing.T) {
	arrive := func(life int, id, to string) func(*Post) string {
		sha := map[string]string{"one": "1", "two": "2", "three": "3"}[id]
		return func(p *Post) string {
			return p.Arrive(Arrival{Life: life, ID: id, SHA: sha, To: to, Trace: "trace-" + id, Answered: true})
		}
	}
	unheard := func(life int, id, to string) func(*Post) string {
		return func(p *Post) string {
			return p.Arrive(Arrival{Life: life, ID: id, SHA: "1", To: to, Trace: "trace-" + id})
		}
	}
	report := func(id, to string) func(*Post) string { return func(p *Post) string { return p.Report(id, to) } }
	copied := func(id string) func(*Post) string { return func(p *Post) string { return p.Copy(id) } }
	note := func(life int, id, to string) func(*Post) string {
		return func(p *Post) string { p.Note(life, "trace-"+id, to, "relayed"); return "" }
	}
	const a, b, c = "a@x.test", "b@x.test", "c@x.test"
	whole := []func(*Post) string{copied("one"), arrive(1, "one", a), report("one", b)}
	for _, tt := range []struct {
		name string
		do   []func(*Post) string // after whole
		only []func(*Post) string // or instead
		want string
	}{
		{name: "as it should be"},
		{name: "sent again after a kill", do: []func(*Post) string{arrive(2, "one", a)}},
		{name: "sent again after it was not heard", only: []func(*Post) string{copied("one"), report("one", b), unheard(1, "one", a), arrive(1, "one", a), note(1, "one", a)}},
		{name: "noted, and not sent again", do: []func(*Post) string{note(1, "one", a)}},
		{name: "lost", only: []func(*Post) string{copied("one"), report("one", b)}, want: "LOST: it did not arrive for a@x.test"},
		{name: "all lost", only: []func(*Post) string{copied("one")}, want: "LOST: it did not arrive for a@x.test"},
		{name: "copy lost", only: []func(*Post) string{arrive(1, "one", a), report("one", b)}, want: "LOST: the copy"},
		{name: "report lost", only: []func(*Post) string{copied("one"), arrive(1, "one", a)}, want: "LOST: the report that b@x.test"},
		{name: "second report", do: []func(*Post) string{report("one", b)}, want: "TWICE: 2 reports"},
		{name: "report of what arrived", do: []func(*Post) string{report("one", a)}, want: "a report of a failure for a@x.test"},
		{name: "report about a stranger", do: []func(*Post) string{report("one", c)}, want: "a report about c@x.test"},
		{name: "second copy", do: []func(*Post) string{copied("one")}, want: "2 copies"},
		{name: "twice in a life", do: []func(*Post) string{arrive(1, "one", a)}, want: "TWICE: one for a@x.test in life 1"},
		{name: "again after a stop", do: []func(*Post) string{arrive(2, "one", a), arrive(3, "one", a)}, want: "in lives 2 and 3"},
		{name: "resurrected", do: []func(*Post) string{note(1, "one", a), arrive(2, "one", a)}, want: "RESURRECTED: one for a@x.test"},
		{name: "queued twice", do: []func(*Post) string{func(p *Post) string {
			return p.Arrive(Arrival{Life: 2, ID: "one", SHA: "1", To: a, Trace: "other", Answered: true})
		}}, want: "TWICE: one for a@x.test is trace-one and other"},
		{name: "unanswered, all of it", do: []func(*Post) string{copied("two"), arrive(1, "two", a), arrive(2, "two", c)}},
		{name: "unanswered, the copy only", do: []func(*Post) string{copied("two")}, want: "LOST: it did not arrive for"},
		{name: "unanswered, without the copy", do: []func(*Post) string{arrive(1, "two", a), arrive(1, "two", c)}, want: "LOST: the copy"},
		{name: "unanswered, one of two", do: []func(*Post) string{copied("two"), arrive(1, "two", a)}, want: "LOST: it did not arrive for c@x.test"},
		{name: "turned down", do: []func(*Post) string{arrive(1, "three", a)}, want: "it left nevertheless"},
		{name: "invented", do: []func(*Post) string{arrive(1, "four", a)}, want: "nobody submitted"},
		{name: "for another", do: []func(*Post) string{arrive(1, "one", c)}, want: "for whom it is not"},
		{name: "other bytes", do: []func(*Post) string{func(p *Post) string { return p.Arrive(Arrival{Life: 1, ID: "one", SHA: "2", To: a}) }}, want: "WRONG BYTES"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := posted()
			list := tt.only
			if list == nil {
				list = append(whole[:len(whole):len(whole)], tt.do...)
			}
			var wrong []string
			for _, do := range list {
				if w := do(p); w != "" {
					wrong = append(wrong, w)
				}
			}
			got := strings.Join(append(wrong, p.Verify()...), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
