// Package dsn writes delivery status notifications, RFC 3464, 3461, 6522 and
// 6533: what a person needs to know first, what a program needs to know after
// it, and what is left of the message. It also has the plain words for how an
// attempt ended, and says who may be answered by a machine. It sends nothing.
package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

const (
	maxReturn = 100 << 10 // bytes of a message that are sent back; of a longer one the header is enough to know it by
	maxLine   = 998       // octets of a line, RFC 5322 §2.1.1
	maxTold   = 20        // recipients in plain words; the status has all of them
	maxReply  = 4 << 10   // bytes of a server's words: what matters stands at their start
	maxXtext  = 2 << 10   // of ENVID and ORCPT; RFC 3461 allows 100 and 500
)

// A Kind is what a report is about.
type Kind int

// The kinds. Success is what was asked for by NOTIFY=SUCCESS: delivered,
// relayed to a server that tells no more, or expanded.
const (
	Failure Kind = iota
	Delay
	Success
)

func (k Kind) String() string { return [...]string{"failure", "delay", "success"}[k] }

// Why there is no report.
var (
	ErrNullSender = errors.New("nobody to report to: the sender is null") // RFC 5321 §6.1, RFC 3834 §2
	ErrAddress    = errors.New("the sender of the original is no address")
	ErrHost       = errors.New("the host of the report is no host name")
)

// A Report is a delivery status notification about one message.
type Report struct {
	Kind     Kind
	Host     string // ours, and the domain of From
	ID       string // of the message
	Language string // "ja", "en-GB"; English if we do not speak it

	To         mail.Path // the sender of the original
	EnvelopeID string    // ENVID as it came, in xtext
	Arrived    time.Time
	Recipients []Recipient
	Subject    string // of the original, decoded; for the human part only

	Return  string    // RET: FULL, HDRS or ""
	Header  []byte    // of the original
	Message io.Reader // the whole original; nil sends back the header only
	Size    int64     // of Message
	// EightBit says that whatever carries the report takes 8-bit bytes, as a
	// mailbox here does. Without it an 8-bit message is not sent back whole.
	EightBit bool
	Now      time.Time
}

// A Recipient is one whose fate is reported.
type Recipient struct {
	Path     mail.Path
	Original string // ORCPT: its type, a semicolon and xtext
	Outcome  mail.Outcome
	Expanded bool // it is an alias and was handed on to its members, RFC 3461 §5.2.7
	Tries    int
	LastTry  time.Time
	// WillRetryUntil is when we give up; 0 if that is not known.
	WillRetryUntil time.Time
}

// New checks that r can be written. Nobody is ever told about a report: a null
// sender is ErrNullSender.
func New(r Report) (*Report, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	return &r, nil
}

func (r *Report) check() error {
	if r.To.IsNull() {
		return ErrNullSender
	}
	if _, err := mail.ParsePath(string(r.To)); err != nil {
		return fmt.Errorf("%w: %v", ErrAddress, err)
	}
	if _, err := mail.ParsePath("mailer-daemon@" + r.Host); err != nil || strings.HasPrefix(r.Host, "[") {
		return fmt.Errorf("%w: %q", ErrHost, r.Host)
	}
	return nil
}

// UTF8 reports whether the report can only be sent with SMTPUTF8: an address in
// it is not ASCII, RFC 6533.
func (r *Report) UTF8() bool {
	if !isASCII(r.To.Wire()) {
		return true
	}
	for _, rc := range r.Recipients {
		if p, err := mail.ParsePath(string(rc.Path)); err == nil && !isASCII(p.Wire()) || !isASCII(rc.Original) {
			return true
		}
	}
	return false
}

// WriteTo writes the whole report as a message of RFC 5322. It reads Message,
// so it can be called once if there is one.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	n, err := w.Write(r.compose())
	return int64(n), err
}

// A part is one of the three of a multipart/report.
type part struct {
	contentType string
	encoding    string // Content-Transfer-Encoding; 7bit if empty
	language    string
	body        []byte // lines end with CRLF
}

