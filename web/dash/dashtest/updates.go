package dashtest

import (
	"context"
	"io"
	"time"

	"homemail/admin"
	"homemail/update"
	"homemail/update/agent"
	"homemail/web/dash"
	"homemail/words"
)

// Updates is how it stands with updates on a box: one can be installed, one was,
// and from one the box went back.
func Updates(own string) admin.Updates {
	now := time.Now().Round(time.Second)
	notes := update.Notes{EN: "Search finds words in attached files.\nReading on a phone is quicker." + own, JA: "添付ファイルの中の言葉も検索できます。\nスマートフォンでの表示が速くなりました。" + own}
	return admin.Updates{
		Status: agent.Status{
			State: agent.Ready, Version: "0.5.0", Settings: agent.Settings{URL: "https://example.org/homemail/" + own}, Checked: now.Add(-5 * time.Hour), Next: now.Add(19 * time.Hour),
			Offer: &agent.Offer{Version: "0.6.0", Notes: notes, Created: now.Add(-48 * time.Hour), Size: 44_300_000, From: "https://example.org/homemail/" + own},
			Last:  &agent.Past{From: "0.4.1", To: "0.5.0", Notes: notes, Stage: update.Good, At: now.Add(-240 * time.Hour)},
			Before: []agent.Past{
				{From: "0.4.0", To: "0.4.1", Stage: update.Good, At: now.Add(-900 * time.Hour)},
				{From: "0.4.0", To: "0.4.1", Stage: update.Back, Reason: update.Unhealthy, Detail: "imap did not answer" + own, At: now.Add(-950 * time.Hour)},
			},
		},
		Words: words.Say("update.state.ready", "version", "0.5.0", "newer", "0.6.0"+own).Text(),
	}
}

// updates are what is asked of updates.
func (h *House) updates(own string) {
	for _, name := range []string{"update.status", "update.check", "update.apply", "update.settings"} {
		h.Answers[name] = Updates(own)
	}
}

// Upload keeps what is sent.
func (h *House) Upload(_ context.Context, file io.Reader) error {
	if err := h.Errors["update.upload"]; err != nil {
		return err
	}
	b, err := io.ReadAll(file)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent = b
	return err
}

// Sent is the file that was sent last.
func (h *House) Sent() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// upload is where a house takes files; nil if it takes none.
func upload(h dash.House) func(context.Context, io.Reader) error {
	if h, ok := h.(*House); ok {
		return h.Upload
	}
	return nil
}
