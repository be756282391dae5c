package imapd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func TestMailboxes(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.exactly(c.ok(`LIST "" ""`), `* LIST (\Noselect) "/" ""`)
	c.exactly(c.ok(`LIST "" *`), `* LIST (\HasNoChildren) "/" INBOX`, `* LIST (\HasNoChildren \Archive) "/" "Archive"`,
		`* LIST (\HasNoChildren \Drafts) "/" "Drafts"`, `* LIST (\HasNoChildren \Junk) "/" "Junk"`,
		`* LIST (\HasNoChildren \Sent) "/" "Sent"`, `* LIST (\HasNoChildren \Trash) "/" "Trash"`)
	c.ok("CREATE Work/2026/May/")
	c.exactly(c.ok(`LIST Work %`), `* LIST (\HasChildren) "/" "Work"`)
	c.exactly(c.ok(`LIST Work/ %`), `* LIST (\HasChildren) "/" "Work/2026"`)
	c.exactly(c.ok(`LIST "" "Work/*"`), `* LIST (\HasChildren) "/" "Work/2026"`, `* LIST (\HasNoChildren) "/" "Work/2026/May"`)
	c.exactly(c.ok(`LIST "" inbox`), `* LIST (\HasNoChildren) "/" INBOX`)
	c.exactly(c.ok(`LIST (SPECIAL-USE) "" %`), `* LIST (\HasNoChildren \Archive) "/" "Archive"`,
		`* LIST (\HasNoChildren \Drafts) "/" "Drafts"`, `* LIST (\HasNoChildren \Junk) "/" "Junk"`,
		`* LIST (\HasNoChildren \Sent) "/" "Sent"`, `* LIST (\HasNoChildren \Trash) "/" "Trash"`)
	c.ok("UNSUBSCRIBE Work")
	c.ok("UNSUBSCRIBE Work/2026")
	c.exactly(c.ok(`LSUB "" Work*`), `* LSUB (\HasNoChildren \Subscribed) "/" "Work/2026/May"`)
	c.exactly(c.ok(`LIST (SUBSCRIBED RECURSIVEMATCH) "" (Work)`), `* LIST (\HasChildren) "/" "Work" (CHILDINFO ("SUBSCRIBED"))`)
	c.ok("SUBSCRIBE Work")
	c.exactly(c.ok(`LIST (SUBSCRIBED) "" (Work nowhere)`), `* LIST (\HasChildren \Subscribed) "/" "Work"`)
	h.deliver("Work", hello)
	c.exactly(c.ok(`LIST "" Work RETURN (STATUS (MESSAGES UNSEEN SIZE DELETED APPENDLIMIT RECENT UIDNEXT))`),
		`* LIST (\HasChildren) "/" "Work"`,
		fmt.Sprintf(`* STATUS "Work" (MESSAGES 1 UIDNEXT 2 UNSEEN 1 DELETED 0 SIZE %d APPENDLIMIT 52428800 RECENT 0)`, len(hello)))

	c.fails("CREATE Work", "NO [ALREADYEXISTS]")
	c.fails("CREATE inbox", "NO [ALREADYEXISTS]")
	c.fails("CREATE //", "NO [CANNOT]")
	c.fails("DELETE INBOX", "NO [CANNOT]")
	c.fails("DELETE nowhere", "NO [NONEXISTENT]")
	c.fails("RENAME nowhere x", "NO [NONEXISTENT]")
	c.fails("RENAME Work Trash", "NO [ALREADYEXISTS]")
	c.fails("SUBSCRIBE nowhere", "NO [NONEXISTENT]")
	c.fails("STATUS nowhere (MESSAGES)", "NO [NONEXISTENT]")
	c.fails(`CREATE x (USE (\Flagged))`, "NO [USEATTR]")
	c.fails(`CREATE x (USE (\Sent))`, "NO [ALREADYEXISTS]")
	c.ok("DELETE Sent")
	c.ok(`CREATE Out (USE (\Sent))`)
	c.exactly(c.ok(`LIST "" Out`), `* LIST (\HasNoChildren \Sent) "/" "Out"`)
	c.ok("RENAME Work Play")
	c.exactly(c.ok(`LIST "" Play/%/%`), `* LIST (\HasNoChildren) "/" "Play/2026/May"`)
	c.exactly(c.ok("NAMESPACE"), `* NAMESPACE (("" "/")) NIL NIL`)
}

