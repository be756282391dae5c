package client

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"homemail/mail"
)

// How much a server may say at once.
const (
	maxLine    = 2048     // RFC 5321 §4.5.3.1.5 has 512; URLs made real replies longer
	maxLines   = 100      // an EHLO reply has some 20
	maxReply   = 64 << 10 // octets of all lines
	maxWords   = 2000     // octets of a mail.Reply's text: it is kept with each attempt
	notPrinted = '?'      // stands for what is not printable
)

// Why a reply cannot be read. RFC 5321 §4.2 and §4.2.1 have the grammar.
var (
	errReplyLine  = errors.New("a line of the reply is too long")
	errReplyLong  = errors.New("the reply is too long")
	errReplyEnd   = errors.New("a line of the reply does not end in CR LF")
	errReplyForm  = errors.New("the reply is not in the form of the protocol")
	errReplyCodes = errors.New("the lines of the reply have different codes")
)

// A reply is what the server said to one command.
type reply struct {
	code  int
	lines []string // without code, not sanitised, at least one
}

// class is the first digit of the code.
func (r reply) class() int { return r.code / 100 }

// readReply reads one reply, strictly: a server that is sloppy about line ends
// or codes may be made to say what somebody else put into its mouth.
func readReply(br *bufio.Reader) (reply, error) {
	var r reply
	size := 0
	for {
		line, err := readLine(br)
		if err != nil {
			return reply{}, err
		}
		size += len(line)
		if len(r.lines) == maxLines || size > maxReply {
			return reply{}, errReplyLong
		}
		code, more, text, err := parseLine(line)
		if err != nil {
			return reply{}, err
		}
		if r.lines != nil && code != r.code {
			return reply{}, errReplyCodes
		}
		r.code, r.lines = code, append(r.lines, text)
		if !more {
			return r, nil
		}
	}
}

// readLine returns a line without its CR LF.
func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadSlice('\n') // br holds maxLine octets
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", errReplyLine
	case errors.Is(err, io.EOF):
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || strings.Contains(text, "\r") {
		return "", errReplyEnd
	}
	return text, nil
}

// parseLine reads a Reply-line, RFC 5321 §4.2. A code alone is a whole line.
func parseLine(s string) (code int, more bool, text string, err error) {
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || !isDigits(s[:3]) {
		return 0, false, "", errReplyForm
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	switch {
	case len(s) == 3:
		return code, false, "", nil
	case s[3] != ' ' && s[3] != '-':
		return 0, false, "", errReplyForm
	}
	return code, s[3] == '-', s[4:], nil
}

// mail returns the reply fit to be kept and shown: printable, bounded, and the
// enhanced code (RFC 2034 §4) apart from the words.
func (r reply) mail() mail.Reply {
	enhanced, _ := cutEnhanced(r.code, r.lines[0])
	var b strings.Builder
	for i, l := range r.lines {
		if e, rest := cutEnhanced(r.code, l); e != "" && e == enhanced {
			l = rest
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(printable(l))
		if b.Len() > maxWords {
			break
		}
	}
	return mail.Reply{Code: r.code, Enhanced: enhanced, Text: truncate(strings.TrimRight(b.String(), " \n"), maxWords)}
}

// cutEnhanced splits an enhanced code, RFC 3463 §2, from the words after it. A
// code of another class than the reply's means nothing.
func cutEnhanced(code int, s string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(s, " ")
	class, after, _ := strings.Cut(word, ".")
	subject, detail, _ := strings.Cut(after, ".")
	if len(class) != 1 || int(class[0]-'0') != code/100 || code/100 == 3 ||
		len(subject) > 3 || len(detail) > 3 || !isDigits(subject) || !isDigits(detail) {
		return "", s
	}
	return word, strings.TrimLeft(rest, " ")
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// printable replaces what could move a cursor, break a line or a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return notPrinted
		}
		return r
	}, s)
}

// truncate cuts valid UTF-8 to at most n octets.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
