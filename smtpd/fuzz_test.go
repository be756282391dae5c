package smtpd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// nothingDone is what go-smtp says to NOOP.
const nothingDone = "250 2.0.0 I have successfully done nothing\r\n"

const preamble = "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<anna@example.test>\r\n"

// bare reports whether s has a CR or LF that is not one of a pair.
func bare(s string) bool {
	return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}

// FuzzData states the law of RFC 5321 §4.5.2: a message ends at the first
// CRLF.CRLF and nowhere else; what is stored is what came before, with one dot
// less where a line starts with one; a bare CR or LF before the end means that
// nothing is stored and nothing after it is done.
func FuzzData(f *testing.F) {
	for _, s := range []string{
		"", ".\r\n", letter + ".\r\nNOOP\r\n", "a\r\n..b\r\n.\r\n", "a\n.\n", "a\n.\r\nQUIT\r\n", "a\r.\r", "a\r\n.\rx\r\n.\r\n", "a\r\n.\n", ".\r", ".\r\r\n.\r\n",
		"a\r\n.\r\n\r\n.\r\n", "\r\n\r\n.\r\n", "a\x00b\r\n.\r\n", "\xff\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n.\r\n",
	} {
		f.Add(s, uint8(1))
	}
	s, dir := quiet(MX)
	f.Fuzz(func(t *testing.T, in string, step uint8) {
		dir.messages = nil
		message, _, ended := strings.Cut("\r\n"+in, "\r\n.\r\n")
		unfinished := message
		if ended {
			message += "\r\n"
		} else {
			unfinished = strings.TrimSuffix(strings.TrimSuffix(message, "\r"), "\r\n.") // may go on to be right
		}
		bad := bare(unfinished)
		if len(in) > maxDataLine {
			t.Skip()
		}
		out := play(s, preamble+"DATA\r\n"+in)
		_, out, _ = strings.Cut(out, "354 ")
		_, out, _ = strings.Cut(out, "\r\n")
		switch {
		case bad:
			if len(dir.messages) > 0 || !strings.HasPrefix(out, "550 5.6.11") || strings.Count(out, "\n") != 1 {
				t.Errorf("bare newline: %d stored, said %q", len(dir.messages), out)
			}
		case !ended:
			if len(dir.messages) > 0 || out != "" && !strings.HasPrefix(out, "550 5.6.11") {
				t.Errorf("no end: %d stored, said %q", len(dir.messages), out)
			}
		default:
			want := strings.ReplaceAll(message, "\r\n.", "\r\n")[2:]
			if len(dir.messages) == 0 || dir.messages[0].data != want {
				t.Errorf("stored %+v, want %q; said %q", dir.messages, want, out)
			}
		}
		scanInPieces(t, in, int(step)+1)
	})
}

// scanInPieces checks that it does not matter how a message is cut up.
func scanInPieces(t *testing.T, in string, step int) {
	used, err := scanAll(in, len(in)+1)
	used2, err2 := scanAll(in, step)
	if used != used2 || err != err2 {
		t.Errorf("in one piece %v %v, in pieces of %d %v %v", used, err, step, used2, err2)
	}
}

func scanAll(in string, step int) (used int, err error) {
	s := scanner{dots: true}
	for used < len(in) {
		n, end, err := s.scan([]byte(in[used:min(used+step, len(in))]))
		used += n
		if err != nil {
			return 0, err
		}
		if end {
			break
		}
	}
	return used, nil
}

// FuzzBDAT states that chunks add up to their message byte for byte, that a
// bare CR or LF keeps it out, wherever the chunks are cut, and that commands
// within a chunk are never done.
func FuzzBDAT(f *testing.F) {
	for _, s := range []string{"", letter, "a\r\nb", "a\r\n.\r\nQUIT\r\n", "a\nb", "a\rb", "a\r", "\n", "..\r\n.\r\n", "RSET\r\nMAIL FROM:<>\r\n"} {
		f.Add(s, uint16(1), uint16(3))
	}
	s, dir := quiet(MX)
	f.Fuzz(func(t *testing.T, in string, a, b uint16) {
		if len(in) > maxDataLine {
			t.Skip()
		}
		dir.messages = nil
		i := int(a) % (len(in) + 1)
		j := i + int(b)%(len(in)-i+1)
		var script strings.Builder
		script.WriteString(preamble)
		for k, chunk := range []string{in[:i], in[i:j], in[j:]} {
			fmt.Fprintf(&script, "BDAT %d%s\r\n%s", len(chunk), []string{"", "", " LAST"}[k], chunk)
		}
		out := play(s, script.String()+"NOOP\r\n")
		if bare(in) {
			if len(dir.messages) > 0 || !strings.Contains(out, "550 5.6.11") || strings.HasSuffix(out, nothingDone) {
				t.Errorf("bare newline: %d stored, said %q", len(dir.messages), out)
			}
			return
		}
		if len(dir.messages) != 1 || dir.messages[0].data != in || !strings.HasSuffix(out, nothingDone) {
			t.Errorf("stored %+v, want %q; said %q", dir.messages, in, out)
		}
	})
}

