package main

import (
	"context"
	"crypto/tls"
	"fmt"

	"homemail/config"
	"homemail/listen"
)

// serve answers at one door.
func (h *house) serve(ctx context.Context, l *listen.Listener) error {
	switch l.Door().Name {
	case "smtp":
		return h.mx.Serve(ctx, l)
	case "submission":
		return h.msa.Serve(ctx, l)
	case "submissions":
		return h.msa.Serve(ctx, tls.NewListener(l, h.certs.TLSConfig()))
	case "imap":
		return h.imap.Serve(ctx, l)
	case "imaps":
		return h.imap.Serve(ctx, tls.NewListener(l, h.certs.TLSConfig()))
	case "pop3":
		return h.pop3.Serve(ctx, l, false)
	case "pop3s":
		return h.pop3.Serve(ctx, l, true)
	case "http":
		return h.web.Serve(ctx, l)
	case "https":
		return h.web.ServeTLS(ctx, l)
	case "status":
		return h.metrics().Serve(ctx, l, h.health)
	}
	return fmt.Errorf("there is no door %q", l.Door().Name)
}

// health tells whether mail can be taken and read right now.
func (h *house) health(context.Context) error {
	if err := h.store.Broken(); err != nil {
		return err
	}
	if _, err := h.store.Domains(); err != nil {
		return err
	}
	return h.store.Room(0)
}

// gates bounds the connections of each protocol.
func gates(c config.Config) map[string]*listen.Gate {
	gate := func(global, perIP int) *listen.Gate {
		return listen.NewGate(listen.Limits{Global: global, PerIP: perIP, NewPerSecond: c.Connections.NewPerSecond, Burst: c.Connections.NewAtOnce})
	}
	return map[string]*listen.Gate{
		"smtp":   gate(c.Connections.SMTP, c.Connections.SMTPPerIP),
		"imap":   gate(c.Connections.IMAP, c.Connections.IMAPPerIP),
		"pop3":   gate(c.Connections.POP3, c.Connections.POP3PerIP),
		"web":    gate(c.Connections.Web, c.Connections.WebPerIP),
		"status": listen.NewGate(listen.Limits{Global: 20}),
	}
}

// doors lists what the settings want to listen on.
func doors(c config.Config, gates map[string]*listen.Gate) []listen.Door {
	const (
		smtpRefusal = "421 4.7.0 Too many connections; please try again later\r\n"
		imapRefusal = "* BYE [UNAVAILABLE] Too many connections; please try again later\r\n"
		pop3Refusal = "-ERR [SYS/TEMP] Too many connections; please try again later\r\n"
	)
	var list []listen.Door
	for _, d := range []struct {
		name, gate, refusal string
		addresses           []string
	}{
		{"smtp", "smtp", smtpRefusal, c.Listen.SMTP},
		{"submission", "smtp", smtpRefusal, c.Listen.Submission},
		{"submissions", "smtp", "", c.Listen.Submissions},
		{"imap", "imap", imapRefusal, c.Listen.IMAP},
		{"imaps", "imap", "", c.Listen.IMAPS},
		{"pop3", "pop3", pop3Refusal, c.Listen.POP3},
		{"pop3s", "pop3", "", c.Listen.POP3S},
		{"http", "web", "", c.Listen.HTTP},
		{"https", "web", "", c.Listen.HTTPS},
		{"status", "status", "", c.Listen.Status},
	} {
		for _, addr := range d.addresses {
			list = append(list, listen.Door{Name: d.name, Addr: addr, Refusal: d.refusal,
				Gate: gates[d.gate], PrivateOnly: contains(c.Listen.LANOnly, d.name)})
		}
	}
	return list
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
