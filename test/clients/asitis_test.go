package clients

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// A specimen is a message as the world sends them.
type specimen struct {
	name string
	from string
	text string
	may  string // the reply that may refuse it; empty if it has to be taken
	junk bool   // nobody can tell who wrote it
}

// in writes text in another charset.
func in(e encoding.Encoding, text string) string {
	s, err := e.NewEncoder().String(text)
	if err != nil {
		panic(err)
	}
	return s
}

func word(charset string, e encoding.Encoding, text string) string {
	return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString([]byte(in(e, text))) + "?="
}

const (
	tale = "寿限無、寿限無、五劫の擦り切れ、海砂利水魚の、水行末・雲来末・風来末。\r\nソ表能予\r\n" // the second bytes are \ in Shift_JIS
	odd  = "①㈱髙橋様、〜～―‖−－¢￠£￡🍣\r\n"                           // where charsets and their tables part
)

func specimens() []specimen {
	const to = "To: anna@example.test\r\n"
	mime := "Date: Tue, 03 Mar 2026 09:30:00 +0900\r\nMIME-Version: 1.0\r\n"
	list := []specimen{
		{name: "ISO-2022-JP", from: "hanako@example.jp", text: "From: " + word("ISO-2022-JP", japanese.ISO2022JP, "田中花子") + " <hanako@example.jp>\r\n" + to + mime +
			"Subject: " + word("ISO-2022-JP", japanese.ISO2022JP, "来週の打ち合わせについて") + "\r\n " + word("ISO-2022-JP", japanese.ISO2022JP, "（再送）") +
			"\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + in(japanese.ISO2022JP, tale)},
		{name: "ISO-2022-JP raw in the header", from: "hanako@example.jp", text: "From: hanako@example.jp\r\n" + to + "Subject: " + in(japanese.ISO2022JP, "生の件名") + "\r\n\r\n" + in(japanese.ISO2022JP, tale)},
		{name: "Shift_JIS", from: "taro@example.jp", text: "From: " + word("Shift_JIS", japanese.ShiftJIS, "太郎") + " <taro@example.jp>\r\n" + to + mime + "Subject: " + in(japanese.ShiftJIS, "ソ表能の件名") +
			"\r\nContent-Type: text/plain; charset=Shift_JIS; name=" + in(japanese.ShiftJIS, "表.txt") + "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + in(japanese.ShiftJIS, tale)},
		{name: "EUC-JP", from: "taro@example.jp", text: "From: taro@example.jp\r\n" + to + mime + "Subject: " + in(japanese.EUCJP, "件名") + "\r\nContent-Type: text/plain; charset=EUC-JP\r\n\r\n" + in(japanese.EUCJP, tale)},
		{name: "UTF-8", from: "ume@example.jp", text: "From: =?UTF-8?Q?=E6=A2=85?= <ume@example.jp>\r\n" + to + mime + "Subject: =?UTF-8?B?5qKF44Gu6Iqx8J+MuA==?=\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + tale + odd},
		{name: "UTF-8 in the header", from: "ume@example.jp", text: "From: 梅 <ume@example.jp>\r\n" + to + "Subject: 梅の花🌸\r\n\r\n" + tale + odd},
		{name: "docomo", from: "a..b.@docomo.ne.jp", text: "From: <a..b.@docomo.ne.jp>\r\n" + to + "Cc: .x.@ezweb.ne.jp, \"y..z.\"@docomo.ne.jp\r\nReply-To: a..b.@docomo.ne.jp\r\n" + mime + "Subject: " + word("Shift_JIS", japanese.ShiftJIS, "写メ") + "\r\n\r\nhi\r\n"},
		{name: "8 bit everywhere", from: "x@example.net", text: "From: J\xf6rg M\xfcller <x@example.net>\r\n" + to + "Subject: Gr\xfc\xdfe \xff\xfe\x80\r\nX-\xe4: \xe4\r\nDate: Di, 3 M\xe4r 2026 09:30\r\nContent-Type: text/plain; name=\"\xfc.txt\"\r\n\r\n\x80\x81\xfe\xff\x00\x01\x1b\r\n"},
		{name: "no body", from: "x@example.net", text: "From: x@example.net\r\n" + to + "Subject: nothing else\r\n"},
		{name: "an empty body", from: "x@example.net", text: "Subject: nothing else\r\n\r\n"},
		{name: "no header", from: "x@example.net", text: "\r\nThere is no header.\r\n"},
		{name: "nothing", from: "", text: ""},
		{name: "no header and no blank line", from: "x@example.net", text: "hello there\r\nthis is text: or not\r\n"},
		{name: "dots", from: "x@example.net", text: "Subject: dots\r\n\r\n.\r\n..\r\n...x\r\n.x\r\n\r\n.\r\n"},
		{name: "From_", from: "x@example.net", text: "From x@example.net Tue Mar  3 09:30:00 2026\r\nSubject: mbox\r\n\r\nFrom here\r\n>From there\r\n"},
		{name: "odd white space", from: "x@example.net", text: "Subject : a space before the colon\r\nFrom:\tx@example.net\t\r\n \r\n\t\r\nTo:\r\n anna@example.test\r\nX-Empty:\r\n\r\nend without spaces  \t\r\n \r\n"},
		{name: "long lines", from: "x@example.net", text: "Subject: " + strings.Repeat("long ", 400) + "\r\n\r\n" + strings.Repeat("x", 60_000) + "\r\n"},
		{name: "a line of 80,000", from: "x@example.net", text: "Subject: too long\r\n\r\n" + strings.Repeat("x", 80_000) + "\r\n", may: "554 5.6.0"},
		{name: "10,000 attachments", from: "x@example.net", text: attachments(10_000)},
		{name: "parts in parts, 30", from: "x@example.net", text: nested(30)},
		{name: "parts in parts, 5,000", from: "x@example.net", text: nested(5000)},
		{name: "messages in messages", from: "x@example.net", text: strings.Repeat("Subject: within\r\nContent-Type: message/rfc822\r\n\r\n", 3000) + "end\r\n"},
		{name: "a multipart without parts", from: "x@example.net", text: "Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n"},
		{name: "a multipart without boundary", from: "x@example.net", text: "Content-Type: multipart/mixed\r\n\r\n--\r\n\r\n--\r\n"},
		{name: "a multipart that does not end", from: "x@example.net", text: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"},
		{name: "quotes that do not end", junk: true, from: "x@example.net", text: "Content-Type: text/plain; name=\"x\r\nContent-Disposition: attachment; filename*0*=utf-8''%e6%97; filename*1=\"\\\r\nFrom: \"x <x@example.net\r\nTo: (((((\r\nSubject: =?utf-8?B?=?=\r\n\r\nx\r\n"},
		{name: "100,000 recipients in To", from: "x@example.net", text: "To: " + strings.Repeat("a@example.net,\r\n ", 100_000) + "b@example.net\r\nSubject: many\r\n\r\nx\r\n", may: "55"},
		{name: "a header of 200 KB", from: "x@example.net", text: strings.Repeat("X-Padding: "+strings.Repeat("y", 387)+"\r\n", 500) + "Subject: at last\r\n\r\nx\r\n"},
		{name: "a header of 1 MB", from: "x@example.net", text: strings.Repeat("X-Padding: "+strings.Repeat("y", 1187)+"\r\n", 850) + "Subject: at last\r\n\r\nx\r\n", may: "55"},
		{name: "a header of 10 MB in lines", from: "x@example.net", text: strings.Repeat("X-Padding: "+strings.Repeat("y", 87)+"\r\n", 100_000) + "Subject: at last\r\n\r\nx\r\n", may: "55"},
		{name: "a header of 10 MB in one field", from: "x@example.net", text: "Subject: x" + strings.Repeat("\r\n "+strings.Repeat("y", 97), 100_000) + "\r\n\r\nx\r\n", may: "55"},
		{name: "a header of 10 MB in one line", from: "x@example.net", text: "Subject: " + strings.Repeat("y", 10_000_000) + "\r\n\r\nx\r\n", may: "55"},
		{name: "a body of 12 MB", from: "x@example.net", text: "Subject: big\r\n\r\n" + strings.Repeat(strings.Repeat("z", 76)+"\r\n", 154_000)},
	}
	for i, date := range []string{"Thu, 01 Jan 1970 00:00:00 +0000", "Mon, 31 Dec 9999 23:59:59 -1200", "Fri, 32 Foo 2026 25:61:61 +9999", "Tue, 19 Jan 2038 03:14:08 GMT",
		"1 Jan 00 00:00 UT", "Sat, 30 Feb 20260 10:00:00 +0900", "Wed, 01 Jan -001 00:00:00 +0000", strings.Repeat("9", 500), "令和8年3月3日", ""} {
		list = append(list, specimen{name: fmt.Sprint("date ", i), from: "x@example.net", text: "Date: " + date + "\r\nSubject: date\r\n\r\nx\r\n"})
	}
	return list
}

func attachments(n int) string {
	var b strings.Builder
	b.WriteString("Subject: many\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--=_b\r\nContent-Type: application/octet-stream; name=\"%d.bin\"\r\nContent-Disposition: attachment; filename=\"%[1]d.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n", i)
	}
	return b.String() + "--=_b--\r\n"
}

func nested(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%[1]d\r\n", i)
	}
	b.WriteString("Content-Type: text/plain\r\n\r\nthe bottom\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--b%d--\r\n", n-1-i)
	}
	return b.String()
}

// What an answer about a message may cost, however hostile the message. The
// machine may be busy with other tests.
const (
	answerTime  = 10 * time.Second
	answerBytes = 1 << 20
)

// TestMailAsItIs sends each specimen to port 25 and reads it back by IMAP and
// by POP3; then it asks what mail programs ask of it.
func TestMailAsItIs(t *testing.T) {
	s := start(t, 0)
	me := s.anna()
	traffic := &countingConn{Conn: s.dial(s.IMAPS)}
	c := imapclient.New(traffic, nil)
	must(t, c.Login(me.Address, me.Password).Wait())
	taken := 0
	for _, sp := range specimens() {
		begin := time.Now()
		reply := s.mx().try(sp.from, sp.text, me.Address)
		if !strings.HasPrefix(reply, "250") {
			if sp.may == "" || !strings.HasPrefix(reply, sp.may) {
				t.Errorf("%s: %s", sp.name, reply)
			}
			t.Logf("%s: refused: %s", sp.name, reply)
			continue
		}
		if sp.junk {
			s.readBack(c, traffic, "Junk", 1, sp)
			continue
		}
		taken++
		s.readBack(c, traffic, "INBOX", taken, sp)
		if d := time.Since(begin); d > 5*time.Second {
			t.Logf("%s took %v", sp.name, d)
		}
	}
	// What lists of messages are made from, of all at once.
	data, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	if int(data.NumMessages) != taken {
		t.Errorf("%d messages of %d are there", data.NumMessages, taken)
	}
	begin := time.Now()
	list, err := c.Fetch(imap.SeqSet{{Start: 1}}, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true, Envelope: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{{Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject", "From", "Date", "References"}},
			{Peek: true, Specifier: imap.PartSpecifierText, Partial: &imap.SectionPartial{Size: 512}}}}).Collect()
	if err != nil || len(list) != taken {
		t.Errorf("all at once: %d messages, %v", len(list), err)
	}
	header := func(key, value string) imap.SearchCriteria {
		return imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: key, Value: value}}}
	}
	for _, tt := range []struct {
		criteria imap.SearchCriteria
		least    int
	}{
		{imap.SearchCriteria{Body: []string{"寿限無"}}, 5}, // in whatever charset, if that is told
		{imap.SearchCriteria{Text: []string{"ソ表能予"}}, 5},
		{header("From", "田中花子"), 1},
		{header("From", "a..b.@docomo.ne.jp"), 1},
		{header("Subject", "来週の打ち合わせについて（再送）"), 1},
		{header("Subject", "梅の花🌸"), 2},
		{imap.SearchCriteria{Larger: 10 << 20}, 1},
		{imap.SearchCriteria{SentSince: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, 1},
		{imap.SearchCriteria{SentBefore: time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)}, 1},
	} {
		found, err := c.UIDSearch(&tt.criteria, nil).Wait()
		if err != nil || len(found.AllUIDs()) < tt.least {
			t.Errorf("SEARCH %+v: %v, %v", tt.criteria, found, err)
		}
	}
	if d := time.Since(begin); d > 2*answerTime {
		t.Errorf("listing and searching all took %v", d)
	}
	must(t, c.Logout().Wait())
}

