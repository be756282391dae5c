package imapd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"homemail/mail"
	"homemail/store"
)

// withoutPath is where the store keeps which capabilities an account does
// without, for a mail program that trips over one.
func withoutPath(a mail.AccountID) string { return fmt.Sprintf("imap/without/%d", a) }

// Without returns the capabilities that are not offered to an account.
func Without(s *store.Store, a mail.AccountID) ([]string, error) {
	v, err := s.State(withoutPath(a))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return strings.Fields(string(v)), err
}

// SetWithout says which capabilities are not offered to an account, from its next
// sign-in on. Only those can be left out that are in the list after sign-in, and
// not IMAP4rev1.
func SetWithout(s *store.Store, a mail.AccountID, names []string) error {
	for _, name := range names {
		if !slices.Contains(capsAfter, name) || name == "IMAP4rev1" {
			return fmt.Errorf("%w: %q is no capability that can be left out", store.ErrInvalid, name)
		}
	}
	if len(names) == 0 {
		return s.PutState(withoutPath(a), nil)
	}
	return s.PutState(withoutPath(a), []byte(strings.Join(names, " ")))
}

// leaveOut reads what the account does without.
func (s *session) leaveOut() {
	names, err := Without(s.s.o.Store, s.acct.ID)
	if err != nil {
		s.log.Warn("imap: capabilities to leave out are not known", "err", err)
	}
	s.off = make(map[string]bool, len(names))
	for _, name := range names {
		s.off[name] = true
		s.off[strings.ToUpper(name)] = true // as ENABLE has it
	}
}
