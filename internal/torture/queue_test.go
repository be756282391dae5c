package torture

import (
	"slices"
	"strings"
	"testing"
)

// queueHistory is a ledger after: item 1 queued for four, of whom 0 is relayed,
// 1 failed with a report in INBOX, 2 deferred and 3 not tried; item 2 held;
// item 3 relayed and swept; the note x made with message 2 of INBOX, y removed.
func queueHistory(t *testing.T) (*Ledger, State) {
	l := NewLedger(State{Boxes: []BoxNow{{Box: inbox, UIDNext: 1, ModSeq: 1}}})
	n := 0
	do := func(op Op, r Result) {
		n++
		op.N = n
		l.Hear(Line{T: "begin", Op: &op})
		l.Hear(Line{T: "end", Op: &Op{N: n}, Result: &r})
	}
	to := func(states ...string) (list []Rcpt) {
		for i, s := range states {
			list = append(list, Rcpt{N: uint32(i), Path: "r@outside.test", State: s})
		}
		return list
	}
	at := func(uid uint32) []Placed { return []Placed{{Box: inbox, UID: uid, ModSeq: uint64(uid + 1)}} }
	do(Op{Kind: Enqueue, Name: "one", SHA: "aa", Prefix: "P", Rcpts: to(queued, queued, queued, queued)}, Result{Item: 1})
	do(Op{Kind: Enqueue, Name: "two", SHA: "bb", Rcpts: to(queued)}, Result{Item: 2})
	do(Op{Kind: Enqueue, Name: "three", SHA: "cc", Rcpts: to(queued)}, Result{Item: 3})
	do(Op{Kind: Settle, Item: 3, Rcpts: []Rcpt{{N: 0, State: "relayed", Ended: 40}}}, Result{})
	do(Op{Kind: Sweep, At: 50}, Result{})
	do(Op{Kind: Settle, Item: 1, To: []Box{inbox}, SHA: "report", Rcpts: []Rcpt{
		{N: 0, State: "relayed", Ended: 60, Tries: 1}, {N: 1, State: "failed", Ended: 60, Tries: 1}, {N: 2, State: queued, Due: 90, Tries: 1}}}, Result{Placed: at(1)})
	do(Op{Kind: Settle, Item: 1, Rcpts: []Rcpt{{N: 0, State: queued, Due: 70}}}, Result{}) // too late
	do(Op{Kind: Hold, Item: 2, Name: "why"}, Result{})
	do(Op{Kind: Fetch, Name: "x", Prefix: "X", SHA: "dd", To: []Box{inbox}}, Result{Placed: at(2)})
	do(Op{Kind: Fetch, Name: "y", Prefix: "Y", SHA: "ee"}, Result{})
	do(Op{Kind: Forget, Name: "y"}, Result{})
	if len(l.wrong) > 0 {
		t.Fatal(l.wrong)
	}
	return l, State{
		Boxes: []BoxNow{{Box: inbox, UIDNext: 3, ModSeq: 3, Messages: []MessageNow{
			{UID: 1, ModSeq: 2, SHA: "report"}, {UID: 2, ModSeq: 3, SHA: "dd", Prefix: "X"}}}},
		Queue: []ItemNow{
			{ID: 1, Trace: "one", SHA: "aa", Prefix: "P", To: []Rcpt{
				{N: 0, Path: "r@outside.test", State: "relayed", Ended: 60, Tries: 1}, {N: 1, Path: "r@outside.test", State: "failed", Ended: 60, Tries: 1},
				{N: 2, Path: "r@outside.test", State: queued, Due: 90, Tries: 1}, {N: 3, Path: "r@outside.test", State: queued, Due: 12345}}},
			{ID: 2, Trace: "two", SHA: "bb", To: []Rcpt{{Path: "r@outside.test", State: queued, Hold: "why", Due: 54321}}},
		},
		Notes: map[string]string{"x": "X"},
	}
}

