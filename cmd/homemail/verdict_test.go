package main

import (
	"testing"

	"homemail/deliver"
	"homemail/events"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/mail/message"
)

// TestVerdictIsNoted has the judge's results in what was filed, so that the first
// mail can show them.
func TestVerdictIsNoted(t *testing.T) {
	log := events.New(storetest.Open(t, t.TempDir(), nil), events.Options{})
	defer log.Close()
	d := deliver.Story{Structure: &message.Structure{}}
	d.Trace.Verdict = &mail.Verdict{
		SPF: mail.Check{Result: mail.ResultSoftFail}, DMARC: mail.DMARC{Check: mail.Check{Result: mail.ResultPass}},
		DKIM: []mail.Signature{{Check: mail.Check{Result: mail.ResultFail}}, {Check: mail.Check{Result: mail.ResultPass}}, {Check: mail.Check{Result: mail.ResultNeutral}}},
	}
	d.Filed = []deliver.Filed{{Account: 7, Address: "anna@house.test"}}
	story{log}.delivered(d)
	d.Trace.Verdict = nil // of a device at home
	story{log}.delivered(d)
	p, err := log.Find(events.Query{Kinds: []events.Kind{events.Filed}}, 0, 0)
	if err != nil || len(p.Events) != 2 {
		t.Fatalf("%+v %v", p, err)
	}
	want := events.Auth{SPF: mail.ResultSoftFail, DKIM: mail.ResultPass, DMARC: mail.ResultPass}
	if p.Events[1].Auth != want || p.Events[0].Auth != (events.Auth{}) {
		t.Errorf("%+v, then %+v", p.Events[1].Auth, p.Events[0].Auth)
	}
}
