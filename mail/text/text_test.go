package text

import (
	"bytes"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"homemail/mail/message"
)

func parse(b []byte) *message.Structure {
	p := message.NewParser()
	p.Write(b)
	return p.Structure()
}

// body is what Body finds, folded, with a line for each text.
func body(t testing.TB, msg string) string {
	t.Helper()
	b := []byte(strings.ReplaceAll(msg, "\n", "\r\n"))
	var out []string
	err := Body(parse(b), bytes.NewReader(b), 0, func(text []byte) error {
		out = append(out, strings.TrimSpace(string(Fold(nil, text))))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "|")
}

func TestBody(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	for _, tt := range []struct{ name, msg, want string }{
		{"plain", "Subject: x\n\nHello  World\n and MORE\n", "hello world and more"},
		{"quoted-printable", "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe aus M=\n=FCnchen=3D\n", "grüsse aus münchen="},
		{"base64", "Content-Type: text/plain; charset=windows-1251\nContent-Transfer-Encoding: base64\n\n" + b64([]byte("\xcf\xf0\xe8\xe2\xe5\xf2")), "привет"},
		{"iso-2022-jp", "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B2q5D\x1b(B", "会議"},
		{"iso-2022-jp without a word", "\n\x1b$B2q5D\x1b(B", "会議"},
		{"latin1 without a word", "\nGr\xfc\xdfe", "grüsse"},
		{"utf-8 with a wrong byte", "Content-Type: text/plain; charset=utf-8\n\n会議\xffのお", "会議\ufffdのお"},
		{"japanese lines", "Content-Type: text/plain; charset=utf-8\n\n会議の\nお知らせ\nRoom 5", "会議のお知らせ room 5"},
		{"half width", "Content-Type: text/plain; charset=utf-8\n\nｶﾞｲﾄﾞ ＡＢＣ", "ガイド abc"},
		{"combining", "Content-Type: text/plain; charset=utf-8\n\nCafe\u0301 so\u00adft", "café soft"},
		{"html", "Content-Type: text/html\n\n<html><head><title>t</title><style>p{}</style></head><p>One<b>tw</b>o</p>three&amp;four<script>alert('x')</script></html>", "onetwo three&four"},
		{"html meta", "Content-Type: text/html\n\n<meta charset=\"iso-8859-1\"><p>Gr\xfc\xdfe", "grüsse"},
		{"attachments", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\nContent-Type: application/pdf; name=\"Bill.PDF\"\n\nsecret\n--b--\n", "hi|bill.pdf"},
		{"message within", "Content-Type: message/rfc822\n\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\ninner\n", "subject: grüsse|inner"},
		{"report", "Content-Type: message/delivery-status\n\nStatus: 5.1.1\n", "status: 5.1.1"},
		{"multipart without parts", "Content-Type: multipart/mixed; boundary=b\n\nlost\n", "lost"},
	} {
		if got := body(t, tt.msg); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPreview(t *testing.T) {
	long := strings.Repeat("word ", 100)
	for _, tt := range []struct{ msg, want string }{
		{"\n  Hello\n\n> quoted\nWorld\n", "Hello World"},
		{"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nno\n--b\nContent-Type: text/html\n\n<style>x</style><p>Yes, <i>this</i></p>\n--b--\n", "Yes, this"},
		{"Content-Type: image/png\n\nx", ""},
		{"\n" + long, strings.TrimSpace(long[:previewLength])},
		{"Content-Type: text/html\n\n<style>" + strings.Repeat("p {}\n", 3000) + "</style>late", "late"},
	} {
		b := []byte(strings.ReplaceAll(tt.msg, "\n", "\r\n"))
		if got := Preview(parse(b), bytes.NewReader(b), 0); got != tt.want {
			t.Errorf("%.40q: got %q, want %q", tt.msg, got, tt.want)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		reply    bool
	}{
		{"Hello", "Hello", false}, {"Re: Hello", "Hello", true}, {"RE[2]: re:  Hello  (fwd)", "Hello", true},
		{"[list] Re: [list] Hello", "Hello", true}, {"[only]", "[only]", false}, {"[Fwd: [Fwd: x]]", "x", true},
		{"Aw: Grüße", "Grüße", true}, {"Re：会議", "会議", true}, {"re", "re", false}, {"", "", false}, {"[a] [b] c", "c", false},
	} {
		if got, reply := BaseSubject(tt.in); got != tt.want || reply != tt.reply {
			t.Errorf("%q: got %q, %v", tt.in, got, reply)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"=?ISO-8859-1?Q?=DCberpr=FCfung?= x": "Überprüfung x", "=?utf-8?B?5Lya?=\r\n =?utf-8?B?6K2w?=": "会議",
		"=?x-none?q?a=FC?=": "aü", "Gr\xfc\xdfe": "Grüße", "a\r\n b": "a b",
	} {
		if got := Words(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func hostile() []string {
	nest := strings.Repeat("<b>", 300_000)
	return []string{
		"Content-Type: text/html\r\n\r\n" + nest,
		"Content-Type: text/html\r\n\r\n" + strings.Repeat("<!--", 500_000),
		"Content-Type: text/html\r\n\r\n" + strings.Repeat("&", 2<<20),
		"Content-Type: text/html\r\n\r\n<" + strings.Repeat("a ", 1<<20),
		"Content-Type: text/html\r\n\r\n" + strings.Repeat("<script><style>", 100_000),
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("\ufdfa", 1<<20),
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("e\u0301\u0323", 1<<19),
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("\u0301", 1<<20),
		"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + strings.Repeat("\x1b$B\x1b(B", 300_000),
		"Content-Type: text/plain; charset=windows-1252\r\n\r\n" + strings.Repeat("\x80", 3<<20),
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("= ", 1<<20),
		"Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("=", 3<<20),
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: text/html; charset=shift_jis\r\n\r\n<p>\x83\x41\r\n", 900),
		"Subject: " + strings.Repeat("=?utf-8?q?a?= ", 10_000) + "\r\n\r\n",
		"Subject: " + strings.Repeat("[a]", 5_000) + "\r\n\r\n",
	}
}

// checkLaws extracts everything from a message: what comes is UTF-8, bounded,
// and folds to a bounded size.
func checkLaws(t testing.TB, b []byte) {
	st := parse(b)
	total := 0
	err := Body(st, bytes.NewReader(b), 0, func(text []byte) error {
		total += len(text)
		if folded := Fold(nil, text); !utf8.Valid(folded) || len(folded) > Max+64<<10 {
			t.Errorf("%d bytes fold to %d", len(text), len(folded))
		}
		return nil
	})
	if err != nil || total > Max {
		t.Errorf("%d bytes of text, %v", total, err)
	}
	if p := Preview(st, bytes.NewReader(b), 0); utf8.RuneCountInString(p) > previewLength || strings.ContainsAny(p, "\r\n\x00") {
		t.Errorf("preview %q", p)
	}
	Header(b, func(name, value string) error { BaseSubject(value); return nil })
}

// TestHostile bounds the memory that hostile messages cost, and prints the
// time.
func TestHostile(t *testing.T) {
	for i, msg := range hostile() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		checkLaws(t, []byte(msg))
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		if t.Logf("%d: %v, %d KiB allocated", i, time.Since(start), used>>10); used > 32<<20 {
			t.Errorf("%d: %d bytes were allocated", i, used)
		}
	}
}

func FuzzExtract(f *testing.F) {
	for _, msg := range hostile() {
		f.Add([]byte(msg[:min(len(msg), 300)]))
	}
	f.Add([]byte("Content-Type: text/html; charset=utf-16\r\n\r\n\x00<\x00p\x00>"))
	f.Fuzz(func(t *testing.T, b []byte) { checkLaws(t, b) })
}

// FuzzTransfer: decoding never makes more of it, and quoted-printable without
// an equals sign is left alone.
func FuzzTransfer(f *testing.F) {
	f.Add([]byte("a=3D=\r\n=zz=4"))
	f.Add([]byte("QUJD\r\nRA=="))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, enc := range []string{"base64", "quoted-printable", "7bit"} {
			if out := transfer(bytes.Clone(b), enc); len(out) > len(b) {
				t.Errorf("%s: %d bytes became %d", enc, len(b), len(out))
			}
		}
	})
}