func TestVerifySeesWhatIsWrongInTheQueue(t *testing.T) {
	rcpt := func(s *State, n int) *Rcpt { return &s.Queue[0].To[n] }
	for _, tt := range []struct {
		name string
		harm func(*State)
		want string
	}{
		{"nothing", func(*State) {}, ""},
		{"item lost", func(s *State) { s.Queue = s.Queue[:1] }, "LOST: recipient 0 of queue item 2"},
		{"recipient lost", func(s *State) { s.Queue[0].To = s.Queue[0].To[:3] }, "LOST: recipient 3 of queue item 1"},
		{"unreadable", func(s *State) { s.Queue[0].Err = "gone" }, "LOST: queue item 1: gone"},
		{"resurrected", func(s *State) { rcpt(s, 0).State = queued }, "RESURRECTED: recipient 0 of queue item 1"},
		{"resurrected after a report", func(s *State) { rcpt(s, 1).State = queued }, "RESURRECTED: recipient 1 of queue item 1"},
		{"forgotten that it is done", func(s *State) { s.Queue[0].To = s.Queue[0].To[1:] }, "LOST: that recipient 0"},
		{"ended by nobody", func(s *State) { rcpt(s, 3).State = "relayed" }, "should be"},
		{"failed, not relayed", func(s *State) { rcpt(s, 0).State = "failed" }, "should be"},
		{"due earlier", func(s *State) { rcpt(s, 2).Due = 89 }, "should be"},
		{"tries", func(s *State) { rcpt(s, 2).Tries = 0 }, "should be"},
		{"let go", func(s *State) { s.Queue[1].To[0].Hold = "" }, "should be"},
		{"another recipient", func(s *State) { rcpt(s, 3).Path = "s@outside.test" }, "should be"},
		{"bytes", func(s *State) { s.Queue[0].SHA = "ab" }, "WRONG BYTES: queue item 1"},
		{"header lines", func(s *State) { s.Queue[0].Prefix = "" }, "WRONG BYTES: queue item 1"},
		{"report lost", func(s *State) { s.Boxes[0].Messages = s.Boxes[0].Messages[1:] }, "LOST: anna@example.test INBOX: message 1"},
		{"second report", func(s *State) {
			s.Boxes[0].UIDNext = 4
			s.Boxes[0].Messages = append(s.Boxes[0].Messages, MessageNow{UID: 3, ModSeq: 3, SHA: "report"})
		}, "message 3 came from nowhere"},
		{"swept item", func(s *State) {
			s.Queue = append(s.Queue, ItemNow{ID: 3, Trace: "three", To: []Rcpt{{Path: "r@outside.test", State: "relayed", Ended: 40}}})
		}, "CAME BACK: queue item 3"},
		{"swept item, to be sent", func(s *State) {
			s.Queue = append(s.Queue, ItemNow{ID: 3, Trace: "three", SHA: "cc", To: []Rcpt{{Path: "r@outside.test", State: queued}}})
		}, "CAME BACK: queue item 3"},
		{"one recipient more", func(s *State) { s.Queue[1].To = append(s.Queue[1].To, Rcpt{N: 1, State: queued}) }, "CAME BACK: recipient 1 of queue item 2"},
		{"invented", func(s *State) { s.Queue = append(s.Queue, ItemNow{ID: 4, Trace: "four"}) }, "queue item 4 came from nowhere"},
		{"note lost", func(s *State) { s.Notes = nil }, "LOST: note x"},
		{"note changed", func(s *State) { s.Notes["x"] = "Z" }, "DONE TWICE: note x"},
		{"note back", func(s *State) { s.Notes["y"] = "Y" }, "CAME BACK: note y"},
		{"note invented", func(s *State) { s.Notes["z"] = "Z" }, "note z came from nowhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, st := queueHistory(t)
			tt.harm(&st)
			got := strings.Join(l.Verify(st), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if again := l.Verify(st); tt.name == "nothing" && len(again) > 0 {
				t.Errorf("a second time: %q", again)
			}
		})
	}
}

