package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"homemail/mail"
	"homemail/store"
)

// A stamp is a Signing and a Sealing that says what it was for and how many
// bytes it saw.
type stamp struct {
	bytes.Buffer
	domain string
}

func (s *stamp) Fields() ([]byte, error) {
	return fmt.Appendf(nil, "DKIM-Signature: d=%s; %d\r\n", s.domain, s.Len()), nil
}

func (s *stamp) Seal(v mail.Verdict) ([]byte, error) {
	return fmt.Appendf(nil, "ARC-Seal: d=%s; cv=%s; %d\r\n", s.domain, v.ARC.Result, s.Len()), nil
}

// openOutside gives the house a way out.
func (h *house) openOutside() {
	h.o.Outside = Outside{
		Open: func(_, _ mail.Path) error { return nil },
		Sign: func(domain string) (Signing, error) { return &stamp{domain: domain}, nil },
		Seal: func(domain string) (Sealing, error) { return &stamp{domain: domain}, nil },
		Rewrite: func(from mail.Path, domain string) (mail.Path, error) {
			return mail.Path("SRS=" + strings.ReplaceAll(string(from), "@", "=") + "@" + domain), nil
		},
		Reverse: func(p mail.Path) (mail.Path, error) {
			local, ok := strings.CutPrefix(p.Local(), "SRS=")
			if !ok {
				return "", errors.New("no")
			}
			return mail.Path(strings.Replace(local, "=", "@", 1)), nil
		},
	}
}

type queued struct {
	origin store.Origin
	owner  mail.AccountID
	from   mail.Path
	to     string
	head   string
}

// queue returns what is in the queue.
func (h *house) queue() (list []queued) {
	h.t.Helper()
	err := h.s.Items(true, func(it *store.Item, to []*store.QueueRecipient) bool {
		q := queued{origin: it.Origin, owner: it.Account, from: it.Envelope.From, head: string(it.Prefix)}
		for _, r := range to {
			q.to += string(r.Path) + strings.Join(r.Notify, "") + r.Hold + " "
		}
		list = append(list, q)
		return true
	})
	h.must(err)
	return list
}

// submit sends a message as anna.
func (h *house) submit(text string, to ...mail.Recipient) error {
	h.t.Helper()
	t := h.Begin("anna@example.test", h.anna.ID)
	defer t.Discard()
	for _, r := range to {
		if err := t.Rcpt(r.Path, 0); err != nil {
			return err
		}
	}
	io.WriteString(t, text)
	_, err := t.Commit(mail.Envelope{From: "anna@example.test", To: to}, mail.Trace{
		ID: "id9", Remote: netip.MustParseAddr("192.168.1.7"), Helo: "annas-phone", Protocol: "ESMTPSA", Account: h.anna.ID})
	return err
}

const annasLetter = "From: Anna <anna@example.test>\r\nSubject: x\r\n\r\nHello\r\n"

func TestSubmitOutside(t *testing.T) {
	h := newHouse(t)
	if err := h.submit(annasLetter, mail.Recipient{Path: "b@outside.test"}); !errors.Is(err, mail.ErrNotLocal) {
		t.Fatalf("without a way out: %v", err)
	}
	h.openOutside()
	h.alias("all@example.test", "otto@example.test", "c@Elsewhere.test")
	h.must(h.submit(annasLetter, mail.Recipient{Path: "B@outside.test", Notify: []string{"NEVER"}},
		mail.Recipient{Path: "all@example.test", Notify: []string{"SUCCESS"}}))
	if n := len(h.messages(h.otto, "INBOX")); n != 1 {
		t.Errorf("otto has %d", n)
	}
	q := h.queue()
	if len(q) != 1 || q[0].origin != store.Submitted || q[0].owner != h.anna.ID || q[0].from != "anna@example.test" ||
		q[0].to != "B@outside.testNEVER c@Elsewhere.test " {
		t.Fatalf("queued %+v", q)
	}
	if want := fmt.Sprintf("DKIM-Signature: d=example.test; %d\r\nReceived: by mx.example.test with ESMTPSA id id9;", len(annasLetter)); !strings.HasPrefix(q[0].head, want) {
		t.Errorf("head %q\nwant  %q", q[0].head, want)
	}
	if strings.Contains(q[0].head, "192.168") || strings.Contains(q[0].head, "phone") {
		t.Error("the outside is told where anna sits")
	}
	h.o.Outside.Hold = func(mail.AccountID, []mail.Path) (string, error) { return "too many", nil }
	h.must(h.submit(annasLetter, mail.Recipient{Path: "b@outside.test"}))
	if q := h.queue(); q[1].to != "b@outside.testtoo many " {
		t.Errorf("queued %+v", q[1])
	}
	h.o.Outside.Open = func(_, _ mail.Path) error { return errors.New("not today") }
	if err := h.submit(annasLetter, mail.Recipient{Path: "b@outside.test"}); !errors.Is(err, mail.ErrNoWayOut) {
		t.Errorf("closed: %v", err)
	}
}

