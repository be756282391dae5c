package clients

import (
	"fmt"
	"strings"
	"testing"
)

// curl runs curl as an account, which must have TLS.
func (s *server) curl(a account, args ...string) result {
	s.t.Helper()
	return s.tool("", "curl", append([]string{"-sS", "--ssl-reqd", "--cacert", s.cert(), "-u", a.Address + ":" + a.Password}, args...)...)
}

// curlOK is for what has to work.
func (s *server) curlOK(a account, args ...string) string {
	s.t.Helper()
	r := s.curl(a, args...)
	if r.code != 0 {
		s.t.Fatalf("curl %q ended with %d: %s", args, r.code, r.out)
	}
	return r.out
}

// bases are the URLs of the door with STARTTLS and of that with TLS from the
// first byte.
func bases(scheme string, startTLS, implicit int) []string {
	return []string{fmt.Sprintf("%s://localhost:%d", scheme, startTLS), fmt.Sprintf("%ss://localhost:%d", scheme, implicit)}
}

func TestCurlSMTP(t *testing.T) {
	s := start(t, 0, "curl")
	for _, base := range bases("smtp", s.Submission, s.Submissions) {
		text := letter("anna@example.test", "bert@example.test", base)
		args := func(from, to string) []string {
			return []string{base + "/client.test", "--mail-from", from, "--mail-rcpt", to, "-T", s.write("m.eml", text)}
		}
		s.curlOK(s.anna(), args("anna@example.test", "bert@example.test")...)
		list := s.mailbox(s.bert(), "INBOX")
		if err := same(list[len(list)-1], text); err != nil {
			t.Error(err)
		}
		for _, mech := range []string{"PLAIN", "LOGIN"} {
			s.curlOK(s.anna(), append(args("anna@example.test", "bert@example.test"), "--login-options", "AUTH="+mech)...)
		}
		if r := s.curl(account{"anna@example.test", wrongPassword}, args("anna@example.test", "bert@example.test")...); r.code != 67 {
			t.Errorf("a wrong password: curl ended with %d, %s", r.code, r.out)
		}
		if r := s.curl(s.anna(), args("anna@example.test", "far@elsewhere.example")...); r.code != 55 {
			t.Errorf("outside: curl ended with %d, %s", r.code, r.out)
		}
		if got := len(s.mailbox(s.bert(), "INBOX")); got != len(list)+2 {
			t.Errorf("%d messages, was %d", got, len(list))
		}
	}
}

func TestCurlIMAP(t *testing.T) {
	s := start(t, 16, "curl")
	me := s.anna()
	uid := 0
	for _, base := range bases("imap", s.IMAP, s.IMAPS) {
		contains(t, s.curlOK(me, base+"/"), ` "/" INBOX`, `\Drafts) "/" "Drafts"`, `\Sent) "/" "Sent"`, `\Trash) "/" "Trash"`)
		text := letter("anna@example.test", "bert@example.test", "draft")
		s.curlOK(me, base+"/Drafts", "-T", s.write("m.eml", text))
		uid++
		if got := s.curlOK(me, fmt.Sprintf("%s/Drafts;UID=%d", base, uid)); got != text {
			t.Errorf("what was appended came back as %q", got)
		}
		if got := s.curlOK(me, fmt.Sprintf("%s/Drafts;UID=%d;SECTION=TEXT", base, uid)); !strings.HasSuffix(text, "\r\n\r\n"+got) {
			t.Errorf("its text came back as %q", got)
		}
		contains(t, s.curlOK(me, base+"/INBOX;MAILINDEX=1;SECTION=HEADER.FIELDS%20(SUBJECT)"), "Subject: Dinner on Sunday (0)\r\n\r\n")
		contains(t, s.curlOK(me, base+"/INBOX?SUBJECT%20dinner"), "* SEARCH 1 5 9 13\r\n")
		contains(t, s.curlOK(me, base+"/INBOX?UNSEEN"), "* SEARCH 11 12 13 14 15 16\r\n")
		contains(t, s.curlOK(me, base+"/INBOX?BODY%20dumplings"), "* SEARCH 1 9\r\n")
		contains(t, s.curlOK(me, base+"/INBOX?TEXT%20nothing-has-this"), "* SEARCH\r\n")
		contains(t, s.curlOK(me, base+"/", "-X", "STATUS Drafts (MESSAGES UIDNEXT)"), fmt.Sprintf(`"Drafts" (MESSAGES %d UIDNEXT %d)`, uid, uid+1))
		contains(t, s.curlOK(me, base+"/INBOX", "-X", `STORE 2 +FLAGS (\Flagged)`), `\Flagged`)
		for _, mech := range []string{"PLAIN", "LOGIN"} {
			s.curlOK(me, base+"/", "-X", "NOOP", "--login-options", "AUTH="+mech)
		}
		if r := s.curl(account{me.Address, wrongPassword}, base+"/"); r.code != 67 {
			t.Errorf("a wrong password: curl ended with %d, %s", r.code, r.out)
		}
		if r := s.curl(me, base+"/Nowhere;UID=1"); r.code == 0 {
			t.Error("a mailbox that is not there was read")
		}
	}
}