// TestVerifyAllowsUnansweredBatches shows that a batch may have been done, but
// not by half.
func TestVerifyAllowsUnansweredBatches(t *testing.T) {
	file := func(s *State, m MessageNow) {
		m.UID, m.ModSeq = s.Boxes[0].UIDNext, 3
		s.Boxes[0].UIDNext++
		s.Boxes[0].Messages = append(s.Boxes[0].Messages, m)
	}
	enqueue := Op{Kind: Enqueue, Name: "four", SHA: "ff", Prefix: "4", To: []Box{inbox}, Rcpts: []Rcpt{{State: queued}, {N: 1, State: queued}}}
	four := ItemNow{ID: 4, Trace: "four", SHA: "ff", Prefix: "4", To: enqueue.Rcpts}
	settle := Op{Kind: Settle, Item: 1, SHA: "sorry", To: []Box{inbox}, Rcpts: []Rcpt{{N: 2, State: "failed", Ended: 95, Tries: 2}, {N: 3, State: "relayed", Ended: 95, Tries: 1}}}
	settled := func(s *State, ns ...int) {
		for _, n := range ns {
			r := &s.Queue[0].To[n]
			r.State, r.Ended, r.Tries = settle.Rcpts[n-2].State, 95, settle.Rcpts[n-2].Tries
		}
	}
	fetch := Op{Kind: Fetch, Name: "z", Prefix: "Z", SHA: "zz", To: []Box{inbox}}
	for _, tt := range []struct {
		name  string
		op    Op
		found func(*State)
		want  string
	}{
		{"not queued", enqueue, func(*State) {}, ""},
		{"queued", enqueue, func(s *State) { s.Queue = append(s.Queue, four); file(s, MessageNow{SHA: "ff", Prefix: "4"}) }, ""},
		{"queued without the copy", enqueue, func(s *State) { s.Queue = append(s.Queue, four) }, "HALF"},
		{"copied only", enqueue, func(s *State) { file(s, MessageNow{SHA: "ff", Prefix: "4"}) }, "HALF"},
		{"queued for one of two", enqueue, func(s *State) {
			one := four
			one.To = one.To[:1]
			s.Queue = append(s.Queue, one)
			file(s, MessageNow{SHA: "ff", Prefix: "4"})
		}, "LOST: recipient 1 of queue item 4"},
		{"queued twice", enqueue, func(s *State) {
			five := four
			five.ID = 5
			s.Queue = append(s.Queue, four, five)
			file(s, MessageNow{SHA: "ff", Prefix: "4"})
		}, "queue item 5 came from nowhere"},
		{"not settled", settle, func(*State) {}, ""},
		{"settled", settle, func(s *State) { settled(s, 2, 3); file(s, MessageNow{SHA: "sorry"}) }, ""},
		{"settled without the report", settle, func(s *State) { settled(s, 2, 3) }, "HALF"},
		{"reported only", settle, func(s *State) { file(s, MessageNow{SHA: "sorry"}) }, "HALF"},
		{"reported twice", settle, func(s *State) {
			settled(s, 2, 3)
			file(s, MessageNow{SHA: "sorry"})
			file(s, MessageNow{SHA: "sorry"})
		}, "message 4 came from nowhere"},
		{"one of two settled", settle, func(s *State) { settled(s, 2); file(s, MessageNow{SHA: "sorry"}) }, "should be"},
		{"removed", Op{Kind: Remove, Item: 2, At: 99}, func(s *State) { s.Queue[1].To[0].State, s.Queue[1].To[0].Ended = "removed", 99 }, ""},
		{"another removed", Op{Kind: Remove, Item: 1, At: 99}, func(s *State) { s.Queue[1].To[0].State, s.Queue[1].To[0].Ended = "removed", 99 }, "should be"},
		{"let go", Op{Kind: Release, Item: 2, At: 99}, func(s *State) { s.Queue[1].To[0].Hold, s.Queue[1].To[0].Due = "", 99 }, ""},
		{"swept", Op{Kind: Sweep, At: 61}, func(s *State) { s.Queue[0].To = s.Queue[0].To[2:] }, ""},
		{"swept by half", Op{Kind: Sweep, At: 61}, func(s *State) { s.Queue[0].To = s.Queue[0].To[1:] }, ""},
		{"swept what waits", Op{Kind: Sweep, At: 61}, func(s *State) { s.Queue = nil }, "LOST: recipient 3 of queue item 1"},
		{"swept what is new", Op{Kind: Sweep, At: 60}, func(s *State) { s.Queue[0].To = s.Queue[0].To[2:] }, "LOST: that recipient 0"},
		{"fetched", fetch, func(s *State) { s.Notes["z"] = "Z"; file(s, MessageNow{SHA: "zz", Prefix: "Z"}) }, ""},
		{"fetched without the note", fetch, func(s *State) { file(s, MessageNow{SHA: "zz", Prefix: "Z"}) }, "HALF"},
		{"noted without the message", fetch, func(s *State) { s.Notes["z"] = "Z" }, "HALF"},
		{"forgotten", Op{Kind: Forget, Name: "x"}, func(s *State) { delete(s.Notes, "x") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, st := queueHistory(t)
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

// TestHearSeesWhatIsDoneTwice is about what no state shows.
func TestHearSeesWhatIsDoneTwice(t *testing.T) {
	for _, tt := range []struct {
		op   Op
		r    Result
		want string
	}{
		{Op{Kind: Fetch, Name: "x", Prefix: "W", SHA: "dd"}, Result{}, "DONE TWICE"},
		{Op{Kind: Enqueue, Name: "four", SHA: "ff", Rcpts: []Rcpt{{State: queued}}}, Result{Item: 3}, "not new"},
		{Op{Kind: Settle, Item: 1, SHA: "sorry", To: []Box{inbox}}, Result{}, "placed 0"},
	} {
		l, _ := queueHistory(t)
		tt.op.N = 20
		l.Hear(Line{T: "begin", Op: &tt.op})
		l.Hear(Line{T: "end", Op: &Op{N: 20}, Result: &tt.r})
		if !slices.ContainsFunc(l.wrong, func(w string) bool { return strings.Contains(w, tt.want) }) {
			t.Errorf("%+v: got %q, want %q", tt.op, l.wrong, tt.want)
		}
	}
}
