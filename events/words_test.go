package events

import (
	"regexp"
	"testing"

	"homemail/mail"
)

// TestEveryEventHasWords: each kind, and each reason with one exception.
func TestEveryEventHasWords(t *testing.T) {
	for _, k := range Kinds() {
		if !phrase("what." + string(k)).known() {
			t.Errorf("%s has no words", k)
		}
	}
	for _, r := range []Reason{Unknown, NotOurs, NoWayOut, Disabled, Full, NoSpace, Loop, BadHeader, TooBig, Forged, Unproven, OnlyForward, NotYours, TooFast,
		Guessing, NoSignIn, Malformed, Broken, Ours, Other, WrongPassword, ShutOut} {
		if !phrase("reason." + string(r)).known() {
			t.Errorf("%s has no words", r)
		}
	}
	for _, r := range []Reason{Forged, Marked, Other} {
		if p := phrase("junk." + string(r)); !p.known() || !(p + ".todo").known() {
			t.Errorf("junk that is %s has no words", r)
		}
	}
}

var place = regexp.MustCompile(`\{[a-z]+\}`)

// TestWords reads a few events as a person does.
func TestWords(t *testing.T) {
	to := []mail.Path{"anna@house.test"}
	for _, tt := range []struct {
		e      Event
		en, ja string
	}{
		{Event{Kind: Filed, From: "x@example.com", To: to, Mailbox: "Junk", Reason: Forged, Domain: "example.com"},
			"A message from x@example.com for anna@house.test was put into Junk. It was put there because example.com says that it did not send it. If you expected it, ask the sender by another way before you trust it.",
			"x@example.com から anna@house.test 宛てのメールを迷惑メールに入れました。 example.com が、自分が送ったメールではないとしているためです。 心当たりがあれば、信用する前に別の方法で差出人に確かめてください。"},
		{Event{Kind: Filed, From: "x@example.com", To: to, Auth: Auth{SPF: mail.ResultSoftFail, DKIM: mail.ResultPass, DMARC: mail.ResultPass}},
			"A message from x@example.com for anna@house.test was put into INBOX. Its origin was checked: SPF softfail, DKIM pass, DMARC pass.",
			"x@example.com から anna@house.test 宛てのメールを INBOX に入れました。 送信元を確認しました（SPF softfail, DKIM pass, DMARC pass）。"},
		{Event{Kind: Refused, To: to, Reason: Unknown},
			"A message from a mail server for anna@house.test was not taken. There is no such address here. If it should exist, add an account or an alias for it.", ""},
		{Event{Kind: Refused, Account: 1, From: "anna@house.test", To: []mail.Path{"a@b.c", "d@b.c", "e@b.c", "f@b.c"}, More: 2, Reason: "of a newer homemail", Reply: mail.Reply{Text: "No\nway"}},
			"A message of anna@house.test to a@b.c, d@b.c, e@b.c and 3 more was not taken for sending. The reply was: No way", ""},
		{Event{Kind: Relayed, To: []mail.Path{"a@b.c"}, Remote: "mx.b.c [192.0.2.1]:25"}, "The message to a@b.c was handed over to mx.b.c.", "a@b.c 宛てのメールを mx.b.c に渡しました。"},
		{Event{Kind: Failed, To: []mail.Path{"a@b.example"}, Cause: mail.CauseNoDomain},
			"The message to a@b.example could not be delivered, and is not tried again. There is no domain called b.example. Check the part of the address after the @ for a typing mistake and send the message again.", ""},
		{Event{Kind: SignedIn, Who: "anna@house.test", Door: "imap", Device: "phone", Remote: "2001:db8::7"}, "anna@house.test has signed in (IMAP, phone) from 2001:db8::7.", ""},
		{Event{Kind: Changed, Who: "anna", Door: "cli", What: "alias.add", Detail: "info@house.test"}, "anna did this (command line): set an alias: info@house.test", ""},
		{Event{Kind: Checked, What: "in25", Detail: "Port 25 is open.", Details: "25 番は開いています。"}, "A check has another result than before. Port 25 is open.", "確認の結果が変わりました。 25 番は開いています。"},
		{Event{Kind: Kind("of a newer homemail")}, "", ""},
	} {
		if got := tt.e.Words("en").String(); got != tt.en {
			t.Errorf("%s: %s", tt.e.Kind, got)
		}
		if got := tt.e.Words("ja-JP").String(); tt.ja != "" && got != tt.ja {
			t.Errorf("%s: %s", tt.e.Kind, got)
		}
		for _, lang := range []string{"en", "ja"} {
			if got := tt.e.Words(lang).String(); place.MatchString(got) {
				t.Errorf("%s: a place is left in %q", tt.e.Kind, got)
			}
		}
	}
}
