package message

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func parse(b []byte) *Structure {
	p := NewParser()
	p.Write(b)
	return p.Structure()
}

// parseCut writes b in pieces of n bytes.
func parseCut(b []byte, n int) *Structure {
	p := NewParser()
	for len(b) > 0 {
		k := min(n, len(b))
		p.Write(b[:k])
		b = b[k:]
	}
	return p.Structure()
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// TestGolden reads testdata/*.eml, as they are and with LF for CRLF.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.eml")
	if len(files) < 10 {
		t.Fatalf("%d golden messages", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := parse(b)
			checkLaws(t, b, s)
			got := dump(b, s)
			golden := strings.TrimSuffix(file, ".eml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("%v\n--- got\n%s--- want\n%s", err, got, want)
			}
			lf := bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
			if got := dump(lf, parse(lf)); bytes.Contains(b, []byte("\r\n")) && got != string(want) {
				t.Errorf("with LF\n--- got\n%s--- want\n%s", got, want)
			}
			if n := len(s.AppendBinary(nil)); len(b) < 5000 && n > 600 {
				t.Errorf("record of %d bytes for a message of %d", n, len(b))
			}
		})
	}
}

// TestRecordKept holds AppendBinary to what it wrote when the first messages
// were kept: records are never rewritten. The file is not to be changed; a new
// version brings a new file.
func TestRecordKept(t *testing.T) {
	b, err := os.ReadFile("testdata/07-mixed.eml")
	if err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile("testdata/07-mixed.record1")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Decode(record); err != nil || !reflect.DeepEqual(s, parse(b)) {
		t.Errorf("%v: got %+v", err, s)
	}
}

// dump shows a Structure with the bodies of leaves, not their offsets: these
// differ with line endings.
func dump(b []byte, s *Structure) string {
	var w strings.Builder
	fmt.Fprintf(&w, "received %d from %d junk %v eightbit %v bad %q delivered %q\n", s.Received, s.HasFrom, s.Junk, s.EightBit, s.HeaderBad, s.Delivered)
	dumpEnvelope(&w, "", &s.Envelope)
	dumpPart(&w, b, "", &s.Root)
	return w.String()
}

func dumpEnvelope(w io.Writer, indent string, e *Envelope) {
	fmt.Fprintf(w, "%sdate %q %s\n%ssubject %q\n%sid %q in reply to %q references %q\n", indent, e.Date, e.Time.Format("2006-01-02T15:04:05-07:00"),
		indent, e.Subject, indent, e.MessageID, e.InReplyTo, e.References)
	for i, l := range e.lists() {
		if name := []string{"from", "sender", "reply-to", "to", "cc", "bcc"}[i]; len(*l.list) > 0 {
			fmt.Fprintf(w, "%s%s %q\n", indent, name, *l.list)
		}
	}
}

func dumpPart(w io.Writer, b []byte, indent string, p *Part) {
	fmt.Fprintf(w, "%s%s/%s %q %s lines %d", indent, p.Type, p.Subtype, p.Params, p.Encoding, p.Lines)
	for _, s := range [...]struct{ k, v string }{{"id", p.ID}, {"description", p.Description}, {"md5", p.MD5}, {"location", p.Location}, {"disposition", p.Disposition}} {
		if s.v != "" {
			fmt.Fprintf(w, " %s %q", s.k, s.v)
		}
	}
	if len(p.DispParams)+len(p.Language) > 0 {
		fmt.Fprintf(w, " %q %q", p.DispParams, p.Language)
	}
	if len(p.Children) == 0 {
		body := bytes.ReplaceAll(b[p.BodyAt:p.End], []byte("\r\n"), []byte("\n"))
		fmt.Fprintf(w, " body %.60q", body)
	}
	fmt.Fprintln(w)
	if p.Envelope != nil {
		dumpEnvelope(w, indent+"  ", p.Envelope)
	}
	for i := range p.Children {
		dumpPart(w, b, indent+"  ", &p.Children[i])
	}
}

