package outside

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"homemail/admin"
)

// publishKeys puts the keys of the house into the DNS, as homemail prints them.
func (h *house) publishKeys() (list []admin.DKIMKey) {
	h.t.Helper()
	eventually(h.t, "keys", func() bool {
		h.ask(&list, "dkim", "list", h.Domain)
		return len(list) == 2
	})
	z := zone{}
	for _, k := range list {
		z["TXT "+k.Name] = []string{k.Value}
	}
	printed := h.cli("dkim", "list", h.Domain)
	for _, k := range list {
		contains(h.t, printed, k.Name, k.Value)
	}
	h.w.names.say(h.t, z)
	return list
}

// dkimpy verifies every signature of a message and prints a line for each.
const dkimpy = `
import sys, dkim
text = sys.stdin.buffer.read()
d = dkim.DKIM(text)
n = sum(1 for name, _ in d.headers if name.lower() == b"dkim-signature")
for i in range(n):
    d = dkim.DKIM(text)
    try:
        ok = d.verify(idx=i)
    except Exception as e:
        ok = e
    print(ok, d.signature_fields.get(b"a", b"?").decode(), d.domain.decode() if d.domain else "?", d.signature_fields.get(b"h", b"?").decode().replace("\r\n", "").replace("\t", "").replace(" ", ""))
`

var signature = regexp.MustCompile(`(?m)^DKIM-Signature: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*`)

// TestSigned: OpenDKIM, dkimpy and Exim accept the signatures of what has gone
// through Postfix and Exim.
func TestSigned(t *testing.T) {
	far(t, func(t *testing.T, m *mta, h *house) {
		keys := h.publishKeys()
		if len(keys) != 2 {
			t.Fatalf("%d keys", len(keys))
		}
		for i, text := range []string{
			"Subject: plain\r\n\r\nHallo\r\n",
			"Subject: empty\r\n\r\n",
			"Subject:   folded\r\n\tand  spaced  \r\nReply-To: x@example.test\r\nList-Unsubscribe: <mailto:x@example.test>\r\n\r\n  two  spaces \r\n\r\n\r\n",
			"Subject: =?utf-8?q?h=C3=A9?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nこんにちは\r\n.\r\n..\r\n",
			"Subject: long\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 20_000),
		} {
			to := fmt.Sprintf("carl%d@signed.%s", i, m.domain)
			h.send("From: Anna <"+h.anna.Address+">\r\nTo: "+to+"\r\nDate: Tue, 03 Mar 2026 09:30:00 +0900\r\nMessage-ID: <"+itoa(i)+"@client.test>\r\n"+text, to)
			got := m.arrives(t, to)
			// What the far end has put in front is not ours.
			got = got[strings.Index(got, "Received:"):]
			if verified(t, h, got); t.Failed() {
				t.Fatalf("it is\n%s", shorten(got))
			}
			if m.domain == "exim.test" {
				eventually(t, "a word of Exim's", func() bool { return strings.Contains(m.notes(t), "DKIM: d="+h.Domain) })
			}
		}
		if m.domain == "exim.test" {
			for l := range strings.Lines(m.notes(t)) {
				if strings.Contains(l, "DKIM: d="+h.Domain) && !strings.Contains(l, "verification succeeded") {
					t.Errorf("exim: %s", l)
				}
			}
		}
	})
}

// TestRotated: new keys sign when they are taken into use, and what the old ones
// signed stays good.
func TestRotated(t *testing.T) {
	p := postfix(t)
	h := newHouse(t, plan{})
	old := h.publishKeys()
	var list []admin.DKIMKey
	h.ask(&list, "dkim", "rotate", h.Domain)
	z := zone{}
	for _, k := range list {
		z["TXT "+k.Name] = []string{k.Value}
	}
	h.w.names.say(t, z)
	send := func(to string) string {
		h.send(h.letter("signed", to), to)
		got := p.arrives(t, to)
		return got[strings.Index(got, "Received:"):]
	}
	before := send("before@rotated.postfix.test")
	h.cli("dkim", "activate", "-now", h.Domain)
	after := send("after@rotated.postfix.test")
	verified(t, h, before)
	verified(t, h, after)
	for _, k := range old {
		if !strings.Contains(before, "s="+k.Selector+";") || strings.Contains(after, "s="+k.Selector+";") {
			t.Errorf("%s signs what it should not:\n%s\n%s", k.Selector, before, after)
		}
	}
}

// verified asks dkimpy about all signatures and OpenDKIM about the one that it
// knows.
func verified(t *testing.T, h *house, text string) {
	t.Helper()
	out, err := h.w.run(t, text, "/usr/bin/python3", "-c", dkimpy)
	if err != nil {
		t.Fatalf("dkimpy: %v\n%s", err, out)
	}
	said := map[string]bool{}
	for l := range strings.Lines(out) {
		words := strings.Fields(l)
		if len(words) < 4 || words[0] != "True" || words[2] != h.Domain {
			t.Errorf("dkimpy: %s", l)
			continue
		}
		said[words[1]] = true
		if !strings.HasPrefix(words[3], "from:from:") {
			t.Errorf("From is not oversigned: %s", words[3])
		}
	}
	if !said["rsa-sha256"] || !said["ed25519-sha256"] {
		t.Errorf("not signed with both: %s", out)
	}
	// OpenDKIM of Debian knows no Ed25519; a verifier leaves out what it does
	// not know.
	rsa := signature.ReplaceAllStringFunc(text, func(s string) string {
		if strings.Contains(s, "a=ed25519") {
			return ""
		}
		return s
	})
	if out, err := h.w.run(t, strings.ReplaceAll(rsa, "\r\n", "\n"), "opendkim-testmsg"); err != nil || out != "" {
		t.Errorf("opendkim: %v %s", err, out)
	}
	broken := strings.Replace(rsa, "Subject:", "Subject: no", 1)
	if out, err := h.w.run(t, strings.ReplaceAll(broken, "\r\n", "\n"), "opendkim-testmsg"); err == nil && out == "" {
		t.Error("opendkim accepts anything")
	}
}
