package client

import (
	"io"
	"net"
	"strings"
	"testing"

	"homemail/mail"
)

// with is a server that offers some extensions after TLS-free EHLO.
func with(ext string) string {
	script := "> 220 mx\n< EHLO\n> 250-mx\n"
	for _, e := range strings.Fields(ext) {
		script += "> 250-" + strings.ReplaceAll(e, "_", " ") + "\n"
	}
	return script + "> 250 HELP\n"
}

// TestCommands: what MAIL and RCPT say, by what the server offers.
func TestCommands(t *testing.T) {
	full := mail.Envelope{
		From: "anna@example.org", Body: mail.Body8Bit, Return: "HDRS", EnvelopeID: "q+2B1",
		To: []mail.Recipient{{Path: "bob@example.test", Notify: []string{"SUCCESS", "DELAY"}, Original: "rfc822;b@example.test"}},
	}
	utf8 := mail.Envelope{From: "anna@example.org", UTF8: true, To: []mail.Recipient{{Path: "bob@bücher.test"}}}
	local := mail.Envelope{From: "anna@example.org", To: []mail.Recipient{{Path: "jürgen@bücher.test"}}}
	sender := mail.Envelope{From: "jürgen@example.org", To: []mail.Recipient{{Path: "bob@example.test"}}}
	odd := mail.Envelope{From: `"a b>"@example.org`, EnvelopeID: "a b", To: []mail.Recipient{{Path: "bob@example.test", Original: "x\r\nDATA;"}}}
	binary := mail.Envelope{From: "", Body: mail.BodyBinary, To: []mail.Recipient{{Path: "bob@example.test"}}}
	secure := mail.Envelope{From: "anna@example.org", RequireTLS: true, To: []mail.Recipient{{Path: "bob@example.test"}}}
	for name, tt := range map[string]struct {
		ext  string
		env  mail.Envelope
		body string
		want string // commands, or the outcome if nothing is said
	}{
		"nothing offered":     {"", full, body, "MAIL FROM:<anna@example.org>|RCPT TO:<bob@example.test>"},
		"all offered":         {"SIZE DSN 8BITMIME SMTPUTF8", full, body, "MAIL FROM:<anna@example.org> SIZE=19 BODY=8BITMIME RET=HDRS ENVID=q+2B1|RCPT TO:<bob@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.test"},
		"too big":             {"SIZE_18", full, body, "permanent too-big"},
		"just fits":           {"SIZE_19", full, body, "MAIL FROM:<anna@example.org> SIZE=19|RCPT TO:<bob@example.test>"},
		"IDN, offered":        {"8BITMIME SMTPUTF8", utf8, body, "MAIL FROM:<anna@example.org> BODY=8BITMIME SMTPUTF8|RCPT TO:<bob@xn--bcher-kva.test>"},
		"IDN, not offered":    {"", utf8, body, "MAIL FROM:<anna@example.org>|RCPT TO:<bob@xn--bcher-kva.test>"},
		"UTF-8 in the header": {"", utf8, "Subject: ü\r\n\r\n", "permanent needs-utf8"},
		"UTF-8 in the body":   {"", utf8, "Subject: u\r\n\r\nü\r\n", "MAIL FROM:<anna@example.org>|RCPT TO:<bob@xn--bcher-kva.test>"},
		"UTF-8, no end":       {"", utf8, strings.Repeat("Subject: u\r\n", maxHeader/10), "permanent needs-utf8"},
		"UTF-8 local part":    {"smtputf8", local, body, "MAIL FROM:<anna@example.org> SMTPUTF8|RCPT TO:<jürgen@xn--bcher-kva.test>"},
		"... not offered":     {"", local, body, "permanent needs-utf8"},
		"UTF-8 sender":        {"", sender, body, "permanent needs-utf8"},
		"odd words":           {"DSN", odd, body, `MAIL FROM:<"a b>"@example.org>|RCPT TO:<bob@example.test>`},
		"binary, not offered": {"CHUNKING", binary, body, "permanent body"},
		"binary":              {"CHUNKING BINARYMIME", binary, body, "MAIL FROM:<> BODY=BINARYMIME|RCPT TO:<bob@example.test>"},
		"REQUIRETLS":          {"REQUIRETLS", secure, body, "permanent needs-tls"}, // not over TLS
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, with(tt.ext)+"< MAIL\n> 250 ok\n< RCPT\n> 450 4.2.2 full", func(t *testing.T, nc net.Conn) {
				m := message(tt.body)
				m.Envelope = tt.env
				outs, err := dial(t, nc).Send(t.Context(), m)
				said := strings.HasPrefix(tt.want, "MAIL")
				if err != nil || said && outs[0].Reply.Code != 450 || !said && summary(outs) != tt.want {
					t.Errorf("%+v, %v", outs, err)
				}
				if !said && (outs[0].Reply.Enhanced == "" || outs[0].Reply.Text == "") {
					t.Errorf("no reason in %+v", outs[0])
				}
			})
			_, said, _ := strings.Cut(p.Heard, "\r\n") // after EHLO
			if want := strings.ReplaceAll(tt.want, "|", "\r\n") + "\r\n"; said != "" && said != want || said == "" && strings.HasPrefix(tt.want, "MAIL") {
				t.Errorf("said %q, want %q", said, want)
			}
		})
	}
}

