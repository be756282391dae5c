package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"homemail/events"
	"homemail/store"
	"homemail/update"
	"homemail/update/agent"
)

// newsMemory is rows in memory.
type newsMemory map[string][]byte

func (m newsMemory) State(path string) ([]byte, error) {
	if b, ok := m[path]; ok {
		return b, nil
	}
	return nil, store.ErrNotFound
}

func (m newsMemory) PutState(path string, v []byte) error { m[path] = v; return nil }

// Each change is told once, also after a restart, and nothing else is.
func TestUpdateNews(t *testing.T) {
	var subjects, bodies []string
	var noted []events.Event
	memory := newsMemory{}
	at := time.Now()
	notes := update.Notes{EN: "Quicker.", JA: strings.Repeat("速くなりました。", 60)}
	offer := &agent.Offer{Version: "1.3.0", Notes: notes}
	past := func(stage update.Stage) *agent.Past {
		return &agent.Past{From: "1.2.0", To: "1.3.0", Notes: notes, Stage: stage, Reason: update.Unhealthy, Detail: "imap", At: at}
	}
	for _, tt := range []struct {
		name  string
		s     agent.Status
		en    string
		event string
	}{
		{"nothing", agent.Status{State: agent.Current, Version: "1.2.0"}, "", ""},
		{"at night", agent.Status{State: agent.Ready, Version: "1.2.0", Settings: agent.Settings{Auto: true}, Offer: offer}, "", ""},
		{"waits", agent.Status{State: agent.Ready, Version: "1.2.0", Offer: offer}, "waits for you: homemail 1.3.0", "waits for the owner"},
		{"fetched", agent.Status{State: agent.Fetching, Version: "1.2.0", Offer: offer, Last: past(update.Writing)}, "", ""},
		{"tried", agent.Status{State: agent.Trial, Version: "1.3.0", Last: past(update.Trying)}, "", ""},
		{"back", agent.Status{State: agent.Back, Version: "1.2.0", Last: past(update.Back)}, "went back to 1.2.0", "went back to the version before"},
		{"kept", agent.Status{State: agent.Current, Version: "1.3.0", Last: past(update.Good)}, "was updated to 1.3.0", "is now version 1.3.0"},
	} {
		for range 2 { // the second is a restarted server
			n := &updateNews{memory: memory, log: slog.New(slog.DiscardHandler), note: func(e events.Event) { noted = append(noted, e) },
				mail: func(_ context.Context, words func(string) (string, string)) {
					subject, body := words("en")
					subjects, bodies = append(subjects, subject), append(bodies, body)
					if _, ja := words("ja"); strings.Contains(ja, "alert.") || ja == body {
						t.Errorf("%s: %s", tt.name, ja)
					} else {
						for line := range strings.Lines(ja) {
							if len(line) > 998 {
								t.Errorf("%s: a line of %d octets", tt.name, len(line))
							}
						}
					}
				}}
			if err := n.look(t.Context(), tt.s); err != nil {
				t.Fatal(err)
			}
		}
		want := 1
		if tt.en == "" {
			want = 0
		}
		if len(subjects) != want || len(noted) != want {
			t.Fatalf("%s: %d mails %q, %d events", tt.name, len(subjects), subjects, len(noted))
		}
		if want == 1 && (!strings.Contains(subjects[0], tt.en) || !strings.Contains(noted[0].Words("en").String(), tt.event)) {
			t.Errorf("%s: %q, %q", tt.name, subjects, noted[0].Words("en"))
		}
		if tt.name == "back" && !strings.Contains(bodies[0], "(imap)") || tt.name == "kept" && !strings.Contains(bodies[0], "Quicker.") {
			t.Errorf("%s: %s", tt.name, bodies[0])
		}
		subjects, bodies, noted = nil, nil, nil
	}
}
