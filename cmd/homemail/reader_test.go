package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"testing"
	"time"

	"homemail/mail"
	"homemail/mailauth"
	"homemail/reports"
	"homemail/store"
)

// TestReader: a report that is delivered to the postmaster of a whole house is
// counted, a moment later.
func TestReader(t *testing.T) {
	c := trySettings(t.TempDir())
	listenOn(&c, func(string) int { return 0 })
	h, err := openHouse(t.Context(), c, world{}, quietLog(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := h.store.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.AddAccount(store.Profile{Address: "anna@example.test"}); err != nil {
		t.Fatal(err)
	}
	book := h.newReports()
	o := reports.ReaderOptions{Host: h.config.Host(), Owns: h.agent.Owns, Healthy: h.stsHealthy, Log: quietLog(io.Discard)} // whatever this clock is
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reports.NewReader(book, o).Run(ctx) }()
	deliverReport(t, h)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		o, err := book.Look("example.test", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if o.CleanDays == 1 && len(o.Sources) == 1 && o.Sources[0].Kind == reports.Own {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", o)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// deliverReport delivers a report of Google's, as the door does.
func deliverReport(t *testing.T, h *house) {
	t.Helper()
	now := time.Now()
	xml := fmt.Sprintf("<feedback><report_metadata><org_name>google.com</org_name><report_id>1</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>"+
		"<policy_published><domain>example.test</domain><p>none</p></policy_published><record><row><source_ip>192.0.2.1</source_ip><count>3</count>"+
		"<policy_evaluated><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row></record></feedback>", now.Add(-time.Hour).Unix(), now.Unix())
	to := mail.Path("postmaster@example.test")
	m := h.agent.Begin("x@google.com", 0)
	defer m.Discard()
	if err := m.Rcpt(to, 0); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(m, "From: noreply-dmarc-support@google.com\r\nSubject: Report domain: example.test\r\nMIME-Version: 1.0\r\nContent-Type: text/xml; name=\"google.com!example.test!1!2.xml\"\r\n"+
		"Content-Transfer-Encoding: base64\r\n\r\n%s\r\n", base64.StdEncoding.EncodeToString([]byte(xml)))
	v := mail.Verdict{DMARC: mail.DMARC{Check: mail.Check{Result: mail.ResultPass, Domain: "google.com"}}}
	if _, err := m.Commit(mail.Envelope{From: "x@google.com", To: []mail.Recipient{{Path: to}}}, mail.Trace{ID: "1", Time: now, Results: mailauth.Results(h.config.Host(), v)}); err != nil {
		t.Fatal(err)
	}
}
