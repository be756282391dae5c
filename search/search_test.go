package search

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// A house is a store with an account and an index, for a test.
type house struct {
	t     testing.TB
	s     *store.Store
	a     *store.Account
	x     *Index
	inbox mail.MailboxID
}

func newHouse(t testing.TB) *house {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return &house{t, s, a, New(s, slog.New(slog.DiscardHandler)), m.ID}
}

// put delivers a message whose lines end in LF.
func (h *house) put(msg string) mail.UID {
	h.t.Helper()
	return h.deliver([]byte(strings.ReplaceAll(msg, "\n", "\r\n")))
}

func (h *house) deliver(msg []byte) mail.UID {
	h.t.Helper()
	sp := h.s.NewSpool()
	defer sp.Discard()
	if _, err := sp.Write(msg); err != nil {
		h.t.Fatal(err)
	}
	p, err := h.s.Deliver(sp, []store.Delivery{{Account: h.a.ID, Mailbox: h.inbox, Prefix: []byte("Return-Path: <bounce@list.example>\r\n"),
		Date: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}})
	if err != nil {
		h.t.Fatal(err)
	}
	return p[0].UID
}

func (h *house) match(k Key) []mail.UID {
	h.t.Helper()
	hits, err := h.x.Match(context.Background(), h.a, h.inbox, k, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return hits
}

// letters are messages for tests, with what finds them and nothing else in the
// list: see TestMatch.
var letters = []string{
	"From: \"Grace, H.\" <grace@org.example>\nTo: anna@example.test\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Bern\nList-Id: <list7.example>\n\nThe quick brown  fox\njumps.\n",
	"From: =?utf-8?B?5bGx55Sw5aSq6YOO?= <taro@ezweb.example>\nSubject: x\nContent-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B2q5D$N$*CN$i$;\x1b(B\n",
	"From: a@b.example\nSubject: bill\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>Your <b>in</b>voice</p>\n--b\nContent-Type: application/pdf; name=\"Scan_0815.pdf\"\n\nhidden\n--b--\n",
	"Subject: forwarded\nContent-Type: message/rfc822\n\nSubject: inner secret\n\nwithin\n",
	"",
}

func TestMatch(t *testing.T) {
	h := newHouse(t)
	for _, msg := range letters {
		h.put(msg)
	}
	for _, check := range []string{"scan", "index"} {
		for _, tt := range matchTests {
			if got := h.match(tt.k); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %+v found %v, want %v", check, tt.k, got, tt.want)
			}
		}
		if err := h.x.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var matchTests = []struct {
	k    Key
	want []mail.UID
}{
	{Key{InBody, "", "QUICK"}, []mail.UID{1}},
	{Key{InBody, "", "uick brown fox jum"}, []mail.UID{1}},
	{Key{InBody, "", "grüsse"}, nil},
	{Key{InText, "", "GRÜSSE"}, []mail.UID{1}},
	{Key{InText, "", "subject: gr"}, []mail.UID{1}},
	{Key{InBody, "", "会議"}, []mail.UID{2}},
	{Key{InBody, "", "会"}, []mail.UID{2}},
	{Key{InBody, "", "議のお知"}, []mail.UID{2}},
	{Key{InBody, "", "議お"}, nil},
	{Key{InBody, "", "invoice"}, []mail.UID{3}},
	{Key{InBody, "", "scan_08"}, []mail.UID{3}},
	{Key{InBody, "", "hidden"}, nil},
	{Key{InBody, "", "inner secret"}, []mail.UID{4}},
	{Key{InBody, "", "with"}, []mail.UID{4}},
	{Key{InText, "", "bounce@list"}, []mail.UID{1, 2, 3, 4, 5}},
	{Key{InHeader, "From", "grace, h. <grace@"}, []mail.UID{1}},
	{Key{InHeader, "from", "山田"}, []mail.UID{2}},
	{Key{InHeader, "from", "example"}, []mail.UID{1, 2, 3}},
	{Key{InHeader, "Subject", ""}, []mail.UID{1, 2, 3, 4}},
	{Key{InHeader, "List-Id", "list7"}, []mail.UID{1}},
	{Key{InHeader, "X-None", ""}, nil},
	{Key{InBody, "", ""}, []mail.UID{1, 2, 3, 4, 5}},
	{Key{InText, "", ">"}, []mail.UID{1, 2, 3, 4, 5}},
	{Key{InBody, "", "."}, []mail.UID{1, 3}},
}

func TestSearch(t *testing.T) {
	h := newHouse(t)
	for _, msg := range letters {
		h.put(msg)
	}
	h.a.StoreFlags(h.inbox, []mail.UID{2}, store.FlagChange{Flags: mail.Seen, Keywords: []string{"$Work"}})
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		c    imap.SearchCriteria
		want []mail.UID
	}{
		{imap.SearchCriteria{}, []mail.UID{1, 2, 3, 4, 5}},
		{imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen, "$work"}}, []mail.UID{2}},
		{imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}, Body: []string{"i"}}, []mail.UID{1, 3, 4}},
		{imap.SearchCriteria{Since: day(4), Before: day(5), UID: []imap.UIDSet{{{Start: 2, Stop: 3}}}}, []mail.UID{2, 3}},
		{imap.SearchCriteria{Since: day(5)}, nil},
		{imap.SearchCriteria{SentSince: day(1)}, nil},
		{imap.SearchCriteria{Not: []imap.SearchCriteria{{Text: []string{"subject"}}}}, []mail.UID{5}},
		{imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Body: []string{"quick"}}, {Body: []string{"invoice"}}}}}, []mail.UID{1, 3}},
		{imap.SearchCriteria{Smaller: 60}, []mail.UID{5}},
	} {
		got, err := h.x.Search(t.Context(), h.a, h.inbox, &tt.c)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v found %v, want %v, %v", tt.c, got, tt.want, err)
		}
	}
	if _, err := h.x.Search(t.Context(), h.a, h.inbox, &imap.SearchCriteria{SeqNum: []imap.SeqSet{{{Start: 1, Stop: 1}}}}); err != ErrSequence {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.x.Search(ctx, h.a, h.inbox, &imap.SearchCriteria{Body: []string{"x"}}); err != context.Canceled {
		t.Error(err)
	}
}
