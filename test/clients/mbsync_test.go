package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// mbsyncConfig syncs all mailboxes of an account with a tree of maildirs.
func (s *server) mbsyncConfig(a account, tree, mechanism string) string {
	must(s.t, os.MkdirAll(tree, 0o700))
	return s.write(filepath.Base(tree)+".rc", fmt.Sprintf(`IMAPAccount home
Host localhost
Port %d
User %s
Pass %s
AuthMechs %s
SSLType IMAPS
SystemCertificates no
CertificateFile %s

IMAPStore far
Account home

MaildirStore near
Path %[6]s/
Inbox %[6]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
CopyArrivalDate yes
SyncState *
`, s.IMAPS, a.Address, a.Password, mechanism, s.cert(), tree))
}

// utf8Name is the name of the mailbox that mbsync keeps under a directory.
func utf8Name(dir string) string { return strings.ReplaceAll(dir, mailboxUTF7, mailbox) }

// sync runs mbsync.
func (s *server) sync(config string) string {
	s.t.Helper()
	return s.ok("", "mbsync", "-V", "-c", config, "-a")
}

// A kept is a message in a maildir.
type kept struct{ path, flags, text string }

// maildir reads the messages below a tree by their mailbox, with CRLF again.
func maildir(t testing.TB, tree string) map[string][]kept {
	t.Helper()
	all := make(map[string][]kept)
	paths, err := filepath.Glob(filepath.Join(tree, "*", "[cn][ue][rw]", "*"))
	must(t, err)
	deep, err := filepath.Glob(filepath.Join(tree, "*", "*", "[cn][ue][rw]", "*"))
	must(t, err)
	for _, p := range append(paths, deep...) {
		b, err := os.ReadFile(p)
		must(t, err)
		box, err := filepath.Rel(tree, filepath.Dir(filepath.Dir(p)))
		must(t, err)
		_, flags, _ := strings.Cut(filepath.Base(p), ":2,")
		all[box] = append(all[box], kept{p, flags, withoutMbsync(crlf(string(b)))})
	}
	for box := range all {
		sort.Slice(all[box], func(i, k int) bool { return all[box][i].text < all[box][k].text })
	}
	return all
}

// texts are the messages of a mailbox, sorted, as they were before mbsync.
func texts(list []string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = withoutMbsync(list[i])
	}
	slices.Sort(list)
	return list
}

// withoutMbsync takes out the field by which mbsync finds again what it puts
// into a mailbox.
func withoutMbsync(text string) string {
	before, rest, ok := strings.Cut(text, "X-TUID: ")
	if !ok {
		return text
	}
	_, after, _ := strings.Cut(rest, "\r\n")
	return before + after
}

func keptTexts(list []kept) (all []string) {
	for _, k := range list {
		all = append(all, k.text)
	}
	return texts(all)
}

const (
	mailbox     = "日本語/帳簿 2026"
	mailboxUTF7 = "&ZeVnLIqe-/&XjN8Pw- 2026" // RFC 3501 §5.1.3, as mbsync names the directory
)

func TestMbsync(t *testing.T) {
	s := start(t, 24, "mbsync")
	me := s.anna()
	c, _ := s.imap(me)
	must(t, c.Create(mailbox, nil).Wait())
	text := letter("a..b.@docomo.ne.jp", me.Address, "mbsync")
	w := c.Append(mailbox, int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagAnswered}})
	_, err := w.Write([]byte(text))
	must(t, err)
	must(t, w.Close())
	_, err = w.Wait()
	must(t, err)

	// Down.
	tree := filepath.Join(s.dir, "tree")
	config := s.mbsyncConfig(me, tree, "SCRAM-SHA-256")
	contains(t, s.sync(config), "SASL mechanism SCRAM-SHA-256")
	near := maildir(t, tree)
	if got, want := keptTexts(near["INBOX"]), texts(s.mailbox(me, "INBOX")); len(want) != 24 || !slices.Equal(got, want) {
		t.Fatalf("INBOX: %d messages of %d came, or they differ", len(got), len(want))
	}
	if k := near[mailboxUTF7]; len(k) != 1 || k[0].text != text || k[0].flags != "R" {
		t.Fatalf("the Japanese mailbox: %q", near)
	}
	s.sync(config)
	if again := maildir(t, tree); fmt.Sprint(again) != fmt.Sprint(near) {
		t.Error("a second sync changed something")
	}

	s.mbsyncUp(c, config, tree, near)
	s.mbsyncDown(c, config, tree)
	// Other computers, which sign in in other ways, get the same tree.
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		other := filepath.Join(s.dir, mechanism)
		s.sync(s.mbsyncConfig(me, other, mechanism))
		boxes := maildir(t, other)
		if len(boxes) != 4 {
			t.Errorf("this computer has %d mailboxes with mail", len(boxes))
		}
		for box, list := range boxes {
			if !slices.Equal(keptTexts(list), texts(s.mailbox(me, utf8Name(box)))) {
				t.Errorf("%s: this computer has %d messages of others", box, len(list))
			}
		}
	}
}

