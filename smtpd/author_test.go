package smtpd

import (
	"bytes"
	"mime"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

var scannerLogin = Login{Account: 1, Address: "anna@example.test", Device: "Scan Station", Rewrite: true}

// rewritten passes a message through the filter of a device whose From is
// rewritten, in steps of so many bytes.
func rewritten(t *testing.T, in string, step int, by *Login) string {
	t.Helper()
	var b bytes.Buffer
	f := newHeaderFilter(&b, "<id@host>", time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC))
	f.author = &author{by: by, owns: (&directory{}).Owns}
	for rest := []byte(in); len(rest) > 0; {
		n := min(step, len(rest))
		if used, err := f.Write(rest[:n]); used != n || err != nil {
			t.Fatal(used, err)
		}
		rest = rest[n:]
	}
	must(t, f.Close())
	return b.String()
}

func TestRewrite(t *testing.T) {
	const (
		rest  = "Date: x\r\nMessage-ID: y\r\n"
		empty = "\r\nbody\r\nFrom: x@y.test\r\n"
		mine  = "<anna@example.test>\r\n"
	)
	long := strings.Repeat("long ", 40)
	for _, x := range []struct{ in, want, add string }{
		{"From: anna@example.test\r\n", "From: anna@example.test\r\n", ""},
		{"FROM : Anna\r\n <ANNA+x@example.test>\r\n", "FROM : Anna\r\n <ANNA+x@example.test>\r\n", ""},
		{"From: a@all.example.test, anna@example.test\r\n", "From: a@all.example.test, anna@example.test\r\n", ""},
		{"From: scanner@localhost\r\n", `From: "Scan Station" ` + mine, ""},
		{"From: <scanner>\r\n", `From: "scanner" ` + mine, ""},
		{"From: Brother MFC\r\n", `From: "Brother MFC" ` + mine, ""},
		{"From:\r\n", `From: "Scan Station" ` + mine, ""},
		{"From: <>\r\n", `From: "Scan Station" ` + mine, ""},
		{"From: a@b.local, c@d.lan, e@[192.0.2.1], f@g, h@i.home.arpa, ü@outside.test\r\n", `From: "Scan Station" ` + mine, ""},
		{"From: \"Max \\\"M\\\" Muster\" <max@outside.test>\r\n", `From: "Max \"M\" Muster" ` + mine, "Reply-To: max@outside.test\r\n"},
		{"From: Max\r\n\t<max@outside.test>\r\nReply-To: z@outside.test\r\n", `From: "Max" ` + mine + "Reply-To: z@outside.test\r\n", ""},
		{"Reply-To: z@outside.test\r\nFrom: max@outside.test\r\n", "Reply-To: z@outside.test\r\n" + `From: "Scan Station" ` + mine, ""},
		{"From: a@outside.test, anna@example.test, b@exämple.test\r\n", `From: "Scan Station" ` + mine, "Reply-To: a@outside.test,\r\n anna@example.test,\r\n b@xn--exmple-cua.test\r\n"},
		{"From: Group: a@outside.test;\r\n", `From: "Scan Station" ` + mine, "Reply-To: a@outside.test\r\n"},
		{"From: =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= <a@outside.test>\r\n", "From: =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= " + mine, "Reply-To: a@outside.test\r\n"},
		{"From: \"=?x?q?a?=, evil@outside.test\" <a@outside.test>\r\n", "From: \"=?x?q?a?=, evil@outside.test\" " + mine, "Reply-To: a@outside.test\r\n"},
		{"From: Büro <a@outside.test>\r\n", "From: =?utf-8?b?QsO8cm8=?= " + mine, "Reply-To: a@outside.test\r\n"},
		{"From: B\xfcro <a@outside.test>\r\n", "From: \"B?ro\" " + mine, "Reply-To: a@outside.test\r\n"},
		{"From: " + long + "<a@outside.test>\r\n", `From: "` + long[:maxPhrase] + "\"\r\n " + mine, "Reply-To: a@outside.test\r\n"},
		{"From: a@outside.test\r\nSender: b@outside.test\r\n", `From: "Scan Station" ` + mine, "Reply-To: a@outside.test\r\n"},
		{"Sender: Anna\r\n <anna@example.test>\r\nFrom: anna@example.test\r\n", "Sender: Anna\r\n <anna@example.test>\r\nFrom: anna@example.test\r\n", ""},
		{"", "", `From: "Scan Station" ` + mine},
		{"From: x@y.test\r\nFrom: x@y.test\r\n", `From: "Scan Station" ` + mine + `From: "Scan Station" ` + mine, "Reply-To: x@y.test\r\n"}, // refused later
	} {
		in, want := rest+x.in+empty, rest+x.want+x.add+empty
		for _, step := range []int{1, 2, 3, 7, 64, 10000} {
			if got := rewritten(t, in, step, &scannerLogin); got != want {
				t.Errorf("step %d: %q\n got %q\nwant %q", step, x.in, got, want)
				break
			}
		}
	}
	if got := rewritten(t, "From: "+strings.Repeat("x", maxHeld)+"\r\n"+rest+empty, 1000, &scannerLogin); got != rest+empty {
		t.Errorf("an endless From: %.100q", got)
	}
	if got := rewritten(t, "Subject: x\r\n\r\n", 9, &Login{Account: 1, Address: "anna@example.test"}); !strings.Contains(got, "\r\nFrom: <anna@example.test>\r\n") {
		t.Errorf("of a device without a name: %q", got)
	}
	for in, want := range map[string]string{
		"From: x@y.test": "From: \"Scan Station\" " + mine, "Subject: x": "Subject: x", "From: x@y.test\r\n z": "From: \"Scan Station\" " + mine,
	} {
		if got := rewritten(t, in, 3, &scannerLogin); got != want {
			t.Errorf("%q that breaks off: %q", in, got)
		}
	}
}

