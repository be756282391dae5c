package bridge

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	popLineMax  = 2 << 10 // RFC 2449 §4: 512 octets; some greet at length
	popCapsMax  = 100     // lines of CAPA
	popUIDMax   = 70      // characters of a unique-id, RFC 1939 §7
	popAuthLine = 255     // octets of a command, RFC 2449 §4
)

// A popConn is a connection to a POP3 server, RFC 1939.
type popConn struct {
	w *wire
	r *bufio.Reader

	sasl, user bool // how it takes passwords
}

// A popError is an answer that is not +OK.
type popError struct{ text string }

func (e *popError) Error() string { return fmt.Sprintf("the server said %.200q", "-ERR "+e.text) }

// dialPOP3 connects and signs in.
func (b *Bridge) dialPOP3(ctx context.Context, a Account, password string) (*popConn, func(), error) {
	w, stop, err := b.dial(ctx, a, helloPOP3)
	if err != nil {
		return nil, nil, err
	}
	p := &popConn{w: w, r: bufio.NewReaderSize(w, popLineMax)}
	if a.TLS == Implicit {
		_, err = p.answer()
	}
	if err == nil {
		err = p.capabilities()
	}
	if err == nil {
		err = p.signIn(a.User, password)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return p, stop, nil
}

// line reads a line without its end.
func (p *popConn) line() (string, error) {
	b, err := p.r.ReadSlice('\n')
	p.w.allow()
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: an endless line", errProtocol)
	case err != nil:
		return "", fmt.Errorf("%w: %w", errLost, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// answer reads a status indicator and what is behind it, RFC 1939 §3.
func (p *popConn) answer() (string, error) {
	s, err := p.line()
	if err != nil {
		return "", err
	}
	status, text, _ := strings.Cut(s, " ")
	switch strings.ToUpper(status) {
	case "+OK":
		return text, nil
	case "-ERR":
		return "", &popError{text}
	case "+": // RFC 5034 §4
		return text, nil
	}
	return "", fmt.Errorf("%w: %.100q is no answer", errProtocol, s)
}

// do sends a command and reads its answer.
func (p *popConn) do(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.w, format+"\r\n", args...); err != nil {
		return "", fmt.Errorf("%w: %w", errLost, err)
	}
	return p.answer()
}

// lines sends a command and reads the lines of its answer.
func (p *popConn) lines(most int, fn func(string) error, command string) error {
	if _, err := p.do("%s", command); err != nil {
		return err
	}
	for range most + 1 {
		s, err := p.line()
		if err != nil {
			return err
		}
		if s == "." {
			return nil
		}
		if err := fn(strings.TrimPrefix(s, ".")); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %s has more than %d lines", errProtocol, command, most)
}

// capabilities asks how passwords are taken, RFC 2449. A server that does not
// know CAPA takes USER and PASS.
func (p *popConn) capabilities() error {
	p.user = true
	err := p.lines(popCapsMax, func(s string) error {
		f := strings.Fields(strings.ToUpper(s))
		if len(f) > 1 && f[0] == "SASL" {
			for _, m := range f[1:] {
				p.sasl = p.sasl || m == "PLAIN"
			}
		}
		return nil
	}, "CAPA")
	var no *popError
	if errors.As(err, &no) {
		return nil
	}
	return err
}

func (p *popConn) signIn(user, password string) error {
	var err error
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password)) // RFC 4616
	switch {
	case p.sasl && len("AUTH PLAIN \r\n")+len(plain) <= popAuthLine:
		_, err = p.do("AUTH PLAIN %s", plain) // RFC 5034 §4
	case p.sasl:
		if _, err = p.do("AUTH PLAIN"); err == nil {
			_, err = p.do("%s", plain)
		}
	default:
		if _, err = p.do("USER %s", user); err == nil {
			_, err = p.do("PASS %s", password)
		}
	}
	var no *popError
	switch {
	case !errors.As(err, &no):
		return err
	case isBusy(no.text):
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// isBusy tells a locked maildrop from a wrong password: by the codes of RFC
// 2449 §8 and RFC 3206, and by the words of servers that have none.
func isBusy(text string) bool {
	text = strings.ToLower(text)
	for _, s := range []string{"[in-use]", "[login-delay]", "[sys/temp]", "lock", "in use", "busy", "try again", "temporar"} {
		if strings.Contains(text, s) {
			return !strings.HasPrefix(text, "[auth]")
		}
	}
	return false
}

// visitPOP3 fetches all there is.
func (v *visitor) visitPOP3(ctx context.Context, password string) error {
	p, stop, err := v.b.dialPOP3(ctx, v.a, password)
	if err != nil {
		return err
	}
	defer stop()
	t := transfer{v: v, f: v.a.folders()[0]}
	if err := t.run(&popBox{popConn: p, max: v.b.o.MaxMessage}, true); err != nil {
		return err
	}
	v.healthy()
	// What was marked is deleted now. An error costs nothing: it is still there
	// at the next visit, and has its note.
	if _, err = p.do("QUIT"); err != nil {
		return err
	}
	return t.trouble
}

// A popBox is a maildrop.
type popBox struct {
	*popConn
	max     int64
	numbers map[string]int // by key
	sizes   map[int]int64
}

// scope is always the same: unique-ids are for ever.
func (x *popBox) scope() string { return "pop3" }

func (x *popBox) list(_ bool, fn func(string) error) error {
	x.numbers, x.sizes = map[string]int{}, map[int]int64{}
	twins := map[string]int{}
	err := x.lines(listedMax, func(s string) error {
		n, id, ok := popPair(s)
		if !ok || id == "" {
			return fmt.Errorf("%w: %.100q in the answer to UIDL", errProtocol, s)
		}
		key := popKey(id)
		// Messages that look alike may have the same unique-id, RFC 1939 §7.
		if twins[key]++; twins[key] > 1 {
			key += " " + strconv.Itoa(twins[key])
		}
		x.numbers[key] = n
		return fn(key)
	}, "UIDL")
	var no *popError
	if errors.As(err, &no) {
		return fmt.Errorf("%w: %w", errNoUIDs, err)
	}
	if err != nil || len(x.numbers) == 0 {
		return err
	}
	return x.lines(listedMax, func(s string) error {
		if n, size, ok := popPair(s); ok {
			x.sizes[n], _ = strconv.ParseInt(size, 10, 64)
		}
		return nil
	}, "LIST")
}

// popPair reads a line of UIDL or LIST: a number and a word.
func popPair(s string) (n int, w string, ok bool) {
	f := strings.Fields(s)
	if len(f) < 2 {
		return 0, "", false
	}
	n, err := strconv.Atoi(f[0])
	return n, f[1], err == nil && n > 0
}

// popKey is a unique-id as it is kept; one that is longer than it may be, or
// has characters that it may not have, by its hash.
func popKey(id string) string {
	if len(id) <= popUIDMax && !strings.ContainsFunc(id, func(r rune) bool { return r < '!' || r > '~' }) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256 " + hex.EncodeToString(sum[:])
}

func (x *popBox) fetch(keys []string, file func(remote, io.Reader) error) error {
	for _, k := range keys {
		n := x.numbers[k]
		r := remote{key: k, size: x.sizes[n]}
		if r.size > x.max {
			if err := file(r, nil); err != nil {
				return err
			}
			continue
		}
		var no *popError
		if _, err := x.do("RETR %d", n); errors.As(err, &no) {
			continue // this one only; the caller sees it
		} else if err != nil {
			return err
		}
		body := &dotReader{r: x.r}
		if err := file(r, taken{body, x.w}); err != nil {
			return err
		}
		if !body.ended { // a message that file did not want
			return fmt.Errorf("%w: message %d was not read to its end", errLost, n)
		}
	}
	return nil
}

func (x *popBox) remove(keys []string) error {
	for _, k := range keys {
		n, ok := x.numbers[k]
		if !ok {
			continue
		}
		var no *popError
		if _, err := x.do("DELE %d", n); errors.As(err, &no) {
			return fmt.Errorf("%w: %w", errDelete, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// taken lets a server go on while its words are read.
type taken struct {
	r io.Reader
	w *wire
}

func (t taken) Read(p []byte) (int, error) {
	t.w.allow()
	return t.r.Read(p)
}

// A dotReader reads the lines of a multi-line answer, RFC 1939 §3. Only CR LF
// ends a line: a message with bare LFs cannot end its answer early.
type dotReader struct {
	r     *bufio.Reader
	state dotState
	ended bool
}

type dotState int

const (
	lineStart dotState = iota
	afterDot           // at the start of a line
	afterDotCR
	inLine
	afterCR
)

func (d *dotReader) Read(p []byte) (n int, err error) {
	for n < len(p) && !d.ended {
		// What is there is given out before more is waited for.
		if n > 0 && d.r.Buffered() == 0 {
			return n, nil
		}
		c, err := d.r.ReadByte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, fmt.Errorf("%w: %w", errLost, err)
		}
		if d.state == afterDotCR && c != '\n' { // a stuffed line that starts with CR
			p[n] = '\r'
			n++
			d.state = afterCR
			if err := d.r.UnreadByte(); err != nil {
				return n, err
			}
			continue
		}
		if d.step(c) {
			p[n] = c
			n++
		}
	}
	if n == 0 && d.ended {
		return 0, io.EOF
	}
	return n, nil
}

// step takes an octet, and reports whether it belongs to the message.
func (d *dotReader) step(c byte) bool {
	switch {
	case d.state == lineStart && c == '.':
		d.state = afterDot
		return false
	case d.state == afterDot && c == '\r':
		d.state = afterDotCR
		return false
	case d.state == afterDotCR: // the caller has looked: it is LF
		d.ended = true
		return false
	case d.state == afterCR && c == '\n':
		d.state = lineStart
	case c == '\r':
		d.state = afterCR
	default:
		d.state = inLine
	}
	return true
}
