package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// neomuttConfig is for an account with everything on the server.
func (s *server) neomuttConfig(a account, authenticators string) string {
	return s.write("neomuttrc", fmt.Sprintf(`set folder="imaps://localhost:%d/" spoolfile="+INBOX" record="+Sent" trash="" postponed="+Drafts"
set imap_user="%[2]s" imap_pass="%[3]s" imap_check_subscribed=no
set smtp_url="smtps://%[2]s@localhost:%[4]d/" smtp_pass="%[3]s" smtp_authenticators="%[5]s"
set from="%[2]s" realname="Anna" use_envelope_from=yes hostname="client.test"
set ssl_force_tls=yes certificate_file="%[6]s"
set delete=yes move=no quit=yes confirmappend=no wait_key=no mark_old=no sort=mailbox-order
set header_cache="" tmpdir="%[7]s" pipe_decode=no pipe_split=no pipe_sep=""
set crypt_use_gpgme=no sleep_time=0 editor="true" abort_unmodified=no copy=yes send_charset="utf-8" charset="utf-8"
set index_format="<%%C|%%Z|%%s>"
`, s.IMAPS, a.Address, a.Password, s.Submissions, authenticators, s.cert(), s.dir))
}

// neomutt presses keys at a terminal, and returns what the screen showed.
func (s *server) neomutt(config, keys string) string {
	s.t.Helper()
	push := s.write("keys", `push "`+keys+`"`+"\n")
	return s.ok("", "script", "-qec", fmt.Sprintf("stty rows 40 cols 120; exec neomutt -n -F '%s' -e 'source %s'", config, push), "/dev/null")
}

func TestNeomuttReads(t *testing.T) {
	s := start(t, 16, "neomutt", "script")
	me := s.anna()
	config := s.neomuttConfig(me, "plain")
	all := s.mailbox(me, "INBOX")
	file := filepath.Join(s.dir, "all")
	screen := s.neomutt(config, "<tag-pattern>~A<enter><tag-prefix><pipe-message>cat > "+file+"<enter><exit>")
	contains(t, screen, "Dinner on Sunday (0)", "お知らせ", "写真ありがとう", "Grüße aus dem Garten")
	b, err := os.ReadFile(file)
	must(t, err)
	if got, want := string(b), lf(strings.Join(all, "")); got != want {
		t.Errorf("neomutt read %d bytes of %d, or others", len(got), len(want))
	}
	for i, m := range all {
		if !strings.Contains(string(b), lf(m)) {
			t.Errorf("message %d was read in another form", i+1)
		}
	}
}

func TestNeomuttFiles(t *testing.T) {
	s := start(t, 16, "neomutt", "script")
	me := s.anna()
	all := s.mailbox(me, "INBOX")
	config := s.neomuttConfig(me, "plain")
	s.neomutt(config, strings.Join([]string{
		"<first-entry><copy-message>=Archive<enter>",
		"<tag-pattern>~s order<enter><tag-prefix><copy-message>=Archive<enter><untag-pattern>~A<enter>",
		"<jump>3<enter><save-message>=日本<enter>y", // a mailbox that is not there yet: make it
		"<jump>5<enter><flag-message><jump>6<enter><set-flag>r<jump>11<enter><clear-flag>N",
		"<jump>16<enter><delete-message><sync-mailbox><exit>",
	}, ""))
	if got, want := s.mailbox(me, "Archive"), []string{all[0], all[1], all[9]}; !slices.Equal(got, want) {
		t.Errorf("%d messages were copied", len(got))
	}
	if got := s.mailbox(me, "日本"); !slices.Equal(got, all[2:3]) {
		t.Errorf("%d messages were moved to a new mailbox", len(got))
	}
	if got, want := s.mailbox(me, "INBOX"), slices.Concat(all[:2], all[3:15]); !slices.Equal(got, want) {
		t.Errorf("%d messages are left", len(got))
	}
	c, _ := s.imap(me)
	for _, m := range s.fetch(c, "INBOX", &imap.FetchOptions{Flags: true, UID: true}) {
		want := map[imap.UID]imap.Flag{5: imap.FlagFlagged, 6: imap.FlagAnswered, 11: imap.FlagSeen}[m.UID]
		if want != "" && !slices.Contains(m.Flags, want) {
			t.Errorf("message %d has only %q", m.UID, m.Flags)
		}
	}
}

func TestNeomuttSends(t *testing.T) {
	s := start(t, 1, "neomutt", "script")
	me, to := s.anna(), s.bert()
	for i, mech := range []string{"plain", "login"} {
		config := s.neomuttConfig(me, mech)
		text := fmt.Sprintf("Grüße, こんにちは, %s\n", mech)
		s.ok(text, "neomutt", "-n", "-F", config, "-e", "set copy=no", "-s", canary+" größer 日本 "+mech, "-a", s.cert(), "--", to.Address)
		list := s.mailbox(to, "INBOX")
		if len(list) != i+1 {
			t.Fatalf("%s: %d messages arrived", mech, len(list))
		}
		contains(t, list[i], "From: Anna <anna@example.test>", "=?utf-8?", "multipart/mixed", "self-signed.crt", " with ESMTPSA id ", "Content-Disposition: attachment", "-----END CERTIFICATE-----")
	}
	// From the terminal, with a copy in Sent.
	config := s.neomuttConfig(me, "plain")
	s.neomutt(config, "<mail>"+to.Address+"<enter>"+canary+"<enter><send-message><exit>")
	if got := len(s.mailbox(to, "INBOX")); got != 3 {
		t.Errorf("%d messages arrived", got)
	}
	sent := s.mailbox(me, "Sent")
	if len(sent) != 1 {
		t.Fatalf("%d messages in Sent", len(sent))
	}
	contains(t, sent[0], "Subject: "+canary, "To: "+to.Address)
}
