package dsn

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode/utf8"

	"homemail/mail"
)

const (
	maxSaid     = 20  // lines of a reply that are shown
	maxSaidLine = 500 // bytes of each
	maxSubject  = 200 // bytes of the original's subject
)

// human is the part for people, RFC 3464 §1: first what happened, then why, then
// what to do, and only then the words of servers.
func (r *Report) human(whole bool) part {
	lang, kind := r.Language, r.Kind.String()
	t := &text{}
	told := r.Recipients[:min(len(r.Recipients), maxTold)]
	if len(r.Recipients) > 1 {
		t.paragraph(say(lang, "many."+kind, "n", len(r.Recipients)))
	}
	for _, rc := range told {
		r.tell(t, rc)
	}
	if more := len(r.Recipients) - len(told); more > 0 {
		t.paragraph(say(lang, "more", "n", more))
	}
	subject := clean(r.Subject, maxSubject)
	about := "about"
	if subject == "" {
		about = "about.time"
	}
	if !r.Arrived.IsZero() {
		t.paragraph(say(lang, about, "subject", subject, "time", r.clock(r.Arrived)))
	}
	attached := "header"
	if whole {
		attached = "whole"
	}
	t.paragraph(sentences(say(lang, "footer", "host", r.Host), say(lang, attached)))
	return encodeText(strings.TrimSuffix(t.String(), "\n"), language(r.Language))
}

// clock is a time in the language of the report, where we are.
func (r *Report) clock(t time.Time) string {
	return t.In(r.Now.Location()).Format(say(r.Language, "layout"))
}

// tell writes the paragraphs about one recipient.
func (r *Report) tell(t *text, rc Recipient) {
	o, fill := rc.Outcome, filler(r.Language, rc.Path)
	switch {
	case r.Kind == Failure:
		o.Fate = mail.Permanent // whatever the last try was: there is no other
	case r.Kind == Delay:
		o.Fate = mail.Temporary
	}
	what, why, todo := Words(r.Language, o, rc.Path)
	if r.Kind == Success {
		if rc.Expanded {
			what = fill("what.expanded")
		} else if o.Fate != mail.Relayed {
			what = fill("what.delivered")
		}
		t.paragraph(what)
		return
	}
	t.paragraph(sentences(what, why))
	gaveUp := ""
	if r.Kind == Failure && (rc.Outcome.Fate == mail.Temporary || o.Cause == mail.CauseExpired) && rc.Tries > 1 && !rc.LastTry.IsZero() {
		gaveUp = say(r.Language, "gaveup", "n", rc.Tries, "time", r.clock(rc.LastTry))
	}
	if r.Kind == Delay && !rc.WillRetryUntil.IsZero() {
		todo = sentences(todo, say(r.Language, "until", "time", r.clock(rc.WillRetryUntil)))
	}
	t.paragraph(sentences(gaveUp, todo))
	if o.Reply.Code != 0 {
		remote := clean(o.Remote, 300)
		if remote == "" {
			remote = clean(rc.Path.Domain(), 300)
		}
		t.paragraph(say(r.Language, "said", "remote", remote))
		t.quote(o.Reply.String())
	}
}

// sentences puts sentences after each other; Japanese ones need no space.
func sentences(a, b string) string {
	if a == "" || b == "" || strings.HasSuffix(a, "。") {
		return a + b
	}
	return a + " " + b
}

// A text is plain text with lines that end in \n.
type text struct{ strings.Builder }

// paragraph writes a paragraph and the line after it. Lines are broken at
// spaces; Japanese has its few at the wrong places, so it is left to whoever
// shows it.
func (t *text) paragraph(s string) {
	const width = 72
	switch {
	case s == "":
		return
	case foreign(s) > len(s)/3:
		t.WriteString(s + "\n\n")
		return
	}
	n := 0
	for word := range strings.FieldsSeq(s) {
		switch {
		case n > 0 && n+1+len([]rune(word)) > width:
			t.WriteByte('\n')
			n = 0
		case n > 0:
			t.WriteByte(' ')
			n++
		}
		t.WriteString(word)
		n += len([]rune(word))
	}
	t.WriteString("\n\n")
}

// quote writes somebody else's words as they are, set apart.
func (t *text) quote(s string) {
	lines := strings.Split(s, "\n")
	for _, line := range lines[:min(len(lines), maxSaid)] {
		if line = clean(line, maxSaidLine); line != "" {
			t.WriteString("    " + line + "\n")
		}
	}
	t.WriteByte('\n')
}

// foreign counts the bytes that are not ASCII.
func foreign(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// encodeText makes a part of a text, RFC 2045 §6: the encoding that leaves most
// of it readable.
func encodeText(s, lang string) part {
	p := part{contentType: "text/plain; charset=utf-8", language: lang}
	var b bytes.Buffer
	switch n := foreign(s); {
	case n == 0:
		b.WriteString(strings.ReplaceAll(s, "\n", "\r\n"))
	case n < len(s)/6:
		p.encoding = "quoted-printable"
		w := quotedprintable.NewWriter(&b)
		w.Write([]byte(s)) // a Buffer takes everything
		w.Close()
	default:
		p.encoding = "base64"
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(s, "\n", "\r\n")))
		for len(encoded) > foldAt {
			b.WriteString(encoded[:foldAt] + "\r\n")
			encoded = encoded[foldAt:]
		}
		b.WriteString(encoded + "\r\n")
	}
	p.body = b.Bytes()
	return p
}
