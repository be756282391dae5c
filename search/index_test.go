package search

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/mail/text"
	"homemail/store"
)

func (h *house) update() {
	h.t.Helper()
	if err := h.x.Update(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// open returns how many messages a key leaves to be read.
func (h *house) open(k Key) (n int) {
	h.t.Helper()
	_, uids, err := h.a.Open(h.inbox)
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.a.ViewDerived(func(get func(string) ([]byte, error)) error {
		_, open, err := lookupIn(get, h.inbox, k, text.Fold(nil, []byte(k.Value)), slices.Collect(uids.All()))
		n = len(open)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// randomText makes text of few words and letters, so that random substrings are
// found often.
func randomText(r *rand.Rand, n int) string {
	parts := []string{"invoice", "inn", "voice", "Übung", "übung2", "会議", "議", "のお知らせ", "会", "a", "b-c", "x@y.example", "C++", "€5", "😀", " ", "\n", "\r\n", ".", "ﬁn",
		strings.Repeat("long", 25), strings.Repeat("0123456789abcdef", 9), "ไทย", "한국어", "e\u0301", "É"}
	var b strings.Builder
	for range n {
		b.WriteString(parts[r.IntN(len(parts))])
		if r.IntN(3) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// randomKey asks for a piece of a text, or for something like it.
func randomKey(r *rand.Rand) Key {
	value := []rune(randomText(r, 1+r.IntN(3)))
	if len(value) > 0 {
		from := r.IntN(len(value))
		value = value[from : from+1+r.IntN(min(len(value)-from, 1+r.IntN(80)))]
	}
	k := Key{Value: string(value)}
	switch r.IntN(4) {
	case 0:
		k.Where = InText
	case 1:
		k.Where = InHeader
		k.Field = []string{"Subject", "from", "X-Test", "List-Id", "received", "Return-Path"}[r.IntN(6)]
		if r.IntN(10) == 0 {
			k.Value = ""
		}
	}
	return k
}

func (h *house) randomMail(r *rand.Rand) mail.UID {
	header := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	subject := header(randomText(r, r.IntN(5)))
	msg := fmt.Sprintf("From: %s <x%d@y.example>\nSubject: %s\nX-Test: %s\n", "=?utf-8?q?"+strings.ReplaceAll(fmt.Sprintf("%q", header(randomText(r, 1))), " ", "_")+"?=", r.IntN(3), subject, header(randomText(r, 2)))
	if r.IntN(3) == 0 {
		msg += "List-Id: <list.example>\n"
	}
	body := randomText(r, r.IntN(40))
	switch r.IntN(3) {
	case 0:
		msg += "Content-Type: text/plain; charset=utf-8\n\n" + body
	case 1:
		msg += "Content-Type: text/html; charset=utf-8\n\n<p>" + strings.ReplaceAll(body, "a", "<b>a</b>") + "</p>"
	default:
		msg += "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n" + body + "\n--b\nContent-Type: message/rfc822\n\nSubject: " + subject + "\n\n" + body + "\n--b--\n"
	}
	return h.put(msg)
}

// TestIndexIsExact delivers, copies and expunges random mail, and compares what
// the index finds with what reading every message finds.
func TestIndexIsExact(t *testing.T) {
	h := newHouse(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	other, err := h.a.Mailbox("Archive")
	if err != nil {
		t.Fatal(err)
	}
	found, queries := 0, 0
	for round := range 12 {
		for range 1 + r.IntN(25) {
			h.randomMail(r)
		}
		_, uids, err := h.a.Open(h.inbox)
		if err != nil {
			t.Fatal(err)
		}
		var some []mail.UID
		for uid := range uids.All() {
			if r.IntN(8) == 0 {
				some = append(some, uid)
			}
		}
		switch r.IntN(4) {
		case 0:
			_, err = h.a.Expunge(h.inbox, some)
		case 1:
			_, err = h.a.Copy(h.inbox, some, h.inbox)
		case 2:
			_, err = h.a.Move(h.inbox, some, other.ID)
		case 3:
			_, err = h.a.Move(other.ID, some, h.inbox)
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case round%4 == 3:
			if err := h.x.with(h.a, func(k *keeper) error { return k.rewrite(t.Context(), 1) }); err != nil {
				t.Fatal(err)
			}
		case round%5 > 0: // else some mail is not in the index
			h.update()
		}
		if round == 8 {
			h.x.Rebuild(h.a)
			h.update()
		}
		for range 30 {
			k := randomKey(r)
			_, uids, err := h.a.Open(h.inbox)
			if err != nil {
				t.Fatal(err)
			}
			want, err := h.x.scan(t.Context(), h.a, h.inbox, k, slices.Collect(uids.All()))
			if err != nil {
				t.Fatal(err)
			}
			if len(text.FoldString(k.Value)) == 0 && k.Where != InHeader {
				want = slices.Collect(uids.All())
			}
			got := h.match(k)
			if !slices.Equal(got, want) {
				t.Errorf("seed %d, round %d: %+v found %v, want %v", seed, round, k, got, want)
			}
			found += len(got)
			queries++
		}
	}
	if found < queries {
		t.Errorf("%d queries found only %d messages", queries, found)
	}
	h.update()
	p, err := h.x.Progress(h.a)
	if err != nil || p.Indexed != p.Messages || p.Messages == 0 || p.Bytes == 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestSureKeys: a word, a part of one, two letters of Japanese, a symbol, and
// anything in the fields that are searched most, leave nothing to be read.
func TestSureKeys(t *testing.T) {
	h := newHouse(t)
	for i := range 30 {
		h.deliver(storetest.Corpus{NoAttachments: true}.Message(i))
	}
	h.update()
	for _, k := range []Key{{InBody, "", "the"}, {InBody, "", "voic"}, {InBody, "", "absentia"}, {InBody, "", "会議"}, {InBody, "", "会"}, {InText, "", "e"},
		{InText, "", "€"}, {InHeader, "from", "ada example <sender"}, {InHeader, "subject", "re: the"}, {InHeader, "list-id", "list3.ex"}, {InHeader, "x-none", ""}} {
		if n := h.open(k); n != 0 {
			t.Errorf("%+v leaves %d messages to be read", k, n)
		}
	}
	if n := h.open(Key{InBody, "", "insurance kindergarten"}); n > 15 {
		t.Errorf("a phrase leaves %d messages to be read", n)
	}
}

// TestMerge merges many small segments, and forgets what was expunged.
func TestMerge(t *testing.T) {
	h := newHouse(t)
	for i := range 3 * fanIn {
		h.put(fmt.Sprintf("Subject: %d\n\nword%d common\n", i, i))
		h.update()
	}
	var segs int
	h.x.with(h.a, func(k *keeper) error { segs = len(k.cat.segs); return nil })
	if segs >= 2*fanIn {
		t.Errorf("%d segments", segs)
	}
	h.a.Expunge(h.inbox, []mail.UID{3})
	h.update()
	if err := h.x.with(h.a, func(k *keeper) error { return k.rewrite(t.Context(), 1) }); err != nil {
		t.Fatal(err)
	}
	paths, _ := h.a.DerivedPaths("g")
	h.a.ViewDerived(func(get func(string) ([]byte, error)) error {
		for _, p := range paths {
			if b, err := get(p); err != nil || bytes.Contains(b, []byte("\nword2\n")) {
				t.Errorf("row %s has the expunged message, %v", p, err)
			}
		}
		return nil
	})
	if got := h.match(Key{InBody, "", "word1"}); len(got) != 11 {
		t.Errorf("found %v", got)
	}
}

// TestEqualBodiesOnce delivers the same bytes twice and copies them: they are in
// the index once.
func TestEqualBodiesOnce(t *testing.T) {
	h := newHouse(t)
	h.put("\nthe same\n")
	uid := h.put("\nthe same\n")
	h.a.Copy(h.inbox, []mail.UID{uid}, h.inbox)
	h.update()
	docs := uint32(0)
	h.x.with(h.a, func(k *keeper) error { docs = k.cat.nextDoc - 1; return nil })
	if docs != 2 { // the body and the prefix
		t.Errorf("%d documents", docs)
	}
	if got := h.match(Key{InBody, "", "same"}); len(got) != 3 {
		t.Errorf("found %v", got)
	}
}

// TestRun lets Run index what comes, and what is asked to be indexed anew.
func TestRun(t *testing.T) {
	h := newHouse(t)
	h.x.settle = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- h.x.Run(ctx) }()
	indexed := func(n int) {
		for ctx.Err() == nil {
			if p, err := h.x.Progress(h.a); err == nil && p.Indexed == n && p.Messages == n && p.Bytes > 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Errorf("%d messages were not indexed", n)
	}
	for i := range 3 {
		h.put(fmt.Sprintf("\nnumber%d\n", i))
		indexed(i + 1)
	}
	h.x.Rebuild(h.a)
	indexed(3)
	h.a.Expunge(h.inbox, []mail.UID{2})
	indexed(2)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDamagedIndex damages rows: what is found stays right, and the index is
// made anew.
func TestDamagedIndex(t *testing.T) {
	h := newHouse(t)
	for _, msg := range letters {
		h.put(msg)
	}
	for _, prefix := range []string{"c", "g", "b", "s"} {
		h.update()
		paths, err := h.a.DerivedPaths(prefix)
		if err != nil || len(paths) == 0 {
			t.Fatal(paths, err)
		}
		for _, p := range paths {
			if err := h.a.PutDerived([]store.DerivedRow{{Path: p, Value: []byte{255, 255, 255}}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range matchTests {
			if got := h.match(tt.k); !slices.Equal(got, tt.want) {
				t.Errorf("with %q damaged: %+v found %v, want %v", prefix, tt.k, got, tt.want)
			}
		}
		h.put("\nmore\n") // so that the next update looks
		h.update()
		h.update()
		if p, err := h.x.Total(); err != nil || p.Indexed != p.Messages {
			t.Errorf("with %q damaged: %+v, %v", prefix, p, err)
		}
		h.a.Expunge(h.inbox, []mail.UID{6, 7, 8, 9})
	}
}

// TestRepairedIndex repairs a store with a damaged index.
func TestRepairedIndex(t *testing.T) {
	h := newHouse(t)
	for _, msg := range letters {
		h.put(msg)
	}
	h.update()
	paths, _ := h.a.DerivedPaths("g")
	if err := h.a.PutDerived([]store.DerivedRow{{Path: paths[0]}}); err != nil { // as if it were lost
		t.Fatal(err)
	}
	for range 2 {
		for _, tt := range matchTests {
			if got := h.match(tt.k); !slices.Equal(got, tt.want) {
				t.Errorf("%+v found %v, want %v", tt.k, got, tt.want)
			}
		}
		h.update()
	}
	if p, err := h.x.Progress(h.a); err != nil || p.Indexed != len(letters) {
		t.Errorf("%+v, %v", p, err)
	}
	if err := h.a.DropDerived(""); err != nil { // what a repair does
		t.Fatal(err)
	}
	h.put("\nmore\n")
	h.update()
	if p, err := h.x.Progress(h.a); err != nil || p.Indexed != len(letters)+1 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestUnsure searches a message with more words than the index takes.
func TestUnsure(t *testing.T) {
	h := newHouse(t)
	var b strings.Builder
	for i := range docTerms + 1000 {
		fmt.Fprintf(&b, "n%x ", i*7919)
	}
	h.put("Subject: big\n\n" + b.String() + " needle\n")
	h.put("Subject: " + strings.Repeat("word ", 300) + "end\n\n")
	h.update()
	for _, k := range []Key{{InBody, "", "needle"}, {InText, "", "needle"}, {InHeader, "subject", "big"}} {
		if got := h.match(k); !slices.Equal(got, []mail.UID{1}) {
			t.Errorf("%+v found %v", k, got)
		}
	}
	if got := h.match(Key{InHeader, "subject", "word end"}); !slices.Equal(got, []mail.UID{2}) {
		t.Errorf("found %v", got)
	}
}

// FuzzLists writes lists and reads them, and reads what may be in a row.
func FuzzLists(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0, 0, 255}, uint32(300))
	f.Add([]byte{3, 255, 255, 5}, uint32(16))
	f.Fuzz(func(t *testing.T, b []byte, span uint32) {
		span = span%(1<<16) + 1
		var docs []uint32
		for i := 0; i+1 < len(b); i += 2 {
			docs = append(docs, uint32(binary.BigEndian.Uint16(b[i:]))%span)
		}
		slices.Sort(docs)
		docs = slices.Compact(docs)
		row := appendList(nil, docs, span)
		list, isBits, rest, err := cutList(row)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%v, %d bytes are left", err, len(rest))
		}
		var got []uint32
		if err := eachDoc(list, isBits, span, func(d uint32) { got = append(got, d) }); err != nil || !slices.Equal(got, docs) {
			t.Errorf("%v became %v, %v", docs, got, err)
		}
		if len(row) > int(span+7)/8+5 {
			t.Errorf("%d bytes for a span of %d", len(row), span)
		}
		for rest := b; len(rest) > 0; {
			list, isBits, next, err := cutList(rest)
			if err != nil {
				break
			}
			eachDoc(list, isBits, span, func(d uint32) {
				if d >= span {
					t.Errorf("document %d of %d", d, span)
				}
			})
			rest = next
		}
	})
}

// FuzzRows decodes what may be in the other rows.
func FuzzRows(f *testing.F) {
	f.Add(encodeBlock([]place{{1, 1, 2}, {2, 3, 0}, {9, 1, 2}}))
	f.Add((&catalog{nextDoc: 9, nextSeg: 2, segs: []*segment{{id: 1, first: 1, span: 8, docs: 8}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := decodeBlock(nil, b); err == nil {
			again, err := decodeBlock(nil, encodeBlock(list))
			if err != nil || !slices.Equal(again, list) {
				t.Errorf("%v became %v, %v", list, again, err)
			}
		}
		if c, err := decodeCatalog(b); err == nil {
			if _, err := decodeCatalog(c.encode()); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzTerms: whatever part of a text is asked for, its plan finds the text.
func FuzzTerms(f *testing.F) {
	f.Add("The invoice, 会議のお知らせ and more", 4, 11)
	f.Add(strings.Repeat("x", 200)+"会", 3, 150)
	f.Add("a\u3099€€ b", 0, 5)
	f.Fuzz(func(t *testing.T, s string, from, n int) {
		folded := text.Fold(nil, []byte(s[:min(len(s), 2000)]))
		runes := []rune(string(folded))
		if len(runes) == 0 {
			return
		}
		from = int(uint(from) % uint(len(runes)))
		n = 1 + int(uint(n)%uint(len(runes)-from))
		q := []byte(string(runes[from : from+n]))
		dict := []byte{'\n'}
		terms(folded, func(term []byte) {
			if len(term) == 0 || len(term) > wordMax {
				t.Errorf("term %q", term)
			}
			dict = append(append(dict, term...), '\n')
		})
		for _, p := range planFor(q).probes {
			want := p.text
			if p.start {
				want = append([]byte{'\n'}, want...)
			}
			if p.end {
				want = append(bytes.Clone(want), '\n')
			}
			if found, _ := findTerms(dict, want, 0, nil); len(found) == 0 {
				t.Errorf("%q of %q: nothing for %q", q, folded, want)
			}
		}
	})
}
