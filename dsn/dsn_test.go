package dsn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"homemail/mail"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	tokyo   = time.FixedZone("JST", 9*3600)
	arrived = time.Date(2026, 11, 17, 9, 5, 0, 0, tokyo)
	now     = time.Date(2026, 11, 22, 11, 5, 0, 0, tokyo)
)

const original = "Received: from phone\r\n\tby mail.home.test; Tue, 17 Nov 2026 09:05:00 +0900\r\n" +
	"From: Anna <anna@home.test>\r\nTo: hanako@example.test\r\nBcc: secret@example.test\r\n" +
	"Subject: =?utf-8?B?44GK5YWD5rCX44Gn44GZ44GL?=\r\nDate: Tue, 17 Nov 2026 09:05:00 +0900\r\nMessage-ID: <1@home.test>\r\n" +
	"\r\nHow are you?\r\n.\r\n--=_1\r\n"

func sample(k Kind) Report {
	reply := mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "<hanako@example.test>: Recipient address rejected:\nUser unknown in virtual mailbox table"}
	o := mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseReply, Reply: reply, Remote: "mx.example.test [192.0.2.1]:25", TLS: "TLS 1.3"}
	rc := Recipient{Path: "hanako@example.test", Original: "rfc822;Hanako+2Bx@example.test", Outcome: o, Tries: 1, LastTry: now}
	switch k {
	case Delay:
		rc.Outcome.Fate, rc.Outcome.Reply = mail.Temporary, mail.Reply{Code: 450, Enhanced: "4.2.0", Text: "Greylisted"}
		rc.WillRetryUntil = arrived.Add(5 * 24 * time.Hour)
	case Success:
		rc.Outcome = mail.Outcome{Fate: mail.Relayed, Remote: "mx.example.test [192.0.2.1]:25", Reply: mail.Reply{Code: 250, Enhanced: "2.6.0", Text: "queued"}}
	}
	return Report{
		Kind: k, Host: "mail.home.test", ID: "1a2b", Language: "en", To: "anna@home.test", EnvelopeID: "QQ+2B314159", Arrived: arrived, Now: now,
		Recipients: []Recipient{rc}, Subject: "お元気ですか", Header: []byte(original[:strings.Index(original, "\r\n\r\n")+2]),
		Message: strings.NewReader(original), Size: int64(len(original)),
	}
}

func written(t *testing.T, r Report) []byte {
	t.Helper()
	made, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := made.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatal(n, err)
	}
	return b.Bytes()
}

// A read is a report as an independent reader sees it.
type read struct {
	header netmail.Header
	parts  []readPart
}

type readPart struct {
	contentType string
	header      textproto.MIMEHeader
	body        string // decoded
}

func parse(raw []byte) (read, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return read{}, err
	}
	out := read{header: m.Header}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		return out, errors.Join(errors.New("no report: "+kind), err)
	}
	mr := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		var body io.Reader = p
		switch p.Header.Get("Content-Transfer-Encoding") {
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, p)
		case "quoted-printable":
			body = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return out, err
		}
		contentType, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		out.parts = append(out.parts, readPart{contentType, p.Header, string(b)})
	}
}

