package dsn

import (
	"testing"

	"homemail/mail"
)

func TestMayAutoReply(t *testing.T) {
	const plain = "From: a@b.test\r\nSubject: x\r\n"
	for _, tt := range []struct {
		from   mail.Path
		header string
		want   bool
	}{
		{"a@b.test", plain, true},
		{"a@b.test", plain + "Auto-Submitted: no\r\n", true},
		{"a@b.test", plain + "auto-submitted:\r\n\tNO (really)\r\n", true},
		{"a@b.test", plain + "Precedence: first-class\r\n", true},
		{"a@b.test", plain + "Content-Type: multipart/mixed\r\n", true},
		{"a@b.test", plain + "X-Listed: a\r\n", true},
		{"postmaster@b.test", plain, true},
		{"owner@b.test", plain, true},
		{"request@b.test", plain, true},
		{"", plain, false},
		{"a@b.test", plain + "Auto-Submitted: auto-replied\r\n", false},
		{"a@b.test", plain + "Auto-Submitted: auto-generated; x=y\r\n", false},
		{"a@b.test", plain + "Auto-Submitted:\r\n", false},
		{"a@b.test", plain + "AUTO-SUBMITTED: Anything\r\n", false},
		{"a@b.test", plain + "Precedence: bulk\r\n", false},
		{"a@b.test", plain + "Precedence: List\r\n", false},
		{"a@b.test", plain + "precedence: junk (x)\r\n", false},
		{"a@b.test", plain + "List-Id: <x.b.test>\r\n", false},
		{"a@b.test", plain + "List-Unsubscribe: <mailto:x@b.test>\r\n", false},
		{"a@b.test", plain + "Content-Type: multipart/report; report-type=delivery-status\r\n", false},
		{"a@b.test", plain + "X-Auto-Response-Suppress: DR, OOF, AutoReply\r\n", false},
		{"a@b.test", plain + "X-Spam-Flag: YES\r\n", false},
		{"a@b.test", "Return-Path: <>\r\n" + plain, false},
		{"MAILER-DAEMON@b.test", plain, false},
		{"mailer-daemon", plain, false},
		{"owner-list@b.test", plain, false},
		{"list-request@b.test", plain, false},
		{"list-bounces@b.test", plain, false},
		{"bounces+1234-abc@b.test", plain, false},
		{"SRS0=abcd=ef=c.test=a@b.test", plain, false},
		{"no-reply@b.test", plain, false},
		{"DoNotReply@b.test", plain, false},
		{"listserv@b.test", plain, false},
	} {
		if got := MayAutoReply([]byte(tt.header+"\r\n"), tt.from); got != tt.want {
			t.Errorf("<%s> %q: %v", tt.from, tt.header, got)
		}
	}
}

// Our own reports are never answered.
func TestReportsAreNotAnswered(t *testing.T) {
	for _, k := range []Kind{Failure, Delay, Success} {
		header, _ := cutHeader(written(t, sample(k)))
		if MayAutoReply(header, "anna@home.test") {
			t.Errorf("%s may be answered", k)
		}
	}
}