// checkLaws checks what is true of every message.
func checkLaws(t *testing.T, b []byte, s *Structure) {
	t.Helper()
	if s.Root.HeaderAt != 0 || s.Root.End != int64(len(b)) {
		t.Errorf("root from %d to %d of %d bytes", s.Root.HeaderAt, s.Root.End, len(b))
	}
	var c counter
	c.part(t, b, &s.Root, 1)
	c.envelope(&s.Envelope)
	if c.parts > maxParts || c.addresses > maxAddresses || c.text > maxText || len(s.Delivered) > maxDelivered {
		t.Errorf("over a limit: %+v", c)
	}
	record := s.AppendBinary(nil)
	if len(record) > MaxEncoded {
		t.Errorf("record of %d bytes", len(record))
	}
	back, err := Decode(record)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	whole := encoder{cut: cuts[0]}
	whole.structure(s)
	if len(whole.b) <= MaxEncoded && !reflect.DeepEqual(s, back) {
		t.Errorf("came back from its record as\n%+v\nwas\n%+v", back, s)
	}
}

type counter struct{ parts, addresses, text int }

func (c *counter) envelope(e *Envelope) {
	c.text += len(e.Date) + len(e.Subject) + len(e.InReplyTo) + len(e.MessageID)
	for _, l := range e.lists() {
		if l.bit == hasSender || l.bit == hasReplyTo {
			if len(*l.list) > 0 && len(e.From) > 0 && &(*l.list)[0] == &e.From[0] {
				continue // the same memory
			}
		}
		c.addresses += len(*l.list)
	}
}

func (c *counter) part(t *testing.T, b []byte, p *Part, depth int) {
	c.parts++
	c.text += len(p.ID) + len(p.Description)
	if p.HeaderAt > p.BodyAt || p.BodyAt > p.End || p.End > int64(len(b)) || depth > maxDepth {
		t.Errorf("part at %d %d %d, depth %d", p.HeaderAt, p.BodyAt, p.End, depth)
		return
	}
	if n := bytes.Count(b[p.BodyAt:p.End], []byte("\n")); int64(n) != p.Lines {
		t.Errorf("%d lines, want %d", p.Lines, n)
	}
	if len(p.Params)+len(p.DispParams) > maxParams || p.Type == "" || p.Subtype == "" || p.Encoding == "" {
		t.Errorf("part %s/%s %s with %d params", p.Type, p.Subtype, p.Encoding, len(p.Params))
	}
	if len(p.Children) > 0 && !p.IsMultipart() && !p.IsMessage() {
		t.Errorf("%s/%s has %d children", p.Type, p.Subtype, len(p.Children))
	}
	if p.Envelope != nil {
		c.envelope(p.Envelope)
	}
	at := p.BodyAt
	for i := range p.Children {
		k := &p.Children[i]
		if k.HeaderAt < at || k.End > p.End {
			t.Errorf("child %d at %d..%d outside %d..%d", i, k.HeaderAt, k.End, at, p.End)
		}
		at = k.End
		c.part(t, b, k, depth+1)
	}
}

func TestEverySplit(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.eml")
	inputs := make([][]byte, 0, len(files)+len(seeds))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, b)
	}
	for _, s := range seeds {
		inputs = append(inputs, []byte(s), crlf(s))
	}
	for _, b := range inputs {
		whole := parse(b)
		checkLaws(t, b, whole)
		for _, n := range []int{1, 2, 3, 7, 61, 1024} {
			if cut := parseCut(b, n); !reflect.DeepEqual(cut, whole) {
				t.Errorf("%.200q\nin pieces of %d: %+v\nwhole: %+v", b, n, cut, whole)
			}
		}
	}
	for _, s := range seeds { // every single cut of small messages
		b := crlf(s)
		whole := parse(b)
		for i := range min(len(b), 600) {
			p := NewParser()
			p.Write(b[:i])
			p.Write(b[i:])
			if cut := p.Structure(); !reflect.DeepEqual(cut, whole) {
				t.Fatalf("%q cut at %d: %+v\nwhole: %+v", b, i, cut, whole)
			}
		}
	}
}