// law is what every report holds to, whatever it was made of.
func law(t *testing.T, r Report, raw []byte) read {
	t.Helper()
	rest := bytes.ReplaceAll(raw, []byte("\r\n"), nil)
	if bytes.ContainsAny(rest, "\r\n\x00") {
		t.Fatalf("a line does not end with CRLF, or a NUL:\n%q", raw)
	}
	ascii := isASCII(string(raw))
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) > maxLine {
			t.Fatalf("a line of %d octets", len(line))
		}
	}
	if !ascii && !r.UTF8() && !r.EightBit {
		t.Fatalf("not ASCII:\n%q", raw)
	}
	got, err := parse(raw)
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if len(got.parts) != 3 {
		t.Fatalf("%d parts:\n%s", len(got.parts), raw)
	}
	if ascii != (got.header.Get("Content-Transfer-Encoding") != "8bit") {
		t.Fatalf("8bit is not told:\n%s", raw)
	}
	for _, name := range []string{"From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type"} {
		if len(got.header[name]) != 1 {
			t.Fatalf("%s: %q", name, got.header[name])
		}
	}
	known := "From To Subject Date Message-Id Auto-Submitted In-Reply-To References Mime-Version Content-Type Content-Transfer-Encoding"
	for name := range got.header {
		if !strings.Contains(" "+known+" ", " "+name+" ") {
			t.Fatalf("a field %s got in", name)
		}
	}
	human, status, last := got.parts[0], got.parts[1], got.parts[2]
	if human.contentType != "text/plain" || !utf8.ValidString(human.body) || !strings.HasSuffix(status.contentType, "delivery-status") ||
		!strings.Contains(" message/rfc822 text/rfc822-headers message/global message/global-headers ", " "+last.contentType+" ") {
		t.Fatalf("types %s, %s, %s", human.contentType, status.contentType, last.contentType)
	}
	if n := strings.Count(status.body, "\r\nAction: "); n != len(r.Recipients) || strings.Count(status.body, "\r\nFinal-Recipient: ") != n || strings.Count(status.body, "\r\n\r\n") != n {
		t.Fatalf("%d recipients in\n%s", n, status.body)
	}
	lastHeader, _ := cutHeader([]byte(last.body))
	if h := strings.ToLower("\r\n" + string(lastHeader)); strings.Contains(h, "\nbcc:") || strings.Contains(h, "\nresent-bcc") {
		t.Fatalf("Bcc is told:\n%s", lastHeader)
	}
	return got
}

func TestGolden(t *testing.T) {
	ja := sample(Failure)
	ja.Language = "ja"
	several := sample(Failure)
	several.Recipients = append(several.Recipients, Recipient{
		Path: "b@" + "example.test", Tries: 36, LastTry: now,
		Outcome: mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseConnect},
	})
	several.Return = "HDRS"
	global := sample(Failure)
	global.Language, global.To = "ja", "アンナ@home.test"
	global.Recipients[0].Path, global.Recipients[0].Original = "花子@例え.test", "utf-8;花子@例え.test"
	global.Header = []byte("From: アンナ <アンナ@home.test>\r\nSubject: お元気ですか\r\nMessage-ID: <1@home.test>\r\n")
	global.Message = nil
	jaDelay, jaSuccess := sample(Delay), sample(Success)
	jaDelay.Language, jaSuccess.Language = "ja-JP", "ja"
	for name, r := range map[string]Report{
		"failure-en": sample(Failure), "failure-ja": ja, "several-en": several, "global-ja": global,
		"delay-en": sample(Delay), "delay-ja": jaDelay, "success-en": sample(Success), "success-ja": jaSuccess,
	} {
		raw := written(t, r)
		if name == "failure-en" || name == "failure-ja" {
			r.Message = nil
		}
		got := law(t, r, raw)
		// The file shows the text as it is read, then the raw message.
		shown := strings.ReplaceAll(got.parts[0].body, "\r\n", "\n") + "=====\n" + strings.ReplaceAll(string(raw), "\r\n", "\n")
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(shown), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if shown != string(want) {
			t.Errorf("%s (go test -update writes it anew):\n%s", name, shown)
		}
	}
}

