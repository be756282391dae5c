// Package mailtest has mail to try things out with.
package mailtest

import (
	"encoding/base64"
	"fmt"
	"mime"
	"strings"
	"time"

	"golang.org/x/text/encoding/japanese"
)

// A Sample is a message as it might have come in.
type Sample struct {
	Text string // with CRLF
	Date time.Time
	Seen bool
}

// Samples returns n messages to an address, oldest first: talk of a family and
// a small office, in several languages, charsets and shapes. The same n and now
// give the same messages.
func Samples(to string, n int, now time.Time) []Sample {
	list := make([]Sample, n)
	for i := range list {
		date := now.Add(-time.Duration(n-i) * 5 * time.Hour).Truncate(time.Second)
		write := shapes[i%len(shapes)]
		list[i] = Sample{Text: crlf(write(to, i, date)), Date: date, Seen: i < n*2/3}
	}
	return list
}

// shapes are the kinds of message, used in turn.
var shapes = []func(to string, i int, date time.Time) string{plain, html, japaneseMail, attachment, reply, newsletter, invitation, shiftJIS}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func head(to, from, subject string, i int, date time.Time, rest string) string {
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\nDate: %s\nMessage-ID: <sample-%d@example.net>\nMIME-Version: 1.0\n%s\n",
		from, to, subject, date.Format(time.RFC1123Z), i, rest)
}

func plain(to string, i int, date time.Time) string {
	return head(to, "Grandma <oma@example.net>", fmt.Sprintf("Dinner on Sunday (%d)", i), i, date,
		"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n") +
		"Dear all,\n\nshall we say half past twelve? I will make the dumplings.\nBring the children's boots, the garden is wet.\n\nLove – Großmutter\n"
}

func html(to string, i int, date time.Time) string {
	return head(to, "\"The Bakery\" <shop@example.org>", fmt.Sprintf("Your order no. %d", 1000+i), i, date,
		"Content-Type: multipart/alternative; boundary=\"alt\"\n") +
		"--alt\nContent-Type: text/plain; charset=us-ascii\n\nThank you for your order. It will be ready at eight.\n" +
		"--alt\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
		"<html><body><h1>Thank you=21</h1><p>Your order will be ready at <b>eight</b>.</p></body></html>\n--alt--\n"
}

// encoded writes text in a charset that is not UTF-8.
func encoded(text string, as interface{ String(string) (string, error) }) string {
	s, err := as.String(text)
	if err != nil {
		return text
	}
	return s
}

func japaneseMail(to string, i int, date time.Time) string {
	enc := japanese.ISO2022JP.NewEncoder()
	subject := mime.BEncoding.Encode("utf-8", fmt.Sprintf("お知らせ %d 号", i))
	return head(to, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte("田中花子"))+"?= <hanako@example.jp>", subject, i, date,
		"Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n") +
		encoded("いつもお世話になっております。\n来週の打ち合わせは火曜日の午後でお願いいたします。\n\n田中\n", enc)
}

func shiftJIS(to string, i int, date time.Time) string {
	enc := japanese.ShiftJIS.NewEncoder()
	return head(to, "<a..b.@docomo.ne.jp>", mime.BEncoding.Encode("utf-8", "写真ありがとう"), i, date,
		"Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit\n") +
		encoded("写真ありがとう!とてもかわいいですね。\n", enc)
}

func attachment(to string, i int, date time.Time) string {
	data := make([]byte, 3000+i%7*9000)
	for k := range data {
		data[k] = byte(k*k + i)
	}
	var lines strings.Builder
	for rest := base64.StdEncoding.EncodeToString(data); rest != ""; {
		k := min(76, len(rest))
		lines.WriteString(rest[:k] + "\n")
		rest = rest[k:]
	}
	return head(to, "Bert <bert@example.test>", "The scan you asked for", i, date, "Content-Type: multipart/mixed; boundary=\"mix\"\n") +
		"--mix\nContent-Type: text/plain; charset=us-ascii\n\nHere it is.\n" +
		"--mix\nContent-Type: application/pdf; name=\"scan.pdf\"\nContent-Disposition: attachment; filename*=utf-8''%E3%82%B9%E3%82%AD%E3%83%A3%E3%83%B3.pdf\nContent-Transfer-Encoding: base64\n\n" +
		lines.String() + "--mix--\n"
}

func reply(to string, i int, date time.Time) string {
	return head(to, "Grandma <oma@example.net>", fmt.Sprintf("Re: Dinner on Sunday (%d)", i-4), i, date,
		fmt.Sprintf("In-Reply-To: <sample-%d@example.net>\nReferences: <sample-%d@example.net>\nContent-Type: text/plain; charset=utf-8; format=flowed\n", i-4, i-4)) +
		"> shall we say half past twelve?\n\nOne o'clock is better, the train is late again.\n"
}

func newsletter(to string, i int, date time.Time) string {
	return head(to, "Allotment society <news@example.org>", "=?iso-8859-1?Q?Gr=FC=DFe_aus_dem_Garten?=", i, date,
		"List-Id: <news.example.org>\nPrecedence: list\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n") +
		"Sch=F6ne Gr=FC=DFe aus dem Garten. Die Ernte ist gut, die Schnecken sind es auch.\n"
}

func invitation(to string, i int, date time.Time) string {
	return head(to, "Office <office@example.org>", "Invitation: inventory", i, date, "Content-Type: multipart/mixed; boundary=\"out\"\n") +
		"--out\nContent-Type: text/plain; charset=utf-8\n\nPlease find the invitation attached.\n" +
		"--out\nContent-Type: message/rfc822\n\nFrom: chief@example.org\nTo: office@example.org\nSubject: Inventory\nDate: " + date.Format(time.RFC1123Z) +
		"\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\nBEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n--out--\n"
}
