package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"homemail/mail"
)

// A demo sends a message and reads it, as mail programs do.
type demo struct {
	ports     map[string]int
	from, to  person
	neighbour *neighbour
	out       io.Writer

	id   string // stands in the message's subject
	imap *imapclient.Client
	told chan uint32 // the number of messages, as IDLE tells it
}

// demoTime is how long a step may take.
const demoTime = 20 * time.Second

func (d *demo) run(ctx context.Context) error {
	d.id = fmt.Sprintf("Hello from homemail %d", time.Now().UnixNano())
	d.told = make(chan uint32, 16)
	if err := d.openInbox(); err != nil {
		return fmt.Errorf("opening the mailbox: %w", err)
	}
	defer d.imap.Close()
	idle, err := d.imap.Idle()
	if err != nil {
		return fmt.Errorf("IDLE: %w", err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"submitted", d.submit},
		{"announced", d.waitFor},
		{"imap-read", func(context.Context) error { return errors.Join(idle.Close(), idle.Wait(), d.readIMAP()) }},
		{"pop3-read", d.readPOP3},
		{"relayed", d.relayed},
		{"bounced", d.bounced},
	} {
		start := time.Now()
		if err := step.do(ctx); err != nil {
			fmt.Fprintf(d.out, "no  %s\n", step.name)
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(d.out, "ok  %s  %d ms\n", step.name, time.Since(start).Milliseconds())
	}
	return nil
}

// dial connects with TLS. The certificate is self-signed and on this computer.
func (d *demo) dial(door string) (net.Conn, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: demoTime}, Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := dialer.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.ports[door])))
	if err == nil {
		err = c.SetDeadline(time.Now().Add(5 * demoTime))
	}
	return c, err
}

func (d *demo) openInbox() error { return d.open(d.to) }

// open signs in by IMAP and selects a person's INBOX.
func (d *demo) open(who person) error {
	c, err := d.dial("imaps")
	if err != nil {
		return err
	}
	d.imap = imapclient.New(c, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				select {
				case d.told <- *data.NumMessages:
				default:
				}
			}
		},
	}})
	if err := d.imap.Login(string(who.Address), who.Password).Wait(); err != nil {
		return err
	}
	_, err = d.imap.Select("INBOX", nil).Wait()
	return err
}

func (d *demo) submit(context.Context) error { return d.send(d.to.Address) }

// send submits a message to somebody.
func (d *demo) send(to mail.Path) error {
	conn, err := d.dial("submissions")
	if err != nil {
		return err
	}
	c := smtp.NewClient(conn)
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", string(d.from.Address), d.from.Password)); err != nil {
		return err
	}
	text := fmt.Sprintf("From: Bert <%s>\r\nTo: <%s>\r\nSubject: %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+
		"This message went in by submission over TLS.\r\nこんにちは。\r\n", d.from.Address, to, d.id)
	if err := c.SendMail(string(d.from.Address), []string{string(to)}, strings.NewReader(text)); err != nil {
		return err
	}
	return c.Quit()
}

// relayed sends a message to the neighbour, who gets it signed.
func (d *demo) relayed(ctx context.Context) error {
	if err := d.send("friend@" + neighbourDomain); err != nil {
		return err
	}
	select {
	case text := <-d.neighbour.got:
		if !strings.Contains(text, d.id) || !strings.HasPrefix(text, "DKIM-Signature: ") {
			return errors.New("another message came, or one without a signature")
		}
		return nil
	case <-time.After(demoTime):
		return errors.New("the message did not come to the neighbour")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bounced writes to somebody whom the neighbour does not know, and is told so.
func (d *demo) bounced(ctx context.Context) error {
	if err := d.send("nobody@" + neighbourDomain); err != nil {
		return err
	}
	if err := d.open(d.from); err != nil {
		return err
	}
	defer d.imap.Close()
	report := &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Content-Type", Value: "delivery-status"}}, Body: []string{"nobody@" + neighbourDomain}}
	for late := time.Now().Add(demoTime); time.Now().Before(late) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if err := d.imap.Noop().Wait(); err != nil {
			return err
		}
		found, err := d.imap.UIDSearch(report, nil).Wait()
		if err != nil {
			return err
		}
		if len(found.AllUIDs()) > 0 {
			return d.imap.Logout().Wait()
		}
	}
	return errors.New("nobody said that the message could not be delivered")
}

// waitFor waits until IDLE tells of a message.
func (d *demo) waitFor(ctx context.Context) error {
	select {
	case <-d.told:
		return nil
	case <-time.After(demoTime):
		return errors.New("the message was not announced")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) readIMAP() error {
	found, err := d.imap.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: d.id}}}, nil).Wait()
	if err != nil {
		return err
	}
	if len(found.AllUIDs()) != 1 {
		return fmt.Errorf("SEARCH finds %d messages", len(found.AllUIDs()))
	}
	section := &imap.FetchItemBodySection{}
	list, err := d.imap.Fetch(imap.UIDSetNum(found.AllUIDs()...), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return err
	}
	if len(list) != 1 || !bytes.Contains(list[0].FindBodySection(section), []byte(d.id)) {
		return errors.New("another message came back")
	}
	return d.imap.Logout().Wait()
}

// readPOP3 fetches the newest message.
func (d *demo) readPOP3(context.Context) error {
	conn, err := d.dial("pop3s")
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(line string) (string, error) {
		if line != "" {
			if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
				return "", err
			}
		}
		answer, err := r.ReadString('\n')
		if err == nil && !strings.HasPrefix(answer, "+OK") {
			err = fmt.Errorf("the server said %q", strings.TrimSpace(answer))
		}
		return answer, err
	}
	var stat string
	for _, line := range []string{"", "USER " + string(d.to.Address), "PASS " + d.to.Password, "STAT"} {
		if stat, err = say(line); err != nil {
			return err
		}
	}
	words := strings.Fields(stat)
	if len(words) < 2 {
		return fmt.Errorf("STAT gave %q", stat)
	}
	if _, err := say("RETR " + words[1]); err != nil {
		return err
	}
	found := false
	for line := ""; line != ".\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return err
		}
		found = found || strings.Contains(line, d.id)
	}
	if !found {
		return errors.New("another message came back")
	}
	_, err = say("QUIT")
	return err
}
