// Package smtptest plays SMTP servers that tests need: friendly, broken and
// hostile ones, as scripts.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A Script is what a server does, step by step:
//
//	> LINE         says a line
//	>> "QUOTED"    says these octets
//	< PREFIX       reads a line, which must begin so
//	<data          reads a message up to CRLF.CRLF
//	<octets N      reads so many octets
//	<all           reads until the client goes
//	drip D LINE    says a line, one octet each D
//	wait D         does nothing for so long
//	tls            does a handshake
//	hang           never does anything again, but reads
//	close          closes the connection
//
// At the end of the script the connection is closed.
type Script []string

// Lines makes a Script of text, one step a line. Empty lines do not count.
func Lines(text string) Script {
	var s Script
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			s = append(s, l)
		}
	}
	return s
}

// Then returns the script with more steps.
func (s Script) Then(text string) Script {
	return append(append(Script{}, s...), Lines(text)...)
}

// A Played is what came of a script.
type Played struct {
	Heard string // all lines and data that were read, as they came
	Data  string // what was read by <data, as it came
	Err   error  // the client did not do as the script has it
}

// Play plays the script on a connection and closes it.
func (s Script) Play(nc net.Conn, config *tls.Config) (p Played) {
	raw := nc
	defer func() { raw.Close() }()
	br := bufio.NewReader(nc)
	for i, step := range s {
		verb, arg, _ := strings.Cut(step, " ")
		var err error
		switch verb {
		case "tls":
			if br.Buffered() > 0 {
				err = fmt.Errorf("the client spoke before TLS")
				break
			}
			conn := tls.Server(nc, config)
			if err = conn.Handshake(); err == nil {
				nc, br = conn, bufio.NewReader(conn)
			}
		case "close":
			return p
		case "wait":
			time.Sleep(duration(arg))
		default:
			err = p.step(nc, br, verb, arg)
		}
		if err != nil {
			p.Err = fmt.Errorf("step %d, %q: %w", i, step, err)
			return p
		}
	}
	return p
}

func (p *Played) step(w io.Writer, br *bufio.Reader, verb, arg string) (err error) {
	switch verb {
	case ">":
		_, err = io.WriteString(w, arg+"\r\n")
	case ">>":
		var text string
		if text, err = strconv.Unquote(arg); err == nil {
			_, err = io.WriteString(w, text)
		}
	case "<":
		var line string
		line, err = br.ReadString('\n')
		p.Heard += line
		if err == nil && !strings.HasPrefix(line, arg) {
			err = fmt.Errorf("the client said %q", line)
		}
	case "<data":
		data := "\r\n" // of the command before
		for err == nil && !strings.HasSuffix(data, "\r\n.\r\n") {
			var line string
			line, err = br.ReadString('\n')
			data += line
			p.Data += line
			p.Heard += line
		}
	case "<octets":
		n, _ := strconv.Atoi(arg)
		b := make([]byte, n)
		_, err = io.ReadFull(br, b)
		p.Data += string(b)
		p.Heard += string(b)
	case "<all", "hang":
		var b []byte
		b, _ = io.ReadAll(br)
		p.Heard += string(b)
	case "drip":
		pause, line, _ := strings.Cut(arg, " ")
		for _, c := range []byte(line + "\r\n") {
			time.Sleep(duration(pause))
			if _, err = w.Write([]byte{c}); err != nil {
				return err
			}
		}
	default:
		err = fmt.Errorf("no such step")
	}
	return err
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}
