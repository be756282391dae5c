package clients

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// dial connects to a port with TLS, trusting the server's own certificate.
func (s *server) dial(port int) net.Conn {
	s.t.Helper()
	pem, err := os.ReadFile(s.cert())
	must(s.t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c, err := tls.Dial("tcp", s.at(port), &tls.Config{RootCAs: pool})
	must(s.t, err)
	return s.limited(c)
}

// dialPlain connects to a port without TLS.
func (s *server) dialPlain(port int) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.at(port))
	must(s.t, err)
	return s.limited(c)
}

func (s *server) at(port int) string { return net.JoinHostPort(s.Host, strconv.Itoa(port)) }

func (s *server) limited(c net.Conn) net.Conn {
	must(s.t, c.SetDeadline(time.Now().Add(2*patience)))
	s.t.Cleanup(func() { c.Close() })
	return c
}

// news is what a server tells without being asked.
type news struct {
	exists  chan uint32
	expunge chan uint32
	flags   chan []imap.Flag
}

// imap signs in with go-imap's client.
func (s *server) imap(a account) (*imapclient.Client, news) {
	s.t.Helper()
	n := news{make(chan uint32, 100), make(chan uint32, 100), make(chan []imap.Flag, 100)}
	c := imapclient.New(s.dial(s.IMAPS), &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(seq uint32) { n.expunge <- seq },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				n.exists <- *d.NumMessages
			}
		},
		Fetch: func(m *imapclient.FetchMessageData) {
			if b, err := m.Collect(); err == nil {
				n.flags <- b.Flags
			}
		},
	}})
	must(s.t, c.Login(a.Address, a.Password).Wait())
	return c, n
}

// told waits for news.
func told[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("was not told of %s", what)
	}
	return v
}

// mailbox reads all of a mailbox, each message as it is.
func (s *server) mailbox(a account, name string) (list []string) {
	s.t.Helper()
	c, _ := s.imap(a)
	defer c.Close()
	for _, m := range s.fetch(c, name, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}) {
		list = append(list, string(m.BodySection[0].Bytes))
	}
	return list
}

func (s *server) fetch(c *imapclient.Client, name string, o *imap.FetchOptions) []*imapclient.FetchMessageBuffer {
	s.t.Helper()
	data, err := c.Select(name, nil).Wait()
	must(s.t, err)
	if data.NumMessages == 0 {
		return nil
	}
	list, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, o).Collect()
	must(s.t, err)
	if len(list) != int(data.NumMessages) {
		s.t.Fatalf("%s: %d messages exist, FETCH gave %d", name, data.NumMessages, len(list))
	}
	return list
}

func TestIdleTellsOfMailFromPort25(t *testing.T) {
	s := start(t, 3)
	c, n := s.imap(s.anna())
	data, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	for i := range uint32(5) {
		idle, err := c.Idle()
		must(t, err)
		text := letter("carl@example.net", s.anna().Address, fmt.Sprint("idle ", i))
		s.mx().send("carl@example.net", text, s.anna().Address)
		if got := told(t, "a new message", n.exists); got != data.NumMessages+1+i {
			t.Errorf("told of %d messages", got)
		}
		must(t, idle.Close())
		must(t, idle.Wait())
	}
	// A second mailbox, whose watcher has to be told of this one's doing.
	if _, err := c.Move(imap.SeqSetNum(4, 5), "Archive").Wait(); err != nil {
		t.Fatal(err)
	}
	if got := len(s.mailbox(s.anna(), "Archive")); got != 2 {
		t.Errorf("%d messages in Archive", got)
	}
}

func TestTwoClientsSeeEachOther(t *testing.T) {
	s := start(t, 4)
	a, aNews := s.imap(s.anna())
	b, bNews := s.imap(s.anna())
	for _, c := range []*imapclient.Client{a, b} {
		_, err := c.Select("INBOX", nil).Wait()
		must(t, err)
	}
	idle, err := b.Idle()
	must(t, err)
	must(t, a.Store(imap.SeqSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged, "$Work"}}, nil).Close())
	flags := told(t, "flags", bNews.flags)
	if !slices.Contains(flags, imap.FlagFlagged) || !slices.Contains(flags, "$Work") {
		t.Errorf("flags %q", flags)
	}
	must(t, a.Store(imap.SeqSetNum(1, 3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(t, a.Expunge().Close())
	first, second := told(t, "an expunge", bNews.expunge), told(t, "another expunge", bNews.expunge)
	if !(first == 3 && second == 1) && !(first == 1 && second == 2) { // RFC 9051 §7.5.1: the numbers move up
		t.Errorf("expunged %d and %d", first, second)
	}
	must(t, idle.Close())
	must(t, idle.Wait())

	// APPEND by one is seen by the other, with its flags and date.
	text := letter("anna@example.test", "bert@example.test", "append")
	date := time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("", 9*3600))
	w := b.Append("INBOX", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}, Time: date})
	_, err = w.Write([]byte(text))
	must(t, err)
	must(t, w.Close())
	put, err := w.Wait()
	must(t, err)
	must(t, a.Noop().Wait())
	if got := told(t, "the appended message", aNews.exists); got != 3 {
		t.Errorf("told of %d messages", got)
	}
	list, err := a.Fetch(imap.UIDSetNum(put.UID), &imap.FetchOptions{Flags: true, InternalDate: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	must(t, err)
	if len(list) != 1 || string(list[0].BodySection[0].Bytes) != text || !list[0].InternalDate.Equal(date) || !slices.Equal(list[0].Flags, []imap.Flag{imap.FlagSeen}) {
		t.Errorf("came back: %+v", list)
	}
}

// TestManyClients changes flags of the same messages from several connections
// at once: all have to see the same in the end.
func TestManyClients(t *testing.T) {
	s := start(t, 8)
	const clients, rounds = 4, 25
	done := make(chan error, clients)
	for i := range clients {
		c, _ := s.imap(s.anna())
		_, err := c.Select("INBOX", nil).Wait()
		must(t, err)
		go func() {
			for k := range rounds {
				op := []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel}[k%2]
				flags := &imap.StoreFlags{Op: op, Flags: []imap.Flag{imap.FlagFlagged, imap.Flag(fmt.Sprint("client", i))}}
				if err := c.Store(imap.SeqSet{{Start: 1, Stop: 8}}, flags, nil).Close(); err != nil {
					done <- err
					return
				}
			}
			done <- c.Noop().Wait()
		}()
	}
	for range clients {
		must(t, <-done)
	}
	c, _ := s.imap(s.anna())
	for _, m := range s.fetch(c, "INBOX", &imap.FetchOptions{Flags: true}) {
		for i := range clients { // an odd number of rounds: each added last
			if !slices.Contains(m.Flags, imap.Flag(fmt.Sprint("client", i))) {
				t.Errorf("message %d has only %q", m.SeqNum, m.Flags)
			}
		}
	}
}
