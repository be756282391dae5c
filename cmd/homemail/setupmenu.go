package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"homemail/admin"
	"homemail/dnsplan/publish"
	"homemail/firstboot"
)

// A menu asks for the steps of setting up, on a terminal or a serial line.
type menu struct {
	*invocation
	asker firstboot.Asker
	lang  string
	lines *bufio.Reader
	tty   *os.File // nil if nobody types
}

func newMenu(in *invocation, a firstboot.Asker, lang string) *menu {
	m := &menu{invocation: in, asker: a, lang: lang, lines: bufio.NewReader(in.stdin)}
	if f, ok := in.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.tty = f
	}
	return m
}

// errLeave is an owner's wish to stop for now.
var errLeave = refuse("setup.left")

func (m *menu) say(key string, args ...string) string {
	return firstboot.Words(m.lang, firstboot.Say("firstboot."+key, args...))
}

// run shows the steps and asks for one after the other, until all are answered.
func (m *menu) run(ctx context.Context) error {
	for {
		var o firstboot.Overview
		if err := m.asker.Do(ctx, "setup.show", firstboot.Given{}, &o); err != nil {
			return err
		}
		if m.lang == "" && o.Language != "" {
			m.lang = o.Language
		}
		fmt.Fprintln(m.stdout)
		for i, v := range o.Steps {
			fmt.Fprintf(m.stdout, "%2d  %s\n", i, m.say("menu.step", "title", m.say("step."+string(v.ID)), "status", m.say("status."+string(v.Status))))
			if v.Status == firstboot.Waiting || v.Status == firstboot.Failed {
				fmt.Fprintf(m.stdout, "      %s\n", firstboot.Words(m.lang, v.Reason))
			}
		}
		id, err := m.choose(o)
		if errors.Is(err, errLeave) || id == "" && err == nil {
			return m.devices(ctx)
		}
		if err == nil {
			err = m.step(ctx, id)
		}
		if errors.Is(err, errLeave) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// choose asks which step is next, "" if all are answered and nobody wants one.
func (m *menu) choose(o firstboot.Overview) (firstboot.ID, error) {
	next := ""
	switch {
	case o.Current != "":
		next = m.say("step." + string(o.Current))
	case o.Finished:
		fmt.Fprintln(m.stdout, m.say("menu.finished"))
		return "", nil
	default:
		fmt.Fprintln(m.stdout, m.say("menu.waiting"))
		next = "q"
	}
	answer, err := m.ask(m.say("menu.choose", "step", next), false)
	if err != nil || answer == "q" || answer == "" && o.Current == "" {
		return "", errLeave
	}
	if answer == "" {
		return o.Current, nil
	}
	if n, err := strconv.Atoi(answer); err == nil && n >= 0 && n < len(o.Steps) {
		return o.Steps[n].ID, nil
	}
	return o.Current, nil
}

// ask reads one line. A secret is not shown while it is typed.
func (m *menu) ask(prompt string, secret bool) (string, error) {
	fmt.Fprintf(m.stdout, "%s: ", prompt)
	if secret && m.tty != nil {
		b, err := term.ReadPassword(int(m.tty.Fd()))
		fmt.Fprintln(m.stdout)
		return string(b), err
	}
	line, err := m.lines.ReadString('\n')
	if errors.Is(err, io.EOF) && line == "" {
		return "", errLeave
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// step asks for the fields of a step and submits them.
func (m *menu) step(ctx context.Context, id firstboot.ID) error {
	var v firstboot.View
	if err := m.asker.Do(ctx, "setup.step", firstboot.Given{Step: id}, &v); err != nil {
		return err
	}
	fmt.Fprintf(m.stdout, "\n== %s ==\n", m.say("step."+string(id)))
	if id == firstboot.Line {
		if err := m.showLine(ctx, &v); err != nil {
			return err
		}
	}
	if id == firstboot.Safe && len(v.Blocked) == 0 {
		if err := m.codes(ctx, &v); err != nil {
			return err
		}
	}
	if v.MaySkip {
		fmt.Fprintln(m.stdout, m.say("menu.later"))
	}
	answers := firstboot.Answers{}
	for _, f := range v.Fields {
		if f.Name == "confirm" || !asked(f, v.Answers, answers) {
			continue
		}
		later, err := m.field(v, f, answers)
		if err != nil {
			return err
		}
		if later {
			return m.asker.Do(ctx, "setup.skip", firstboot.Given{Step: id}, &v)
		}
	}
	return m.submit(ctx, firstboot.Given{Step: id, Answers: answers})
}

// asked reports whether a field is asked for, after what was answered.
func asked(f firstboot.Field, kept, given firstboot.Answers) bool {
	name, values, ok := strings.Cut(f.Only, "=")
	now, changed := given[name]
	if !changed {
		now = kept[name]
	}
	return !ok || slices.Contains(strings.Fields(values), now)
}

// field asks for one field. What stays as it was is not among the answers.
func (m *menu) field(v firstboot.View, f firstboot.Field, answers firstboot.Answers) (later bool, err error) {
	if f.Name == "credential." {
		return false, m.credentials(v, answers)
	}
	n, ok := back(v, f)
	if !ok {
		return false, nil
	}
	label := m.say("field."+string(v.ID)+"."+f.Name, "n", n)
	var line string
	switch f.Kind {
	case firstboot.Lines:
		return false, m.list(label, f, answers)
	case firstboot.Choice:
		line, err = m.choice(v, f, label)
	default:
		if f.Kind == firstboot.Yes {
			label += " (yes)"
		}
		if kept := v.Answers[f.Name]; kept != "" {
			label += " [" + kept + "]"
		} else if slices.Contains(v.Sealed, f.Name) {
			label += " " + m.say("menu.kept")
		} else if f.Kind == firstboot.Secret {
			label += " " + m.say("menu.secret")
		}
		line, err = m.ask(label, f.Kind == firstboot.Secret)
	}
	if err != nil || line == "later" && v.MaySkip {
		return true, err
	}
	if line != "" {
		answers[f.Name] = line
	}
	return false, nil
}

func (m *menu) choice(v firstboot.View, f firstboot.Field, label string) (string, error) {
	fmt.Fprintln(m.stdout, label)
	for i, c := range f.Choices {
		mark := " "
		if c == v.Answers[f.Name] {
			mark = "*"
		}
		text := c
		if f.Name != "preset" && f.Name != "fetch_preset" && f.Name != "provider" {
			text = m.say("choice." + string(v.ID) + "." + f.Name + "." + c)
		}
		fmt.Fprintf(m.stdout, " %s%2d  %s\n", mark, i+1, text)
	}
	line, err := m.ask(fmt.Sprintf("1-%d", len(f.Choices)), false)
	if n, bad := strconv.Atoi(line); bad == nil && n >= 1 && n <= len(f.Choices) {
		return f.Choices[n-1], err
	}
	return line, err // a choice by its name, or a mistake that Submit tells of
}

func (m *menu) list(label string, f firstboot.Field, answers firstboot.Answers) error {
	fmt.Fprintln(m.stdout, label)
	var list []string
	for {
		line, err := m.ask(" ", false)
		if err != nil && !errors.Is(err, errLeave) {
			return err
		}
		if strings.TrimSpace(line) == "" {
			break
		}
		list = append(list, line)
	}
	if list != nil {
		answers[f.Name] = strings.Join(list, "\n")
	}
	return nil
}

// credentials asks for what the provider wants to know.
func (m *menu) credentials(v firstboot.View, answers firstboot.Answers) error {
	kind, provider := answers["kind"], answers["provider"]
	if kind == "" {
		kind = v.Answers["kind"]
	}
	if provider == "" {
		provider = v.Answers["provider"]
	}
	for _, p := range publish.Providers() {
		if p.ID != provider || kind != "self" {
			continue
		}
		fmt.Fprintf(m.stdout, "%s\n%s\n", p.Where.In(m.lang), p.URL)
		for _, c := range p.Credentials {
			line, err := m.ask(c.Label.In(m.lang), c.Secret)
			if err != nil {
				return err
			}
			if line != "" {
				answers["credential."+c.Name] = line
			}
		}
	}
	return nil
}

// showLine runs the checks, unless the owner has been told already.
func (m *menu) showLine(ctx context.Context, v *firstboot.View) error {
	if v.Found.Line == nil {
		fmt.Fprintln(m.stdout, m.say("menu.checking"))
		if err := m.asker.Do(ctx, "setup.detect", firstboot.Given{Step: v.ID}, &v.Found); err != nil {
			fmt.Fprintf(m.stdout, "(%v)\n", err) // then the owner chooses without
			return nil
		}
	}
	if l := v.Found.Line; l != nil {
		for _, r := range l.Results {
			fmt.Fprintf(m.stdout, "  %-14s %s\n", r.State, r.Title.In(m.lang))
		}
		fmt.Fprintln(m.stdout, m.say("menu.recommended", "mode", m.say("choice.line.mode."+string(l.Recommend.Mode)), "reason", l.Recommend.Reason.In(m.lang)))
	}
	return nil
}

// submit sends answers, tells what came of it, and has changes confirmed.
func (m *menu) submit(ctx context.Context, g firstboot.Given) error {
	var v firstboot.View
	if err := m.asker.Do(ctx, "setup.submit", g, &v); err != nil {
		fmt.Fprintf(m.stdout, "%s\n", m.why(err)) // such as that another step comes first
		return nil
	}
	for _, f := range v.Fields {
		if p, ok := v.Problems[f.Name]; ok {
			fmt.Fprintf(m.stdout, "! %s: %s\n", m.say("field."+string(v.ID)+"."+f.Name), firstboot.Words(m.lang, p))
		}
	}
	if !v.Reason.IsZero() {
		fmt.Fprintf(m.stdout, "! %s\n", firstboot.Words(m.lang, v.Reason))
	}
	if v.Detail != "" {
		fmt.Fprintf(m.stdout, "  (%s)\n", v.Detail)
	}
	if v.Found.Plan != nil && len(v.Found.Missing) > 0 && v.Answers["kind"] != "self" {
		for _, r := range v.Found.Plan.Records {
			fmt.Fprintf(m.stdout, "  %s  %s  %s\n", r.Name, r.Type, strings.Join(r.Values, "  "))
		}
	}
	if v.ID == firstboot.DNS && v.Answers["kind"] == "other" && len(v.Problems) == 0 {
		if err := m.share(ctx); err != nil {
			return err
		}
	}
	if v.Status != firstboot.Waiting || v.Found.Changes == nil || g.Answers["confirm"] != "" {
		return nil
	}
	fmt.Fprintln(m.stdout, m.say("menu.confirm"))
	for _, c := range v.Found.Changes.Changes {
		fmt.Fprintln(m.stdout, c.String())
	}
	line, err := m.ask(m.say("menu.yes"), false)
	if err != nil || !strings.HasPrefix(strings.ToLower(line), "y") {
		return err
	}
	return m.submit(ctx, firstboot.Given{Step: v.ID, Answers: firstboot.Answers{"confirm": v.Found.Digest}})
}

func (m *menu) share(ctx context.Context) error {
	var s struct{ Token, Until string }
	if err := m.asker.Do(ctx, "setup.share", firstboot.Given{}, &s); err != nil {
		return err
	}
	fmt.Fprintln(m.stdout, m.say("menu.share", "token", s.Token, "until", s.Until[:min(len(s.Until), len("2006-01-02"))]))
	return nil
}

// devices shows the passwords that were made, once.
func (m *menu) devices(ctx context.Context) error {
	var list []firstboot.NewDevice
	var invites []firstboot.Invite
	if err := errors.Join(m.asker.Do(ctx, "setup.devices", firstboot.Given{}, &list), m.asker.Do(ctx, "setup.invites", firstboot.Given{}, &invites)); err != nil || len(list)+len(invites) == 0 {
		return err
	}
	if len(list) > 0 {
		fmt.Fprintln(m.stdout, m.say("menu.devices"))
	}
	for _, d := range list {
		fmt.Fprintf(m.stdout, "  %s  %s  %s\n", d.Name, d.Address, d.Password)
	}
	if len(invites) > 0 {
		fmt.Fprintln(m.stdout, m.say("menu.invites"))
	}
	for _, v := range invites {
		fmt.Fprintf(m.stdout, "  %s  %s\n", v.Address, v.Password)
	}
	return m.asker.Do(ctx, "setup.forget", firstboot.Given{}, &admin.Empty{})
}

// codes makes the recovery codes, if they are wanted, and shows them once.
func (m *menu) codes(ctx context.Context, v *firstboot.View) error {
	answer, err := m.ask(m.say("menu.codes"), false)
	if err != nil || answer != "yes" {
		return err
	}
	var codes []string
	if err := m.asker.Do(ctx, "setup.codes", firstboot.Given{}, &codes); err != nil {
		return err
	}
	fmt.Fprintln(m.stdout, m.say("menu.kit"))
	for i, code := range codes {
		fmt.Fprintf(m.stdout, "  %2d  %s\n", i+1, code)
	}
	*v = firstboot.View{}
	return m.asker.Do(ctx, "setup.step", firstboot.Given{Step: firstboot.Safe}, v)
}

// back is the number of the recovery code that a field is for; ok is false if it
// is not asked for.
func back(v firstboot.View, f firstboot.Field) (n string, ok bool) {
	i := slices.Index([]string{"first_code", "second_code"}, f.Name)
	if i < 0 || i >= len(v.Found.Asked) {
		return "", i < 0
	}
	return strconv.Itoa(v.Found.Asked[i]), true
}
