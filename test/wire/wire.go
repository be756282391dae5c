// Package wire is a mail client that works on a server at random and reads all that
// it holds, by every protocol, for tests that kill servers and cut their power. It
// says whether the server answered; a ledger of internal/torture judges.
package wire

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"homemail/internal/torture"
)

// A Server is where the doors of a server are, on this computer, and who has mail
// there.
type Server struct {
	SMTP, Submissions, IMAPS, POP3S int
	Sender                          string // one of the accounts, who submits
	Accounts                        []string
	Password                        func(account string) string
}

// A Driver does operations as a client of a server: mail comes in by SMTP, from
// outside and by submission, and all else is done by IMAP and POP3.
type Driver struct {
	*Server
	hands []hand // one for each worker
}

// Kinds are the operations that a Driver can do.
var Kinds = []string{
	torture.Deliver, torture.Append, torture.SetFlags, torture.AddFlags, torture.DelFlags, torture.Copy, torture.Move,
	torture.Expunge, torture.Create, torture.Rename, torture.Delete,
}

// A hand has the connections of one worker.
type hand struct {
	imap map[string]*Client // by account
	mx   *smtp.Client
	msa  *smtp.Client
}

// A Client is an IMAP connection with the mailbox that it has selected.
type Client struct {
	*imapclient.Client
	selected torture.Box
}

// NewDriver returns a driver for a number of workers. It connects when it has to.
func NewDriver(s *Server, workers int) *Driver {
	d := &Driver{s, make([]hand, workers)}
	for i := range d.hands {
		d.hands[i].imap = map[string]*Client{}
	}
	return d
}

// Do does an operation. An answer of the server is a refusal; anything else
// that goes wrong leaves open what was done.
func (d *Driver) Do(op *torture.Op, body []byte) (r torture.Result, err error) {
	h := &d.hands[op.Worker]
	switch op.Kind {
	case torture.Deliver:
		return h.deliver(d.Server, op, body)
	case torture.Expunge:
		if op.Box.Name == "INBOX" && op.N%2 == 0 {
			if gone, err := d.pop(op); !errors.Is(err, errInUse) {
				return torture.Result{Gone: gone}, err
			}
		}
	}
	account := op.Box.Account
	if op.Kind == torture.Append {
		account = op.To[0].Account
	}
	c := h.imap[account]
	if c == nil {
		if c, err = d.SignIn(account); err != nil {
			return r, err
		}
		h.imap[account] = c
	}
	switch op.Kind {
	case torture.Append:
		return c.append(op, body)
	case torture.Create, torture.Rename, torture.Delete:
		return c.mailbox(op)
	}
	return c.change(op)
}

// refused tells answers from broken connections.
func refused(err error) error {
	var byIMAP *imap.Error
	var bySMTP *smtp.SMTPError
	if errors.As(err, &byIMAP) && byIMAP.Type != imap.StatusResponseTypeBye || errors.As(err, &bySMTP) && bySMTP.Code != 421 {
		return fmt.Errorf("%w: %w", torture.ErrRefused, err)
	}
	return err
}

func (h *hand) deliver(s *Server, op *torture.Op, body []byte) (r torture.Result, err error) {
	c, port := &h.mx, s.SMTP
	if op.N%3 == 0 {
		c, port = &h.msa, s.Submissions
	}
	if *c == nil {
		conn, err := s.Dial(port, port == s.Submissions)
		if err != nil {
			return r, err
		}
		*c = smtp.NewClient(conn)
		if port == s.Submissions {
			if err := (*c).Auth(sasl.NewPlainClient("", s.Sender, s.Password(s.Sender))); err != nil {
				return r, refused(err)
			}
		}
	}
	var to []string
	for _, b := range op.To {
		to = append(to, b.Account)
		r.Placed = append(r.Placed, torture.Placed{Box: b})
	}
	if err := (*c).SendMail(s.Sender, to, bytes.NewReader(body)); err != nil {
		(*c).Close()
		*c = nil
		return torture.Result{}, refused(err)
	}
	return r, nil
}

