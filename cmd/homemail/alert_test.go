package main

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"homemail/check"
	"homemail/events"
	"homemail/mail"
	"homemail/queue"
)

func found(name string, state check.State) check.Result {
	return check.Result{
		Name: name, State: state, Needed: true, Title: check.Text{EN: "Port " + name, JA: "ポート " + name},
		Means: check.Text{EN: "It is shut.", JA: "閉じています。"}, Do: check.Text{EN: "Open it.", JA: "開けてください。"},
	}
}

func TestAlertsJoin(t *testing.T) {
	good, bad := found("25", check.Good), found("25", check.Bad)
	other := turn{found("993", check.Good), found("993", check.Bad)}
	list := join([]turn{{good, bad}}, other)
	if len(list) != 2 {
		t.Fatalf("two checks are %d", len(list))
	}
	if list = join(list, turn{bad, good}); len(list) != 1 || list[0].now.Name != "993" {
		t.Errorf("what is as it was is told: %v", list)
	}
	if list = join(list, turn{other.now, found("993", check.CouldNotTest)}); len(list) != 0 {
		t.Errorf("got %v", list)
	}
}

func TestAlertsOnlyOfChange(t *testing.T) {
	h := &house{events: (*events.Log)(nil)}
	a := newAlerts(h)
	unneeded := found("465", check.Bad)
	unneeded.Needed = false
	for _, x := range []turn{
		{found("465", check.Good), unneeded}, {found("25", check.CouldNotTest), found("25", check.Good)}, {found("25", check.Good), found("25", check.Waiting)},
	} {
		a.changed(x.old, x.now)
	}
	if n := len(a.in); n != 0 {
		t.Errorf("%d are told of", n)
	}
	for range maxAlerts + 1 { // nothing waits for a mail
		a.changed(found("25", check.Good), found("25", check.Bad))
	}
	if n := len(a.in); n != maxAlerts {
		t.Errorf("%d are told of", n)
	}
}

func TestAlertIsMailed(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	n, err := newNeighbour()
	if err != nil {
		t.Fatal(err)
	}
	defer n.l.Close()
	h, err := openTry(t.Context(), t.TempDir(), n.world(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if _, err := fillTry(h, tryOptions{}); err != nil {
		t.Fatal(err)
	}
	to := mail.Path("anna@" + neighbourDomain)
	if _, err := h.admin().Do(t.Context(), "alert.set", []byte(`{"address":"`+string(to)+`"}`)); err != nil {
		t.Fatal(err)
	}
	h.alerts.tell(t.Context(), []turn{{found("25", check.Good), found("25", check.Bad)}, {found("465", check.Bad), found("465", check.Good)}})

	id, ok := h.postmaster()
	if !ok {
		t.Fatal("nobody to tell")
	}
	a, err := h.store.AccountByID(id)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if inbox.Messages != 1 {
		t.Errorf("%d mails in the owner's INBOX", inbox.Messages)
	}
	items, err := h.queue.List(queue.Filter{}, "")
	if err != nil || len(items) != 1 {
		t.Fatalf("%d leave, %v", len(items), err)
	}
	if _, err := h.admin().Do(t.Context(), "alert.set", []byte(`{"address":""}`)); err != nil {
		t.Error(err)
	}
}

func TestAlertWords(t *testing.T) {
	list := []turn{{found("465", check.Bad), found("465", check.Good)}, {found("25", check.Good), found("25", check.Bad)}}
	for lang, want := range map[string][]string{
		"en": {"needs you: Port 25", "Port 465: this works again.", "It is shut.", "What to do: Open it."},
		"ja": {"確認をお願いします：ポート 25", "ポート 465：正常に戻りました。", "閉じています。", "対処方法：開けてください。"},
	} {
		subject, body := alertWords(list, lang)
		for _, w := range want {
			if !strings.Contains(subject+"\n"+body, w) {
				t.Errorf("%s: no %q in %s\n%s", lang, w, subject, body)
			}
		}
	}
	if subject, _ := alertWords(list[:1], "en"); subject != "Your mail server works again" {
		t.Error(subject)
	}
}