func TestFields(t *testing.T) {
	got := law(t, sample(Failure), written(t, sample(Failure)))
	for name, want := range map[string]string{
		"From": "Mail Delivery System <mailer-daemon@mail.home.test>", "To": "<anna@home.test>", "Auto-Submitted": "auto-replied",
		"In-Reply-To": "<1@home.test>", "References": "<1@home.test>", "Message-Id": "<1a2b.failure.1795313100@mail.home.test>",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	blocks := strings.Split(got.parts[1].body, "\r\n\r\n")
	for i, want := range []string{
		"Original-Envelope-Id: QQ+314159\r\nReporting-MTA: dns; mail.home.test\r\nArrival-Date: Tue, 17 Nov 2026 09:05:00 +0900",
		"Original-Recipient: rfc822; Hanako+x@example.test\r\nFinal-Recipient: rfc822; hanako@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.test\r\n" +
			"Diagnostic-Code: smtp; 550 5.1.1 <hanako@example.test>: Recipient address\r\n rejected: User unknown in virtual mailbox table\r\nLast-Attempt-Date: Sun, 22 Nov 2026 11:05:00 +0900",
	} {
		if strings.TrimSuffix(blocks[i], "\r\n") != want {
			t.Errorf("got\n%s\nwant\n%s", blocks[i], want)
		}
	}
	if got.parts[2].contentType != "message/rfc822" || !strings.HasSuffix(got.parts[2].body, "\r\n\r\nHow are you?\r\n.\r\n--=_1\r\n") {
		t.Errorf("%s:\n%s", got.parts[2].contentType, got.parts[2].body)
	}
}

func TestActionAndStatus(t *testing.T) {
	reply := func(code int, enhanced string) mail.Reply {
		return mail.Reply{Code: code, Enhanced: enhanced, Text: "x"}
	}
	for _, tt := range []struct {
		kind         Kind
		rc           Recipient
		action, code string
	}{
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseReply, Reply: reply(550, "5.2.1")}}, "failed", "5.2.1"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseReply, Reply: mail.Reply{Code: 550, Text: "user unknown"}}}, "failed", "5.1.1"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseReply, Reply: reply(554, "5.x.\r\nX: y")}}, "failed", "5.0.0"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseNoDomain}}, "failed", "5.1.2"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseNoMail}}, "failed", "5.1.10"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseNeedsUTF8}}, "failed", "5.6.7"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseNeedsTLS}}, "failed", "5.7.30"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseExpired}}, "failed", "4.4.7"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseExpired, Reply: reply(451, "4.3.2")}}, "failed", "4.3.2"},
		{Failure, Recipient{Outcome: mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseConnect}}, "failed", "4.4.1"},
		{Delay, Recipient{Outcome: mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseTimeout}}, "delayed", "4.4.2"},
		{Delay, Recipient{Outcome: mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseReply, Reply: reply(550, "5.7.1")}}, "delayed", "4.7.1"},
		{Success, Recipient{Outcome: mail.Outcome{Fate: mail.Delivered}}, "delivered", "2.0.0"},
		{Success, Recipient{Outcome: mail.Outcome{Fate: mail.Relayed, Reply: reply(250, "2.6.0")}}, "relayed", "2.6.0"},
		{Success, Recipient{Outcome: mail.Outcome{Fate: mail.Delivered}, Expanded: true}, "expanded", "2.0.0"},
	} {
		r := sample(tt.kind)
		tt.rc.Path = "a@b.test"
		r.Recipients = []Recipient{tt.rc}
		status := law(t, r, written(t, r)).parts[1].body
		if !strings.Contains(status, "\r\nAction: "+tt.action+"\r\n") || !strings.Contains(status, "\r\nStatus: "+tt.code+"\r\n") {
			t.Errorf("%+v: want %s %s in\n%s", tt.rc, tt.action, tt.code, status)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		change func(r *Report)
		want   error
	}{
		{func(r *Report) { r.To = "" }, ErrNullSender},
		{func(r *Report) { r.To = "a@b.test>\r\nBcc: <c@d.test" }, ErrAddress},
		{func(r *Report) { r.To = "a b@c.test" }, ErrAddress},
		{func(r *Report) { r.Host = "" }, ErrHost},
		{func(r *Report) { r.Host = "a\r\nb" }, ErrHost},
	} {
		r := sample(Failure)
		tt.change(&r)
		if _, err := New(r); !errors.Is(err, tt.want) {
			t.Errorf("New: %v, want %v", err, tt.want)
		}
		var b bytes.Buffer
		if n, err := r.WriteTo(&b); !errors.Is(err, tt.want) || n != 0 || b.Len() != 0 {
			t.Errorf("WriteTo: %d, %v, want %v", n, err, tt.want)
		}
	}
}