func (c *Client) append(op *torture.Op, body []byte) (r torture.Result, err error) {
	cmd := c.Append(op.To[0].Name, int64(len(body)), &imap.AppendOptions{Flags: imapFlags(op.Flags)})
	if _, err := cmd.Write(body); err != nil {
		return r, err
	}
	if err := cmd.Close(); err != nil {
		return r, err
	}
	data, err := cmd.Wait()
	if err != nil {
		return r, refused(err)
	}
	if data.UIDValidity != op.To[0].Validity {
		return r, fmt.Errorf("APPEND to %v answered UIDVALIDITY %d", op.To[0], data.UIDValidity)
	}
	r.Placed = []torture.Placed{{Box: op.To[0], UID: uint32(data.UID)}}
	return r, nil
}

func (c *Client) mailbox(op *torture.Op) (r torture.Result, err error) {
	if c.selected.Name != "" {
		c.selected = torture.Box{}
		if err := c.Unselect().Wait(); err != nil {
			return r, err
		}
	}
	switch op.Kind {
	case torture.Rename:
		return r, refused(c.Rename(op.Box.Name, op.Name, nil).Wait())
	case torture.Delete:
		return r, refused(c.Delete(op.Box.Name).Wait())
	}
	if err := c.Create(op.Name, nil).Wait(); err != nil {
		return r, refused(err)
	}
	data, err := c.Status(op.Name, &imap.StatusOptions{UIDValidity: true}).Wait()
	if err != nil {
		return r, err
	}
	r.Box = torture.Box{Account: op.Box.Account, Validity: data.UIDValidity, Name: op.Name}
	return r, nil
}

func (c *Client) change(op *torture.Op) (r torture.Result, err error) {
	if c.selected != op.Box {
		data, err := c.Select(op.Box.Name, nil).Wait()
		if err != nil {
			return r, refused(err)
		}
		if data.UIDValidity != op.Box.Validity {
			return r, fmt.Errorf("SELECT of %v answered UIDVALIDITY %d", op.Box, data.UIDValidity)
		}
		c.selected = op.Box
	}
	uids := uidSet(op.UIDs)
	switch op.Kind {
	case torture.Copy:
		data, err := c.Copy(uids, op.To[0].Name).Wait()
		if err != nil {
			return r, refused(err)
		}
		return placed(op.To[0], data.SourceUIDs, data.DestUIDs)
	case torture.Move:
		data, err := c.Move(uids, op.To[0].Name).Wait()
		if err != nil {
			return r, refused(err)
		}
		return placed(op.To[0], data.SourceUIDs, data.DestUIDs)
	case torture.Expunge:
		deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
		if err := c.Store(uids, deleted, nil).Close(); err != nil {
			return r, refused(err)
		}
		r.Gone = op.UIDs
		return r, c.UIDExpunge(uids).Close()
	}
	return c.flag(op, uids)
}

func (c *Client) flag(op *torture.Op, uids imap.UIDSet) (r torture.Result, err error) {
	how := map[string]imap.StoreFlagsOp{
		torture.SetFlags: imap.StoreFlagsSet, torture.AddFlags: imap.StoreFlagsAdd, torture.DelFlags: imap.StoreFlagsDel,
	}[op.Kind]
	list, err := c.Store(uids, &imap.StoreFlags{Op: how, Flags: imapFlags(op.Flags)}, nil).Collect()
	if err != nil {
		return r, refused(err)
	}
	for _, m := range list {
		if slices.Contains(op.UIDs, uint32(m.UID)) { // others may have news
			r.Changed = append(r.Changed, torture.Placed{UID: uint32(m.UID)})
		}
	}
	return r, nil
}

// placed makes pairs of what COPYUID says.
func placed(to torture.Box, from, at imap.NumSet) (r torture.Result, err error) {
	a, ok := from.(imap.UIDSet)
	b, okay := at.(imap.UIDSet)
	if !ok || !okay {
		return r, fmt.Errorf("COPYUID said %v, %v", from, at)
	}
	old, _ := a.Nums()
	now, _ := b.Nums()
	if len(old) != len(now) {
		return r, fmt.Errorf("COPYUID said %v, %v", a, b)
	}
	for i, u := range old {
		r.Placed = append(r.Placed, torture.Placed{Box: to, From: uint32(u), UID: uint32(now[i])})
	}
	return r, nil
}

