package main

import (
	"math"

	"homemail/metrics"
	"homemail/queue"
	"homemail/search"
	"homemail/smtpd"
	"homemail/store"
)

// metrics gathers the figures of all parts.
func (h *house) metrics() *metrics.Registry {
	r := metrics.New()
	disk := func(read func(store.Stats) int64) func() float64 {
		return func() float64 { return float64(read(h.store.Stats())) }
	}
	r.Counter("homemail_store_commits_total", "Batches of changes made durable.", disk(func(s store.Stats) int64 { return s.Commits }))
	r.Counter("homemail_store_flushes_total", "Flushes of the journal to the disk.", disk(func(s store.Stats) int64 { return s.Flushes }))
	r.Counter("homemail_store_messages_total", "Copies of messages put into mailboxes.", disk(func(s store.Stats) int64 { return s.Messages }))
	r.Counter("homemail_store_message_bytes_total", "Bytes of messages stored.", disk(func(s store.Stats) int64 { return s.Bytes }))
	r.Gauge("homemail_store_journal_bytes", "Bytes that a crash now would have to be brought in from the journal.", disk(func(s store.Stats) int64 { return s.Journal }))
	r.Gauge("homemail_disk_free_bytes", "Free bytes of the data's disk.", disk(func(s store.Stats) int64 { return s.Free }))
	r.Gauge("homemail_disk_reserve_bytes", "Bytes of it that mail may not use.", disk(func(s store.Stats) int64 { return s.Reserve }))
	for name, s := range map[string]*smtpd.Server{"mx": h.mx, "submission": h.msa} {
		smtpMetrics(r, name, s)
	}
	for name, g := range h.gates {
		r.Gauge("homemail_connections", "Open connections.", func() float64 { return float64(g.Counts().Open) }, "protocol", name)
		r.Counter("homemail_connections_refused_total", "Connections beyond the limits.", func() float64 {
			n := uint64(0)
			for _, k := range g.Counts().Refused {
				n += k
			}
			return float64(n)
		}, "protocol", name)
	}
	h.queueMetrics(r)
	h.searchMetrics(r)
	p := h.pop3.Stats()
	r.Counter("homemail_pop3_retrieved_total", "Messages sent by POP3.", func() float64 { return float64(p.Retrieved.Load()) })
	return r
}

func (h *house) searchMetrics(r *metrics.Registry) {
	figure := func(read func(search.Progress) float64) func() float64 {
		return func() float64 {
			p, err := h.search.Total()
			if err != nil {
				return math.NaN()
			}
			return read(p)
		}
	}
	r.Gauge("homemail_search_waiting", "Messages that are not in the index of searches yet.", figure(func(p search.Progress) float64 { return float64(p.Messages - p.Indexed) }))
	r.Gauge("homemail_search_index_bytes", "Bytes that the index takes.", figure(func(p search.Progress) float64 { return float64(p.Bytes) }))
}

func (h *house) queueMetrics(r *metrics.Registry) {
	figure := func(read func(queue.Stats) float64) func() float64 {
		return func() float64 { return read(h.queue.Stats()) }
	}
	r.Gauge("homemail_queue_recipients", "Recipients that mail waits for.", figure(func(s queue.Stats) float64 { return float64(s.Queued) }))
	r.Gauge("homemail_queue_due", "Of them, those whose time has come.", figure(func(s queue.Stats) float64 { return float64(s.Due) }))
	r.Gauge("homemail_queue_oldest_seconds", "How long the one has waited that waits longest.", figure(func(s queue.Stats) float64 { return s.OldestAge.Seconds() }))
	r.Gauge("homemail_queue_active", "Attempts under way.", figure(func(s queue.Stats) float64 { return float64(s.Active) }))
	r.Counter("homemail_queue_relayed_total", "Recipients whose mail has left.", figure(func(s queue.Stats) float64 { return float64(s.Relayed) }))
	r.Counter("homemail_queue_deferred_total", "Attempts after which a recipient waits on.", figure(func(s queue.Stats) float64 { return float64(s.Deferred) }))
	r.Counter("homemail_queue_failed_total", "Recipients that were given up.", figure(func(s queue.Stats) float64 { return float64(s.Failed) }))
}

func smtpMetrics(r *metrics.Registry, door string, s *smtpd.Server) {
	for _, f := range []struct {
		name, help string
		read       func(smtpd.Stats) int64
	}{
		{"homemail_smtp_accepted_total", "Messages stored.", func(s smtpd.Stats) int64 { return s.Accepted }},
		{"homemail_smtp_bytes_total", "Bytes of the messages stored.", func(s smtpd.Stats) int64 { return s.Bytes }},
		{"homemail_smtp_temporary_total", "Commands refused with a 4xx.", func(s smtpd.Stats) int64 { return s.Temporary }},
		{"homemail_smtp_permanent_total", "Commands refused with a 5xx.", func(s smtpd.Stats) int64 { return s.Permanent }},
		{"homemail_smtp_forged_total", "Messages refused because their author's domain disowns them.", func(s smtpd.Stats) int64 { return s.Forged }},
		{"homemail_smtp_auth_failed_total", "Failed sign-ins.", func(s smtpd.Stats) int64 { return s.AuthFailed }},
	} {
		r.Counter(f.name, f.help, func() float64 { return float64(f.read(s.Stats())) }, "door", door)
	}
}
