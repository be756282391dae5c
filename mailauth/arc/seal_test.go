package arc

import (
	"bytes"
	"crypto"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"homemail/mail"
	"homemail/mailauth/rfc6376"
	"homemail/test/need"
)

func sealer(key crypto.Signer, selector string) *Sealer {
	return NewSealer(SealOptions{Domain: "example.org", Selector: selector, Key: key, AuthServID: "mx.example.org", ClockTrusted: true})
}

// forward validates a message and puts a set on it.
func forward(t testing.TB, z zone, selector, msg string) (sealed string, c Chain) {
	t.Helper()
	c = verify(z, msg)
	s := sealer(suiteKeys()[selector], selector)
	_, _ = s.Write([]byte(msg)) // never fails
	set, err := s.Seal(c, "spf=pass smtp.mailfrom=a@d1.example.org;\r\n\tdkim=none; arc="+string(c.Result))
	if unfit := errors.Is(err, rfc6376.ErrFolded) || errors.Is(err, rfc6376.ErrHeader); unfit {
		return msg, c
	} else if err != nil {
		t.Fatal(err)
	}
	if len(set) > 0 && (!bytes.HasSuffix(set, []byte("\r\n")) || bytes.Contains(set, []byte("\r\n\r\n"))) {
		t.Fatalf("not fields: %q", set)
	}
	for line := range strings.SplitSeq(string(set), "\r\n") {
		if len(line) > 78 {
			t.Errorf("long line %q", line)
		}
	}
	return string(set) + msg, c
}

func TestSeal(t *testing.T) {
	z := suiteZone(t)
	msg := suiteHeader + "\r\n" + suiteBody
	for i := range maxSets {
		msg, _ = forward(t, z, []string{"dummy", "other", "ed"}[i%3], msg)
		c := verify(z, msg)
		if c.Result != mail.ResultPass || c.Sets != i+1 || !strings.Contains(c.First, "arc=none") {
			t.Fatalf("after %d hops: %+v", i+1, c)
		}
	}
	if again, _ := forward(t, z, "ed", msg); again != msg {
		t.Error("a set on top of fifty")
	}
}

// TestSealEdges seals messages that are hardly messages.
func TestSealEdges(t *testing.T) {
	z := suiteZone(t)
	for _, msg := range []string{"", "\r\n", "\r\nbody", "Subject: x", "From: a@b\r\n", "From: a@b\r\n\r\n\r\n\r\n",
		"From: a@b\r\n\r\nbare\rcr and\nlf \r", "no field\r\nFrom: \xff\r\n\r\n\xff\x00",
		"From: a@b\r\n" + strings.Repeat("Cc: a@b\r\n", 100) + "\r\nx"} {
		sealed, _ := forward(t, z, "dummy", msg)
		if c := verify(z, sealed); c.Result != mail.ResultPass {
			t.Errorf("%.40q: %+v", msg, c)
		}
	}
}

