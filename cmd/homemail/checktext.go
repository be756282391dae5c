package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/words"
)

// A lineText puts what the checks found into words for an owner who may know
// nothing of networks: a tree, what to do in its order, and the way to connect.
type lineText struct {
	lang   string
	detail bool // say everything that was found
	all    bool // every check was asked for, so that a recommendation belongs to it
	last   bool // what is known, and not what was just found out
}

// textStates are the keys of the states.
var textStates = map[check.State]string{
	check.Good: "state.good", check.Waiting: "state.waiting", check.CouldNotTest: "state.unknown", check.Bad: "state.bad",
}

const (
	textWidth  = 96 // columns, where words are broken
	textIndent = 2
)

// say is a phrase around the checks' own.
func (t lineText) say(key string, args ...any) string {
	return words.Say("cli.line."+key, args...).In(t.lang)
}

// of is the whole text.
func (t lineText) of(l admin.Line) string {
	var b strings.Builder
	if t.last && !t.head(&b, l.Results) {
		return b.String()
	}
	tree := newLineTree(l.Results)
	aside := false
	for _, r := range tree.roots {
		aside = t.branch(&b, tree, r, 0) || aside
	}
	if aside {
		fmt.Fprintf(&b, "\n%s\n", t.say("aside"))
	}
	if list := t.todo(l.Results); len(list) > 0 {
		fmt.Fprintf(&b, "\n%s\n", t.say("do"))
		for i, do := range list {
			hang(&b, fmt.Sprintf("%2d. ", i+1), do)
		}
	}
	if t.all {
		b.WriteString("\n")
		hang(&b, "", t.say("fits", "mode", t.say("mode."+string(l.Recommend.Mode))))
		hang(&b, "", l.Recommend.Reason.In(t.lang))
	}
	if !t.detail && l.Worst != check.Good {
		fmt.Fprintf(&b, "\n%s\n", t.say("more"))
	}
	return b.String()
}

// head says how old it all is; false if nothing is known.
func (t lineText) head(b *strings.Builder, list []check.Result) bool {
	newest := time.Time{}
	for _, r := range list {
		if r.Tested.After(newest) {
			newest = r.Tested
		}
	}
	if newest.IsZero() {
		fmt.Fprintln(b, t.say("never"))
		return false
	}
	fmt.Fprintf(b, "%s\n\n", t.say("as-of", "time", stamp(newest)))
	return true
}

func stamp(at time.Time) string { return at.Local().Format("2006-01-02 15:04") }

// A lineTree has under each check those that depend on it.
type lineTree struct {
	roots []check.Result
	below map[string][]check.Result
	waits map[string]int // how many are in the way of which
}

func newLineTree(list []check.Result) lineTree {
	t := lineTree{below: make(map[string][]check.Result), waits: make(map[string]int)}
	by := make(map[string]check.Result)
	for _, r := range list {
		by[r.Name] = r
	}
	for _, r := range list {
		// Of several the last is the nearest.
		parent := ""
		for _, n := range r.DependsOn {
			if _, ok := by[n]; ok {
				parent = n
			}
		}
		if parent == "" {
			t.roots = append(t.roots, r)
		} else {
			t.below[parent] = append(t.below[parent], r)
		}
		if first := because(by, r); first != "" {
			t.waits[first]++
		}
	}
	return t
}

// because is the check that is in the end in the way of another, "" if none is.
func because(by map[string]check.Result, r check.Result) string {
	first := ""
	for range len(by) {
		next := r.Data["because"]
		if next == "" {
			break
		}
		first, r = next, by[next]
	}
	return first
}

