package store_test

import (
	"fmt"
	"log/slog"
	"testing"

	"homemail/internal/storetest"
	"homemail/store"
)

func BenchmarkDeliverCorpus(b *testing.B) {
	s, err := store.Open(b.TempDir(), store.Options{Reserve: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	s.AddDomain("example.test")
	a, _ := s.AddAccount(store.Profile{Address: "anna@example.test"})
	m, _ := a.Mailbox("INBOX")
	msgs := make([][]byte, 200)
	for i := range msgs {
		msgs[i] = storetest.Corpus{NoAttachments: true}.Message(i)
	}
	start := cpu()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		deliver(b, s, a, m.ID, append([]byte(fmt.Sprintf("X-Number: %d\r\n", i)), msgs[i%len(msgs)]...))
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/msg")
}