// TestUTF8Recipient: one recipient that cannot be reached does not hold back
// another, nor does one that is no address at all.
func TestUTF8Recipient(t *testing.T) {
	play(t, with("")+"< MAIL\n> 250 ok\n< RCPT TO:<bob@\n> 250 ok\n< DATA\n> 354\n<data\n> 250 ok", func(t *testing.T, nc net.Conn) {
		outs, err := dial(t, nc).Send(t.Context(), message(body, "jürgen@example.test", "bob@example.test", "x\r\nRSET\r\n@example.test"))
		if err != nil || summary(outs) != "permanent needs-utf8, relayed, temporary ours" {
			t.Error(summary(outs), err)
		}
	})
}

// TestInjection: no sender gets a command in.
func TestInjection(t *testing.T) {
	p := play(t, with("")+"<all", func(t *testing.T, nc net.Conn) {
		m := message(body, "bob@example.test")
		m.Envelope.From = "x>\r\nRCPT TO:<eve@example.test"
		outs, err := dial(t, nc).Send(t.Context(), m)
		if err != nil || summary(outs) != "temporary ours" {
			t.Error(outs, err)
		}
	})
	if strings.Contains(p.Heard, "eve") {
		t.Errorf("said %q", p.Heard)
	}
}

// TestManyRecipients: a batch of commands is bounded.
func TestManyRecipients(t *testing.T) {
	const n = 300
	script := with("PIPELINING") + "< MAIL\n> 250 ok\n" + strings.Repeat("< RCPT\n> 250 ok\n", n) + "< DATA\n> 354 go\n<data\n> 250 ok\n"
	var to []mail.Path
	for range n {
		to = append(to, "a.rather.long.local.part@example.test")
	}
	// The script writes while the client still writes: with a pipe, which holds
	// nothing, this works only over TCP. See sink_test.go.
	s := listen(t, script)
	outs, err := dial(t, s).Send(t.Context(), message(body, to...))
	if err != nil || strings.Count(summary(outs), "relayed") != n {
		t.Error(err)
	}
}

func TestBDAT(t *testing.T) {
	const head = "< MAIL FROM:<> BODY=BINARYMIME\n> 250 ok\n< RCPT\n> 250 ok\n"
	long := "\x00\xff.\r\n" + strings.Repeat(".\r\n", chunkSize/2)
	size := []string{"65535", "32774"} // the pair at the end of the chunk stays together
	for name, tt := range map[string]struct {
		script, body, want string
		err                mail.Cause
	}{
		"short":        {"< BDAT 5 LAST\n<octets 5\n> 250 ok", "a\r\n\x00.", "relayed", ""},
		"empty":        {"< BDAT 0 LAST\n> 250 ok", "", "relayed", ""},
		"long":         {"< BDAT " + size[0] + "\n<octets " + size[0] + "\n> 250 ok\n< BDAT " + size[1] + " LAST\n<octets " + size[1] + "\n> 250 ok", long, "relayed", ""},
		"refused":      {"< BDAT " + size[0] + "\n<octets " + size[0] + "\n> 552 5.3.4 too big\n<all", long, "permanent reply 552 5.3.4 too big", mail.CauseReply},
		"bare newline": {"<all", "a\nb", "permanent body", "?"},
		"silent":       {"< BDAT 1 LAST\n<octets 1\nhang", "x", "temporary timeout", mail.CauseTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, with("CHUNKING BINARYMIME")+head+tt.script, func(t *testing.T, nc net.Conn) {
				m := message(tt.body, "bob@example.test")
				m.Envelope.From, m.Envelope.Body = "", mail.BodyBinary
				outs, err := dial(t, nc).Send(t.Context(), m)
				if summary(outs) != tt.want || cause(err) != tt.err {
					t.Errorf("%s, %v", summary(outs), err)
				}
			})
			if tt.want == "relayed" && (p.Err != nil || p.Data != tt.body) {
				t.Errorf("%v, %d octets", p.Err, len(p.Data))
			}
		})
	}
}

