package outside

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/queue"
	"homemail/store"
)

// far runs a test with each of the far ends.
func far(t *testing.T, test func(t *testing.T, m *mta, h *house)) {
	for name, start := range map[string]func(*testing.T) *mta{"postfix": postfix, "exim": exim} {
		t.Run(name, func(t *testing.T) {
			m := start(t)
			test(t, m, newHouse(t, plan{}))
		})
	}
}

// show returns all that homemail knows of its queue, with what has ended.
func (h *house) show() (list []queue.Detail) {
	h.t.Helper()
	var all []queue.Summary
	h.ask(&all, "queue", "list", "-done")
	for _, s := range all {
		var one []queue.Detail
		h.ask(&one, "queue", "show", s.ID)
		list = append(list, one...)
	}
	return list
}

// recipient returns what the queue knows of the one recipient of that address.
func (h *house) recipient(address string) (r queue.Recipient) {
	h.t.Helper()
	found := 0
	for _, d := range h.show() {
		for _, to := range d.Recipients {
			if strings.EqualFold(string(to.To), address) {
				r = to
				found++
			}
		}
	}
	if found != 1 {
		h.t.Fatalf("%d recipients %s in the queue", found, address)
	}
	return r
}

// ends waits until nothing is to be done for a recipient any more.
func (h *house) ends(address string, state store.RecipientState) (r queue.Recipient) {
	h.t.Helper()
	eventually(h.t, "an end for "+address, func() bool {
		r = h.recipient(address)
		return r.State != store.Queued
	})
	if r.State != state {
		h.t.Errorf("%s: %s, want %s: %+v", address, r.State, state, r.Tries)
	}
	return r
}

// waits waits until something has been tried n times in vain.
func (h *house) waits(address string, n int) (r queue.Recipient) {
	h.t.Helper()
	eventually(h.t, "a try for "+address, func() bool {
		r = h.recipient(address)
		return r.Count >= n || r.State != store.Queued
	})
	if r.State != store.Queued {
		h.t.Fatalf("%s: %s, want it to wait: %+v", address, r.State, r.Tries)
	}
	return r
}

// endsSoon is ends for what waits because no server would do: its owner says
// that it be tried now, again and again, until the DNS has forgotten what was.
func (h *house) endsSoon(address string, state store.RecipientState) queue.Recipient {
	h.t.Helper()
	eventually(h.t, "an end for "+address, func() bool {
		if h.recipient(address).State != store.Queued {
			return true
		}
		h.try("queue", "retry", "all")
		time.Sleep(time.Second)
		return false
	})
	return h.ends(address, state)
}

// waitsOrEnds waits until something has been tried.
func (h *house) waitsOrEnds(address string) {
	h.t.Helper()
	eventually(h.t, "a try for "+address, func() bool { return h.recipient(address).Count > 0 })
}

// TestLeaves: a message leaves, with TLS, and arrives as it was written.
func TestLeaves(t *testing.T) {
	far(t, func(t *testing.T, m *mta, h *house) {
		to := "carl@leaves." + m.domain
		text := h.letter("first", to)
		h.send(text, to)
		got := m.arrives(t, to, "first")
		if err := same(got, text); err != nil {
			t.Error(err)
		}
		contains(t, strings.ToLower(got), "return-path: <"+h.anna.Address+">", h.Host)
		if !regexp.MustCompile(`(?s)using TLSv1\.3|with esmtps +\(TLS1\.3\)`).MatchString(got) {
			t.Errorf("without TLS:\n%s", got)
		}
		r := h.ends(to, store.Relayed)
		if last := r.Tries[len(r.Tries)-1]; last.Reply.Code != 250 || !strings.HasPrefix(last.TLS, "TLS 1.3") || !strings.Contains(last.Remote, m.address) {
			t.Errorf("%+v", last)
		}
	})
}

// TestComesBackLater: what is refused for the time being waits and then leaves.
func TestComesBackLater(t *testing.T) {
	far(t, func(t *testing.T, m *mta, h *house) {
		to := "grey@later." + m.domain
		h.send(h.letter("patience", to), to)
		m.arrives(t, to, "patience")
		r := h.ends(to, store.Relayed)
		if r.Count != 2 || len(r.Tries) != 2 || r.Tries[0].Fate != mail.Temporary || r.Tries[0].Reply.Code/100 != 4 || !strings.Contains(r.Tries[0].Reply.Text, "Greylisted") {
			t.Errorf("%+v", r)
		}
	})
}

// TestComesBack: what is refused for good comes back to its sender, with the
// words of the far end and some that everybody understands.
func TestComesBack(t *testing.T) {
	far(t, func(t *testing.T, m *mta, h *house) {
		nobody, all := "nobody@back."+m.domain, "carl@back."+m.domain
		h.send(h.letter("unwanted", all), all)               // after DATA
		h.send(h.letter("to two", all, nobody), nobody, all) // one of them only
		bounce := h.arrives(h.anna, "INBOX", "multipart/report", "we do not want this")
		contains(t, bounce, "Auto-Submitted: auto-replied", "Final-Recipient: rfc822; "+all, "Action: failed", "Diagnostic-Code: smtp; 550", "unwanted")
		bounce = h.arrives(h.anna, "INBOX", "multipart/report", "Final-Recipient: rfc822; "+nobody)
		contains(t, bounce, "Status: 5.", "to two")
		if strings.Contains(bounce, "Final-Recipient: rfc822; "+all) {
			t.Errorf("it bounced for both:\n%s", bounce)
		}
		m.arrives(t, all, "to two")
		if n := len(h.mailbox(h.anna, "INBOX")); n != 2 {
			t.Errorf("%d bounces", n)
		}
		if len(m.received(t, all)) != 1 {
			t.Error("what was refused is there")
		}
		for _, d := range h.show() {
			for _, r := range d.Recipients {
				if r.State == store.Queued || r.Count != 1 {
					t.Errorf("%+v", r)
				}
			}
		}
	})
}
