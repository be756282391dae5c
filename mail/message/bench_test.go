package message

import (
	"bytes"
	"strings"
	"testing"
)

// small is a message of 4 KiB as people send them.
func small() []byte {
	h := "Return-Path: <ben@example.net>\r\n" +
		"Received: from mail-out.example.net (mail-out.example.net [192.0.2.25])\r\n\tby mx.example.test (Postfix) with ESMTPS id 4XyZ1234abc\r\n\tfor <anna@example.test>; Mon,  5 Jan 2026 10:00:02 +0900 (JST)\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=s1;\r\n\th=from:to:subject:date:message-id; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=" + strings.Repeat("dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSb", 8) + "\r\n" +
		"From: Ben Beispiel <ben@example.net>\r\nTo: Anna Beispiel <anna@example.test>\r\nCc: =?UTF-8?B?5bGx55Sw6Iqx5a2Q?= <hanako@example.jp>\r\n" +
		"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus_dem_Urlaub?=\r\nDate: Mon, 05 Jan 2026 10:00:00 +0900\r\n" +
		"Message-ID: <CAJ8zK1a2b3c4d5e6f7g8h9@mail.example.net>\r\nIn-Reply-To: <20260104120000.12345@example.test>\r\nReferences: <20260104120000.12345@example.test>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"000000000000a1b2c3061234abcd\"\r\n\r\n"
	part := "--000000000000a1b2c3061234abcd\r\nContent-Type: text/%s; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	text := strings.Repeat("The quick brown fox jumps over the lazy dog and then it goes home.\r\n", 17)
	return []byte(h + strings.Replace(part, "%s", "plain", 1) + text + "\r\n" + strings.Replace(part, "%s", "html", 1) + text + "\r\n--000000000000a1b2c3061234abcd--\r\n")
}

func BenchmarkSmall(b *testing.B) {
	m := small()
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		parse(m)
	}
}

func BenchmarkPlainBody(b *testing.B) {
	benchmarkBody(b, "Subject: x\r\n\r\n")
}

func BenchmarkAttachment(b *testing.B) {
	benchmarkBody(b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf\r\n\r\n")
}

// benchmarkBody writes 10 MiB in pieces of 32 KiB.
func benchmarkBody(b *testing.B, header string) {
	m := append([]byte(header), bytes.Repeat([]byte(strings.Repeat("QUJD", 19)+"\r\n"), 10<<20/78)...)
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		parseCut(m, 32<<10)
	}
}

func BenchmarkAppendBinary(b *testing.B) {
	s := parse(small())
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.AppendBinary(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes/record")
}

func BenchmarkDecode(b *testing.B) {
	record := parse(small()).AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		Decode(record)
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, m := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				parse(m)
			}
		})
	}
}