func TestOpenFails(t *testing.T) {
	play(t, with("")+"<all", func(t *testing.T, nc net.Conn) {
		m := message(body, "bob@example.test")
		m.Open = func() (io.Reader, error) { return nil, io.ErrClosedPipe }
		if outs, err := dial(t, nc).Send(t.Context(), m); err != nil || summary(outs) != "temporary ours" {
			t.Error(outs, err)
		}
	})
}

// A closer counts how often it was closed.
type closer struct {
	io.Reader
	closed *int
}

func (c closer) Close() error {
	*c.closed++
	return nil
}

// TestCloses: what was opened is closed, also when it was only looked through.
func TestCloses(t *testing.T) {
	play(t, with("")+"< MAIL\n> 250 ok\n< RCPT\n> 250 ok\n< DATA\n> 354\n<data\n> 250 ok", func(t *testing.T, nc net.Conn) {
		m, opened, closed := message(body, "bob@example.test"), 0, 0
		m.Envelope.UTF8 = true
		m.Open = func() (io.Reader, error) {
			opened++
			return closer{strings.NewReader(body), &closed}, nil
		}
		outs, err := dial(t, nc).Send(t.Context(), m)
		if err != nil || summary(outs) != "relayed" || opened != 2 || closed != 2 {
			t.Errorf("%s, %v, opened %d times, closed %d times", summary(outs), err, opened, closed)
		}
	})
}

func TestProbe(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"all well":  {"< MAIL FROM:<anna@example.org>\n> 250 ok\n< RCPT TO:<bob@example.test>\n> 250 ok\n< RSET\n> 250 ok", "MAIL RCPT RSET "},
		"sender":    {"< MAIL\n> 550 no", "MAIL: 550 no"},
		"recipient": {"< MAIL\n> 250 ok\n< RCPT\n> 450 no", "MAIL RCPT: 450 no"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, plainHello+"\n"+tt.script, func(t *testing.T, nc net.Conn) {
				got := ""
				err := dial(t, nc).Probe(t.Context(), "anna@example.org", "bob@example.test", func(cmd string, _ mail.Reply) { got += cmd + " " })
				if err != nil {
					got += err.Error()
				}
				if got != tt.want {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

// FuzzCommands: whatever an envelope holds, MAIL and RCPT are one line each, and
// the address ends where we mean it to.
func FuzzCommands(f *testing.F) {
	f.Add("anna@example.org", "bob@example.test", "q+2B1", "rfc822;x", "NEVER")
	f.Add("a\r\nb", "<>", "x y", ";\n", ",")
	f.Add(`"a>"@b`, `"a\"@b`, "=", "\x00;", "\x7f")
	f.Add("a> SIZE=1@b", "jürgen@bücher.test", "", "", "")
	f.Add("a@b> X=1", "c@d> Y=2", "", "", "")
	f.Add("a@b", "c@d> Y=2", "", "", "")
	f.Fuzz(func(t *testing.T, from, to, id, original, notify string) {
		c := &Conn{ext: extensions{"DSN": "", "SMTPUTF8": "", "SIZE": "", "8BITMIME": ""}}
		r := mail.Recipient{Path: mail.Path(to), Original: original, Notify: []string{notify}}
		e := mail.Envelope{From: mail.Path(from), To: []mail.Recipient{r}, EnvelopeID: id, Return: notify}
		x := &transaction{c: c, m: mail.Handover{Envelope: e}, outs: make([]mail.Outcome, 1)}
		if x.prepare() != nil || len(x.live) == 0 {
			return
		}
		for _, line := range []string{x.mailLine(), x.rcptLine(r)} {
			if !safe(line) {
				t.Errorf("%q", line)
			}
			_, rest, _ := strings.Cut(line, ":<")
			params := strings.Fields(rest[endOfPath(rest):])
			for _, p := range params {
				if name, _, _ := strings.Cut(p, "="); !strings.Contains(" SIZE BODY SMTPUTF8 RET ENVID NOTIFY ORCPT ", " "+name+" ") {
					t.Errorf("%q has %q", line, p)
				}
			}
		}
	})
}

// endOfPath is where the angle bracket closes, past quoted strings.
func endOfPath(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return i + 1
		}
	}
	return len(s)
}
