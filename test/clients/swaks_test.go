package clients

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// swaks sends a message and returns the whole session.
func (s *server) swaks(port int, from, to string, more ...string) result {
	s.t.Helper()
	return s.tool("", "swaks", append([]string{"--server", s.at(port), "-f", from, "-t", to, "--ehlo", "client.test",
		"--h-Subject", canary, "--tls-verify", "--tls-ca-path", s.cert()}, more...)...)
}

func TestSwaksPort25(t *testing.T) {
	s := start(t, 0, "swaks")
	anna := s.anna().Address
	for i, tt := range []struct {
		to     string
		more   []string
		answer string // of the server; empty if the message is taken
	}{
		{to: anna},
		{to: anna, more: []string{"-tls"}},
		{to: anna, more: []string{"--pipeline"}},
		{to: anna, more: []string{"--protocol", "SMTP"}},
		{to: "Anna+news@EXAMPLE.test"},
		{to: anna + "," + s.bert().Address},
		{to: "postmaster@example.test"},
		{to: "nobody@example.test", answer: "550 5.1.1"},
		{to: "somebody@elsewhere.example", answer: "550 5.7.1"},
		{to: "somebody%elsewhere.example@example.test", answer: "550 5.1.1"},
		{to: "@example.test:somebody@elsewhere.example", answer: "550 5.7.1"},
		{to: anna, more: []string{"-a", "PLAIN", "-au", anna, "-ap", wrongPassword}, answer: "no auth"},
	} {
		r := s.swaks(s.SMTP, "carl@example.net", tt.to, tt.more...)
		switch {
		case tt.answer == "no auth": // port 25 does not offer it
			if contains(t, r.out, "did not advertise"); r.code == 0 {
				t.Errorf("%d: swaks signed in on port 25", i)
			}
		case tt.answer == "":
			if contains(t, r.out, "250 2.0.0 OK: stored as "); r.code != 0 {
				t.Errorf("%d: swaks ended with %d\n%s", i, r.code, r.out)
			}
		default:
			if contains(t, r.out, " "+tt.answer); r.code == 0 {
				t.Errorf("%d: was not refused\n%s", i, r.out)
			}
		}
	}
	list := s.mailbox(s.anna(), "INBOX")
	if len(list) < 6 {
		t.Fatalf("%d messages for anna", len(list))
	}
	contains(t, list[0], "\r\nReceived: from client.test ([127.0.0.1])\r\n", " with ESMTP id ")
	contains(t, list[1], " with ESMTPS id ", "\ttls TLS_")
	contains(t, list[3], " with SMTP id ")
	if n := len(s.mailbox(s.bert(), "INBOX")); n != 1 {
		t.Errorf("%d messages for bert", n)
	}
}

func TestSwaksSubmission(t *testing.T) {
	s := start(t, 0, "swaks")
	me, to := s.bert(), s.anna().Address
	// The attachment is of bytes that base64 has to protect.
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	file := s.write("photo.bin", string(data))
	sent := 0
	for _, door := range []struct {
		port int
		tls  string
	}{{s.Submission, "-tls"}, {s.Submissions, "-tlsc"}} {
		for _, mech := range []string{"PLAIN", "LOGIN"} { // swaks has no SCRAM; msmtp does
			auth := []string{door.tls, "-a", mech, "-au", me.Address, "-ap"}
			r := s.swaks(door.port, me.Address, to, append(auth, me.Password, "--attach-type", "application/octet-stream", "--attach", "@"+file)...)
			if r.code != 0 {
				t.Errorf("%d %s: swaks ended with %d\n%s", door.port, mech, r.code, shorten(r.out))
				continue
			}
			sent++
		}
		signIn := []string{door.tls, "-a", "PLAIN", "-au", me.Address, "-ap", me.Password}
		for _, tt := range []struct {
			from, to string
			more     []string
			answer   string
		}{
			{me.Address, to, []string{door.tls}, " 530 5.7.0"}, // without signing in
			{to, to, signIn, " 553 5.7.1"},                     // as somebody else
			{me.Address, to, append(signIn, "--h-From", to), " 553 5.7.1"},
			{me.Address, "far@elsewhere.example", signIn, " 550 5.7.1"}, // sending outside is not set up
			{me.Address, "nobody@example.test", signIn, " 550 5.1.1"},
		} {
			r := s.swaks(door.port, tt.from, tt.to, tt.more...)
			if contains(t, r.out, tt.answer); r.code == 0 {
				t.Errorf("%d: %s to %s was not refused", door.port, tt.from, tt.to)
			}
		}
	}
	r := s.swaks(s.Submission, me.Address, to, "-a", "PLAIN", "-au", me.Address, "-ap", me.Password)
	if r.code == 0 || strings.Contains(r.out, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00" + me.Address))[:8]) {
		t.Errorf("signed in without TLS\n%s", r.out)
	}
	list := s.mailbox(s.anna(), "INBOX")
	if len(list) != sent || sent != 4 {
		t.Fatalf("%d were sent, %d are there", sent, len(list))
	}
	for _, m := range list {
		contains(t, m, " with ESMTPSA id ", "Subject: "+canary)
		_, b64, _ := strings.Cut(m, "application/octet-stream")
		_, b64, _ = strings.Cut(b64, "\r\n\r\n")
		b64, _, _ = strings.Cut(b64, "--")
		got, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(b64, "\r\n", ""))
		if err != nil || string(got) != string(data) {
			t.Errorf("the attachment came back as %d bytes, %v", len(got), err)
		}
	}
}

// TestSwaksWrongPassword: the right password has to work after a wrong one,
// and both a wrong name and a wrong password are told in the same words.
func TestSwaksWrongPassword(t *testing.T) {
	s := start(t, 0, "swaks")
	me := s.bert()
	said := make(map[string]bool)
	for _, name := range []string{me.Address, "nobody@example.test"} {
		r := s.swaks(s.Submissions, me.Address, s.anna().Address, "-tlsc", "-a", "PLAIN", "-au", name, "-ap", wrongPassword)
		if r.code == 0 {
			t.Fatalf("%s signed in with a wrong password", name)
		}
		for line := range strings.Lines(r.out) {
			if _, answer, ok := strings.Cut(line, " 535 "); ok {
				said[answer] = true
			}
		}
	}
	if len(said) != 1 {
		t.Errorf("told in %d ways: %v", len(said), fmt.Sprint(said))
	}
	r := s.swaks(s.Submissions, me.Address, s.anna().Address, "-tlsc", "-a", "PLAIN", "-au", me.Address, "-ap", me.Password)
	if r.code != 0 {
		t.Errorf("the right password after a wrong one: %d\n%s", r.code, r.out)
	}
}
