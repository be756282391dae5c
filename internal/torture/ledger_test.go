package torture

import (
	"slices"
	"strings"
	"testing"
)

var inbox = Box{Account: "anna@example.test", Validity: 7, Name: "INBOX"}
var archive = Box{Account: "anna@example.test", Validity: 8, Name: "Archive"}

// history is a ledger after: UID 1 and 2 delivered, 2 flagged, 3 delivered and
// expunged, 4 moved to Archive as 1; and it is the state that fits.
func history(t *testing.T) (*Ledger, State) {
	l := NewLedger(State{Boxes: []BoxNow{{Box: inbox, UIDNext: 1, ModSeq: 1}, {Box: archive, UIDNext: 1, ModSeq: 1}},
		Profiles: map[string]map[string]string{"anna@example.test": {}}})
	n := 0
	do := func(op Op, r Result) {
		n++
		op.N = n
		l.Hear(Line{T: "begin", Op: &op})
		l.Hear(Line{T: "end", Op: &Op{N: n}, Result: &r})
	}
	for i, s := range []string{"one", "two", "three", "four"} {
		do(Op{Kind: Deliver, To: []Box{inbox}, SHA: s},
			Result{Placed: []Placed{{Box: inbox, UID: uint32(i + 1), ModSeq: uint64(i + 2)}}})
	}
	do(Op{Kind: AddFlags, Box: inbox, UIDs: []uint32{2}, Flags: []string{"\\Seen"}}, Result{Changed: []Placed{{UID: 2, ModSeq: 6}}})
	do(Op{Kind: Expunge, Box: inbox, UIDs: []uint32{3}}, Result{Gone: []uint32{3}})
	do(Op{Kind: Move, Box: inbox, To: []Box{archive}, UIDs: []uint32{4}}, Result{Placed: []Placed{{Box: archive, From: 4, UID: 1}}})
	do(Op{Kind: Profile, Box: Box{Account: "anna@example.test"}, Name: "x"}, Result{})
	if len(l.wrong) > 0 {
		t.Fatal(l.wrong)
	}
	return l, State{
		Boxes: []BoxNow{
			{Box: inbox, UIDNext: 5, ModSeq: 8, Messages: []MessageNow{
				{UID: 1, ModSeq: 2, SHA: "one"}, {UID: 2, ModSeq: 6, SHA: "two", Flags: []string{"\\Seen"}}}},
			{Box: archive, UIDNext: 2, ModSeq: 2, Messages: []MessageNow{{UID: 1, ModSeq: 2, SHA: "four"}}},
		},
		Profiles: map[string]map[string]string{"anna@example.test": {"0": "x"}},
	}
}

func TestVerifySeesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(*State)
		want string
	}{
		{"nothing", func(*State) {}, ""},
		{"lost", func(s *State) { s.Boxes[0].Messages = s.Boxes[0].Messages[1:] }, "LOST: anna@example.test INBOX: message 1"},
		{"lost all", func(s *State) { s.Boxes = s.Boxes[1:] }, "LOST: mailbox"},
		{"unreadable", func(s *State) { s.Boxes[0].Messages[0].Err = "gone" }, "LOST"},
		{"bytes", func(s *State) { s.Boxes[1].Messages[0].SHA = "fear" }, "WRONG BYTES"},
		{"flags", func(s *State) { s.Boxes[0].Messages[1].Flags = nil }, "has flags"},
		{"modseq", func(s *State) { s.Boxes[0].Messages[1].ModSeq = 3 }, "MODSEQ 3"},
		{"highest modseq", func(s *State) { s.Boxes[0].ModSeq = 5 }, "HIGHESTMODSEQ 5"},
		{"uidnext", func(s *State) { s.Boxes[0].UIDNext = 4 }, "UIDNEXT 4"},
		{"expunged", func(s *State) {
			s.Boxes[0].Messages = append(s.Boxes[0].Messages, MessageNow{UID: 3, ModSeq: 4, SHA: "three"})
		}, "CAME BACK"},
		{"moved back", func(s *State) {
			s.Boxes[0].Messages = append(s.Boxes[0].Messages, MessageNow{UID: 4, ModSeq: 5, SHA: "four"})
		}, "CAME BACK"},
		{"invented", func(s *State) {
			s.Boxes[1].UIDNext = 3
			s.Boxes[1].Messages = append(s.Boxes[1].Messages, MessageNow{UID: 2, ModSeq: 2, SHA: "five"})
		}, "came from nowhere"},
		{"renamed", func(s *State) { s.Boxes[1].Name = "Other" }, "is called"},
		{"profile", func(s *State) { s.Profiles["anna@example.test"]["0"] = "w" }, "LOST: profile"},
		{"finding", func(s *State) { s.Findings = []string{"hm"} }, "finding: hm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, st := history(t)
			tt.harm(&st)
			got := strings.Join(l.Verify(st), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if again := l.Verify(State{Boxes: st.Boxes, Profiles: st.Profiles}); tt.name == "nothing" && len(again) > 0 {
				t.Errorf("a second time: %q", again)
			}
		})
	}
}

