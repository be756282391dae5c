// Package vacation answers mail for who is away: one plain reply to each
// correspondent in a while, to people alone, and never to an address that may
// be forged (RFC 3834, and RFC 5230 for who gets one). It hears of mail after
// that is on disk, and holds up nobody: a crash may lose a reply, never a
// message, and nobody gets two.
package vacation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"homemail/mail"
	"homemail/store"
)

// The limits of what a person may set.
const (
	textMost    = 20_000 // octets, 5,000 characters of any script: a note, not a newsletter
	subjectMost = 200    // characters
	daysUsual   = 7      // RFC 5230 §4.1
	daysMost    = 30     // the book of who was answered reaches back that far
)

// Day is the form of a Reply's days.
const Day = "2006-01-02"

// A Reply is what an account answers while its person is away.
type Reply struct {
	On      bool   `json:"on"`
	Subject string `json:"subject,omitempty"` // "" is that of the message, with a word before it
	Text    string `json:"text"`
	From    string `json:"from,omitempty"`  // the first day, as Day has it; "" began already
	Until   string `json:"until,omitempty"` // the last day; "" has no end
	Days    int    `json:"days"`            // between two replies to the same correspondent
}

// Active reports whether mail that comes now is answered. Days begin and end
// where the person is.
func (r Reply) Active(now time.Time) bool {
	today := now.Format(Day) // compares as it sorts
	return r.On && (r.From == "" || r.From <= today) && (r.Until == "" || today <= r.Until)
}

// window is how long a correspondent who was answered is not answered again.
func (r Reply) window() time.Duration { return time.Duration(r.Days) * 24 * time.Hour }

// Check puts a Reply into order, or says in words why it cannot be.
func (r *Reply) Check() error {
	r.Text = strings.TrimRightFunc(strings.ReplaceAll(r.Text, "\r\n", "\n"), unicode.IsSpace)
	r.Subject = strings.TrimSpace(r.Subject)
	if r.Days == 0 {
		r.Days = daysUsual
	}
	switch {
	case !utf8.ValidString(r.Text) || strings.ContainsFunc(r.Text, unfit):
		return invalid("the text has characters that no mail can hold")
	case len(r.Text) > textMost:
		return invalid("the text is longer than %d bytes", textMost)
	case r.On && r.Text == "":
		return invalid("a reply needs a text")
	case !utf8.ValidString(r.Subject) || strings.ContainsFunc(r.Subject, unicode.IsControl):
		return invalid("the subject has characters that no subject can hold")
	case utf8.RuneCountInString(r.Subject) > subjectMost:
		return invalid("the subject is longer than %d characters", subjectMost)
	case r.Days < 1 || r.Days > daysMost:
		return invalid("days between two replies are 1 to %d", daysMost)
	}
	for _, day := range []string{r.From, r.Until} {
		if _, err := time.Parse(Day, day); day != "" && err != nil {
			return invalid("%q is not a day; right would be 2026-12-24", day)
		}
	}
	if r.From != "" && r.Until != "" && r.Until < r.From {
		return invalid("the last day is before the first")
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrInvalid, fmt.Sprintf(format, args...))
}

// unfit reports whether a text for people cannot have a character.
func unfit(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

func replyPath(id mail.AccountID) string { return fmt.Sprintf("vacation/reply/%d", id) }

// Load returns the reply of an account; one that was never set is off.
func Load(s *store.Store, id mail.AccountID) (r Reply, err error) {
	b, err := s.State(replyPath(id))
	if errors.Is(err, store.ErrNotFound) {
		return Reply{Days: daysUsual}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return Reply{Days: daysUsual}, fmt.Errorf("the out-of-office reply of account %d: %w", id, err)
	}
	return r, nil
}

// Save keeps the reply of an account. ErrInvalid, in words, if it cannot be.
func Save(s *store.Store, id mail.AccountID, r Reply) error {
	if err := r.Check(); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.PutState(replyPath(id), b)
}
