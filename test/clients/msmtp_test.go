package clients

import (
	"fmt"
	"testing"
)

func TestMsmtp(t *testing.T) {
	s := start(t, 0, "msmtp")
	me, to := s.anna(), s.bert().Address
	sent := 0
	for _, port := range []int{s.Submission, s.Submissions} {
		starttls := map[bool]string{true: "on", false: "off"}[port == s.Submission]
		for _, mech := range []string{"scram-sha-256", "plain", "login"} {
			text := letter(me.Address, to, fmt.Sprint(mech, port))
			args := []string{"-C", "/dev/null", "--host=localhost", fmt.Sprint("--port=", port), "--tls=on", "--tls-starttls=" + starttls,
				"--tls-trust-file=" + s.cert(), "--auth=" + mech, "--user=" + me.Address, "--from=" + me.Address}
			s.ok(lf(text), "msmtp", append(args, "--passwordeval=echo "+me.Password, to)...)
			list := s.mailbox(s.bert(), "INBOX")
			if sent++; len(list) != sent {
				t.Fatalf("%s: %d messages were sent, %d are there", mech, sent, len(list))
			}
			if err := same(list[sent-1], text); err != nil {
				t.Errorf("%s: %v", mech, err)
			}
			if r := s.tool(lf(text), "msmtp", append(args, "--passwordeval=echo "+wrongPassword, to)...); r.code != 77 { // EX_NOPERM
				t.Errorf("%s: with a wrong password msmtp ended with %d\n%s", mech, r.code, r.out)
			}
		}
	}
}
