package dnsplan

import (
	"slices"
	"strings"
	"time"
)

// An Action is what a Change does at a DNS host.
type Action string

// The actions.
const (
	Add     Action = "add"
	Replace Action = "replace"
	Remove  Action = "remove"
)

// A Change is what has to be done at one name and type. Values are as in
// Record.
type Change struct {
	Action Action        `json:"action"`
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Del    []string      `json:"del,omitempty"`  // these go
	Add    []string      `json:"add,omitempty"`  // these come
	Keep   []string      `json:"keep,omitempty"` // others' values of the same name and type: they stay as they are
	TTL    time.Duration `json:"ttl"`
	Kind   Kind          `json:"kind"`

	// Last is of the MX: it moves the mail here, and is a step of its own once
	// all else is there.
	Last bool `json:"last,omitempty"`
}

// String shows a change as people read it, a line for each value.
func (c Change) String() string {
	var b strings.Builder
	for _, v := range c.Del {
		b.WriteString("- " + Display(c.Name) + " " + c.Type + " " + v + "\n")
	}
	for _, v := range c.Add {
		b.WriteString("+ " + Display(c.Name) + " " + c.Type + " " + v + "\n")
	}
	return b.String()
}

// Diff returns what has to change so that all is correct, the MX last. It leaves
// alone what is not ours, what could not be asked, and what only has not yet
// reached all of the zone's servers.
func Diff(results []Result) []Change {
	var out []Change
	for _, r := range results {
		if r.State == Correct || r.State == CouldNotAsk || r.Spreading || r.ByHand || r.Zone == "" {
			continue
		}
		c := Change{Name: r.Record.Name, Type: r.Record.Type, Del: r.Wrong, Keep: r.Keep, TTL: r.Record.TTL, Kind: r.Record.Kind, Last: r.Record.Type == "MX"}
		c.Add = r.Should
		if r.Record.Type != "TXT" && r.Record.Type != "CAA" {
			kept := without(r.Record.Type, r.Now, r.Wrong)
			c.Add = without(r.Record.Type, r.Should, kept)
			c.Keep = append(slices.Clone(c.Keep), kept...)
		} else if r.Record.Type == "CAA" {
			c.Add = slices.DeleteFunc(slices.Clone(r.Should), func(v string) bool { return slices.Contains(r.Now, v) })
		}
		switch {
		case len(c.Del) == 0 && len(c.Add) == 0:
			continue
		case len(c.Del) == 0:
			c.Action = Add
		case len(c.Add) == 0:
			c.Action = Remove
		default:
			c.Action = Replace
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b Change) int {
		switch {
		case a.Last == b.Last:
			return 0
		case b.Last:
			return -1
		}
		return 1
	})
	return out
}