// mbsyncUp makes changes here, a message with flags, flags of an old one, a
// deletion and a new mailbox, and looks for them there.
func (s *server) mbsyncUp(c *imapclient.Client, config, tree string, near map[string][]kept) {
	t, me := s.t, s.anna()
	t.Helper()
	up := lf(letter(me.Address, "bert@example.test", "written offline"))
	s.write("tree/"+mailboxUTF7+"/cur/1700000000.1.client:2,FS", up)
	renamed := near["INBOX"][0]
	must(t, os.Rename(renamed.path, filepath.Join(filepath.Dir(filepath.Dir(renamed.path)), "cur", strings.TrimSuffix(filepath.Base(renamed.path), ":2,"+renamed.flags)+":2,FRS")))
	must(t, os.Rename(near["INBOX"][1].path, strings.TrimSuffix(near["INBOX"][1].path, ":2,"+near["INBOX"][1].flags)+":2,T"))
	for _, d := range []string{"cur", "new", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(tree, "Steuer", d), 0o700))
	}
	s.write("tree/Steuer/new/1700000000.2.client", up)
	s.sync(config)
	if got := s.mailbox(me, mailbox); len(got) != 2 || texts(got[1:])[0] != crlf(up) {
		t.Errorf("uploaded: %q", got)
	}
	if got := s.mailbox(me, "Steuer"); len(got) != 1 || texts(got)[0] != crlf(up) {
		t.Errorf("uploaded to a new mailbox: %q", got)
	}
	list := s.fetch(c, mailbox, &imap.FetchOptions{Flags: true})
	slices.Sort(list[1].Flags)
	if !slices.Equal(list[1].Flags, []imap.Flag{imap.FlagFlagged, imap.FlagSeen}) {
		t.Errorf("flags of the uploaded message: %q", list[1].Flags)
	}
	if got, want := texts(s.mailbox(me, "INBOX")), keptTexts(append(near["INBOX"][:1:1], near["INBOX"][2:]...)); !slices.Equal(got, want) {
		t.Errorf("%d messages in INBOX after one was deleted here", len(got))
	}
	found := false
	for _, m := range s.fetch(c, "INBOX", &imap.FetchOptions{Flags: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}) {
		slices.Sort(m.Flags)
		if string(m.BodySection[0].Bytes) == renamed.text {
			found = slices.Equal(m.Flags, []imap.Flag{imap.FlagAnswered, imap.FlagFlagged, imap.FlagSeen})
		}
	}
	if !found {
		t.Error("the flags set here did not reach the server")
	}
}

// mbsyncDown makes changes there, a message deleted, one moved and one with
// another flag, and looks for them here.
func (s *server) mbsyncDown(c *imapclient.Client, config, tree string) {
	t, me := s.t, s.anna()
	t.Helper()
	must(t, c.Store(imap.SeqSetNum(1, 2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(t, c.Expunge().Close())
	_, err := c.Move(imap.SeqSetNum(1), "Archive").Wait()
	must(t, err)
	must(t, c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
	s.sync(config)
	near := maildir(t, tree)
	for _, box := range []string{"INBOX", "Archive"} {
		if got, want := keptTexts(near[box]), texts(s.mailbox(me, box)); !slices.Equal(got, want) || len(got) != map[string]int{"INBOX": 20, "Archive": 1}[box] {
			t.Errorf("%s: here %d messages, there %d", box, len(got), len(want))
		}
	}
	first := s.mailbox(me, "INBOX")[0]
	for _, k := range near["INBOX"] {
		if k.text == first && k.flags != "F" {
			t.Errorf("flags set there came as %q", k.flags)
		}
	}
}
