package vacation

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"homemail/mail"
	"homemail/mail/message"
)

const (
	lineMost       = 76      // octets, RFC 2045 §6.7 and §6.8
	referencesMost = 20      // RFC 5322 §3.6.4 sets no bound; threads need the first and the last
	idMost         = 250     // octets of one
	rawSubjectMost = 4 << 10 // octets that are decoded
	plainMost      = 64      // octets of words that are not encoded: they fit a line with "Subject: "
	firstPart      = 39      // octets in an encoded word beside "Subject: ", RFC 2047 §2: 76 on a line
	otherPart      = 45
	encodeAt       = 6              // more than one octet in so many beyond ASCII is better in base64
	autoReplied    = "auto-replied" // RFC 3834 §5.1.2
)

// A letter is a reply that is to be written, RFC 3834 §3.1.
type letter struct {
	Reply
	name     string    // of the person
	address  mail.Path // of the person
	language string
	to       mail.Path
	answers  message.Envelope // of the message that is answered
	now      time.Time
}

// utf8 reports whether the letter needs SMTPUTF8.
func (l *letter) utf8() bool { return !isASCII(l.address.Wire()) || !isASCII(l.to.Wire()) }

// bytes writes the letter.
func (l *letter) bytes() []byte {
	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	field("Date", l.now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	field("From", l.author())
	field("To", "<"+l.to.Wire()+">")
	field("Subject", words(l.subject()))
	field("Message-ID", "<"+rand.Text()+"@"+l.address.Domain()+">")
	if id := messageID(l.answers.MessageID); id != "" {
		field("In-Reply-To", id)
		field("References", strings.Join(append(references(l.answers), id), "\r\n\t"))
	}
	field("Auto-Submitted", autoReplied)
	field("X-Auto-Response-Suppress", "All") // for Exchange, which does not know RFC 3834
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain; charset=utf-8")
	encode(&b, l.Text)
	return b.Bytes()
}

func (l *letter) author() string {
	address := "<" + l.address.Wire() + ">"
	name := strings.TrimSpace(clean(l.name, subjectMost))
	switch {
	case name == "":
		return address
	case isASCII(name):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" ` + address
	}
	return words(name) + "\r\n\t" + address
}

// subject is the person's, or the message's with a word before it, RFC 3834
// §3.1.5.
func (l *letter) subject() string {
	if l.Subject != "" {
		return l.Subject
	}
	auto, none := "Auto: ", "Out of office"
	if lang, _, _ := strings.Cut(l.language, "-"); lang == "ja" {
		auto, none = "自動返信: ", "不在のお知らせ"
	}
	s := strings.TrimSpace(clean(decode(l.answers.Subject), subjectMost))
	if s == "" {
		return none
	}
	return auto + s
}

// encode writes what is left of the header, and the body, so that every server
// can carry it as it is.
func encode(b *bytes.Buffer, text string) {
	text = strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"
	beyond, long := 0, false
	for line := range strings.SplitSeq(text, "\r\n") {
		long = long || len(line) > lineMost
		for i := range len(line) {
			if line[i] >= utf8.RuneSelf {
				beyond++
			}
		}
	}
	switch {
	case beyond == 0 && !long:
		b.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n" + text)
	case beyond*encodeAt > len(text):
		b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
		for s := base64.StdEncoding.EncodeToString([]byte(text)); s != ""; {
			n := min(lineMost, len(s))
			b.WriteString(s[:n] + "\r\n")
			s = s[n:]
		}
	default:
		b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		w := quotedprintable.NewWriter(b) // a buffer takes everything
		io.WriteString(w, text)
		w.Close()
	}
}

// words encodes words for a field, RFC 2047, each part on a line of its own.
// What looks as if it were encoded is, too.
func words(s string) string {
	if isASCII(s) && len(s) <= plainMost && !strings.Contains(s, "=?") {
		return s
	}
	var parts []string
	room := firstPart
	for s != "" {
		n := 0
		for i, r := range s {
			if i+utf8.RuneLen(r) > room {
				break
			}
			n = i + utf8.RuneLen(r)
		}
		parts = append(parts, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s, room = s[n:], otherPart
	}
	return strings.Join(parts, "\r\n\t")
}

// clean makes a stranger's text one line of at most n characters.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			return ' '
		case unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// decode decodes a Subject, RFC 2047; it is as it is if that cannot be done.
func decode(s string) string {
	s = s[:min(len(s), rawSubjectMost)]
	d := mime.WordDecoder{CharsetReader: func(charset string, in io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(in), nil
	}}
	if decoded, err := d.DecodeHeader(s); err == nil {
		s = decoded
	}
	return s
}

// references are those of the message that is answered, the first and the last
// if there are many, RFC 5322 §3.6.4.
func references(e message.Envelope) (list []string) {
	from := e.References
	if len(from) == 0 && strings.Count(e.InReplyTo, "<") == 1 {
		from = []string{e.InReplyTo}
	}
	for _, id := range from {
		if id = messageID(id); id != "" && id != messageID(e.MessageID) {
			list = append(list, id)
		}
	}
	if n := len(list); n > referencesMost {
		list = append(list[:1:1], list[n-referencesMost+1:]...)
	}
	return list
}

// messageID is a message id that is fit for a header, "" if it is none.
func messageID(id string) string {
	id = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(id), "<"), ">")
	if id == "" || len(id) > idMost || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) {
		return ""
	}
	return "<" + id + ">"
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
