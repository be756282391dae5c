package smtpd

import (
	"bytes"
	"errors"
)

// errBareNewline is what a scanner finds wrong with a message.
var errBareNewline = errors.New("bare CR or LF")

// Where a scanner is within a line.
type place byte

const (
	lineStart place = iota
	lineDot         // after a dot at the start of a line
	lineDotCR       // after that and a CR
	inLine
	lineCR // after any other CR
	opaque // in the body of a BINARYMIME message, where bytes are only bytes
)

// A scanner follows the lines of a message as they come in, RFC 5321 §4.5.2.
// CR and LF may only come as a pair (§2.3.8): a line end that we see and the
// next server does not, or the other way round, is SMTP smuggling.
type scanner struct {
	dots   bool // DATA: CRLF.CRLF ends the message
	binary bool // BINARYMIME: line rules hold in the header only

	at   place
	line int  // octets in the line so far
	long bool // some line was over maxDataLine
}

// scan goes through p. It returns how many bytes of it are the message's and
// whether it ends with them.
func (s *scanner) scan(p []byte) (n int, end bool, err error) {
	i := 0
	for i < len(p) {
		switch s.at {
		case lineStart:
			switch {
			case s.dots && p[i] == '.':
				i++
				s.at = lineDot
			case p[i] == '\r':
				i++
				s.at = lineCR
			default:
				s.at = inLine
			}
		case lineDot:
			s.at = inLine
			if p[i] == '\r' {
				i++
				s.at = lineDotCR
			}
		case lineDotCR:
			if p[i] != '\n' {
				return 0, false, errBareNewline
			}
			return i + 1, true, nil
		case lineCR:
			if p[i] != '\n' {
				return 0, false, errBareNewline
			}
			i++
			s.at = lineStart
			if s.binary && s.line == 0 {
				s.at = opaque
			}
			s.line = 0
		case inLine:
			used, err := s.inLine(p[i:])
			if err != nil {
				return 0, false, err
			}
			i += used
		case opaque:
			i = len(p)
		}
	}
	return len(p), false, nil
}

// inLine passes over the text of a line, up to and with its CR.
func (s *scanner) inLine(p []byte) (n int, err error) {
	text := p
	if cr := bytes.IndexByte(p, '\r'); cr >= 0 {
		text, s.at = p[:cr], lineCR
		n = 1
	}
	if bytes.IndexByte(text, '\n') >= 0 {
		return 0, errBareNewline
	}
	s.line += len(text)
	s.long = s.long || s.line > maxDataLine
	return n + len(text), nil
}

// close says whether a message may end here when it is not a dot that ends it.
func (s *scanner) close() error {
	if s.at == lineCR {
		return errBareNewline
	}
	return nil
}