// What is sent back is the whole message only if it can be carried.
func TestReturn(t *testing.T) {
	big := original + strings.Repeat("0123456789\r\n", maxReturn/12)
	for name, tt := range map[string]struct {
		change func(r *Report)
		want   string
	}{
		"failure":          {func(*Report) {}, "message/rfc822"},
		"FULL":             {func(r *Report) { r.Return = "FULL" }, "message/rfc822"},
		"HDRS":             {func(r *Report) { r.Return = "HDRS" }, "text/rfc822-headers"},
		"delay":            {func(r *Report) { r.Kind, r.Return = Delay, "FULL" }, "text/rfc822-headers"},
		"success":          {func(r *Report) { r.Kind, r.Return = Success, "FULL" }, "text/rfc822-headers"},
		"no message":       {func(r *Report) { r.Message = nil }, "text/rfc822-headers"},
		"big":              {func(r *Report) { r.Message, r.Size = strings.NewReader(big), int64(len(big)) }, "text/rfc822-headers"},
		"bigger than told": {func(r *Report) { r.Message = strings.NewReader(big) }, "text/rfc822-headers"},
		"cannot be read":   {func(r *Report) { r.Message = iotest.ErrReader(errors.New("damaged")) }, "text/rfc822-headers"},
		"8 bit":            {func(r *Report) { r.Message = strings.NewReader(original + "é\r\n") }, "text/rfc822-headers"},
		"8 bit taken":      {func(r *Report) { r.Message, r.EightBit = strings.NewReader(original+"é\r\n"), true }, "message/rfc822"},
		"latin 1 taken":    {func(r *Report) { r.Message, r.EightBit = strings.NewReader(original+"\xe9\r\n"), true }, "message/rfc822"},
		"bare LF":          {func(r *Report) { r.Message, r.EightBit = strings.NewReader(original+"a\nb\r\n"), true }, "text/rfc822-headers"},
		"bare CR":          {func(r *Report) { r.Message = strings.NewReader(original + "a\rb\r\n") }, "text/rfc822-headers"},
		"NUL":              {func(r *Report) { r.Message = strings.NewReader(original + "a\x00b\r\n") }, "text/rfc822-headers"},
		"long line":        {func(r *Report) { r.Message = strings.NewReader(original + strings.Repeat("a", 999)) }, "text/rfc822-headers"},
		"no blank line":    {func(r *Report) { r.Message = strings.NewReader("Subject: a\r\n") }, "message/rfc822"},
		"no header":        {func(r *Report) { r.Message = strings.NewReader("\r\nhello") }, "message/rfc822"},
		"empty":            {func(r *Report) { r.Message, r.Header = strings.NewReader(""), nil }, "message/rfc822"},
	} {
		r := sample(Failure)
		tt.change(&r)
		raw := written(t, r)
		got := law(t, r, raw).parts[2]
		if got.contentType != tt.want || len(raw) > maxReturn+16<<10 {
			t.Errorf("%s: %s of %d bytes, want %s", name, got.contentType, len(raw), tt.want)
		}
		if strings.Contains(string(raw), "secret@") {
			t.Errorf("%s: a hidden recipient is told", name)
		}
	}
}

func TestHostInOurLetters(t *testing.T) {
	r := sample(Failure)
	r.Host = "Mail.例え.test"
	got := law(t, r, written(t, r))
	if from := got.header.Get("From"); from != "Mail Delivery System <mailer-daemon@mail.xn--r8jz45g.test>" || !strings.Contains(got.parts[1].body, "Reporting-MTA: dns; mail.xn--r8jz45g.test\r\n") {
		t.Errorf("%s\n%s", from, got.parts[1].body)
	}
}

func TestManyRecipients(t *testing.T) {
	r := sample(Failure)
	for range 99 {
		r.Recipients = append(r.Recipients, r.Recipients[0])
	}
	got := law(t, r, written(t, r))
	if !strings.HasPrefix(got.parts[0].body, "Your message could not be delivered to 100 addresses.") || !strings.Contains(got.parts[0].body, "80 more") {
		t.Error(got.parts[0].body)
	}
}