// FuzzRewrite states the law: whatever a device says, either the message is
// refused for its From, or its only author is the account; the body and all
// fields but From, Sender and Reply-To stay as they are, and no line end is made
// that was not there.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{
		"From: a@b.test\r\n\r\nx", "From: \"a\\\"b\" <c@d.test>\r\n\r\n", "From: a@b.test\r\nFrom: c@d.test\r\n\r\n", "\r\n", "From\r\n\r\n", "From: x\r\n y\r\n\tz\r\nSender: q\r\n\r\n",
		"From: =?utf-8?q?=0D=0ABcc:?= <a@b.test>\r\n\r\n", "From: (c) <a@b.test>\r\n\r\n", "from : a:b@c.test;\r\nREPLY-TO: x\r\n\r\n", "From: \x00\x01\xff\r\n\r\n", "From: anna@example.test, \"x@y.test\"\r\n\r\n",
		"From:" + strings.Repeat(" ", 100) + "a@b.test\r\n\r\n", "From: \"ü, evil@outside.test\" <x@y.test>\r\n\r\n", "Fro\r\nm: x\r\n\r\n", " From: x@y.test\r\n\r\n",
	} {
		f.Add(s, uint8(2))
	}
	owns := (&directory{}).Owns
	f.Fuzz(func(t *testing.T, in string, step uint8) {
		if bare(in) || len(in) > maxDataLine {
			t.Skip()
		}
		got := rewritten(t, in, int(step)+1, &scannerLogin)
		if bare(got) {
			t.Fatalf("%q: a bare newline in %q", in, got)
		}
		p := message.NewParser()
		p.Write([]byte(got))
		m := p.Structure()
		authors := m.Envelope.From
		ours := m.HasFrom == 1 && len(authors) > 0
		for _, a := range authors {
			path, err := mail.ParsePath(a.Mailbox + "@" + a.Host)
			ours = ours && err == nil && owns(1, path)
		}
		p = message.NewParser()
		p.Write([]byte(in))
		if n := p.Structure().HasFrom; n < 2 && !ours && isHeader(in) && m.HeaderBad == "" {
			t.Errorf("%q with %d authors becomes %q, which is refused", in, n, got)
		}
		if a, b := others(in), others(got); a != b {
			t.Errorf("%q becomes %q: %q is not %q", in, got, b, a)
		}
	})
}

// isHeader reports whether a message starts with fields and an empty line, none
// of which is too long.
func isHeader(in string) bool {
	header, _, ok := strings.Cut("\r\n"+in, "\r\n\r\n")
	if header == "" {
		return ok
	}
	for i, line := range strings.Split(header[2:], "\r\n") {
		name, _, found := strings.Cut(line, ":")
		if folded := i > 0 && strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); folded {
			continue
		}
		name = strings.TrimRight(name, " \t")
		if !found || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return false
		}
	}
	return ok && len(header) < maxHeld
}

// others is a message without what the filter of a device may change.
func others(in string) string {
	var out strings.Builder
	drop := false
	lines := strings.SplitAfter(in, "\n")
	for i, line := range lines {
		name, _, found := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		switch {
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
		case line == "\r\n":
			return out.String() + strings.Join(lines[i:], "")
		case !found && len(line) < maxName:
			drop = false
		default:
			if len(line) >= maxName && !strings.Contains(line[:maxName], ":") {
				name = strings.ToLower(strings.TrimRight(line[:maxName], " \t"))
			}
			drop = name == "from" || name == "sender" || name == "reply-to" || name == "date" || name == "message-id" || name == "bcc" || name == "resent-bcc"
		}
		if !drop {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestPhrase(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " \t ": "", "a\x01b": `"a b"`, "Scanner": `"Scanner"`, `a"b\c`: `"a\"b\\c"`, "=?utf-8?q?a.b?= x": "=?utf-8?q?a.b?=\r\n x", "=?a?=<": `"=?a?=<"`,
	} {
		if got := phrase(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	name := strings.Repeat("複合機", 100)
	got := phrase(name)
	for line := range strings.SplitSeq(got, "\r\n") {
		if len(line) > softLine {
			t.Errorf("a line of %d: %q", len(line), line)
		}
	}
	plain, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(got, "\r\n", ""))
	if err != nil || !strings.HasPrefix(name, plain) || len(plain) < maxPhrase-3 {
		t.Errorf("%q, %v", plain, err)
	}
	if got := phrase("=?x?q?" + strings.Repeat("a", maxWords) + "?="); len(got) > maxPhrase+2 {
		t.Errorf("%d bytes", len(got))
	}
}
