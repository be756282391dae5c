package events

import (
	"testing"
	"time"
)

// BenchmarkAsk asks a full log what it has to look through for long: texts that
// only the oldest events have, or none.
func BenchmarkAsk(b *testing.B) {
	_, l := open(b, Options{})
	begun := time.Now()
	for n := range defaultCount {
		l.Add(message(n % 80_000))
		if n%1000 == 999 {
			must(b, l.write())
		}
	}
	recent := message(5)
	recent.At, recent.Kind, recent.ID, recent.MessageID = noon.Add(1e5*time.Second), Received, "01m00000000xxxx", "<new@x>"
	l.Add(recent)
	must(b, l.write())
	b.Logf("%+v, written in %v", l.Stats(), time.Since(begun))
	for name, q := range map[string]Query{
		"newest":  {},
		"address": {Address: "nobody@house.test"},
		"subject": {Subject: "no such subject"},
		"text":    {Text: "no such text"},
		"account": {Account: 99},
	} {
		b.Run(name, func(b *testing.B) {
			pages := 0
			for b.Loop() {
				pages = 0
				for before := uint64(0); pages == 0 || before != 0; pages++ {
					p, err := l.Find(q, 50, before)
					must(b, err)
					if before = p.Next; name == "newest" {
						before = 0
					}
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N*pages), "ms/page")
			b.ReportMetric(float64(pages), "pages")
		})
	}
	for name, id := range map[string]string{"trace/new": recent.ID, "trace/old": message(1).ID, "trace/none": "none"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := l.Trace(id, 0)
				must(b, err)
			}
		})
	}
}

// BenchmarkAdd is what who tells something has to wait.
func BenchmarkAdd(b *testing.B) {
	_, l := open(b, Options{})
	e := message(1)
	for b.Loop() {
		if l.Add(e); len(l.pending) >= pendingMax {
			l.pending = l.pending[:0]
		}
	}
}

// BenchmarkWrite is what an event costs behind everybody's back.
func BenchmarkWrite(b *testing.B) {
	_, l := open(b, Options{})
	n := 0
	for b.Loop() {
		l.Add(message(n))
		if n++; n%1000 == 0 {
			must(b, l.write())
		}
	}
}