func TestJapaneseNames(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok("CREATE &ZeVnLIqe-/&U,BTFw-") // 日本語/台北
	if _, err := h.acct.Mailbox("日本語/台北"); err != nil {
		t.Error(err)
	}
	c.exactly(c.ok(`LIST "" &ZeVnLIqe-*`), `* LIST (\HasChildren) "/" "&ZeVnLIqe-"`, `* LIST (\HasNoChildren) "/" "&ZeVnLIqe-/&U,BTFw-"`)
	if st := c.appendTo("&ZeVnLIqe-", "", hello); !strings.HasPrefix(st, "OK") {
		t.Error(st)
	}
	c.ok("ENABLE UTF8=ACCEPT")
	c.exactly(c.ok(`LIST "" "日*"`), `* LIST (\HasChildren) "/" "日本語"`, `* LIST (\HasNoChildren) "/" "日本語/台北"`)
	c.exactly(c.ok(`STATUS "日本語" (MESSAGES)`), `* STATUS "日本語" (MESSAGES 1)`)
	c.ok("LOGOUT")

	ic, err := imapclient.DialTLS(h.tls, &imapclient.Options{TLSConfig: h.clientTLS()})
	must(t, err)
	defer ic.Close()
	must(t, ic.Login(anna, password).Wait())
	sel, err := ic.Select("日本語", &imap.SelectOptions{ReadOnly: true}).Wait()
	must(t, err)
	if sel.NumMessages != 1 {
		t.Errorf("%+v", sel)
	}
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		ref, pattern, name string
		want               bool
	}{
		{"", "*", "a/b/c", true}, {"", "%", "a/b", false}, {"", "%/%", "a/b", true}, {"", "a*c", "abbc", true}, {"", "a%c", "ab/c", false},
		{"a/", "%", "a/b", true}, {"a", "*", "ab/c", true}, {"a", "/b", "b", true}, {"", "", "a", false}, {"", "%*", "a/b", true},
		{"", "*%", "a/b", true}, {"", "iNbOx", "INBOX", true}, {"", "in%", "INBOX", true}, {"", "a", "A", false}, {"", "日%", "日本語", true},
	} {
		if got := newPattern(tt.ref, tt.pattern).match(tt.name); got != tt.want {
			t.Errorf("%q %q %q: %v", tt.ref, tt.pattern, tt.name, got)
		}
	}
	hard := newPattern("", strings.Repeat("*a", 300)+"b") // exponential if done the plain way
	if hard.match(strings.Repeat("a", 1000)) {
		t.Error("matched")
	}
}

// A pattern matches what its definition says.
func FuzzPattern(f *testing.F) {
	f.Add("a*b%c", "a/b/c")
	f.Add("%*/*%", "x//y")
	f.Add("**%%", "")
	f.Fuzz(func(t *testing.T, p, name string) {
		if len(p) > 12 || len(name) > 12 || strings.EqualFold(name, "INBOX") || strings.HasPrefix(p, "/") {
			return
		}
		if got, want := newPattern("", p).match(name), plainMatch(p, name); got != want {
			t.Errorf("%q %q: %v, want %v", p, name, got, want)
		}
	})
}

func plainMatch(p, name string) bool {
	switch {
	case p == "":
		return name == ""
	case p[0] == '*' || p[0] == '%':
		return plainMatch(p[1:], name) || name != "" && (p[0] == '*' || name[0] != '/') && plainMatch(p, name[1:])
	}
	return name != "" && name[0] == p[0] && plainMatch(p[1:], name[1:])
}