// FuzzHeaderFilter states that a message passes byte for byte but for its Bcc
// fields and, at the end of its header, the fields that it lacked.
func FuzzHeaderFilter(f *testing.F) {
	for _, s := range []string{
		"", "\r\n", letter, "Bcc: x\r\n", "Bcc: x\r\n y\r\n\tz\r\nTo: q\r\n\r\nBcc: stays\r\n", "bcc :x\r\nresent-BCC: y\r\n\r\n", "To: x\r\nno field\r\nBcc: goes\r\n\r\n",
		"Date: x\r\nMessage-Id: y\r\nBcc:\r\n", " starts folded\r\nBcc: x", "Bccc: x\r\nBc: y\r\n:z\r\n", "Bcc: x\r\n\r", strings.Repeat("x", 100) + "\r\nBcc: x\r\n\r\n", "To: x\r\nBcc",
		"Bcc" + strings.Repeat(" ", 100) + ": x\r\n y\r\nTo: z\r\n\r\n",
	} {
		f.Add(s, uint8(3))
	}
	date := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, in string, step uint8) {
		if bare(in) {
			t.Skip()
		}
		var b bytes.Buffer
		w := newHeaderFilter(&b, "<id@host>", date)
		for rest := []byte(in); len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			if used, err := w.Write(rest[:n]); used != n || err != nil {
				t.Fatal(used, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if want := filtered(in); b.String() != want {
			t.Errorf("%q in steps of %d\ngot  %q\nwant %q", in, int(step)+1, b.String(), want)
		}
	})
}

// filtered is the law, in the plainest words.
func filtered(in string) string {
	var out strings.Builder
	missing := map[string]string{"date": "Date: Mon, 02 Jan 2006 15:04:05 +0000\r\n", "message-id": "Message-ID: <id@host>\r\n"}
	drop := false
	lines := strings.SplitAfter(in, "\n")
	for i, line := range lines {
		name, _, found := strings.Cut(line, ":")
		folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		long := !folded && len(strings.TrimSuffix(name, "\n")) >= maxName
		switch {
		case line == "": // the end, after a whole line or nothing
		case folded:
		case long || found:
			name = strings.ToLower(strings.TrimRight(name[:min(len(name), maxName)], " \t"))
			drop = name == "bcc" || name == "resent-bcc"
			delete(missing, name)
		case line == "\n" || line == "\r\n":
			return out.String() + missing["date"] + missing["message-id"] + strings.Join(lines[i:], "")
		case strings.HasSuffix(line, "\n"): // no field, and not the end either
			drop = false
		default: // a start of a line that never went on
			return out.String() + line
		}
		if !drop {
			out.WriteString(line)
		}
	}
	if in == "" || strings.HasSuffix(in, "\n") {
		return out.String() + missing["date"] + missing["message-id"]
	}
	return out.String()
}

// FuzzCommands has strangers say anything: a message is stored only for those
// who were told so, and each line gets one reply at the most.
func FuzzCommands(f *testing.F) {
	f.Add(preamble + "DATA\r\n.\r\nQUIT\r\n")
	f.Add("EHLO x\r\nMAIL FROM:<\"a>\\\"b\"@c> SIZE=1 BODY=8BITMIME\r\nRCPT TO:<@x:anna@example.test> NOTIFY=NEVER\r\nBDAT 1 LAST\r\nx")
	f.Add("HELO\r\n\r\nAUTH PLAIN\r\nSTARTTLS\r\nVRFY\r\nHELP\r\n\x00\r\nMAIL FROM:<>\r\n")
	s, dir := quiet(MX)
	f.Fuzz(func(t *testing.T, in string) {
		dir.messages = nil
		out := play(s, in)
		if told := strings.Count(out, "stored as "); told != len(dir.messages) {
			t.Errorf("%d stored, %d told", len(dir.messages), told)
		}
		if dir.open != 0 {
			t.Errorf("%d transactions left open", dir.open)
		}
		for line := range strings.SplitAfterSeq(out, "\r\n") {
			if line != "" && (len(line) < 6 || strings.ContainsAny(line[:3], "\r\n") || bare(line)) {
				t.Errorf("a bad reply line: %q", line)
			}
		}
	})
}

// FuzzPath states that a path is the one that was said or none: whoever reads
// it by the rules of RFC 5321 sees the local part and the domain that go-smtp
// has taken the quotes from, and nothing that was quoted gets out.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a@b.test", "a b@c.test", `a"b@c.test`, `a\@c.test`, "a@b@c.test", "a>b@c.test", "@c.test", "a@", "a..b@c.test", "\"a@c.test", "ü@c.test", "a@[192.0.2.1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, r := path(in, true, badSender)
		if r != nil {
			return
		}
		local, domain, _ := strings.Cut(in, "@")
		if got, _ := strings.CutPrefix(string(p), p.Local()+"@"); got != domain {
			t.Errorf("%q: domain %q", in, got)
		}
		said := p.Local()
		if strings.HasPrefix(said, `"`) {
			said = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(said[1 : len(said)-1])
		}
		if said != local {
			t.Errorf("%q: local part %q", in, p.Local())
		}
	})
}
