package thread

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// mail makes a message of day n: "id < reference reference | subject", where a
// subject that begins with "Re: " is a reply.
func mail(n int, text string) Message {
	ids, subject, _ := strings.Cut(text, "|")
	own, refs, _ := strings.Cut(ids, "<")
	base, reply := strings.CutPrefix(strings.TrimSpace(subject), "Re: ")
	m := Message{Num: uint32(n), ID: id(strings.TrimSpace(own)), Sent: time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC), Subject: base, Reply: reply}
	for _, r := range strings.Fields(refs) {
		m.References = append(m.References, id(r))
	}
	return m
}

func id(s string) (n uint64) {
	for _, c := range s {
		n = 31*n + uint64(c)
	}
	return n
}

func mails(texts ...string) (list []Message) {
	for i, s := range texts {
		list = append(list, mail(i+1, s))
	}
	return list
}

func TestReferences(t *testing.T) {
	for _, tt := range []struct {
		what string
		list []Message
		want string
	}{
		{"nothing", nil, ""},
		{"alone", mails("a | x"), "(1)"},
		{"a chain", mails("a|x", "b < a|x", "c < a b|x"), "(1 2 3)"},
		{"branches", mails("a|x", "b < a|x", "c < a|x"), "(1 (2)(3))"},
		{"an answer before its message", mails("b < a|Re: x", "a|x"), "(2 1)"},
		{"a root that is not there", mails("b < a|x", "c < a|x"), "((1)(2))"},
		{"one answer to what is not there", mails("b < a|x"), "(1)"},
		{"a hole", mails("a|x", "c < a b|y"), "(1 2)"},
		{"a loop", mails("a < b|x", "b < a|y"), "(2 1)"},
		{"itself", mails("a < a|x"), "(1)"},
		{"an id twice", mails("a|x", "a|y", "b < a|z"), "(1 3)(2)"},
		{"no ids", mails("|x", "|y"), "(1)(2)"},
		{"a reply by its subject", mails("a|x", "b|Re: x"), "(1 2)"},
		{"two of one subject", mails("a|x", "b|x"), "((1)(2))"},
		{"two replies and no root", mails("a|Re: x", "b|Re: x"), "((1)(2))"},
		{"no subject gathers nothing", mails("a|", "b|"), "(1)(2)"},
		{"what a message says of itself", mails("c < a b|x", "b|y", "a|z"), "(2 1)(3)"},
	} {
		if got := string(Append(nil, References(tt.list))); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
}

func TestOrderedSubject(t *testing.T) {
	list := mails("a|x", "b|y", "c|Re: x", "d|z", "e|Re: x")
	if got := string(Append(nil, OrderedSubject(list))); got != "(1 (3)(5))(2)(4)" {
		t.Error(got)
	}
}

// Each message is in one place, whatever the headers say.
func FuzzReferences(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5})
	f.Add([]byte{0, 0, 0, 7, 7, 7, 1, 1, 2, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		var list []Message
		for i := 0; i+3 < len(in) && i < 400; i += 4 {
			list = append(list, Message{
				Num: uint32(len(list) + 1), ID: uint64(in[i] % 16), References: []uint64{uint64(in[i+1] % 16), uint64(in[i+2] % 16)},
				Sent: time.Unix(int64(in[i+3]), 0), Subject: fmt.Sprint(in[i+3] % 4), Reply: in[i]%2 == 0,
			})
		}
		for _, roots := range [][]*Node{References(list), OrderedSubject(list)} {
			seen := make(map[uint32]int)
			for _, s := range strings.FieldsFunc(string(Append(nil, roots)), func(r rune) bool { return r < '0' || r > '9' }) {
				var n uint32
				fmt.Sscan(s, &n)
				seen[n]++
			}
			if len(seen) != len(list) {
				t.Errorf("%d of %d messages", len(seen), len(list))
			}
			for n, times := range seen {
				if times != 1 {
					t.Errorf("message %d is there %d times", n, times)
				}
			}
		}
	})
}

// A long chain, and as many answers to one message, come to an end.
func TestHostileThreads(t *testing.T) {
	const n = 20000
	chain, star := make([]Message, n), make([]Message, n)
	for i := range n {
		chain[i] = Message{Num: uint32(i + 1), ID: uint64(i + 1), References: []uint64{uint64(i)}, Subject: "x"}
		star[i] = Message{Num: uint32(i + 1), ID: uint64(i + 1), References: []uint64{1}, Subject: "x"}
	}
	for _, list := range [][]Message{chain, star} {
		if got := Append(nil, References(list)); len(got) < n {
			t.Errorf("%d bytes", len(got))
		}
	}
}