func (r *Report) compose() []byte {
	r.Recipients = slices.Clone(r.Recipients)
	for i := range r.Recipients { // whoever filled them in may have set no bounds
		o := &r.Recipients[i].Outcome
		o.Reply.Text = o.Reply.Text[:runeEnd(o.Reply.Text, maxReply)]
	}
	original := r.original()
	whole := !strings.HasSuffix(original.contentType, "headers")
	parts := [...]part{r.human(whole), r.status(), original}
	boundary := r.boundary(parts[:])
	b := &writer{utf8: r.UTF8()}
	r.writeHeader(b, parts[:], boundary)
	for _, p := range parts {
		b.raw("\r\n--" + boundary + "\r\n")
		b.raw("Content-Type: " + p.contentType + "\r\n")
		if p.language != "" {
			b.raw("Content-Language: " + p.language + "\r\n")
		}
		if p.encoding != "" {
			b.raw("Content-Transfer-Encoding: " + p.encoding + "\r\n")
		}
		b.raw("\r\n")
		b.Write(p.body)
	}
	b.raw("\r\n--" + boundary + "--\r\n")
	return b.Bytes()
}

func (r *Report) writeHeader(b *writer, parts []part, boundary string) {
	b.line("From", "Mail Delivery System <mailer-daemon@"+r.host()+">")
	b.line("To", "<"+r.To.Wire()+">")
	b.words("Subject", say(r.Language, "subject."+r.Kind.String()))
	b.line("Date", r.Now.Format(time.RFC1123Z))
	b.line("Message-ID", "<"+r.name()+"@"+r.host()+">")
	b.line("Auto-Submitted", "auto-replied") // RFC 3834 §5.1
	if id := messageID(r.Header); id != "" {
		b.line("In-Reply-To", id)
		b.line("References", id)
	}
	b.line("MIME-Version", "1.0")
	b.raw("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"" + boundary + "\"\r\n") // RFC 6522 §3
	for _, p := range parts {
		if p.encoding == "8bit" { // RFC 2045 §6.4
			b.line("Content-Transfer-Encoding", "8bit")
			break
		}
	}
}

// host is ours in A-labels.
func (r *Report) host() string { return mail.Path("mailer-daemon@" + r.Host).Domain() }

// name is the left side of the Message-ID: one for each report on a message.
func (r *Report) name() string {
	id := strings.Map(func(c rune) rune {
		if c < 0x80 && (c == '-' || isAlnum(byte(c))) {
			return c
		}
		return '-'
	}, r.ID)
	return fmt.Sprintf("%s.%s.%d", id[:min(len(id), 64)], r.Kind, r.Now.Unix())
}

// boundary returns one that occurs in no part, RFC 2046 §5.1.1.
func (r *Report) boundary(parts []part) string {
	for i := 0; ; i++ {
		boundary := fmt.Sprintf("=_%x.%d", r.Now.UnixNano(), i)
		free := true
		for _, p := range parts {
			free = free && !bytes.Contains(p.body, []byte(boundary))
		}
		if free {
			return boundary
		}
	}
}

// original is what is left of the message: all of it if it failed, is small and
// holds to the rules of what will carry it; else its header, RFC 3461 §4.3 and
// §6.2.
func (r *Report) original() part {
	utf8 := r.UTF8()
	if r.Kind == Failure && r.Return != "HDRS" && r.Message != nil && r.Size <= maxReturn {
		b, err := io.ReadAll(io.LimitReader(r.Message, maxReturn+1))
		header, body := cutHeader(b)
		if err == nil && len(b) <= maxReturn && isMail(body, utf8 || r.EightBit) {
			w := &writer{utf8: utf8}
			w.copyHeader(header)
			p := part{contentType: "message/rfc822"}
			if !isASCII(w.String()) {
				p.contentType = "message/global" // RFC 6532 §3.7
			}
			w.raw("\r\n")
			w.Write(body)
			p.body = w.Bytes()
			return p.withEncoding()
		}
	}
	w := &writer{utf8: utf8}
	w.copyHeader(r.Header)
	p := part{contentType: "text/rfc822-headers", body: w.Bytes()}
	if !isASCII(w.String()) {
		p.contentType = "message/global-headers" // RFC 6533 §6
	}
	return p.withEncoding()
}

func (p part) withEncoding() part {
	if !isASCII(string(p.body)) {
		p.encoding = "8bit"
	}
	return p
}

// messageID returns the Message-ID of a header if it can stand in another.
func messageID(header []byte) string {
	for name, value := range message.Fields(header) {
		if !strings.EqualFold(name, "Message-ID") {
			continue
		}
		id := strings.TrimSpace(string(value))
		inner, ok := strings.CutPrefix(id, "<")
		inner, ok2 := strings.CutSuffix(inner, ">")
		if ok && ok2 && inner != "" && len(id) < 900 && !strings.ContainsFunc(inner, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '<' || c == '>' }) {
			return id
		}
		return ""
	}
	return ""
}
