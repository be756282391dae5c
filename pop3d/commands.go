package pop3d

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A state is where a command may be given, RFC 1939 §3.
type state int

const (
	anywhere state = iota
	authorization
	transaction
)

type command struct {
	in state
	do func(c *conn, args string) error
}

// commands are all that we know. APOP is not among them: it needs passwords in
// the clear on our disk.
var commands = map[string]command{
	"CAPA": {anywhere, (*conn).capa},
	"NOOP": {transaction, func(c *conn, _ string) error { c.ok("nothing done"); return nil }},
	"QUIT": {anywhere, (*conn).doQuit},

	"STLS": {authorization, (*conn).stls},
	"USER": {authorization, (*conn).doUser},
	"PASS": {authorization, (*conn).doPass},
	"AUTH": {authorization, (*conn).doAuth},
	"UTF8": {authorization, (*conn).doUTF8},

	"STAT": {transaction, (*conn).stat},
	"LIST": {transaction, (*conn).list},
	"UIDL": {transaction, (*conn).uidl},
	"RETR": {transaction, (*conn).retr},
	"TOP":  {transaction, (*conn).top},
	"DELE": {transaction, (*conn).dele},
	"RSET": {transaction, (*conn).rset},
}

// capa lists what we can do, RFC 2449 §5, now and for this client.
func (c *conn) capa(string) error {
	caps := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8 USER", "IMPLEMENTATION homemail"}
	if c.drop != nil {
		caps = append(caps, "EXPIRE "+c.drop.expire())
	} else {
		// No account keeps for less than a day. USER: ask again when signed in, §6.7.
		caps = append(caps, "EXPIRE 1 USER")
	}
	if d := c.s.o.LoginDelay; d > 0 {
		caps = append(caps, "LOGIN-DELAY "+strconv.Itoa(int(d.Seconds())))
	}
	if c.canSTLS() {
		caps = append(caps, "STLS")
	}
	if m := c.s.o.SignIn.Mechanisms(c.tls != nil); len(m) > 0 {
		caps = append(caps, "USER", "SASL "+strings.Join(m, " "))
	}
	c.ok("what this server can do")
	fmt.Fprintf(c.w, "%s\r\n.\r\n", strings.Join(caps, "\r\n"))
	return nil
}

func (c *conn) canSTLS() bool { return c.s.o.TLS != nil && c.tls == nil && c.drop == nil }

// doQuit ends the session; in the TRANSACTION state it goes through UPDATE.
func (c *conn) doQuit(string) error {
	if c.drop != nil {
		if err := c.drop.update(); err != nil {
			c.s.o.Log.Error("cannot delete at QUIT", "door", "pop3", "address", c.session.Address, "err", err)
			c.quit = true // RFC 1939 §6: the connection ends whatever became of it
			return refusal("[SYS/TEMP] some deleted messages not removed")
		}
		if err := c.drop.expireTaken(); err != nil { // not the client's deletions: next time, then
			c.s.o.Log.Error("cannot remove old messages", "door", "pop3", "address", c.session.Address, "err", err)
		}
		c.s.stats.Deleted.Add(int64(c.drop.removed))
	}
	c.quit = true
	c.ok("goodbye")
	return nil
}

func (c *conn) stat(string) error {
	n, size := c.drop.totals()
	c.ok("%d %d", n, size)
	return nil
}

func (c *conn) rset(string) error {
	c.drop.reset()
	n, size := c.drop.totals()
	c.ok("%d messages (%d octets)", n, size)
	return nil
}

// list and uidl are a line for one message or for each, RFC 1939 §5 and §7.
func (c *conn) list(args string) error { return c.scan(args, c.drop.size) }
func (c *conn) uidl(args string) error { return c.scan(args, c.drop.uniqueID) }

func (c *conn) scan(args string, what func(b []byte, i int) []byte) error {
	line := func(b []byte, i int) []byte {
		b = strconv.AppendInt(b, int64(i+1), 10)
		return append(what(append(b, ' '), i), '\r', '\n')
	}
	if args != "" {
		i, err := c.drop.number(args)
		if err != nil {
			return err
		}
		c.w.WriteString("+OK ")
		c.w.Write(line(nil, i))
		return nil
	}
	c.ok("the list follows")
	b := make([]byte, 0, 64)
	for i, m := range c.drop.messages {
		if !m.deleted {
			b = line(b[:0], i)
			if _, err := c.w.Write(b); err != nil {
				return err
			}
		}
	}
	c.w.WriteString(".\r\n")
	return nil
}

func (c *conn) dele(args string) error {
	i, err := c.drop.number(args)
	if err != nil {
		return err
	}
	c.drop.messages[i].deleted = true
	c.ok("message %d deleted", i+1)
	return nil
}

func (c *conn) retr(args string) error {
	i, err := c.drop.number(args)
	if err != nil {
		return err
	}
	if err := c.send(i, -1); err != nil {
		return err
	}
	c.drop.messages[i].fetched = true
	c.drop.retrieved++
	c.s.stats.Retrieved.Add(1)
	return nil
}

func (c *conn) top(args string) error {
	words := strings.Fields(args)
	if len(words) != 2 {
		return refusal("TOP needs a message number and a number of lines")
	}
	i, err := c.drop.number(words[0])
	if err != nil {
		return err
	}
	lines, err := strconv.ParseUint(words[1], 10, 31)
	if err != nil {
		return refusal("that is no number of lines")
	}
	return c.send(i, int(lines))
}

// knows reports whether a mechanism is one that we offer.
func (c *conn) knows(mech string) bool {
	return slices.Contains(c.s.o.SignIn.Mechanisms(c.tls != nil), mech)
}
