package preset

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/publicsuffix"
)

var (
	idForm   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)
	hintForm = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
)

func TestTable(t *testing.T) {
	groups := []Group{ISPJapan, HostingJapan, Transactional, Mailbox, Custom}
	last := 0
	seen := map[string]bool{}
	for _, p := range All() {
		bad := func(format string, args ...any) { t.Helper(); t.Errorf(p.ID+": "+format, args...) }
		if !idForm.MatchString(p.ID) || seen[p.ID] {
			bad("id is not valid or comes twice")
		}
		seen[p.ID] = true
		if g := slices.Index(groups, p.Group); g < last {
			bad("group %q out of order or unknown", p.Group)
		} else {
			last = g
		}
		checkHost(t, p)
		checkLogin(t, p)
		if p.SPF != "" {
			if _, icann := publicsuffix.PublicSuffix(p.SPF); !hostForm.MatchString(p.SPF) || !icann {
				bad("SPF include %q", p.SPF)
			}
		}
		if p.Group != Custom && (len(p.Source) == 0 || p.Help == "") {
			bad("no source or no help")
		}
		for _, s := range append(slices.Clone(p.Source), p.Help) {
			if u, err := url.Parse(strings.Fields(s + " x")[0]); strings.HasPrefix(s, "http") && (err != nil || u.Host == "") {
				bad("URL %q", s)
			}
		}
		checkText(t, p.ID, p.Name, true, false)
		checkText(t, p.ID, p.Note, true, true)
		checkText(t, p.ID, p.Free, false, true)
	}
}

func checkHost(t *testing.T, p Preset) {
	t.Helper()
	switch {
	case p.Host == "" && (!hintForm.MatchString(p.HostHint) || strings.ToLower(p.HostHint) == p.HostHint):
		t.Errorf("%s: no host, and the hint %q does not say what to fill in", p.ID, p.HostHint)
	case p.Host != "" && (!hostForm.MatchString(p.Host) || p.HostHint != ""):
		t.Errorf("%s: host %q, hint %q", p.ID, p.Host, p.HostHint)
	}
	want := map[TLS]uint16{Implicit: 465, StartTLS: 587}[p.TLS]
	if want == 0 || p.Port != want {
		t.Errorf("%s: port %d with %q", p.ID, p.Port, p.TLS)
	}
}

func checkLogin(t *testing.T, p Preset) {
	t.Helper()
	if !slices.Contains([]Login{LoginAddress, LoginName, LoginKey, LoginFixed}, p.Login) || (p.Login == LoginFixed) != (p.User != "") {
		t.Errorf("%s: login %q, user %q", p.ID, p.Login, p.User)
	}
	if !slices.Contains([]From{FromUnknown, FromLogin, FromVerified}, p.From) {
		t.Errorf("%s: from %q", p.ID, p.From)
	}
	if p.Group == Transactional && (p.From != FromVerified || !p.DKIM) {
		t.Errorf("%s: sends for any domain without proof", p.ID)
	}
	if !slices.Contains(p.Auth, "PLAIN") {
		t.Errorf("%s: mechanisms %v", p.ID, p.Auth)
	}
	for _, m := range p.Auth {
		if !slices.Contains([]string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "XOAUTH2"}, m) {
			t.Errorf("%s: mechanism %q", p.ID, m)
		}
	}
}

// checkText demands both languages or none; Japanese sentences are Japanese
// and end as such, and a sentence is short enough to be read.
func checkText(t *testing.T, id string, x Text, required, japanese bool) {
	t.Helper()
	if (x.EN == "") != (x.JA == "") || required && x.EN == "" {
		t.Errorf("%s: %q, %q", id, x.EN, x.JA)
	}
	if japanese && x.JA != "" && !strings.ContainsFunc(x.JA, func(r rune) bool { return unicode.In(r, unicode.Hiragana, unicode.Han) }) {
		t.Errorf("%s: %q is not Japanese", id, x.JA)
	}
	if strings.HasSuffix(x.EN, ".") != strings.HasSuffix(x.JA, "。") || len(x.EN) > 250 || strings.ContainsAny(x.EN+x.JA, "\r\n") {
		t.Errorf("%s: %q, %q", id, x.EN, x.JA)
	}
	if x.In("ja") != x.JA || x.In("en") != x.EN || x.In("fr") != x.EN {
		t.Errorf("%s: wrong language", id)
	}
}

func TestFind(t *testing.T) {
	for _, id := range []string{"ocn", "so-net", "nifty", "biglobe", "plala", "sakura", "xserver", "ses", "brevo", "smtp2go", "mailgun", "postmark", "gmail", "fastmail", "custom"} {
		if p, ok := Find(id); !ok || p.ID != id {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if _, ok := Find("OCN"); ok {
		t.Error("ids are lower case")
	}
	a := All()
	a[0].Auth[0] = "changed"
	if All()[0].Auth[0] == "changed" {
		t.Error("callers share the table")
	}
}

func TestMailboxes(t *testing.T) {
	if len(Mailboxes()) != len(mailboxOf()) {
		t.Errorf("%d of %d mailboxes have a preset", len(Mailboxes()), len(mailboxOf()))
	}
	seen := map[string]string{}
	for id, m := range mailboxOf() {
		if m.Login != LoginAddress && m.Login != LoginName {
			t.Errorf("%s: %+v", id, m)
		}
		if m.Host != "" && (!hostForm.MatchString(m.Host) || len(m.Source) == 0 || m.Same) {
			t.Errorf("%s: %+v", id, m)
		}
		for _, end := range m.Ends {
			if seen[end] != "" || MailboxFor(strings.ToUpper(end)) != id || MailboxFor("a."+end) != id || MailboxFor("x"+end) == id {
				t.Errorf("%s: %s", id, end)
			}
			seen[end] = id
		}
	}
	if _, ok := FindMailbox("brevo"); ok || MailboxFor("example.jp") != "" || MailboxFor("") != "" {
		t.Error("what has no mailboxes has some")
	}
}
