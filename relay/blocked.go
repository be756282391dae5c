package relay

import (
	"errors"

	"homemail/mail"
	"homemail/relay/client"
)

// A block is why a hop, a host or an address cannot be used, as the outcome
// that it means for the recipients.
type block struct{ mail.Outcome }

func (b *block) Error() string { return b.Reply.String() }

func blocked(fate mail.Fate, cause mail.Cause, enhanced, text string) error {
	return &block{mail.Outcome{Fate: fate, Cause: cause, Reply: mail.Reply{Enhanced: enhanced, Text: text}}}
}

// outcomeOf returns what an error of this package or of the client means.
func outcomeOf(err error) mail.Outcome {
	if b := (*block)(nil); errors.As(err, &b) {
		return b.Outcome
	}
	return client.Outcome(err)
}