var errInUse = errors.New("another POP3 session has the mailbox")

// pop removes messages of an INBOX by POP3. They go when QUIT is answered.
func (d *Driver) pop(op *torture.Op) (gone []uint32, err error) {
	conn, err := d.Dial(d.POP3S, true)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	p := popClient{conn, bufio.NewReader(conn)}
	for _, line := range []string{"", "USER " + op.Box.Account, "PASS " + d.Password(op.Box.Account), "UIDL"} {
		if answer, err := p.say(line); err != nil {
			if strings.Contains(answer, "[IN-USE]") {
				err = errInUse
			}
			return nil, err
		}
	}
	var numbers []string
	for {
		line, err := p.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == ".\r\n" {
			break
		}
		number, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, u := range op.UIDs {
			if id == fmt.Sprintf("%d-%d", op.Box.Validity, u) {
				numbers, gone = append(numbers, number), append(gone, u)
			}
		}
	}
	for _, number := range numbers {
		if _, err := p.say("DELE " + number); err != nil {
			return nil, err
		}
	}
	_, err = p.say("QUIT")
	return gone, err
}

type popClient struct {
	io.Writer
	*bufio.Reader
}

func (p popClient) say(line string) (answer string, err error) {
	if line != "" {
		if _, err := io.WriteString(p, line+"\r\n"); err != nil {
			return "", err
		}
	}
	answer, err = p.ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "+OK") {
		err = fmt.Errorf("POP3: %s was answered %q", strings.SplitN(line, " ", 2)[0], answer)
	}
	return answer, err
}

// Dial connects to a port, where nothing may take longer than a life.
func (s *Server) Dial(port int, secure bool) (net.Conn, error) {
	const patience = time.Minute
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if secure {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil // its own, on this computer
	}
	return conn, nil
}

// SignIn connects an account by IMAP.
func (s *Server) SignIn(account string) (*Client, error) {
	conn, err := s.Dial(s.IMAPS, true)
	if err != nil {
		return nil, err
	}
	c := &Client{Client: imapclient.New(conn, nil)}
	return c, c.Login(account, s.Password(account)).Wait()
}

// State reads what a server holds, as an IMAP client sees it.
func (s *Server) State() (st torture.State, err error) {
	for _, account := range s.Accounts {
		c, err := s.SignIn(account)
		if err != nil {
			return st, err
		}
		list, err := c.List("", "*", nil).Collect()
		if err != nil {
			return st, err
		}
		for _, m := range list {
			b, err := c.read(account, m.Mailbox)
			if err != nil {
				return st, fmt.Errorf("%s %s: %w", account, m.Mailbox, err)
			}
			st.Boxes = append(st.Boxes, b)
		}
		if err := c.Logout().Wait(); err != nil {
			return st, err
		}
	}
	return st, nil
}

func (c *Client) read(account, name string) (b torture.BoxNow, err error) {
	data, err := c.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return b, err
	}
	b.Box, b.UIDNext = torture.Box{Account: account, Validity: data.UIDValidity, Name: name}, uint32(data.UIDNext)
	if data.NumMessages == 0 {
		return b, nil
	}
	body := &imap.FetchItemBodySection{Peek: true}
	list, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{UID: true, Flags: true, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil {
		return b, err
	}
	if len(list) != int(data.NumMessages) {
		return b, fmt.Errorf("EXISTS %d, and FETCH gives %d", data.NumMessages, len(list))
	}
	for _, m := range list {
		x := torture.MessageNow{UID: uint32(m.UID)}
		for _, f := range m.Flags {
			x.Flags = append(x.Flags, string(f))
		}
		slices.Sort(x.Flags)
		x.Hold(m.FindBodySection(body))
		b.Messages = append(b.Messages, x)
	}
	return b, nil
}

func imapFlags(names []string) []imap.Flag {
	list := []imap.Flag{}
	for _, n := range names {
		list = append(list, imap.Flag(n))
	}
	return list
}

func uidSet(uids []uint32) (set imap.UIDSet) {
	for _, u := range uids {
		set.AddNum(imap.UID(u))
	}
	return set
}
