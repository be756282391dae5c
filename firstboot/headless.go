package firstboot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrNextStart says that only a server that runs can do an operation: the step
// waits for one, and goes on by itself.
var ErrNextStart = errors.New("this is done when the server is started")

const startKey = "firstboot.wait.start" // of a step that waits for one

// An Asker asks for operations, and decodes the answers. *admin.Client is one.
type Asker interface {
	Do(ctx context.Context, verb string, request, answer any) error
}

// A Result is what came of a File.
type Result struct {
	Overview
	OK      bool        `json:"ok"`               // every step of the file was taken
	Failed  ID          `json:"failed,omitempty"` // the first that was not
	Devices []NewDevice `json:"devices,omitempty"`
	Invites []Invite    `json:"invites,omitempty"`
}

// againTime is how long a server may take to come back with a new name.
const againTime = 20 * time.Second

// patient asks until the server answers: it starts again when its name changes,
// and may cut an answer off then. To ask twice is safe here.
func patient(ctx context.Context, a Asker, verb string, request, answer any) error {
	for start := time.Now(); ; {
		err := a.Do(ctx, verb, request, answer)
		if err == nil || !unreachable(err) || ctx.Err() != nil || time.Since(start) > againTime {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ApplyFile answers the steps that a file has. It stops at one that is not taken:
// what comes after would be on sand. To apply a file again is safe.
func ApplyFile(ctx context.Context, a Asker, f *File) (r Result, err error) {
	for _, g := range f.Steps {
		var v View
		if err := patient(ctx, a, "setup.submit", g, &v); err != nil {
			return r, fmt.Errorf("step %s: %w", g.Step, err)
		}
		if len(v.Problems) > 0 || v.Status == Failed {
			r.Failed = g.Step
			err = r.look(ctx, a)
			r.put(v)
			return r, err
		}
	}
	for _, id := range f.Skip {
		if err := patient(ctx, a, "setup.skip", Given{Step: id}, &View{}); err != nil {
			return r, fmt.Errorf("step %s: %w", id, err)
		}
	}
	r.OK = true
	if err := r.look(ctx, a); err != nil || !r.connected() {
		return r, err
	}
	// From now on a letter is looked for, whenever somebody writes one.
	if err := patient(ctx, a, "setup.submit", Given{Step: FirstMail}, &View{}); err != nil {
		return r, fmt.Errorf("step %s: %w", FirstMail, err)
	}
	return r, r.look(ctx, a)
}

// connected reports whether mail can come, but no first one was looked for yet.
func (r *Result) connected() bool {
	var connection, first Status
	for _, v := range r.Steps {
		switch v.ID {
		case Connection:
			connection = v.Status
		case FirstMail:
			first = v.Status
		}
	}
	return connection == Done && first == Todo
}

// look asks how far all is.
func (r *Result) look(ctx context.Context, a Asker) error {
	o := Overview{} // a fresh one: what is decoded into a used one would be mixed
	if err := patient(ctx, a, "setup.show", Given{}, &o); err != nil {
		return err
	}
	r.Overview = o
	r.Devices, r.Invites = nil, nil
	if err := patient(ctx, a, "setup.invites", Given{}, &r.Invites); err != nil {
		return err
	}
	return patient(ctx, a, "setup.devices", Given{}, &r.Devices)
}

// put shows a step with what was wrong with its answers.
func (r *Result) put(v View) {
	for i, s := range r.Steps {
		if s.ID == v.ID {
			r.Steps[i] = v
		}
	}
}

// Wait waits until nothing goes on by itself any more, or ctx ends. It does not
// wait for the first mail, which a person has to write.
func (r *Result) Wait(ctx context.Context, a Asker) error {
	for !r.settled() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if err := r.look(ctx, a); err != nil {
			return err
		}
		for _, v := range r.Steps {
			if v.Status == Failed && r.Failed == "" {
				r.Failed, r.OK = v.ID, false
			}
		}
	}
	return nil
}

func (r *Result) settled() bool {
	return Overview{Steps: slices.DeleteFunc(slices.Clone(r.Steps), func(v View) bool { return v.ID == FirstMail })}.Settled()
}

// Text is the result for people.
func (r Result) Text(lang string) string {
	var b strings.Builder
	for _, v := range r.Steps {
		fmt.Fprintf(&b, "%s: %s", Words(lang, Say("firstboot.step."+string(v.ID))), Words(lang, Say("firstboot.status."+string(v.Status))))
		if !v.Reason.IsZero() {
			fmt.Fprintf(&b, "  %s", Words(lang, v.Reason))
		}
		b.WriteString("\n")
		for _, name := range sorted(v.Problems) {
			fmt.Fprintf(&b, "    %s: %s\n", name, Words(lang, v.Problems[name]))
		}
		if v.Detail != "" {
			fmt.Fprintf(&b, "    (%s)\n", v.Detail)
		}
	}
	if len(r.Devices) > 0 {
		fmt.Fprintf(&b, "\n%s\n", Words(lang, Say("firstboot.menu.devices")))
		for _, d := range r.Devices {
			fmt.Fprintf(&b, "    %s  %s  %s\n", d.Name, d.Address, d.Password)
		}
	}
	if len(r.Invites) > 0 {
		fmt.Fprintf(&b, "\n%s\n", Words(lang, Say("firstboot.menu.invites")))
		for _, v := range r.Invites {
			fmt.Fprintf(&b, "    %s  %s\n", v.Address, v.Password)
		}
	}
	return b.String()
}

// statusFile lies beside a file that was applied.
const statusFile = "homemail-status.txt"

// Beside writes a result beside the file that it is of, for whoever has no other
// way to see it. Device passwords are in it: nobody else knows them.
func (f *File) Beside(r Result, lang string) (name string, err error) {
	name = filepath.Join(filepath.Dir(f.Name), statusFile)
	return name, replaceFile(name, []byte(strings.ReplaceAll(r.Text(lang), "\n", "\r\n")), 0o600)
}

// Used wipes the file's secrets once they are not needed any more: when each step
// was taken.
func (f *File) Used(r Result) error {
	if !r.OK {
		return nil
	}
	if err := f.Wipe(); err != nil {
		return errors.Join(errors.New("the secrets in the file could not be wiped; take them out by hand"), err)
	}
	return nil
}