// branch writes a check and those below it, and reports whether one of them is in
// brackets. What waits for another is only counted there.
func (t lineText) branch(b *strings.Builder, tree lineTree, r check.Result, depth int) (aside bool) {
	if t.detail || r.Data["because"] == "" {
		state := t.say(textStates[r.State])
		if aside = !r.Needed && r.State != check.Good; aside {
			state = "(" + state + ")"
		}
		margin := pad(state, 12) + strings.Repeat(" ", depth*textIndent)
		hang(b, margin, t.sentence(r))
		inner := strings.Repeat(" ", columns(margin)+textIndent)
		if r.Muted != nil {
			hang(b, inner, t.muted(*r.Muted))
		}
		if n := tree.waits[r.Name]; n > 0 && !t.detail {
			hang(b, inner, t.say("wait", "n", n))
		}
		if t.detail {
			t.details(b, inner, r)
		}
		depth++
	}
	for _, s := range tree.below[r.Name] {
		aside = t.branch(b, tree, s, depth) || aside
	}
	return aside
}

// muted says that nobody is told of a finding, for how long, and why.
func (t lineText) muted(m check.Mute) string {
	if m.Reason == "" {
		return t.say("muted", "until", mutedUntil(t.lang, m))
	}
	return t.say("muted-for", "until", mutedUntil(t.lang, m), "reason", m.Reason)
}

// mutedUntil says how long a mute holds.
func mutedUntil(lang string, m check.Mute) string {
	if m.Until.IsZero() {
		return words.Say("cli.mute.change").In(lang)
	}
	return words.Say("cli.mute.until", "time", stamp(m.Until)).In(lang)
}

// sentence is the question of a check and its answer.
func (t lineText) sentence(r check.Result) string {
	title, means := r.Title.In(t.lang), r.Means.In(t.lang)
	if strings.HasSuffix(title, "?") {
		return title + " " + means
	}
	return title + ": " + means
}

func (t lineText) details(b *strings.Builder, margin string, r check.Result) {
	since, tested := t.say("untested"), t.say("untested")
	if !r.Tested.IsZero() {
		since, tested = stamp(r.Since), stamp(r.Tested)
	}
	hang(b, margin, t.say("since", "name", r.Name, "code", r.Code, "since", since, "tested", tested))
	if do := r.Do.In(t.lang); do != "" {
		hang(b, margin+"→ ", do)
	}
	for s := range strings.Lines(r.Detail) {
		hang(b, margin, strings.TrimSpace(s))
	}
}

// todo is what the owner can do about what is needed and not muted: first about what
// is bad.
func (t lineText) todo(list []check.Result) (all []string) {
	for _, state := range []check.State{check.Bad, check.CouldNotTest} {
		for _, r := range list {
			do := r.Do.In(t.lang)
			if r.State != state || !r.Needed || do == "" || r.Muted != nil || r.Data["because"] != "" || slices.Contains(all, do) {
				continue
			}
			all = append(all, do)
		}
	}
	return all
}

// hang writes a text in lines that begin under its first word.
func hang(b *strings.Builder, margin, text string) {
	width := max(textWidth-columns(margin), 40)
	for i, line := range wrap(text, width) {
		if i == 1 {
			margin = strings.Repeat(" ", columns(margin))
		}
		b.WriteString(margin + line + "\n")
	}
}

// wrap breaks a text at spaces, and beside characters of Chinese and Japanese,
// but not before what may begin no line.
func wrap(text string, width int) (lines []string) {
	runes := []rune(text)
	for len(runes) > 0 {
		at, cut := 0, 0
		for i, r := range runes {
			if at += column(r); at > width && cut > 0 {
				break
			}
			next := i + 1
			switch {
			case next == len(runes):
				cut = next
			case r == ' ', runes[next] == ' ':
				cut = next
			case (column(r) == 2 || column(runes[next]) == 2) && !strings.ContainsRune("、。」』)）】,.:;!?ー", runes[next]) && !strings.ContainsRune("「『(（【", r):
				cut = next
			}
		}
		lines = append(lines, strings.TrimSpace(string(runes[:cut])))
		runes = []rune(strings.TrimLeft(string(runes[cut:]), " "))
	}
	return lines
}

// column is how many columns of a terminal a character takes.
func column(r rune) int {
	if r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6) {
		return 2
	}
	return 1
}

func columns(s string) (n int) {
	for _, r := range s {
		n += column(r)
	}
	return n
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(width-columns(s), 1)) }
