package client

import (
	"context"

	"homemail/mail"
)

// Probe says MAIL, RCPT unless to is empty, and RSET: a transaction that stops
// before the message. After each command that the server took, step is called.
func (c *Conn) Probe(ctx context.Context, from, to mail.Path, step func(command string, said mail.Reply)) error {
	defer c.watch(ctx)()
	if !safePath(from.Wire()) || !safePath(to.Wire()) {
		return &Error{Cause: mail.CauseOurs, Doing: "sending MAIL", Err: errUnsafe}
	}
	t := &transaction{c: c, m: mail.Handover{Envelope: mail.Envelope{From: from}}}
	list := []command{{"MAIL", t.mailLine(), 0, mailTime}}
	if to != "" {
		list = append(list, command{"RCPT", t.rcptLine(mail.Recipient{Path: to}), 0, rcptTime})
	}
	list = append(list, command{"RSET", "RSET", 0, resetTime})
	for _, cmd := range list {
		r, err := c.ask(cmd.name, cmd.line, cmd.limit)
		if err == nil && r.class() != 2 {
			err = unexpected(cmd.name, r)
		}
		if err != nil {
			return err
		}
		step(cmd.name, r.mail())
	}
	return nil
}