// TestSealBroken: a chain that has failed is sealed as that, once.
func TestSealBroken(t *testing.T) {
	z := suiteZone(t)
	for name, msg := range map[string]string{
		"changed":      strings.Replace(forge(t, 2), "Hey", "Hi", 1),
		"no structure": forge(t, 2, after(1, "as", "", "")),
	} {
		sealed, c := forward(t, z, "dummy", msg)
		if c.Result != mail.ResultFail || !strings.Contains(sealed, "cv=fail") || !strings.Contains(sealed, "ARC-Seal: i=3;") {
			t.Errorf("%s: %+v\n%s", name, c, sealed)
		}
		// RFC 8617 §5.1.2: the seal covers its own set alone.
		set := rfc6376.Fields([]byte(sealed[:len(sealed)-len(msg)]))
		key, err := rfc6376.ParseKey(z["dummy._domainkey.example.org"])
		if err != nil || len(set) != 3 {
			t.Fatal(err, len(set))
		}
		digest := rfc6376.Digest([]rfc6376.Field{set[2], set[1]}, set[0], true)
		if err := key.Verify(rfc6376.RSA, digest, tagsOf(string(set[0]))["b"]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again, c := forward(t, z, "dummy", sealed); again != sealed || c.Result != mail.ResultFail {
			t.Errorf("%s: sealed again: %+v", name, c)
		}
	}
	z["dummy._domainkey.example.org"] = "SERVFAIL"
	msg := forge(t, 1)
	if sealed, c := forward(t, z, "other", msg); sealed != msg || c.Result != mail.ResultTempError {
		t.Errorf("sealed what could not be verified: %+v", c)
	}
}

func TestSealRefuses(t *testing.T) {
	s := NewSealer(SealOptions{})
	if _, err := s.Seal(Chain{}, ""); err == nil {
		t.Error("sealed without a key")
	}
	for _, bad := range []string{"spf=pass\nSubject: x", "spf=pass\r\nSubject: x", "spf=pass\r\n\r\n\tx", strings.Repeat("x", 1000), "a\x00"} {
		s := sealer(suiteKeys()["ed"], "ed")
		if set, err := s.Seal(Chain{Result: mail.ResultNone}, bad); err == nil {
			t.Errorf("%.20q became %q", bad, set)
		}
	}
	folded := sealer(suiteKeys()["ed"], "ed")
	_, _ = folded.Write([]byte("\tx\r\nFrom: a@b\r\n\r\n")) // never fails
	if set, err := folded.Seal(Chain{Result: mail.ResultNone}, ""); err == nil {
		t.Errorf("a line of the message becomes part of %q", set)
	}
	long := sealer(suiteKeys()["ed"], "ed")
	_, _ = long.Write(bytes.Repeat([]byte("X: y\r\n"), 100_000)) // never fails
	if _, err := long.Seal(Chain{Result: mail.ResultNone}, ""); err == nil {
		t.Error("sealed a header without end")
	}
}

// FuzzSeal: whatever the message, what we seal we can verify, and a chain that
// was not broken is not broken by us.
func FuzzSeal(f *testing.F) {
	f.Add([]byte(suiteHeader+"\r\n"+suiteBody), uint8(7))
	f.Add([]byte(forge(f, 2)), uint8(100))
	f.Add([]byte(forge(f, 2, before(1, "as", "cv=none", "cv=fail"))), uint8(1))
	f.Add([]byte(" folded into nothing"), uint8(0))
	f.Add([]byte("\r\rFrom: a\r\n\t b \r\r\n\r\n \r\n\r\r\n"), uint8(2))
	z := suiteZone(f)
	f.Fuzz(func(t *testing.T, msg []byte, piece uint8) {
		before := verify(z, string(msg))
		sealed, _ := forward(t, z, "ed", string(msg))
		after := verify(z, sealed)
		if sealed == string(msg) {
			return // nothing may be put on it
		}
		good := before.Result == mail.ResultPass || before.Result == mail.ResultNone
		if good && before.Sets < maxSets && (after.Result != mail.ResultPass || after.Sets != before.Sets+1) || !good && after.Result == mail.ResultPass {
			t.Errorf("before %+v, after %+v", before, after)
		}
		v := NewVerifier(Options{LookupTXT: z.LookupTXT, ClockTrusted: true})
		for rest := []byte(sealed); len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			_, _ = v.Write(rest[:n]) // never fails
			rest = rest[n:]
		}
		if c := v.Verify(t.Context()); c.Result != after.Result || c.Reason != after.Reason {
			t.Errorf("in pieces of %d: %+v, whole: %+v", int(piece)+1, c, after)
		}
	})
}

// TestDkimpy has an implementation of others verify what we seal.
func TestDkimpy(t *testing.T) {
	need.Tools(t, "python3")
	z := suiteZone(t)
	const script = `
import sys, dkim
zone = dict(line.split(b' ', 1) for line in sys.argv[1].encode().split(b'\n'))
cv, results, reason = dkim.arc_verify(sys.stdin.buffer.read(), dnsfunc=lambda name, timeout=5: zone.get(name.rstrip(b'.')))
print(cv.decode(), reason)
`
	var names []string
	for name, txt := range z {
		names = append(names, name+" "+txt)
	}
	msg := suiteHeader + "\r\n" + suiteBody
	for i := range 4 {
		msg, _ = forward(t, z, []string{"dummy", "other"}[i%2], msg)
		cmd := exec.Command("/usr/bin/python3", "-c", script, strings.Join(names, "\n")) // Debian's own: it has python3-dkim
		cmd.Stdin = strings.NewReader(msg)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "pass") {
			t.Errorf("%d hops: %v: %s", i+1, err, out)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	z := suiteZone(b)
	body := strings.Repeat("Forty-nine octets and a line ending make fifty.\r\n", 1<<10)
	msg := suiteHeader + "\r\n" + body
	for range 3 {
		msg, _ = forward(b, z, "other", msg)
	}
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if c := verify(z, msg); c.Result != mail.ResultPass {
			b.Fatal(c)
		}
	}
}

// BenchmarkHostile is the dearest chain that a stranger can send.
func BenchmarkHostile(b *testing.B) {
	z := suiteZone(b)
	msg := forge(b, maxSets, before(1, "aar", "dmarc=pass", "dmarc=pass"+strings.Repeat(" a", 90<<10)))
	for b.Loop() {
		if c := verify(z, msg); c.Result != mail.ResultPass {
			b.Fatal(c)
		}
	}
}
