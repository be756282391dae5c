package bridge

import (
	"encoding/binary"
	"errors"
	"net/url"
	"strings"
	"time"

	"homemail/store"
)

// A note says that a message which is there was dealt with. It is kept as long
// as the message is there, and goneDays longer.
type note struct {
	hash    [32]byte // SHA-256 of the bytes as they came
	size    int64
	day     int  // when it was fetched, in days since 1970; 0 if the clock was not right
	gone    int  // since when it is missing there; 0 if it is not
	skipped bool // it was too large, and is only there
}

const (
	noteVersion = 1
	noteSize    = 1 + 32 + 8 + 4 + 4 + 1
)

var errNote = errors.New("a note of the bridge is damaged")

func (n note) encode() []byte {
	b := make([]byte, 0, noteSize)
	b = append(append(b, noteVersion), n.hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(n.size))
	b = binary.BigEndian.AppendUint32(b, uint32(n.day))
	b = binary.BigEndian.AppendUint32(b, uint32(n.gone))
	if n.skipped {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeNote(v []byte) (n note, err error) {
	if len(v) != noteSize || v[0] != noteVersion {
		return n, errNote
	}
	v = v[1+copy(n.hash[:], v[1:]):]
	n.size = int64(binary.BigEndian.Uint64(v))
	n.day, n.gone = int(binary.BigEndian.Uint32(v[8:])), int(binary.BigEndian.Uint32(v[12:]))
	n.skipped = v[16] != 0
	return n, nil
}

// goneDays is how long a note outlives its message: a server that shows an
// empty mailbox for a while, as some do after a failure, brings nothing twice.
const goneDays = 7

// notes are those of one mailbox there. A message is named by its scope (the
// UIDVALIDITY) and its key in it.
type notes struct {
	s      *store.Store
	prefix string // of all scopes
	scope  string

	known map[string]bool // keys of the scope that need no fetching
	// orphans are the paths of notes whose messages are not there under their
	// key: when the server has numbered its messages anew their bytes tell.
	orphans map[[32]byte][]string
	due     []string // keys that may be deleted there
}

func (n *notes) path(key string) string { return n.prefix + n.scope + "/" + key }

// A policy is what decides about notes.
type policy struct {
	keepDays   int
	maxMessage int64
	today      int // 0 if the clock is not right
}

func day(t time.Time) int { return int(t.Unix() / (24 * 60 * 60)) }

// readNotes reads the notes of a mailbox in which the listed keys are, and
// brings them up to date.
func readNotes(s *store.Store, id, mailbox, scope string, listed map[string]bool, p policy) (*notes, error) {
	n := &notes{
		s: s, prefix: notesAt + id + "/" + url.PathEscape(mailbox) + "/", scope: scope,
		known: make(map[string]bool, len(listed)), orphans: make(map[[32]byte][]string),
	}
	rows := newRows(s)
	err := s.States(n.prefix, func(path string, v []byte) bool {
		scope, key, _ := strings.Cut(strings.TrimPrefix(path, n.prefix), "/")
		old, err := decodeNote(v)
		if err != nil { // it says that the message was dealt with, and no more
			n.known[key] = n.known[key] || scope == n.scope
			return true
		}
		now, keep := n.sort(path, old, scope == n.scope && listed[key], key, p)
		switch {
		case !keep:
			return rows.put(path, nil)
		case now != old:
			return rows.put(path, now.encode())
		}
		return true
	})
	return n, errors.Join(err, rows.flush())
}

// sort puts a note where it belongs, and returns it as it is from now on.
func (n *notes) sort(path string, note note, listed bool, key string, p policy) (_ note, keep bool) {
	if !listed {
		if !note.skipped {
			n.orphans[note.hash] = append(n.orphans[note.hash], path)
		}
		switch {
		case p.today == 0:
		case note.gone == 0:
			note.gone = p.today
		case p.today-note.gone >= goneDays:
			return note, false
		}
		return note, true
	}
	if note.skipped && note.size <= p.maxMessage { // the limit was raised
		return note, false
	}
	n.known[key] = true
	note.gone = 0
	if note.day == 0 {
		note.day = p.today
	}
	switch {
	case note.skipped || p.keepDays < 0:
	case p.keepDays == 0, p.today != 0 && p.today-note.day >= p.keepDays:
		n.due = append(n.due, key)
	}
	return note, true
}

// orphan takes the path of a note of the same bytes, if there is one.
func (n *notes) orphan(hash [32]byte) string {
	list := n.orphans[hash]
	if len(list) == 0 {
		return ""
	}
	n.orphans[hash] = list[1:]
	return list[0]
}

// rows collects changes of state, so that many are one commit.
type rows struct {
	s    *store.Store
	list map[string][]byte
	err  error
}

// rowsMax keeps a commit, which all others wait for, short.
const rowsMax = 256

func newRows(s *store.Store) *rows { return &rows{s: s, list: map[string][]byte{}} }

// put sets a row, or removes it if v is nil. It reports whether all is well.
func (r *rows) put(path string, v []byte) bool {
	r.list[path] = v
	if len(r.list) >= rowsMax {
		r.err = errors.Join(r.err, r.flush())
	}
	return r.err == nil
}

func (r *rows) flush() error {
	if r.err != nil || len(r.list) == 0 {
		return r.err
	}
	_, err := r.s.Commit(nil, store.Batch{State: r.list})
	r.list = map[string][]byte{}
	return err
}
