package clients

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// TestKilled kills the server again and again, each time right after answers
// to several protocols. What was acknowledged has to be there.
func TestKilled(t *testing.T) {
	s := start(t, 8, "curl")
	inbox := s.mailbox(s.anna(), "INBOX")
	var archive, drafts []string
	flags := make(map[imap.UID]string)
	for round := range 6 {
		me := s.anna()
		text := letter("carl@example.net", me.Address, fmt.Sprint("before the crash ", round))
		s.mx().send("carl@example.net", text, me.Address)
		inbox = append(inbox, text)
		draft := letter(me.Address, "carl@example.net", fmt.Sprint("draft ", round))
		s.curlOK(me, fmt.Sprintf("imaps://localhost:%d/Drafts", s.IMAPS), "-T", s.write("m.eml", draft))
		drafts = append(drafts, draft)
		big := "Subject: big\r\n\r\n" + strings.Repeat(fmt.Sprintf("%d%s\r\n", round, strings.Repeat("y", 75)), 40_000)
		s.mx().send("carl@example.net", big, s.bert().Address)

		c, _ := s.imap(me)
		_, err := c.Select("INBOX", nil).Wait()
		must(t, err)
		_, err = c.Move(imap.SeqSetNum(1), "Archive").Wait()
		must(t, err)
		archive, inbox = append(archive, inbox[0]), inbox[1:]
		list, err := c.Store(imap.SeqSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged, imap.Flag(fmt.Sprint("round", round))}}, nil).Collect()
		must(t, err)
		flags[list[0].UID] = fmt.Sprint("round", round)
		if round%2 == 1 {
			p := s.pop3(me)
			p.pop("DELE 3")
			p.pop("QUIT")
			inbox = slices.Delete(inbox, 2, 3)
		}
		s.crash()

		for name, want := range map[string][]string{"INBOX": inbox, "Archive": archive, "Drafts": drafts} {
			got := s.mailbox(s.anna(), name)
			if len(got) != len(want) {
				t.Fatalf("round %d: %s has %d messages of %d", round, name, len(got), len(want))
			}
			for i := range want {
				if !strings.HasSuffix(got[i], want[i]) {
					t.Errorf("round %d: %s: message %d is another: %q", round, name, i, shorten(got[i]))
				}
			}
		}
		bert := s.mailbox(s.bert(), "INBOX")
		if len(bert) != round+1 {
			t.Errorf("round %d: %d messages for bert", round, len(bert))
		} else if err := same(bert[round], big); err != nil {
			t.Error(err)
		}
		c, _ = s.imap(s.anna())
		for _, m := range s.fetch(c, "INBOX", &imap.FetchOptions{Flags: true, UID: true}) {
			if want := flags[m.UID]; want != "" && !slices.Contains(m.Flags, imap.Flag(want)) {
				t.Errorf("round %d: UID %d has lost %s and has %q", round, m.UID, want, m.Flags)
			}
		}
	}
}

// TestStopsAfterAWhile: a server that had nothing to do for a while before it
// was stopped must find all of its mail complete. What is looked at is in
// finish; there must be no sign-in here, as that would be noted at the stop.
func TestStopsAfterAWhile(t *testing.T) {
	s := start(t, 0)
	for range 2 {
		s.mx().send("carl@example.net", letter("carl@example.net", "anna@example.test", "then silence"), "anna@example.test")
		time.Sleep(1500 * time.Millisecond)
		must(t, s.signal(syscall.SIGTERM))
		s.run()
	}
	if got := len(s.mailbox(s.anna(), "INBOX")); got != 2 {
		t.Errorf("%d messages", got)
	}
}
