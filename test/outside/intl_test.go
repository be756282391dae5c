package outside

import (
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"homemail/mail"
	"homemail/store"
)

// TestUTF8: addresses in other scripts leave for servers that know them, and
// come back from those that do not.
func TestUTF8(t *testing.T) {
	far(t, func(t *testing.T, m *mta, h *house) {
		to := "花子@例え." + m.domain
		text := strings.Replace(h.letter("in Japanese", to), "in Japanese", "日本語で", 1)
		must(t, h.submit(h.anna, text, posting{mail: smtp.MailOptions{UTF8: true}}, to))
		if r := h.ends(to, store.Relayed); r.Count != 1 {
			t.Errorf("%+v", r)
		}
		var got string
		eventually(t, "a message for "+to, func() bool {
			for _, got = range maildir(t, m.dir+"/mail") {
				if strings.Contains(got, "日本語で") {
					return true
				}
			}
			return false
		})
		if err := same(got, text); err != nil {
			t.Error(err)
		}
		contains(t, got, "花子@")
	})
}

func TestWithoutUTF8(t *testing.T) {
	s := meet(t, "192.0.2.100", "only7.test", manners{only7: true})
	live(t).names.say(t, zone{"MX xn--r8jz45g.only7.test": {"10 mx.only7.test."}})
	h := newHouse(t, plan{})

	// A name of the person that the server cannot be told.
	to := "花子@only7.test"
	must(t, h.submit(h.anna, h.letter("foreign", to), posting{mail: smtp.MailOptions{UTF8: true}}, to))
	r := h.ends(to, store.Failed)
	if last := r.Tries[len(r.Tries)-1]; last.Cause != mail.CauseNeedsUTF8 {
		t.Errorf("%+v", last)
	}
	h.arrives(h.anna, "INBOX", "multipart/report", "Final-Recipient: utf-8; ")

	// A domain can be written in ASCII, and eight bits in seven.
	to = "carl@例え.only7.test"
	must(t, h.submit(h.anna, strings.Replace(h.letter("domain", "carl@xn--r8jz45g.only7.test"), "From: ", "From: ", 1), posting{mail: smtp.MailOptions{Body: smtp.Body8BitMIME}}, "carl@xn--r8jz45g.only7.test"))
	eventually(t, "a message", func() bool { return len(s.messages()) == 1 })
	got := s.messages()[0]
	if got.to[0] != "TO:<carl@xn--r8jz45g.only7.test>" {
		t.Errorf("%q", got.to)
	}
	if i := strings.IndexFunc(got.text, func(r rune) bool { return r > 126 }); i >= 0 {
		t.Logf("eight bits to a server that does not know them: %q", got.text[i:min(len(got.text), i+30)])
	}
}
