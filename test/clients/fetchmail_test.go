package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fetchmail polls with some options, putting each message into its own file,
// and returns what it has brought, sorted, and how it ended.
func (s *server) fetchmail(protocol string, port int, a account, server, options string, args ...string) (list []string, r result) {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, "got-")
	must(s.t, err)
	rc := s.write("fetchmailrc", fmt.Sprintf(`set no syslog
poll localhost protocol %s port %d %s
  user "%s" password "%s"
  %s sslcertck sslcertfile "%s"
  mda "/bin/sh -c 'cat > %s/$$'"
`, protocol, port, server, a.Address, a.Password, options, s.cert(), dir))
	r = s.tool("", "fetchmail", append([]string{"-f", rc, "--pidfile", filepath.Join(dir, ".pid"), "-i", filepath.Join(s.dir, "ids")}, args...)...)
	paths, err := filepath.Glob(filepath.Join(dir, "[0-9]*"))
	must(s.t, err)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		must(s.t, err)
		list = append(list, withoutFetchmail(string(b)))
	}
	slices.Sort(list)
	return list, r
}

// withoutFetchmail takes out the Received field that fetchmail puts in.
func withoutFetchmail(text string) string {
	i := strings.Index(text, "(fetchmail-")
	if i < 0 {
		return text
	}
	start := strings.LastIndex(text[:i], "Received: ")
	end := i
	for {
		end += strings.Index(text[end:], "\n") + 1
		if end >= len(text) || text[end] != ' ' && text[end] != '\t' {
			return text[:start] + text[end:]
		}
	}
}

func TestFetchmail(t *testing.T) {
	const none = 1 // the exit code for: there is no new mail
	for _, tt := range []struct {
		name, protocol, options string
		port                    func(*server) int
		server                  string
	}{
		{"imap", "imap", `ssl sslproto "tls1.2+"`, func(s *server) int { return s.IMAPS }, ""},
		{"imap-starttls", "imap", `sslproto "tls1.2+"`, func(s *server) int { return s.IMAP }, ""},
		{"pop3", "pop3", `ssl sslproto "tls1.2+"`, func(s *server) int { return s.POP3S }, "uidl"},
		{"pop3-stls", "pop3", `sslproto "tls1.2+"`, func(s *server) int { return s.POP3 }, "uidl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, 16, "fetchmail")
			me := s.anna()
			fetch := func(keep string, args ...string) ([]string, result) {
				return s.fetchmail(tt.protocol, tt.port(s), me, tt.server, keep+" "+tt.options, args...)
			}
			s.mx().send("a..b.@docomo.ne.jp", letter("a..b.@docomo.ne.jp", me.Address, tt.name), me.Address)
			var want []string
			for _, m := range s.mailbox(me, "INBOX") {
				want = append(want, lf(m))
			}
			slices.Sort(want)
			got, r := fetch("keep", "--all")
			if r.code != 0 || !slices.Equal(got, want) {
				t.Fatalf("keep: fetchmail ended with %d and has brought %d of %d messages, or others\n%s", r.code, len(got), len(want), r.out)
			}
			if got, r := fetch("keep"); r.code != none || len(got) != 0 {
				t.Errorf("again: fetchmail ended with %d and has brought %d messages\n%s", r.code, len(got), r.out)
			}
			s.mx().send("", letter("carl@example.net", me.Address, "one more"), me.Address)
			got, r = fetch("keep")
			if r.code != 0 || len(got) != 1 || !strings.Contains(got[0], "one more") {
				t.Errorf("one more: fetchmail ended with %d and has brought %d messages\n%s", r.code, len(got), r.out)
			}
			if n := len(s.mailbox(me, "INBOX")); n != len(want)+1 {
				t.Errorf("%d messages are left after keep", n)
			}
			got, r = fetch("nokeep", "--all")
			if r.code != 0 || len(got) != len(want)+1 {
				t.Errorf("nokeep: fetchmail ended with %d and has brought %d messages\n%s", r.code, len(got), r.out)
			}
			if n := len(s.mailbox(me, "INBOX")); n != 0 {
				t.Errorf("%d messages are left after nokeep", n)
			}
			me.Password = wrongPassword
			if _, r := fetch("keep"); r.code != 3 { // PS_AUTHFAIL
				t.Errorf("a wrong password: fetchmail ended with %d\n%s", r.code, r.out)
			}
		})
	}
}