// TestVerifyAllowsWhatWasNotAnswered shows that an operation that was under
// way may have been done, but not by half.
func TestVerifyAllowsWhatWasNotAnswered(t *testing.T) {
	move := Op{Kind: Move, Box: inbox, To: []Box{archive}, UIDs: []uint32{1, 2}}
	remove := func(s *State, uids ...uint32) {
		s.Boxes[0].Messages = slices.DeleteFunc(s.Boxes[0].Messages, func(m MessageNow) bool { return slices.Contains(uids, m.UID) })
	}
	add := func(s *State, m ...MessageNow) {
		s.Boxes[1].Messages = append(s.Boxes[1].Messages, m...)
		s.Boxes[1].UIDNext += uint32(len(m))
	}
	one, two := MessageNow{UID: 2, ModSeq: 3, SHA: "one"}, MessageNow{UID: 3, ModSeq: 4, SHA: "two", Flags: []string{"\\Seen"}}
	for _, tt := range []struct {
		name  string
		op    Op
		found func(*State)
		want  string
	}{
		{"not done", move, func(*State) {}, ""},
		{"done", move, func(s *State) { remove(s, 1, 2); add(s, one, two) }, ""},
		{"removed only", move, func(s *State) { remove(s, 1, 2) }, "HALF"},
		{"copied only", move, func(s *State) { add(s, one, two) }, "HALF"},
		{"one of two", move, func(s *State) { remove(s, 1); add(s, one) }, "HALF"},
		{"delivered", Op{Kind: Deliver, To: []Box{archive}, SHA: "one"}, func(s *State) { add(s, one) }, ""},
		{"delivered other bytes", Op{Kind: Deliver, To: []Box{archive}, SHA: "six"}, func(s *State) { add(s, one) }, "came from nowhere"},
		{"delivered to one of two", Op{Kind: Deliver, To: []Box{archive, inbox}, SHA: "one"}, func(s *State) { add(s, one) }, "HALF"},
		{"flags", Op{Kind: SetFlags, Box: inbox, UIDs: []uint32{1}, Flags: []string{"blue"}},
			func(s *State) { s.Boxes[0].Messages[0].Flags = []string{"blue"} }, ""},
		{"other flags", Op{Kind: SetFlags, Box: inbox, UIDs: []uint32{1}, Flags: []string{"blue"}},
			func(s *State) { s.Boxes[0].Messages[0].Flags = []string{"red"} }, "has flags"},
		{"expunged", Op{Kind: Expunge, Box: inbox, UIDs: []uint32{1, 2}}, func(s *State) { remove(s, 1, 2) }, ""},
		{"half expunged", Op{Kind: Expunge, Box: inbox, UIDs: []uint32{1, 2}}, func(s *State) { remove(s, 1) }, "HALF"},
		{"another expunged", Op{Kind: Expunge, Box: inbox, UIDs: []uint32{1}}, func(s *State) { remove(s, 1, 2) }, "LOST"},
		{"renamed", Op{Kind: Rename, Box: archive, Name: "Old"}, func(s *State) { s.Boxes[1].Name = "Old" }, ""},
		{"deleted", Op{Kind: Delete, Box: archive}, func(s *State) { s.Boxes = s.Boxes[:1] }, ""},
		{"created", Op{Kind: Create, Box: Box{Account: inbox.Account}, Name: "New"}, func(s *State) {
			s.Boxes = append(s.Boxes, BoxNow{Box: Box{inbox.Account, 9, "New"}, UIDNext: 1, ModSeq: 1})
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, st := history(t)
			tt.op.Worker = 1
			l.Hear(Line{T: "begin", Op: &tt.op})
			tt.found(&st)
			got := strings.Join(l.Verify(st), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHearSeesReusedNumbers(t *testing.T) {
	for _, at := range []Placed{{Box: inbox, UID: 3, ModSeq: 9}, {Box: inbox, UID: 5, ModSeq: 8}} {
		l, st := history(t)
		l.boxes[inbox.key()].mod = 8
		l.Hear(Line{T: "begin", Op: &Op{Kind: Deliver, N: 20, To: []Box{inbox}, SHA: "five"}})
		l.Hear(Line{T: "end", Op: &Op{N: 20}, Result: &Result{Placed: []Placed{at}}})
		st.Boxes[0].UIDNext, st.Boxes[0].ModSeq = 6, 9
		st.Boxes[0].Messages = append(st.Boxes[0].Messages, MessageNow{UID: at.UID, ModSeq: 9, SHA: "five"})
		if wrong := l.Verify(st); len(wrong) == 0 {
			t.Errorf("%+v passed", at)
		}
	}
}

// TestUnplaced is for servers that do not tell the UID, as by SMTP.
func TestUnplaced(t *testing.T) {
	l, st := history(t)
	l.Hear(Line{T: "begin", Op: &Op{Kind: Deliver, N: 20, To: []Box{archive}, SHA: "five"}})
	l.Hear(Line{T: "end", Op: &Op{N: 20}, Result: &Result{Placed: []Placed{{Box: archive}}}})
	lost := st
	lost.Boxes = slices.Clone(st.Boxes)
	if wrong := l.Verify(lost); len(wrong) != 1 || !strings.Contains(wrong[0], "LOST") {
		t.Errorf("lost: %q", wrong)
	}
	l, _ = history(t)
	l.Hear(Line{T: "begin", Op: &Op{Kind: Deliver, N: 20, To: []Box{archive}, SHA: "five"}})
	l.Hear(Line{T: "end", Op: &Op{N: 20}, Result: &Result{Placed: []Placed{{Box: archive}}}})
	st.Boxes[1].Messages = append(st.Boxes[1].Messages, MessageNow{UID: 2, ModSeq: 3, SHA: "five"})
	st.Boxes[1].UIDNext, st.Boxes[1].ModSeq = 3, 3
	if wrong := l.Verify(st); len(wrong) != 0 {
		t.Errorf("there: %q", wrong)
	}
}

// TestTwins has two unanswered operations whose messages have the same bytes:
// nobody can tell which of them made the one that is there.
func TestTwins(t *testing.T) {
	for _, twin := range []bool{false, true} {
		l, st := history(t)
		l.Hear(Line{T: "begin", Op: &Op{Kind: Deliver, Worker: 1, N: 20, To: []Box{archive, inbox}, SHA: "five"}})
		if twin {
			l.Hear(Line{T: "begin", Op: &Op{Kind: Append, Worker: 2, N: 20, To: []Box{archive}, SHA: "five"}})
		}
		st.Boxes[1].Messages = slices.Concat(st.Boxes[1].Messages, []MessageNow{{UID: 2, ModSeq: 3, SHA: "five"}})
		st.Boxes[1].UIDNext, st.Boxes[1].ModSeq = 3, 3
		if wrong := strings.Join(l.Verify(st), "\n"); strings.Contains(wrong, "HALF") == twin || twin && wrong != "" {
			t.Errorf("with an append of the same: %v: %q", twin, wrong)
		}
	}
}
