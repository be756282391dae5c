package smtpd

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"homemail/mail"
)

// A judge gives the verdict that it is told to give, and keeps what it saw.
type judge struct {
	mu      sync.Mutex
	verdict mail.Verdict
	saw     []string
	open    int
}

type judgement struct {
	j    *judge
	from mail.Path
	b    bytes.Buffer
	over bool
}

func (j *judge) Begin(_ context.Context, remote netip.Addr, helo string, from mail.Path) Judgement {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open++
	return &judgement{j: j, from: from}
}

func (j *judge) Forged(value []byte) bool { return bytes.Contains(value, []byte("ours")) }

func (k *judgement) Write(p []byte) (int, error) { return k.b.Write(p) }

func (k *judgement) Verdict() (mail.Verdict, []byte) {
	k.j.mu.Lock()
	defer k.j.mu.Unlock()
	k.j.saw = append(k.j.saw, string(k.from)+" "+k.b.String())
	return k.j.verdict, []byte("Authentication-Results: ours; none\r\n")
}

func (k *judgement) Close() {
	k.j.mu.Lock()
	defer k.j.mu.Unlock()
	if !k.over {
		k.over = true
		k.j.open--
	}
}

func TestJudge(t *testing.T) {
	j := &judge{}
	d := open(t, Options{Kind: MX, Judge: j})
	c := d.ready()
	forged := "Authentication-Results: ours;\r\n\tspf=pass\r\n" + letter
	for _, v := range []struct {
		mail.Disposition
		want string
	}{{mail.Accept, "250"}, {mail.ToJunk, "250"}, {mail.Defer, "451 4.7.5 because"}, {mail.Reject, "550 5.7.1 because"}} {
		j.mu.Lock()
		j.verdict = mail.Verdict{Disposition: v.Disposition, Reason: "because", ARC: mail.ARC{Check: mail.Check{Result: mail.ResultPass}}}
		j.mu.Unlock()
		c.envelope()
		c.send(forged + ".\r\n")
		c.want(v.want)
	}
	got := d.dir.got()
	if len(got) != 2 || got[0].data != letter || got[0].trace.Junk || !got[1].trace.Junk || got[0].trace.Verdict.ARC.Result != mail.ResultPass || !bytes.Contains(got[0].trace.Results, []byte("ours")) {
		t.Fatalf("stored %+v", got)
	}
	if len(j.saw) != 4 || !strings.HasSuffix(j.saw[0], " "+forged) {
		t.Errorf("the judge saw %q", j.saw)
	}
	c.say("RSET")
	c.want("250")
	if j.open != 0 {
		t.Errorf("%d judgements are open", j.open)
	}
}

// TestForgedResults cuts the header everywhere: what claims to be ours is gone,
// and nothing else.
func TestForgedResults(t *testing.T) {
	const ours, other = "Authentication-Results: ours;\r\n spf=pass\r\n", "authentication-RESULTS \t: other;\r\n\tspf=pass\r\n"
	long := "Authentication-Results: " + strings.Repeat("x", maxHeld) + "\r\n"
	for in, want := range map[string]string{
		ours + "A: b\r\n\r\nbody\r\n" + ours:   "A: b\r\n\r\nbody\r\n" + ours,
		"A: b\r\n" + other + ours + "\r\nbody": "A: b\r\n" + other + "\r\nbody",
		other + ours + other + "B: c\r\n\r\n":  other + other + "B: c\r\n\r\n",
		"A: b\r\n" + ours:                      "A: b\r\n",
		"A: b\r\n" + other:                     "A: b\r\n" + other,
		"A: b\r\nAuthentication-Results: ours": "A: b\r\n",
		"A: b\r\nAuthentication-Results: her":  "A: b\r\nAuthentication-Results: her",
		ours + "junk without colon\r\n\r\n":    "junk without colon\r\n\r\n",
		"Bcc: kept\r\nA: b\r\n\r\n":            "Bcc: kept\r\nA: b\r\n\r\n",
		long + "A: b\r\n\r\n":                  "A: b\r\n\r\n",
		"":                                     "",
	} {
		for step := 1; step < 40; step += 3 {
			var b bytes.Buffer
			f := &headerFilter{w: &b, forged: (&judge{}).Forged}
			for i := 0; i < len(in); i += step {
				fmt.Fprint(f, in[i:min(i+step, len(in))])
			}
			must(t, f.Close())
			if b.String() != want {
				t.Fatalf("step %d: %.200q\n got %.200q\nwant %.200q", step, in, b.String(), want)
			}
		}
	}
}
