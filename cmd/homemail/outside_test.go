package main

import (
	"context"
	"errors"
	"mime"
	"net"
	"strings"
	"testing"

	"homemail/internal/mailtest"
)

func TestDialName(t *testing.T) {
	var asked []string
	w := world{
		names: mailtest.Zone{
			"AAAA imap.there.test": {"2001:db8::1"},
			"A imap.there.test":    {"192.0.2.1"},
		},
		dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			asked = append(asked, addr)
			if addr != "192.0.2.1:993" {
				return nil, errors.New("no route")
			}
			return new(net.TCPConn), nil
		},
	}
	if _, err := w.dialName(t.Context(), "tcp", "imap.there.test:993"); err != nil || len(asked) != 2 || asked[0] != "[2001:db8::1]:993" {
		t.Errorf("%v, after asking %q", err, asked)
	}
	var dns *net.DNSError
	if _, err := w.dialName(t.Context(), "tcp", "imap.nowhere.test:993"); !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("a name that does not exist: %v", err)
	}
	if len(asked) != 2 {
		t.Errorf("asked %q", asked)
	}
}

func TestEncodeSubject(t *testing.T) {
	want := strings.Repeat("送信を一時停止しました", 5)
	got := encodeSubject(want)
	for line := range strings.SplitSeq(got, "\r\n") {
		if len("Subject: ")+len(line) > 90 {
			t.Errorf("a line of %d", len(line))
		}
	}
	if back, err := new(mime.WordDecoder).DecodeHeader(got); err != nil || back != want {
		t.Errorf("%q, %v", back, err)
	}
}
