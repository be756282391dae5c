package outside

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// swaks sends a message to the house's port 25 from an address of a stranger,
// and returns the session.
func (h *house) swaks(address, from, to string, more ...string) string {
	h.t.Helper()
	out, _ := exec.Command("swaks", append([]string{"--server", h.Address + ":25", "--local-interface", address, "--ehlo", "mx.stranger.test",
		"-f", from, "-t", to, "-tls"}, more...)...).CombinedOutput()
	return string(out)
}

// swaksText sends a whole message.
func (h *house) swaksText(address, from, to, text string) string {
	h.t.Helper()
	file, err := os.CreateTemp(h.dir, "message")
	must(h.t, err)
	defer file.Close()
	_, err = file.WriteString(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")) // swaks adds one
	must(h.t, err)
	return h.swaks(address, from, to, "--data", "@"+file.Name())
}

// run runs a program with the DNS of the world.
func (w *world) run(t *testing.T, stdin string, words ...string) (string, error) {
	t.Helper()
	words = w.names.asking(words...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// signedBy lets dkimpy make a key for a domain, publishes it, and signs a
// message with it.
func signedBy(t *testing.T, w *world, algorithm, domain, text string) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), algorithm)
	out, err := w.run(t, "", "dknewkey", "--ktype", algorithm, key)
	if err != nil {
		t.Fatalf("dknewkey: %v\n%s", err, out)
	}
	record, err := os.ReadFile(key + ".dns")
	must(t, err)
	value := strings.TrimSpace(string(record))
	if strings.Contains(value, `"`) {
		value = unquote(value)
	}
	w.names.say(t, zone{"TXT " + algorithm + "._domainkey." + domain: {value}})
	if out, err = w.run(t, text, "dkimsign", "--signalg", algorithm+"-sha256", algorithm, domain, key+".key"); err != nil {
		t.Fatalf("dkimsign: %v\n%s", err, out)
	}
	return strings.ReplaceAll(strings.ReplaceAll(out, "\r\n", "\n"), "\n", "\r\n")
}

// unquote joins the strings of a record in a zone file.
func unquote(record string) string {
	var b strings.Builder
	for i, part := range strings.Split(record, `"`) {
		if i%2 == 1 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// TestJudged: what others sign is believed, and what nobody vouches for is not.
func TestJudged(t *testing.T) {
	h := newHouse(t, plan{}, "swaks", "dkimsign", "dknewkey")
	const here, there = "192.0.2.140", "192.0.2.141"
	h.w.names.say(t, zone{
		"TXT good.test":              {"v=spf1 ip4:" + here + " -all"},
		"TXT _dmarc.good.test":       {"v=DMARC1; p=reject"},
		"TXT signed1.test":           {"v=spf1 -all"},
		"TXT _dmarc.signed1.test":    {"v=DMARC1; p=reject"},
		"TXT signed2.test":           {"v=spf1 -all"},
		"TXT _dmarc.signed2.test":    {"v=DMARC1; p=reject"},
		"TXT quarantine.test":        {"v=spf1 -all"},
		"TXT _dmarc.quarantine.test": {"v=DMARC1; p=quarantine"},
		"TXT only.test":              {"v=spf1 -all"},
		"PTR " + here:                {"mx.good.test."},
		"A mx.good.test":             {here},
	})
	from := func(domain string) (string, string) {
		address := "carl@" + domain
		return address, letter(address, "from "+domain, h.anna.Address)
	}
	taken := func(session string) {
		t.Helper()
		contains(t, session, "250 2.0.0 OK: stored as ")
	}

	address, text := from("good.test")
	taken(h.swaksText(here, address, h.anna.Address, text))
	contains(t, h.arrives(h.anna, "INBOX", "from good.test"), "Authentication-Results: "+h.Host+";", "spf=pass", "dmarc=pass", "iprev=pass", "dkim=none")

	for algorithm, domain := range map[string]string{"rsa": "signed1.test", "ed25519": "signed2.test"} {
		_, text := from(domain)
		signed := signedBy(t, h.w, algorithm, domain, text)
		taken(h.swaksText(there, "bounces@elsewhere.test", h.anna.Address, signed))
		contains(t, h.arrives(h.anna, "INBOX", "from "+domain), "dkim=pass", "header.d="+domain, "dmarc=pass")
		changed := strings.Replace(signed, "Das ist", "Das war", 1)
		session := h.swaksText(there, "bounces@elsewhere.test", h.anna.Address, changed)
		contains(t, session, "550 5.7.1", domain)
	}

	address, text = from("good.test")
	session := h.swaksText(there, address, h.anna.Address, text)
	contains(t, session, "354 ", "* 550 5.7.1", "good.test")
	t.Logf("refused with: %s", line(session, "* 550"))

	address, text = from("quarantine.test")
	taken(h.swaksText(there, address, h.anna.Address, text))
	contains(t, h.arrives(h.anna, "Junk", "from quarantine.test"), "spf=fail", "dmarc=fail")
	for _, m := range h.mailbox(h.anna, "INBOX") {
		if strings.Contains(m, "quarantine.test") {
			t.Error("it is in the INBOX")
		}
	}

	address, text = from("unknown.test") // says nothing about itself
	forged := fmt.Sprintf("Authentication-Results: %s;\r\n\tdkim=pass header.d=bank.test\r\nAuthentication-Results: mx.honest.test; spf=pass\r\n", h.Host)
	taken(h.swaksText(there, address, h.anna.Address, forged+text))
	got := h.arrives(h.anna, "INBOX", "from unknown.test")
	if strings.Contains(got, "bank.test") || strings.Count(got, "Authentication-Results: "+h.Host) != 1 {
		t.Errorf("a forged verdict is there:\n%s", got)
	}
	contains(t, got, "Authentication-Results: mx.honest.test", "spf=none", "dmarc=none")

	// A resolver that fails is no verdict.
	address, text = from("author.bogus")
	session = h.swaksText(there, address, h.anna.Address, text)
	if strings.Contains(session, "* 5") {
		t.Errorf("refused for good:\n%s", session)
	}
	t.Logf("with a broken DNS: %s", line(session, "* 4")+line(session, "stored as"))
}

// TestFromExim: a mail server that signs and says where it sends from is
// believed on both counts, and what it relays for others on neither.
func TestFromExim(t *testing.T) {
	m := exim(t)
	h := newHouse(t, plan{}, "swaks")
	through := func(from, subject string) {
		t.Helper()
		out, err := exec.Command("swaks", "--server", m.address+":25", "--local-interface", "192.0.2.21", "-f", from, "-t", h.anna.Address,
			"--h-From", from, "--h-Subject", canary+" "+subject).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	defer m.explain(t)
	through("ann@author.exim.test", "signed by Exim")
	contains(t, h.arrives(h.anna, "INBOX", "signed by Exim"), "dkim=pass", "header.d=author.exim.test", "spf=pass", "dmarc=pass", "iprev=pass", "with ESMTPS id")
	through("ann@other.exim.test", "of somebody else")
	contains(t, h.arrives(h.anna, "INBOX", "of somebody else"), "dkim=pass", "header.d=author.exim.test", "spf=none", "dmarc=none")
}

func line(text, word string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, word) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}