// TestConfirm: who asks is told, once, of recipients here; strangers are not.
func TestConfirm(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	h.alias("all@example.test", "otto@example.test", "c@elsewhere.test")
	var told []string
	h.o.Confirm = func(c Confirmation) {
		for _, r := range c.To {
			told = append(told, fmt.Sprintf("%s %t %t %s", r.Path, r.Expanded, c.By == h.anna.ID, c.Structure.Envelope.Subject))
		}
	}
	success := []string{"FAILURE", "SUCCESS"}
	h.must(h.submit(annasLetter, mail.Recipient{Path: "Otto@example.test", Notify: success},
		mail.Recipient{Path: "anna@example.test"}, mail.Recipient{Path: "b@outside.test", Notify: success}))
	if fmt.Sprint(told) != "[Otto@example.test false true x]" {
		t.Errorf("told %v", told)
	}
	told = nil
	h.must(h.submit(annasLetter, mail.Recipient{Path: "all@example.test", Notify: success}))
	if fmt.Sprint(told) != "[all@example.test true true x]" {
		t.Errorf("told %v", told)
	}
	told = nil
	stranger := h.Begin("s@outside.test", 0)
	defer stranger.Discard()
	h.must(stranger.Rcpt("otto@example.test", 0))
	io.WriteString(stranger, annasLetter)
	_, err := stranger.Commit(mail.Envelope{From: "s@outside.test", To: []mail.Recipient{{Path: "otto@example.test", Notify: success}}}, mail.Trace{ID: "id7"})
	h.must(err)
	if told != nil {
		t.Errorf("a stranger is told %v", told)
	}
}

func TestForward(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	h.must(h.anna.Update(func(p *store.Profile) error {
		p.Forward = []mail.Path{"anna@outside.test", "otto@example.test"}
		return nil
	}))
	h.alias("away@example.test", "x@outside.test")
	v := &mail.Verdict{ARC: mail.ARC{Check: mail.Check{Result: mail.ResultNone}}}
	_, _, err := h.sendAs(mail.Trace{ID: "id1", Helo: "client.test", Verdict: v}, letter, "anna@example.test", "away@example.test")
	h.must(err)
	if a, o := len(h.messages(h.anna, "INBOX")), len(h.messages(h.otto, "INBOX")); a != 1 || o != 1 {
		t.Errorf("anna has %d, otto %d", a, o)
	}
	q := h.queue()
	if len(q) != 2 || q[0].owner != h.anna.ID || q[0].to != "anna@outside.test " || q[1].to != "x@outside.test " || q[1].owner != h.anna.ID {
		t.Fatalf("queued %+v", q)
	}
	if q[0].from != "SRS=a=outside.test@example.test" || q[0].origin != store.Forwarded {
		t.Errorf("from %s", q[0].from)
	}
	want := fmt.Sprintf("ARC-Seal: d=example.test; cv=none; %d\r\nDelivered-To: anna@example.test\r\nReceived: from client.test", len(letter))
	if !strings.HasPrefix(q[0].head, want) {
		t.Errorf("head %q\nwant %q", q[0].head, want)
	}
}

