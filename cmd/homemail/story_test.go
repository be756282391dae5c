package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/deliver"
	"homemail/events"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/signin"
	"homemail/smtpd"
	"homemail/store"
)

// storyHouse is a door that takes mail for anna and bob and tells a log.
func storyHouse(t testing.TB, log *events.Log, s *store.Store) (addr string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.AddDomain("house.test"))
	for _, a := range []mail.Path{"anna@house.test", "bob@house.test"} {
		_, err := s.AddAccount(store.Profile{Address: a, KeepDays: -1})
		must(err)
	}
	tell := story{log}
	agent := deliver.Options{Host: "mx.house.test", Log: quiet, Separator: "+"}
	door := smtpd.Options{Host: "mx.house.test", Log: quiet, UnknownPerHour: -1}
	if log != nil {
		agent.Told, door.Told = tell.delivered, tell.refused
	}
	door.Directory = directory{deliver.New(s, agent)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- smtpd.New(door).Serve(ctx, l) }()
	go func() { done <- log.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
	return l.Addr().String()
}

func sendMail(c *smtp.Client, from, text string, to ...string) error {
	if err := c.Mail(from, nil); err != nil {
		return err
	}
	var last error
	for _, r := range to {
		if err := c.Rcpt(r, nil); err != nil {
			last = err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return last
}

// TestStory sends mail through a real door and reads what became of it, in words.
func TestStory(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	log := events.New(s, events.Options{})
	addr := storyHouse(t, log, s)
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := "From: Eve <eve@far.example>\r\nTo: anna@house.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@far.example>\r\n\r\nhello\r\n"
	if err := sendMail(c, "eve@far.example", text, "anna@house.test", "nobody@house.test", "Bob@house.test"); err == nil {
		t.Error("a mail to nobody was taken")
	}
	if err := sendMail(c, "eve@far.example", "X-Spam-Flag: YES\r\n"+text, "bob@house.test"); err != nil {
		t.Error(err)
	}
	list, _, err := log.Where(events.Query{Subject: "grüße"}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range list { // both have one Message-ID: one way
		for _, e := range w.Events {
			got = append(got, e.Words("en").String())
		}
	}
	want := []string{
		"A message from eve@far.example for nobody@house.test was not taken. There is no such address here. If it should exist, add an account or an alias for it.",
		"A message from eve@far.example for anna@house.test, bob@house.test came in from 127.0.0.1.",
		"A message from eve@far.example for anna@house.test was put into INBOX.",
		"A message from eve@far.example for bob@house.test was put into INBOX.",
		"A message from eve@far.example for bob@house.test came in from 127.0.0.1.",
		"A message from eve@far.example for bob@house.test was put into Junk. It calls itself junk. If it is not, move it to the inbox.",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the way of the message:\n%s", strings.Join(got, "\n"))
	}
}

// TestStoryQueue tells of attempts and sign-ins.
func TestStoryQueue(t *testing.T) {
	log := events.New(storetest.Open(t, t.TempDir(), nil), events.Options{})
	tell := story{log}
	it := &store.Item{Trace: "x1", Account: 3, Envelope: mail.Envelope{From: "anna@house.test"}}
	r := &store.QueueRecipient{Recipient: mail.Recipient{Path: "bob@far.example"}, State: store.Queued, Tries: 1, Due: time.Now().Add(time.Hour),
		Attempts: []store.Attempt{{At: time.Now(), Outcome: mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseConnect}}}}
	tell.attempted(it, r, "far.example")
	r.Attempts[0].Outcome = mail.Outcome{Fate: mail.Relayed, Remote: "mx.far.example [192.0.2.1]:25"}
	r.State = store.Relayed
	tell.attempted(it, r, "far.example")
	tell.signedIn(signin.Told{Name: "anna@house.test", Account: 3, Protocol: "imap", Remote: netip.MustParseAddr("::ffff:192.0.2.9")})
	p, err := log.Find(events.Query{Account: 3}, 0, 0)
	if err != nil || len(p.Events) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	want := fmt.Sprintf("A sign-in (IMAP) as anna@house.test from 192.0.2.9 has failed. The name or the password was wrong. If that was you, make a new device password. If not, there is nothing to do: nobody got in.\n"+
		"The message to bob@far.example was handed over to mx.far.example.\n"+
		"The message to bob@far.example could not be handed over yet; it is tried again at %s. No mail server of far.example could be reached. There is nothing for you to do: we keep trying.", r.Due.Local().Format("15:04"))
	var got []string
	for _, e := range p.Events {
		got = append(got, e.Words("en").String())
	}
	if strings.Join(got, "\n") != want {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// BenchmarkStory takes messages of 4 KiB on one connection, with and without a
// log in turns, so that what else the machine does counts for both.
func BenchmarkStory(b *testing.B) {
	text := "From: Eve <eve@far.example>\r\nSubject: a message of 4 KiB\r\nMessage-ID: <%d.%d@far.example>\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64)
	var clients [2]*smtp.Client
	for i := range clients {
		s := storetest.Open(b, b.TempDir(), nil)
		var log *events.Log
		if i == 1 {
			log = events.New(s, events.Options{})
		}
		c, err := smtp.Dial(storyHouse(b, log, s))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		clients[i] = c
	}
	var spent [2]time.Duration
	const turn = 50
	n := 0
	for b.Loop() {
		for k := range clients {
			i := (k + n) % 2
			start := time.Now()
			for range turn {
				n++
				if err := sendMail(clients[i], "eve@far.example", fmt.Sprintf(text, i, n), "anna@house.test"); err != nil {
					b.Fatal(err)
				}
			}
			spent[i] += time.Since(start)
		}
		n++
	}
	per := func(i int) float64 { return float64(spent[i].Microseconds()) / float64(b.N*turn) }
	b.ReportMetric(per(0), "µs/without")
	b.ReportMetric(per(1), "µs/with")
	b.ReportMetric(100*(per(1)/per(0)-1), "%slower")
}