// Fuzzing changes everything that comes from outside.
func FuzzReport(f *testing.F) {
	f.Add(uint8(0), "ja", "550 5.1.1 x", "5.1.1", "mx [192.0.2.1]:25", "a@b.test", "rfc822;a@b.test", "Subject", "ENVID", "Subject: x\r\n", "a\r\n")
	f.Add(uint8(1), "en", "a\r\n\r\n--=_1\r\nContent-Type: x", "5.1.1\r\nX: y", "mx\r\nBcc: a@b", "a\r\nBcc: c@d", "x\r\n;y\r\n", "s\r\nBcc: d", "e\r\n\r\nf", "A: b\r\n c\r\n \r\nBcc: x\r\n", "\r\n--=_1--\r\n")
	f.Add(uint8(2), "ja", "\u202e\x1b[31m", "4.2.2", "[\xff]", "花子@例え.テスト", "utf-8;花子@例え.テスト", "件名", "+0D+0A+00", "件名: \xff\r\nBcc : x\r\nX\n: y", "é")
	f.Add(uint8(8), "", strings.Repeat("a", 5000), "", "", "\"a\\\" b\"@[IPv6:::1]", ";", "", "", strings.Repeat("A: "+strings.Repeat("x", 2000)+"\r\n", 3), "a\nb")
	f.Fuzz(func(t *testing.T, kind uint8, lang, text, enhanced, remote, path, orcpt, subject, envid, header, body string) {
		r := Report{
			Kind: Kind(kind % 3), Host: "mail.home.test", ID: envid, Language: lang, To: "anna@home.test", EnvelopeID: envid, Arrived: arrived, Now: now,
			Subject: subject, Header: []byte(header), EightBit: kind&8 != 0,
			Recipients: []Recipient{
				{Path: mail.Path(path), Original: orcpt, LastTry: now, Tries: int(kind), Outcome: mail.Outcome{
					Fate: mail.Permanent, Cause: mail.CauseReply, Remote: remote, Reply: mail.Reply{Code: 400 + int(kind), Enhanced: enhanced, Text: text},
				}},
				{Path: "b@c.test", Outcome: mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseTimeout, Remote: remote}},
			},
		}
		if kind&4 != 0 {
			r.Message, r.Size = strings.NewReader(header+"\r\n"+body), int64(len(header)+2+len(body))
		}
		if p, err := mail.ParsePath(path); err == nil && kind&16 != 0 {
			r.To = p
		}
		law(t, r, written(t, r))
	})
}

// Whatever a stranger can make long costs little.
func TestHostileIsQuick(t *testing.T) {
	r := sample(Failure)
	r.Header = []byte(strings.Repeat("X-"+strings.Repeat("a", 60)+": "+strings.Repeat("é\t", 500)+"\r\n", 1000))
	r.Message, r.Size = strings.NewReader(strings.Repeat("=_18ea3bc0a21af800.0\r\n", 4000)), 88000
	r.Subject, r.EnvelopeID = strings.Repeat("\u202e\xff", 1<<20), strings.Repeat("+41", 1<<18)
	r.Recipients[0].Outcome.Reply.Text = strings.Repeat("a\n", 1<<20)
	r.Recipients[0].Original = strings.Repeat(";", 1<<20)
	for range 200 {
		r.Recipients = append(r.Recipients, Recipient{Path: mail.Path(strings.Repeat("@", 1<<10)), Outcome: r.Recipients[1%len(r.Recipients)].Outcome})
	}
	start := time.Now()
	raw := written(t, r)
	if took := time.Since(start); took > 10*time.Second || len(raw) > 2<<20 { // far less, but the machine may be busy
		t.Errorf("%d bytes in %v", len(raw), took)
	}
	t.Logf("%d bytes in %v", len(raw), time.Since(start))
	law(t, r, raw)
}