// readBack reads a message, the n-th of a mailbox, by both protocols; POP3 has
// INBOX only.
func (s *server) readBack(c *imapclient.Client, traffic *countingConn, mailbox string, n int, sp specimen) {
	s.t.Helper()
	_, err := c.Select(mailbox, nil).Wait()
	must(s.t, err)
	fetch := func(what string, o *imap.FetchOptions) *imapclient.FetchMessageBuffer {
		begin, before := time.Now(), traffic.read.Load()
		list, err := c.Fetch(imap.SeqSetNum(uint32(n)), o).Collect()
		if err != nil || len(list) != 1 {
			s.t.Fatalf("%s: %s: %d messages, %v", sp.name, what, len(list), err)
		}
		if d := time.Since(begin); d > answerTime {
			s.t.Errorf("%s: %s took %v", sp.name, what, d)
		}
		if got := traffic.read.Load() - before; what != "BODY[]" && got > answerBytes {
			s.t.Errorf("%s: %s is %d bytes", sp.name, what, got)
		}
		return list[0]
	}
	m := fetch("BODY[]", &imap.FetchOptions{RFC822Size: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	whole := string(m.BodySection[0].Bytes)
	if err := same(whole, sp.text); err != nil {
		s.t.Errorf("%s: IMAP: %v", sp.name, err)
	}
	if int(m.RFC822Size) != len(whole) {
		s.t.Errorf("%s: RFC822.SIZE is %d, the message %d", sp.name, m.RFC822Size, len(whole))
	}
	if mailbox == "INBOX" {
		p := s.pop3(s.anna())
		if got := p.retrieve(n); got != whole {
			s.t.Errorf("%s: POP3 has %d bytes, IMAP %d, or they differ:\n%q", sp.name, len(got), len(whole), shorten(got))
		}
		p.pop("QUIT")
	}
	e := fetch("ENVELOPE", &imap.FetchOptions{Envelope: true, InternalDate: true}).Envelope
	if strings.Contains(sp.text, " <"+sp.from+">\r\n") && (len(e.From) != 1 || e.From[0].Addr() != sp.from) {
		s.t.Errorf("%s: the author is %+v", sp.name, e.From)
	}
	b := fetch("BODYSTRUCTURE", &imap.FetchOptions{BodyStructure: &imap.FetchItemBodyStructure{Extended: true}})
	if b.BodyStructure == nil {
		s.t.Errorf("%s: there is no BODYSTRUCTURE", sp.name)
	}
	fetch("BODY[1]", &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{
		{Peek: true, Part: []int{1}, Partial: &imap.SectionPartial{Size: 1000}},
		{Peek: true, Part: []int{1, 1, 1}, Specifier: imap.PartSpecifierMIME, Partial: &imap.SectionPartial{Size: 1000}},
		{Peek: true, Part: []int{9999}, Partial: &imap.SectionPartial{Size: 1000}},
		{Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Partial: &imap.SectionPartial{Size: 1000}},
	}})
}

// A countingConn counts what it reads.
type countingConn struct {
	net.Conn
	read atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestChunks: what comes by BDAT is kept to the byte too, also when its last
// line has no end. POP3 has to end it, as its messages are lines.
func TestChunks(t *testing.T) {
	s := start(t, 0)
	me := s.anna()
	text := "Subject: chunks\r\n\r\n.\r\n\xff\xfe no end"
	w := s.mx()
	w.want("250", "MAIL FROM:<x@example.net> BODY=8BITMIME")
	w.want("250", "RCPT TO:<"+me.Address+">")
	for i := range text {
		last := ""
		if i == len(text)-1 {
			last = " LAST"
		}
		fmt.Fprintf(w.c, "BDAT 1%s\r\n%s", last, text[i:i+1])
	}
	for range text {
		if r := w.reply(); !strings.HasPrefix(r, "250") {
			t.Fatal(r)
		}
	}
	list := s.mailbox(me, "INBOX")
	if len(list) != 1 {
		t.Fatalf("%d messages", len(list))
	}
	if err := same(list[0], text); err != nil {
		t.Error(err)
	}
	if got := s.pop3(me).retrieve(1); !bytes.Equal([]byte(got), []byte(list[0]+"\r\n")) {
		t.Errorf("POP3: %q", got)
	}
}
