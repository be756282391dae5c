package admin

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
	"homemail/vacation"
)

func newMe(t *testing.T) (*Me, *Me) {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	h := &House{Store: s}
	var list []*Me
	for _, p := range []mail.Path{"anna@example.test", "otto@example.test"} {
		a, err := s.AddAccount(store.Profile{Address: p, Name: "N"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := h.Me(a.ID)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list[0], list[1]
}

func TestMe(t *testing.T) {
	anna, otto := newMe(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(anna.Rename(ctx, " Anna ", "ja"))
	must(anna.Forward(ctx, []mail.Path{"otto@example.test", "a@outside.test"}, true))
	must(anna.SetVacation(ctx, vacation.Reply{On: true, Text: "Away"}))
	d, err := anna.AddDevice(ctx, "Phone")
	must(err)
	if d.Address != "anna@example.test" || len(d.Password) < 20 {
		t.Errorf("%+v", d)
	}
	mine, err := anna.Show()
	must(err)
	if mine.Name != "Anna" || mine.Language != "ja" || len(mine.Forward) != 2 || !mine.Only || !mine.Vacation.On || len(mine.Devices) != 1 || len(mine.Mailboxes) != 6 {
		t.Errorf("%+v", mine)
	}
	if err := otto.RevokeDevice(ctx, d.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("otto revokes anna's device: %v", err)
	}
	must(anna.RevokeDevice(ctx, d.ID))
	for range 2 {
		_, err = anna.AddDevice(ctx, "Phone")
		must(err)
	}
	if n, err := anna.RevokeNamed(ctx, "Phone"); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for what, err := range map[string]error{
		"a name of two lines": anna.Rename(ctx, "a\r\nBcc: b", "en"),
		"a language":          anna.Rename(ctx, "a", "???"),
		"a circle":            anna.Forward(ctx, []mail.Path{"anna@example.test"}, false),
		"many":                anna.Forward(ctx, make([]mail.Path, forwardsMost+1), false),
		"no text":             anna.SetVacation(ctx, vacation.Reply{On: true}),
	} {
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestExport(t *testing.T) {
	anna, _ := newMe(t)
	text := "From: a@outside.test\r\nSubject: x\r\n\r\nFrom here\r\n>From there\r\nno newline at the end"
	sp := anna.h.Store.NewSpool()
	defer sp.Discard()
	io.WriteString(sp, text)
	for _, name := range []string{"Work/../../etc", "work", "Work", "CON", "日本語"} {
		if _, err := anna.account.Create(name, mail.NoUse); err != nil && !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrExists) {
			t.Fatal(name, err)
		}
	}
	inbox, err := anna.account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	_, err = anna.h.Store.Deliver(sp, []store.Delivery{{Account: anna.account.ID, Mailbox: inbox.ID, Flags: mail.Seen | mail.Flagged,
		Prefix: []byte("Return-Path: <a@outside.test>\r\n"), Date: time.Unix(0, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := anna.Export(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		if clean := path.Clean(f.Name); clean != f.Name || strings.HasPrefix(clean, "..") || files[strings.ToLower(f.Name)] != "" {
			t.Errorf("a file %q", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.ToLower(f.Name)] = string(content) + " "
	}
	want := "From a@outside.test Thu Jan  1 00:00:00 1970\nStatus: RO\nX-Status: F\nReturn-Path: <a@outside.test>\nFrom: a@outside.test\nSubject: x\n\n>From here\n>>From there\nno newline at the end\n\n "
	if got := files["mail/inbox.mbox"]; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	var s Exported
	if err := json.Unmarshal([]byte(files["settings.json"]), &s); err != nil {
		t.Fatal(err)
	}
	if s.Address != "anna@example.test" || len(s.Files) != len(z.File)-1 || s.Files[0].Messages != 1 {
		t.Errorf("%+v", s)
	}
}

// TestFileNames is a law: whatever mailboxes are called, files have names that
// every system takes, each its own.
func TestFileNames(t *testing.T) {
	names := fileNames{}
	seen := map[string]bool{}
	for _, name := range []string{"a", "A", "a (2)", "..", "../..", "/", "a/../b", "con", "Com1.txt", `a\b`, "a:b", "x\x00y", "\u202egnp.exe", strings.Repeat("長", 90), strings.Repeat("長", 91), " a ", "."} {
		got := names.of(name)
		if low := strings.ToLower(got); seen[low] {
			t.Errorf("%q is %q again", name, got)
		} else {
			seen[low] = true
		}
		for part := range strings.SplitSeq(got, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\:*?\"<>|\x00") || len(part) > fileNameMost+5 || strings.HasSuffix(part, ".") {
				t.Errorf("%q is %q", name, got)
			}
		}
	}
}

// FuzzMbox holds mboxrd to its law: what comes back is what was put in, but for
// the ends of lines.
func FuzzMbox(f *testing.F) {
	f.Add("a\r\n\r\nFrom x\r\n>From y\r\n>>>From z\nFro\r\nFrom")
	f.Add(">")
	f.Add("From \r\r\n\r")
	f.Fuzz(func(t *testing.T, text string) {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		if err := writeMbox(w, "a@b", time.Unix(0, 0), 0, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		head := "From a@b Thu Jan  1 00:00:00 1970\nStatus: O\n"
		rest, ok := strings.CutPrefix(b.String(), head)
		if !ok || !strings.HasSuffix(rest, "\n") {
			t.Fatalf("%q", b.String())
		}
		lines := strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, fromLine) {
				t.Fatalf("a line begins with %q in %q", fromLine, rest)
			}
			if bare := strings.TrimLeft(line, ">"); strings.HasPrefix(bare, fromLine) {
				lines[i] = line[1:]
			}
		}
		want := strings.ReplaceAll(text, "\r\n", "\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	})
}

func TestReturnPath(t *testing.T) {
	for in, want := range map[string]string{
		"Return-Path: <a@b>\r\nX: y\r\n": "a@b", "Return-Path: <>\r\n": "MAILER-DAEMON", "": "MAILER-DAEMON",
		"Return-Path: <\"a b\"@c>\r\n": `"a_b"@c`, "Return-Path: <a@b": "MAILER-DAEMON",
	} {
		if got := returnPath([]byte(in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestVacationOperation(t *testing.T) {
	anna, _ := newMe(t)
	on, text := true, "Away"
	for i, c := range []struct {
		q  SetVacation
		ok bool
	}{{SetVacation{On: &on}, false}, {SetVacation{On: &on, Text: &text}, true}, {SetVacation{Address: "nobody@example.test"}, false}} {
		if c.q.Address == "" {
			c.q.Address = "anna@example.test"
		}
		request, err := json.Marshal(c.q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := meOperations()["vacation.set"](t.Context(), anna.h, request)
		if (err == nil) != c.ok {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
	v, err := anna.h.showVacation(t.Context(), Address{"anna@example.test"})
	if err != nil || fmt.Sprint(v) != "{anna@example.test {true  Away   7}}" {
		t.Errorf("%v, %v", v, err)
	}
}