// seeds are small messages that once were, or might be, trouble.
var seeds = []string{
	"", "\n", "\r", "a", "a\n\nb", "Subject: x", "Subject: x\n", "Subject: x\n\n", "no header here\nat all: x\n\n", " folded first\nSubject: x\n\n",
	"From a@b Mon Jan 1\nSubject: mbox\n\nbody", "Subject : x\nbroken line\nTo: a@b\n\nbody",
	"Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\nnothing here\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b--",
	"Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b \t\n\ntwo\n--b--\npost\n--b\nno part\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b\nno header\n--b",
	"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\nx\n--ab\n--a\n\ny\n--a--\n",
	"Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--ab\n\ny\n--ab--\n",
	"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=\"a--\"\n\n--a--\n\nx\n--a----\n--a--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nFrom: a@b\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n--b--\n",
	"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nx\n--b\nnot a header\n--b--\n",
	"Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nno header",
	"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKeA==\n",
	"Content-Type: message/rfc822", "Content-Type: message/rfc822\n\n",
	"Content-Disposition: attachment; filename*0=x.e; filename*1=xe\n\n",
	"From: \"a\" <a..b.@docomo.ne.jp>, (c) d@e (Name), g: h@i, j@k;, <@r1,@r2:l@m>, n\nSender:\n\n",
	"Date: Thu, 1 Jan 1970 00:00:00 +0930\nX: \x00\xff\n\n\xff",
	"To: (((((\nCc: \"\"\"\"\"\nBcc: <<<<<a@b\nFrom: \x1b$B$3\x1b(B <a@b>\n\n",
	"Content-Type: text/plain; charset*=utf-8''a%zz; name=\x1b$B;\x1b(B;\n\n",
	"--b\n\n--b--\n", "\n--", "A:\r\n\r\r\n\r\n",
}

func FuzzParser(f *testing.F) {
	for _, s := range seeds {
		f.Add(crlf(s), uint8(3))
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		whole := parse(b)
		checkLaws(t, b, whole)
		if cut := parseCut(b, int(n)+1); !reflect.DeepEqual(cut, whole) {
			t.Errorf("in pieces of %d: %+v\nwhole: %+v", int(n)+1, cut, whole)
		}
	})
}

// TestDifferential compares with mime/multipart and net/mail on well-formed
// messages.
func TestDifferential(t *testing.T) {
	for depth := range 6 {
		for width := 1; width < 4; width++ {
			b := wellFormed(depth, width)
			msg, err := mail.ReadMessage(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, b, &parse(b).Root, msg.Header.Get("Content-Type"), msg.Body)
		}
	}
}

func compare(t *testing.T, b []byte, p *Part, contentType string, body io.Reader) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if kind != p.Type+"/"+p.Subtype || len(params) != len(p.Params) {
		t.Errorf("type %s/%s %q, want %s", p.Type, p.Subtype, p.Params, contentType)
	}
	if p.Type != "multipart" {
		want, _ := io.ReadAll(body)
		if got := b[p.BodyAt:p.End]; !bytes.Equal(got, want) {
			t.Errorf("body %q, want %q", got, want)
		}
		return
	}
	r := multipart.NewReader(body, params["boundary"])
	for i := range p.Children {
		part, err := r.NextRawPart()
		if err != nil {
			t.Fatalf("child %d of %d: %v", i, len(p.Children), err)
		}
		compare(t, b, &p.Children[i], part.Header.Get("Content-Type"), part)
	}
	if _, err := r.NextRawPart(); err != io.EOF {
		t.Errorf("after %d children: %v, want EOF", len(p.Children), err)
	}
}

// wellFormed writes a message with the multiparts of mime/multipart.
func wellFormed(depth, width int) []byte {
	var w bytes.Buffer
	w.WriteString("From: a@example.test\r\n")
	body, kind := wellFormedPart(depth, width)
	fmt.Fprintf(&w, "Content-Type: %s\r\n\r\n%s", kind, body)
	return w.Bytes()
}

func wellFormedPart(depth, width int) (body []byte, contentType string) {
	if depth == 0 {
		return []byte(strings.Repeat("--line\r\n", width)), `text/plain; charset="utf-8"`
	}
	var w bytes.Buffer
	m := multipart.NewWriter(&w)
	for i := range width {
		body, kind := wellFormedPart(min(depth-1, i), width)
		pw, _ := m.CreatePart(map[string][]string{"Content-Type": {kind}, "Content-Id": {"<x>"}})
		pw.Write(body)
	}
	m.Close()
	return w.Bytes(), "multipart/mixed; boundary=" + m.Boundary()
}
