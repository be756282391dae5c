package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"homemail/mail"
)

// Bounds of annotations, RFC 5464 §4.3: MAXSIZE and TOOMANY.
const (
	AnnotationBytes = 64 << 10 // of a value
	AnnotationsMax  = 100      // of a mailbox, or of the account
	annotationName  = 255      // bytes of an entry's name
)

// ErrTooMany says that a mailbox has as many annotations as it may.
var ErrTooMany = errors.New("there are too many annotations")

// annotationKey has mailbox 0 for those of the server.
func annotationKey(a mail.AccountID, m mail.MailboxID, entry string) key {
	return k(tAnnotation).acct(a).mbox(m).str(entry)
}

// Annotations returns the METADATA of a mailbox by entry, RFC 5464; mailbox 0
// has those of the server, which each account has for itself. Names are in
// lower case.
func (a *Account) Annotations(mbox mail.MailboxID) (list map[string][]byte, err error) {
	list = make(map[string][]byte)
	prefix := annotationKey(a.ID, mbox, "")
	err = a.s.view(func(r reader) error {
		return r.scan(prefix, nil, func(key, v []byte) (bool, error) {
			list[string(key[len(prefix):])] = slices.Clone(v)
			return true, nil
		})
	})
	return list, err
}

// Annotate sets METADATA of a mailbox in one commit; a nil value removes an
// entry. ErrNotFound, ErrInvalid for a name or size that cannot be, ErrTooMany.
func (a *Account) Annotate(mbox mail.MailboxID, entries map[string][]byte) error {
	for name, v := range entries {
		if len(name) < 2 || len(name) > annotationName || name[0] != '/' || strings.HasSuffix(name, "/") || strings.Contains(name, "//") ||
			strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '*' || r == '%' }) {
			return fmt.Errorf("%w: an annotation has no name %q", ErrInvalid, name)
		}
		if len(v) > AnnotationBytes {
			return fmt.Errorf("%w: an annotation has at most %d bytes", ErrInvalid, AnnotationBytes)
		}
	}
	return a.s.update(toChange, func(t *tx) error {
		if mbox != 0 {
			if _, err := getMailbox(t, a.ID, mbox); err != nil {
				return err
			}
		}
		n := 0
		err := t.keys(annotationKey(a.ID, mbox, ""), nil, func([]byte) (bool, error) { n++; return true, nil })
		if err != nil {
			return err
		}
		for name, v := range entries {
			key := annotationKey(a.ID, mbox, strings.ToLower(name))
			there, err := t.has(key)
			switch {
			case missing(err) != nil:
				return err
			case v == nil:
				t.del(key)
				continue
			case !there:
				n++
			}
			t.put(key, v)
		}
		if n > AnnotationsMax {
			return ErrTooMany
		}
		t.tell(watchKey{a.ID, mbox})
		return nil
	})
}