func TestForwardOnly(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	only := func(a *store.Account, to ...mail.Path) {
		h.must(a.Update(func(p *store.Profile) error { p.Forward, p.ForwardOnly = to, true; return nil }))
	}
	only(h.anna, "anna@outside.test")
	_, _, err := h.send(letter, "anna@example.test")
	h.must(err)
	if n := len(h.messages(h.anna, "INBOX")); n != 0 || len(h.queue()) != 1 {
		t.Errorf("anna keeps %d, %d are queued", n, len(h.queue()))
	}
	// Junk is never forwarded, and not lost.
	_, _, err = h.sendAs(mail.Trace{Junk: true}, letter, "anna@example.test")
	h.must(err)
	if n := len(h.messages(h.anna, "Junk")); n != 1 || len(h.queue()) != 1 {
		t.Errorf("anna has %d in Junk, %d are queued", n, len(h.queue()))
	}
	h.alias("away@example.test", "x@outside.test")
	if _, _, err = h.sendAs(mail.Trace{Junk: true}, letter, "away@example.test"); !errors.Is(err, mail.ErrJunk) {
		t.Errorf("junk for outside: %v", err)
	}
	// Two that forward to each other and keep nothing would lose all mail.
	only(h.anna, "otto@example.test")
	only(h.otto, "anna@example.test")
	_, _, err = h.send(letter, "anna@example.test")
	h.must(err)
	if a, o := len(h.messages(h.anna, "INBOX")), len(h.messages(h.otto, "INBOX")); a != 0 || o != 1 {
		t.Errorf("anna has %d, otto %d", a, o)
	}
	// A forward to nobody is no reason to lose mail either.
	only(h.anna, "nobody@example.test")
	_, _, err = h.send(letter, "anna@example.test")
	h.must(err)
	if n := len(h.messages(h.anna, "INBOX")); n != 1 {
		t.Errorf("anna has %d", n)
	}
}

// TestForwardToDisabled forwards to an account that is disabled: nobody would
// read it there, and where that account forwards to is nobody's wish any more.
func TestForwardToDisabled(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	h.must(h.anna.Update(func(p *store.Profile) error {
		p.Forward, p.ForwardOnly = []mail.Path{"otto@example.test"}, true
		return nil
	}))
	h.must(h.otto.Update(func(p *store.Profile) error {
		p.Disabled, p.Forward = true, []mail.Path{"otto@outside.test"}
		return nil
	}))
	_, _, err := h.send(letter, "anna@example.test")
	h.must(err)
	if a, o, q := len(h.messages(h.anna, "INBOX")), len(h.messages(h.otto, "INBOX")), h.queue(); a != 1 || o != 0 || len(q) != 0 {
		t.Errorf("anna has %d, otto %d, queued %+v", a, o, q)
	}
}

// TestForwardToFull forwards to an account that has no room: who forwards keeps
// the mail.
func TestForwardToFull(t *testing.T) {
	h := newHouse(t)
	h.must(h.otto.Update(func(p *store.Profile) error { p.Quota = 1; return nil }))
	for i, only := range []bool{false, true} {
		h.must(h.anna.Update(func(p *store.Profile) error {
			p.Forward, p.ForwardOnly = []mail.Path{"otto@example.test"}, only
			return nil
		}))
		tx := h.Begin("s@outside.test", 0)
		h.must(tx.Rcpt("anna@example.test", int64(len(letter))))
		io.WriteString(tx, letter)
		_, err := tx.Commit(mail.Envelope{From: "s@outside.test"}, mail.Trace{ID: "f"})
		h.must(err)
		if a, o := len(h.messages(h.anna, "INBOX")), len(h.messages(h.otto, "INBOX")); a != i+1 || o != 0 {
			t.Errorf("only %v: anna has %d, otto %d", only, a, o)
		}
	}
	if err := h.Begin("s@outside.test", 0).Rcpt("otto@example.test", 100); !errors.Is(err, mail.ErrMailboxFull) {
		t.Errorf("got %v", err)
	}
}

func TestForwardLoop(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	h.alias("away@example.test", "x@outside.test")
	if _, _, err := h.send("Delivered-To: away@example.test\r\n"+letter, "away@example.test"); !errors.Is(err, mail.ErrLoop) {
		t.Errorf("got %v", err)
	}
}