func TestCurlPOP3(t *testing.T) {
	s := start(t, 6, "curl")
	me, left := s.anna(), 6
	all := s.mailbox(me, "INBOX")
	for _, base := range bases("pop3", s.POP3, s.POP3S) {
		if got := strings.Count(s.curlOK(me, base+"/"), "\n"); got != left {
			t.Errorf("LIST has %d lines", got)
		}
		if got := s.curlOK(me, base+"/1"); got != all[6-left] {
			t.Errorf("RETR: %q", got)
		}
		uidl := strings.Fields(s.curlOK(me, "-X", "UIDL", base+"/"))
		if len(uidl) != 2*left {
			t.Errorf("UIDL: %q", uidl)
		}
		header, _, _ := strings.Cut(all[6-left], "\r\n\r\n")
		if got := s.curlOK(me, "-X", "TOP 1 0", base+"/"); got != header+"\r\n\r\n" {
			t.Errorf("TOP: %q", got)
		}
		s.curlOK(me, "-X", "DELE", "-I", base+"/1")
		left--
		if got := strings.Fields(s.curlOK(me, "-X", "UIDL", base+"/")); len(got) != 2*left || got[1] != uidl[3] {
			t.Errorf("UIDL after DELE: %q", got)
		}
		for _, mech := range []string{"PLAIN", "LOGIN"} {
			s.curlOK(me, base+"/", "--login-options", "AUTH="+mech)
		}
		if r := s.curl(account{me.Address, wrongPassword}, base+"/"); r.code != 67 {
			t.Errorf("a wrong password: curl ended with %d, %s", r.code, r.out)
		}
		if r := s.curl(me, base+"/99"); r.code == 0 {
			t.Error("a message that is not there was read")
		}
	}
	if got := len(s.mailbox(me, "INBOX")); got != left {
		t.Errorf("IMAP sees %d messages", got)
	}
}

// TestNoPasswordWithoutTLS: on the ports with STARTTLS nobody may sign in
// before it, and what refuses does so before the password has been sent.
func TestNoPasswordWithoutTLS(t *testing.T) {
	s := start(t, 1, "curl")
	me := s.anna()
	for _, url := range []string{fmt.Sprintf("imap://localhost:%d/", s.IMAP), fmt.Sprintf("pop3://localhost:%d/", s.POP3), fmt.Sprintf("smtp://localhost:%d/x", s.Submission)} {
		r := s.tool("", "curl", "-sSv", "-u", me.Address+":"+me.Password, url)
		if r.code == 0 && !strings.HasPrefix(url, "smtp") || strings.Contains(r.out, me.Password) {
			t.Errorf("%s: curl ended with %d\n%s", url, r.code, r.out)
		}
		if strings.Contains(r.out, "> AUTH ") || strings.Contains(r.out, "> USER ") {
			t.Errorf("%s: curl began to sign in\n%s", url, r.out)
		}
	}
	w := newWire(t, s.dialPlain(s.POP3))
	w.line()
	for _, cmd := range []string{"USER " + me.Address, "AUTH PLAIN"} {
		fmt.Fprintf(w.c, "%s\r\n", cmd)
		if got := w.line(); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("POP3 %s: %s", cmd, got)
		}
	}
	w = newWire(t, s.dialPlain(s.IMAP))
	contains(t, w.line(), "LOGINDISABLED", "STARTTLS")
	fmt.Fprintf(w.c, "a LOGIN %s %s\r\n", me.Address, me.Password)
	if got := w.line(); !strings.HasPrefix(got, "a NO") && !strings.HasPrefix(got, "a BAD") {
		t.Errorf("IMAP LOGIN: %s", got)
	}
}
