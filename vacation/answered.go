package vacation

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"homemail/mail"
	"homemail/store"
)

// The limits of one account's book. Whoever makes up addresses by the thousand,
// all of them proven, gets no more out of us than that.
const (
	answeredMost = 1000 // correspondents: 12 kB
	perDay       = 40   // replies; a fifth of what pauses an account, see package caps
)

const entrySize = 12 // of a correspondent's hash 8 octets, of the time in seconds 4

// errAnswered says that a correspondent gets no reply now.
var errAnswered = errors.New("was answered not long ago")

// An answered is the book of whom an account has answered, and when.
type answered []byte

func answeredPath(id mail.AccountID) string { return fmt.Sprintf("vacation/answered/%d", id) }

// note writes a correspondent into the book of an account, on disk, before the
// reply is sent: what happens after that can lose the reply, not send two. The
// error is errAnswered if the correspondent, or the account, has had enough.
func note(s *store.Store, id mail.AccountID, to mail.Path, window time.Duration, now time.Time) error {
	who := correspondent(id, to)
	if b, err := s.State(answeredPath(id)); err == nil { // most are in the book: no commit for them
		if _, err := answered(b).with(who, window, now); err != nil {
			return err
		}
	}
	return s.UpdateState(answeredPath(id), func(old []byte) ([]byte, error) {
		return answered(old).with(who, window, now)
	})
}

func correspondent(id mail.AccountID, to mail.Path) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", id, to.Key()))
	return binary.BigEndian.Uint64(sum[:])
}

// with returns the book with one more reply in it.
func (b answered) with(who uint64, window time.Duration, now time.Time) (answered, error) {
	var out answered
	today := 0
	keep := min(len(b)/entrySize, answeredMost)
	for i := range keep {
		e := b[i*entrySize : (i+1)*entrySize]
		age := now.Sub(time.Unix(int64(binary.BigEndian.Uint32(e[8:])), 0))
		same := binary.BigEndian.Uint64(e) == who
		switch {
		case same && age < window: // also if it is of a time to come: the clock was wrong
			return nil, errAnswered
		case age < 24*time.Hour:
			today++
		}
		if !same && age < daysMost*24*time.Hour {
			out = append(out, e...)
		}
	}
	if today >= perDay || len(out) >= answeredMost*entrySize {
		return nil, errAnswered
	}
	out = binary.BigEndian.AppendUint64(out, who)
	return binary.BigEndian.AppendUint32(out, uint32(now.Unix())), nil
}