// TestBounceOfForward sends back what we forwarded: it goes to the sender, and
// nothing else may use such an address.
func TestBounceOfForward(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	back := func(from mail.Path) error {
		tx := h.Begin(from, 0)
		defer tx.Discard()
		if err := tx.Rcpt("SRS=a=outside.test@example.test", 0); err != nil {
			return err
		}
		io.WriteString(tx, letter)
		_, err := tx.Commit(mail.Envelope{From: from}, mail.Trace{ID: "b"})
		return err
	}
	if err := back("spammer@outside.test"); !errors.Is(err, mail.ErrUnknownRecipient) {
		t.Errorf("with a sender: %v", err)
	}
	h.must(back(""))
	if q := h.queue(); len(q) != 1 || q[0].from != "" || q[0].to != "a@outside.test " {
		t.Errorf("queued %+v", q)
	}
	h.alias("@example.test", "otto@example.test") // who takes what is nobody's: not this
	h.must(back(""))
	if n, q := len(h.messages(h.otto, "INBOX")), h.queue(); n != 0 || len(q) != 2 {
		t.Errorf("otto has %d, %d are queued", n, len(q))
	}
}

// TestBounceToOurselves: what anna wrote was forwarded by another domain of ours.
func TestBounceToOurselves(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	tx := h.Begin("", 0)
	defer tx.Discard()
	h.must(tx.Rcpt("SRS=anna=example.test@all.test", 0))
	io.WriteString(tx, letter)
	_, err := tx.Commit(mail.Envelope{}, mail.Trace{ID: "b"})
	h.must(err)
	if n := len(h.messages(h.anna, "INBOX")); n != 1 || len(h.queue()) != 0 {
		t.Errorf("anna has %d, %d are queued", n, len(h.queue()))
	}
}

func TestStrangersNeverRelay(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	for _, p := range []mail.Path{"b@outside.test", "b%outside.test@elsewhere.test", "\"b@outside.test\"@elsewhere.test", "b@[192.0.2.1]", "anna@example.test.test"} {
		if err := h.Begin("anna@example.test", 0).Rcpt(p, 0); !errors.Is(err, mail.ErrNotLocal) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestHeaderInPieces cuts the header everywhere: the signature is of all of it.
func TestHeaderInPieces(t *testing.T) {
	h := newHouse(t)
	h.openOutside()
	for _, step := range []int{1, 2, 3, 7, 1000} {
		tx := h.Begin("anna@example.test", h.anna.ID)
		h.must(tx.Rcpt("b@outside.test", 0))
		for i := 0; i < len(annasLetter); i += step {
			io.WriteString(tx, annasLetter[i:min(i+step, len(annasLetter))])
		}
		_, err := tx.Commit(mail.Envelope{From: "anna@example.test"}, mail.Trace{ID: "i", Account: h.anna.ID})
		h.must(err)
	}
	for _, q := range h.queue() {
		if want := fmt.Sprintf("DKIM-Signature: d=example.test; %d\r\n", len(annasLetter)); !strings.HasPrefix(q.head, want) {
			t.Errorf("head %q", q.head)
		}
	}
}

// TestSendAs lets anna write as her address elsewhere, and nobody else.
func TestSendAs(t *testing.T) {
	h := newHouse(t)
	h.must(h.anna.Update(func(p *store.Profile) error { p.AddSendAs("Anna@Elsewhere.test"); return nil }))
	if !h.Owns(h.anna.ID, "anna@elsewhere.test") || h.Owns(h.otto.ID, "anna@elsewhere.test") || h.Owns(h.anna.ID, "otto@elsewhere.test") {
		t.Error("the wrong ones may write as anna@elsewhere.test")
	}
	for _, off := range []bool{true, false} {
		h.must(h.anna.Update(func(p *store.Profile) error { p.Disabled = off; return nil }))
		if h.Owns(h.anna.ID, "anna@elsewhere.test") == off {
			t.Errorf("disabled %v, and anna may write as it: %v", off, !off)
		}
	}
	h.must(h.anna.Update(func(p *store.Profile) error { p.DropSendAs("anna@elsewhere.test"); return nil }))
	if h.Owns(h.anna.ID, "anna@elsewhere.test") {
		t.Error("anna may still write as it")
	}
}
