package durability

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/internal/mailtest"
	"homemail/internal/torture"
)

// The domains of the outside world, each with a server of its own.
const (
	easy   = "easy.test"   // takes everything
	busy   = "busy.test"   // asks to come again, now and then
	strict = "strict.test" // knows nobody whose name starts with "no", and takes no bad letters
	rude   = "rude.test"   // hangs up, before or after the final dot
)

var outsideDomains = []string{easy, busy, strict, rude}

// badLetter ends the id of a letter that strict.test refuses after DATA.
const badLetter = "-bad"

// An outside is all there is outside of a server under test.
type outside struct {
	post *torture.Post
	dns  string
	calm atomic.Bool // no more moods: what is refused is refused for good

	mu     sync.Mutex
	faults []string
	rand   *rand.Rand
}

// newOutside opens the far ends, on port 25 of addresses of this computer.
func newOutside(t *testing.T, post *torture.Post) *outside {
	t.Helper()
	o := &outside{post: post, rand: rand.New(rand.NewPCG(25, 25))}
	zone := mailtest.Zone{}
	for i, domain := range outsideDomains {
		address := fmt.Sprintf("127.0.5.%d", 2+i)
		zone["MX "+domain] = []string{"10 mx." + domain}
		zone["A mx."+domain] = []string{address}
		l, err := net.Listen("tcp", address+":25")
		if err != nil {
			t.Fatal(err)
		}
		s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
			return &caller{outside: o, domain: domain, conn: c.Conn(), life: post.Life()}, nil
		}))
		s.Domain = "mx." + domain
		s.ErrorLog = log.New(io.Discard, "", 0)
		s.ReadTimeout, s.WriteTimeout = 20*time.Second, 20*time.Second
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
	}
	o.dns = mailtest.ServeDNS(t, zone)
	return o
}

// sometimes is true in so many of a hundred cases.
func (o *outside) sometimes(percent int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.calm.Load() && o.rand.IntN(100) < percent
}

func (o *outside) bad(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, what)
}

// A caller is a server that brings mail to a far end.
type caller struct {
	*outside
	domain string
	conn   net.Conn
	life   int // of the server
	to     []string
}

func (c *caller) Mail(string, *smtp.MailOptions) error { return nil }
func (c *caller) Reset()                               { c.to = nil }
func (c *caller) Logout() error                        { return nil }

func (c *caller) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case !strings.HasSuffix(to, "@"+c.domain):
		c.bad(to + " was brought to " + c.domain)
	case refuses(to):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "There is nobody of that name"}
	case c.domain == busy && c.sometimes(20):
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted; come again"}
	}
	c.to = append(c.to, to)
	return nil
}

// refuses reports whether strict.test knows nobody of a name.
func refuses(to string) bool {
	return strings.HasPrefix(to, "no") && strings.HasSuffix(to, "@"+strict)
}

var errHungUp = errors.New("the far end hung up")

func (c *caller) Data(r io.Reader) error {
	if c.domain == rude && c.sometimes(6) {
		io.ReadFull(r, make([]byte, 100))
		c.conn.Close()
		return errHungUp
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err // it was killed
	}
	a := arrival(b)
	a.Life, a.Answered = c.life, true
	switch {
	case c.domain == busy && c.sometimes(10):
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Not now"}
	case c.domain == strict && strings.HasSuffix(a.ID, badLetter):
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "We do not want such letters"}
	case c.domain == rude && c.sometimes(6):
		a.Answered = false
	}
	if c.sometimes(20) { // a kill may come now, and then it will come again
		time.Sleep(50 * time.Millisecond)
	}
	for _, a.To = range c.to {
		if wrong := c.post.Arrive(a); wrong != "" {
			c.bad(wrong)
		}
	}
	if !a.Answered {
		c.conn.Close()
		return errHungUp
	}
	return nil
}

var (
	letterID = regexp.MustCompile(`(?m)^X-Torture: (\S+)\r$`)
	traceID  = regexp.MustCompile(`(?m)^Received: by \S+ with \S+ id (\S+);`)
)

// arrival tells which letter it is that came.
func arrival(b []byte) (a torture.Arrival) {
	var m torture.MessageNow
	m.Hold(b)
	a.SHA = m.SHA
	if id := letterID.FindSubmatch(b); id != nil {
		a.ID = string(id[1])
	}
	if id := traceID.FindStringSubmatch(m.Prefix); id != nil {
		a.Trace = id[1]
	}
	return a
}
