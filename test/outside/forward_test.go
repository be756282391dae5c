package outside

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"homemail/store"
)

// TestForward: mail that an account forwards leaves with a sender of ours and a
// seal on the verdict; a bounce finds its way back to the author.
func TestForward(t *testing.T) {
	p := postfix(t)
	const author = "192.0.2.145"
	back := meet(t, author, "author.test", manners{})
	h := newHouse(t, plan{}, "swaks", "dkimsign", "dknewkey")
	h.publishKeys()
	h.w.names.say(t, zone{
		"TXT author.test":        {"v=spf1 ip4:" + author + " -all"},
		"TXT _dmarc.author.test": {"v=DMARC1; p=reject"},
		"TXT shady.test":         {"v=spf1 -all"},
		"TXT _dmarc.shady.test":  {"v=DMARC1; p=quarantine"},
	})
	far := "bert@forward.postfix.test"
	h.cli("forward", h.bert.Address, far)
	signed := signedBy(t, h.w, "rsa", "author.test", letter("ann@author.test", "please forward", h.bert.Address))
	contains(t, h.swaksText(author, "ann@author.test", h.bert.Address, signed), "250 2.0.0 OK")
	h.arrives(h.bert, "INBOX", "please forward") // a copy stays
	got := p.arrives(t, far, "please forward")
	if err := same(got, signed[strings.Index(signed, "\r\nFrom:"):]); err != nil {
		t.Error(err)
	}
	envelope := regexp.MustCompile(`(?m)^Return-Path: <(SRS0=[^>\r\n]+@` + regexp.QuoteMeta(h.Domain) + `)>\r$`).FindStringSubmatch(got)
	if envelope == nil {
		t.Fatalf("the envelope is not rewritten:\n%s", got)
	}
	got = got[strings.Index(got, "Received:"):]
	contains(t, got, "ARC-Seal: ", "ARC-Message-Signature: ", "ARC-Authentication-Results: ", "cv=none", "dmarc=pass")
	out, err := h.w.run(t, got, "/usr/bin/arcverify")
	if err != nil || !strings.Contains(out, "cv=b'pass'") && !strings.Contains(out, "success") {
		t.Errorf("arcverify: %v\n%s", err, out)
	}
	t.Logf("arcverify: %s", strings.TrimSpace(out))

	// The author's signature has survived.
	if out, err := h.w.run(t, got, "/usr/bin/python3", "-c", dkimpy); err != nil || !strings.Contains(out, "True rsa-sha256 author.test") {
		t.Errorf("the author's signature: %v\n%s", err, out)
	}

	// A far end that takes the message and then changes its mind tells the
	// rewritten address, and so the author.
	newStranger(t, "192.0.2.11", manners{answer: func(_ int, verb, _ string) string {
		if verb == "RCPT" {
			return "550 5.1.1 no such person after all"
		}
		return ""
	}})
	h.cli("forward", h.bert.Address, "bounces@forward.postfix.test")
	contains(t, h.swaksText(author, "ann@author.test", h.bert.Address, signedBy(t, h.w, "rsa", "author.test", letter("ann@author.test", "will bounce", h.bert.Address))), "250 2.0.0 OK")
	eventually(t, "a bounce at the author's", func() bool { return len(back.messages()) > 0 })
	bounce := back.messages()[0]
	if !strings.HasPrefix(bounce.from, "FROM:<>") || !strings.HasPrefix(bounce.to[0], "TO:<ann@author.test>") {
		t.Errorf("from %s to %s", bounce.from, bounce.to)
	}
	contains(t, bounce.text, "will bounce", "multipart/report")

	// Where one refuses it at once, who forwards is told: the author has not
	// written there.
	h.cli("forward", h.bert.Address, "nobody@forward.postfix.test")
	contains(t, h.swaksText(author, "ann@author.test", h.bert.Address, letter("ann@author.test", "is refused", h.bert.Address)), "250 2.0.0 OK")
	h.arrives(h.bert, "INBOX", "is refused", "Delivered-To: ")
	h.arrives(h.bert, "INBOX", "is refused", "multipart/report", "User unknown")
	if n := len(back.messages()); n != 1 {
		t.Errorf("the author has %d bounces", n)
	}

	// Junk is not forwarded.
	h.cli("forward", h.bert.Address, far)
	contains(t, h.swaksText("192.0.2.146", "x@shady.test", h.bert.Address, letter("x@shady.test", "shady", h.bert.Address)), "250 2.0.0 OK")
	h.arrives(h.bert, "Junk", "shady")
	for _, m := range p.received(t, far) {
		if strings.Contains(m, "shady") {
			t.Error("junk was forwarded")
		}
	}
	// And nobody can send through a rewritten address that we have not made.
	if session := h.swaks(author, "<>", "SRS0=AAAAAA=ABCD=author.test=ann@"+h.Domain); !strings.Contains(session, "* 550 5.1.1") {
		t.Errorf("a forged address is taken:\n%s", session)
	}
}

// TestSealed: what has lost the proof of its author on the way through a
// forwarder is taken by those who trust the forwarder's seal, and by nobody else.
func TestSealed(t *testing.T) {
	const author = "192.0.2.147"
	first := newHouse(t, plan{}, "swaks")
	first.publishKeys()
	trusting := newHouse(t, plan{another: true, inbound: fmt.Sprintf("trusted_forwarders = [%q]", first.Domain)})
	wary := newHouse(t, plan{another: true})
	first.w.names.say(t, zone{
		"TXT sealed.test":        {"v=spf1 ip4:" + author + " -all"},
		"TXT _dmarc.sealed.test": {"v=DMARC1; p=reject"},
	})
	first.cli("forward", first.bert.Address, trusting.anna.Address, wary.anna.Address)
	session := first.swaksText(author, "ann@sealed.test", first.bert.Address, letter("ann@sealed.test", "only SPF", first.bert.Address))
	contains(t, session, "250 2.0.0 OK")
	contains(t, trusting.arrives(trusting.anna, "INBOX", "only SPF"), "dmarc=fail", "arc=pass", "dkim=none")
	first.ends(wary.anna.Address, store.Failed)
	contains(t, first.arrives(first.bert, "INBOX", "multipart/report"), wary.anna.Address, "DMARC p=reject")
	if n := len(wary.mailbox(wary.anna, "INBOX")); n > 0 {
		t.Error("it was taken on nobody's word")
	}
}
