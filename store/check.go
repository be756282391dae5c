package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"homemail/mail"
)

// A Finding is something in the store that is not as it must be.
type Finding struct {
	What string `json:"what"`
	Done string `json:"done,omitempty"` // what the repair did; "" if nothing
}

// A Report is what a check found.
type Report struct {
	Accounts  int       `json:"accounts"`
	Mailboxes int       `json:"mailboxes"`
	Messages  int       `json:"messages"`
	Items     int       `json:"items"` // of the queue
	Blobs     int       `json:"blobs"`
	Bytes     int64     `json:"bytes"` // of blobs
	Findings  []Finding `json:"findings"`
}

// CheckOptions say how hard to look.
type CheckOptions struct {
	Bodies bool // read every body and compare its hash
	Repair bool // mend what can be mended
}

// Check verifies every invariant of the store, which may be in use: what it
// sees is one moment. With Repair it mends afterwards what can be mended.
func (s *Store) Check(ctx context.Context, o CheckOptions) (Report, error) {
	c := &checker{s: s, ctx: ctx}
	for _, d := range s.damage {
		c.find(nil, "when the store was opened: %s", d)
	}
	if err := s.view(c.rows); err != nil {
		return c.report, err
	}
	if o.Bodies {
		c.bodies()
		if err := s.disk.verify(); err != nil {
			c.find(nil, "the database's tables: %v", err)
		}
	}
	if o.Repair {
		c.repair()
	}
	return c.report, ctx.Err()
}

// verify checks the sums of Badger's own tables.
func (d *disk) verify() error {
	d.open.RLock()
	defer d.open.RUnlock()
	return d.db.VerifyChecksum()
}

// A reference is a message's claim on a blob.
type reference struct {
	a    mail.AccountID
	m    mail.MailboxID
	uid  mail.UID
	blob mail.BlobID
}

type checkedBlob struct {
	blob
	hash   [32]byte
	chunks int
	used   bool
}

// A checker goes through the tables once and keeps what it needs to compare.
type checker struct {
	s      *Store
	ctx    context.Context
	report Report
	mends  []mend

	blobs  map[mail.BlobID]*checkedBlob
	staged map[mail.BlobID]bool
	claims map[reference]bool   // by reference rows; true once a record has it
	lives  map[reference]bool   // messages, without blob, that by the history are there
	wanted map[mail.BlobID]bool // by records
}

func (c *checker) find(fix func(*tx) (string, error), format string, args ...any) {
	c.report.Findings = append(c.report.Findings, Finding{What: fmt.Sprintf(format, args...)})
	if fix != nil {
		c.mends = append(c.mends, mend{len(c.report.Findings) - 1, toChange, fix})
	}
}

func (c *checker) rows(r reader) error {
	c.blobs = make(map[mail.BlobID]*checkedBlob)
	c.staged = make(map[mail.BlobID]bool)
	c.claims = make(map[reference]bool)
	c.lives = make(map[reference]bool)
	c.wanted = make(map[mail.BlobID]bool)
	for _, step := range []func(reader) error{c.checkSums, c.readBlobs, c.readClaims, c.checkAccounts, c.checkRoutes, c.checkQueue, c.checkEvents, c.checkBlobs} {
		if err := step(r); err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// checkSums reads every row but the bodies and verifies its sum. The steps
// after it may then take a damaged row for one that is missing.
func (c *checker) checkSums(r reader) error {
	return r.keys(nil, nil, func(key []byte) (bool, error) {
		if key[0] == tChunk {
			return true, nil
		}
		if _, err := r.get(key); err != nil {
			c.find(c.dropMade(key), "%v", err)
		}
		return true, nil
	})
}

// dropMade removes a row that is made of others, and will be again.
func (c *checker) dropMade(key []byte) func(*tx) (string, error) {
	switch key[0] {
	case tDerived: // the others of the account are worth nothing without it
		a := mail.AccountID(parse(key).u32())
		return func(t *tx) (string, error) { return "the account's index is made anew", t.dropAll(k(tDerived).acct(a)) }
	case tSummary, tSortKeys, tThread:
		key = slices.Clone(key)
		return func(t *tx) (string, error) {
			t.del(key)
			return "removed; it is made anew", nil
		}
	}
	return nil
}

// tolerant gives the rows of a table that can be read.
func tolerant(r reader, prefix []byte, fn func(key, payload []byte) error) error {
	return r.keys(prefix, nil, func(key []byte) (bool, error) {
		v, err := r.get(key)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
			return true, nil // checkSums has told
		}
		if err == nil {
			err = fn(key, v)
		}
		return err == nil, err
	})
}

func (c *checker) readBlobs(r reader) error {
	err := tolerant(r, []byte{tBlob}, func(key, v []byte) error {
		b, err := decodeBlob(v)
		if err != nil || len(key) != 33 {
			c.find(nil, "blob row %x: %v", key, err)
			return nil
		}
		row := &checkedBlob{blob: b}
		copy(row.hash[:], key[1:])
		c.blobs[b.id] = row
		c.report.Blobs++
		c.report.Bytes += b.size
		return nil
	})
	if err != nil {
		return err
	}
	err = r.keys([]byte{tStaged}, nil, func(key []byte) (bool, error) {
		c.staged[mail.BlobID(parse(key).u64())] = true
		return true, nil
	})
	if err != nil {
		return err
	}
	orphans := make(map[mail.BlobID][][]byte)
	err = r.keys([]byte{tChunk}, nil, func(key []byte) (bool, error) {
		id := mail.BlobID(parse(key).u64())
		if b := c.blobs[id]; b != nil {
			b.chunks++
		} else if !c.staged[id] {
			orphans[id] = append(orphans[id], slices.Clone(key))
		}
		return true, nil
	})
	for id, keys := range orphans {
		c.find(func(t *tx) (string, error) {
			used, err := t.referenced(id)
			if err != nil || used || c.wanted[id] {
				return "", err // only the blob's row is lost: see restoreBlob
			}
			for _, key := range keys {
				t.del(key)
			}
			return "removed", nil
		}, "%d chunks of blob %s belong to nothing", len(keys), id)
	}
	return err
}

func (c *checker) readClaims(r reader) error {
	return r.keys([]byte{tReference}, nil, func(key []byte) (bool, error) {
		p := parse(key)
		ref := reference{blob: mail.BlobID(p.u64())}
		ref.a, ref.m, ref.uid = mail.AccountID(p.u32()), mail.MailboxID(p.u32()), mail.UID(p.u32())
		c.claims[ref] = false
		return true, nil
	})
}

func (c *checker) checkAccounts(r reader) error {
	profiles, err := allProfiles(r)
	if err != nil {
		c.find(nil, "%v", err)
	}
	for _, p := range profiles {
		c.report.Accounts++
		if owner, err := getOwner(r, p.ID); err != nil || owner != p.Address {
			c.find(func(t *tx) (string, error) {
				t.put(ownerKey(p.ID), []byte(p.Address))
				return "written anew", nil
			}, "account %s: its number %d leads to %q: %v", p.Address, p.ID, owner, err)
		}
		if route, err := getRoute(r, p.Address); err != nil || route.Account != p.ID {
			c.find(func(t *tx) (string, error) {
				t.putRoute(p.Address, Route{Account: p.ID})
				return "written anew", nil
			}, "account %s: its address does not lead to it: %v", p.Address, err)
		}
		if err := c.checkMailboxes(r, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) checkRoutes(r reader) error {
	list, err := allAliases(r)
	if err != nil {
		c.find(nil, "aliases: %v", err)
		return nil
	}
	for _, a := range list {
		for _, to := range a.To {
			_, err := getRoute(r, to)
			if errors.Is(err, ErrNotFound) {
				err = isOutside(r, to)
			}
			if err != nil {
				c.find(nil, "alias %s leads to %s: %v", a.Address, to, err)
			}
		}
	}
	return nil
}

func (c *checker) checkMailboxes(r reader, p Profile) error {
	names := make(map[mail.MailboxID]string)
	err := tolerant(r, k(tName).acct(p.ID), func(key, v []byte) error {
		d := decoder{rest: v}
		names[mail.MailboxID(d.uint())] = string(key[5:])
		return nil
	})
	if err != nil {
		return err
	}
	total := Usage{}
	boxes := make(map[mail.MailboxID]bool)
	err = tolerant(r, k(tMailbox).acct(p.ID), func(key, v []byte) error {
		q := parse(key)
		q.u32()
		m, err := decodeMailbox(mail.MailboxID(q.u32()), v)
		if err != nil {
			c.find(nil, "%s: mailbox %d: %v", p.Address, m.ID, err)
			return nil
		}
		boxes[m.ID] = true
		c.report.Mailboxes++
		if names[m.ID] != m.Name {
			c.find(func(t *tx) (string, error) {
				t.putName(p.ID, m.Name, m.ID)
				return "written anew", nil
			}, "%s: the name %q does not lead to its mailbox", p.Address, m.Name)
		}
		return c.checkMailbox(r, p, m, &total)
	})
	if err != nil {
		return err
	}
	for id, name := range names {
		if !boxes[id] {
			c.find(c.restoreMailbox(p.ID, id, name), "%s: the name %q leads to no mailbox", p.Address, name)
		}
	}
	if u, err := getUsage(r, p.ID); err != nil || u != total {
		c.find(func(t *tx) (string, error) { return "counted anew", t.recountUsage(p.ID) },
			"%s: uses %d bytes in %d messages, and %d in %d are noted: %v", p.Address, total.Bytes, total.Messages, u.Bytes, u.Messages, err)
	}
	return nil
}

// checkMailbox compares a mailbox's row with its messages, their flags, their
// records and the history.
func (c *checker) checkMailbox(r reader, p Profile, m Mailbox, total *Usage) error {
	where := fmt.Sprintf("%s: %s", p.Address, m.Name)
	count := Mailbox{}
	flags := make(map[mail.UID]Entry)
	err := tolerant(r, inMailbox(tFlags, p.ID, m.ID), func(key, v []byte) error {
		e, err := decodeEntry(mail.UID(parse(key[8:]).u32()), v)
		if err != nil {
			c.find(nil, "%s: flags of message %d: %v", where, e.UID, err)
			return nil
		}
		flags[e.UID] = e
		count.count(&e, 1)
		if e.UID >= m.UIDNext || e.ModSeq > m.ModSeq {
			c.find(c.recount(p.ID, m.ID), "%s: message %d is above UIDNEXT %d or HIGHESTMODSEQ %d", where, e.UID, m.UIDNext, m.ModSeq)
		}
		return nil
	})
	if err != nil {
		return err
	}
	total.Bytes += count.Size
	total.Messages += int64(count.Messages)
	if count.Messages != m.Messages || count.Unseen != m.Unseen || count.Deleted != m.Deleted ||
		count.Size != m.Size || count.DeletedSize != m.DeletedSize || count.uids != m.uids {
		c.find(c.recount(p.ID, m.ID), "%s: has %d messages (%d unseen, %d bytes), and %d (%d, %d) are noted", where,
			count.Messages, count.Unseen, count.Size, m.Messages, m.Unseen, m.Size)
	}
	if err := c.checkRecords(r, where, p.ID, m.ID, flags); err != nil {
		return err
	}
	return c.checkHistory(r, where, p.ID, m, flags)
}

func (c *checker) checkRecords(r reader, where string, a mail.AccountID, box mail.MailboxID, flags map[mail.UID]Entry) error {
	seen := make(map[mail.UID]bool)
	err := tolerant(r, inMailbox(tMessage, a, box), func(key, v []byte) error {
		uid := mail.UID(parse(key[8:]).u32())
		m, err := decodeMessage(box, uid, v)
		if err == nil {
			_, err = m.Structure()
		}
		if err != nil {
			c.find(nil, "%s: %v", where, err)
			return nil
		}
		c.report.Messages++
		seen[uid] = true
		e, ok := flags[uid]
		if !ok {
			c.find(c.restoreFlags(a, box, uid, m.Size), "%s: message %d has no flags", where, uid)
		} else if e.Size != m.Size {
			c.find(c.restoreFlags(a, box, uid, m.Size), "%s: message %d has %d bytes, and %d are noted", where, uid, m.Size, e.Size)
		}
		ref := reference{a, box, uid, m.Blob}
		if _, ok := c.claims[ref]; !ok {
			c.find(func(t *tx) (string, error) {
				t.put(referenceKey(m.Blob, a, box, uid), nil)
				return "written anew", nil
			}, "%s: message %d has no reference to its blob", where, uid)
		}
		c.claims[ref] = true
		c.wanted[m.Blob] = true
		if b := c.blobs[m.Blob]; b == nil || b.hash != m.Hash || b.size != m.BlobSize {
			c.find(c.restoreBlob(m.Blob, m.Hash, m.BlobSize), "%s: message %d: the row of its bytes (blob %s) is missing", where, uid, m.Blob)
		} else {
			b.used = true
		}
		return nil
	})
	for uid := range flags {
		if !seen[uid] {
			c.find(c.restoreRecord(a, box, uid), "%s: message %d has no record", where, uid)
		}
	}
	return err
}

func (c *checker) checkHistory(r reader, where string, a mail.AccountID, m Mailbox, flags map[mail.UID]Entry) error {
	found := make(map[mail.UID]bool)
	err := tolerant(r, inMailbox(tChange, a, m.ID), func(key, v []byte) error {
		at := mail.ModSeq(parse(key[8:]).u64())
		d := decoder{rest: v}
		uid, gone := mail.UID(d.uint()), d.bool()
		e, there := flags[uid]
		if d.err == nil && !gone {
			c.lives[reference{a: a, m: m.ID, uid: uid}] = true
		}
		if d.err != nil || at > m.ModSeq || gone == there || there && e.ModSeq != at {
			c.find(func(t *tx) (string, error) {
				t.del(inMailbox(tChange, a, m.ID).mod(at))
				return "removed", nil
			}, "%s: the history at %d does not fit message %d", where, at, uid)
		}
		found[uid] = there && e.ModSeq == at || found[uid]
		return nil
	})
	for uid, e := range flags {
		if !found[uid] {
			c.find(func(t *tx) (string, error) {
				t.putChange(a, m.ID, e.ModSeq, uid, false)
				return "written anew", nil
			}, "%s: the history lacks message %d at %d", where, uid, e.ModSeq)
		}
	}
	return err
}

func (c *checker) checkBlobs(reader) error {
	for ref, ok := range c.claims {
		if !ok {
			c.find(func(t *tx) (string, error) {
				if there, err := t.has(inMailbox(tMessage, ref.a, ref.m).uid(ref.uid)); err != nil || there {
					return "", err
				}
				if c.lives[reference{a: ref.a, m: ref.m, uid: ref.uid}] && c.blobs[ref.blob] != nil {
					return c.restoreRecord(ref.a, ref.m, ref.uid)(t)
				}
				t.del(referenceKey(ref.blob, ref.a, ref.m, ref.uid))
				return "removed", nil
			}, "message %d of mailbox %d refers to blob %s and has no record", ref.uid, ref.m, ref.blob)
		}
	}
	for id, b := range c.blobs {
		if b.chunks != int(chunksOf(b.size)) {
			c.find(nil, "blob %s has %d chunks and should have %d", id, b.chunks, chunksOf(b.size))
		}
		if !b.used {
			c.find(func(t *tx) (string, error) {
				used, err := t.referenced(id)
				if err != nil || used {
					return "", err
				}
				t.del(blobKey(b.hash))
				t.dropChunks(id, chunksOf(b.size))
				return "removed", nil
			}, "blob %s of %d bytes is used by no message", id, b.size)
		}
	}
	return nil
}

// bodies reads every blob and compares its hash.
func (c *checker) bodies() {
	for id, b := range c.blobs {
		if c.ctx.Err() != nil {
			return
		}
		h := sha256.New()
		_, err := (&Body{a: &Account{s: c.s}, m: &Message{Blob: id, BlobSize: b.size, Size: b.size}}).WriteTo(h)
		switch {
		case errors.Is(err, ErrNotFound):
			if _, gone := c.s.blobRow(b.hash); gone {
				continue // removed while we looked
			}
			c.find(nil, "blob %s: a chunk is missing", id)
		case err != nil:
			c.find(nil, "blob %s: %v", id, err)
		case [32]byte(h.Sum(nil)) != b.hash:
			c.find(nil, "blob %s: its bytes have changed", id)
		}
	}
}

func (s *Store) blobRow(hash [32]byte) (b blob, gone bool) {
	err := s.view(func(r reader) error {
		v, err := r.get(blobKey(hash))
		if err == nil {
			b, err = decodeBlob(v)
		}
		return err
	})
	return b, errors.Is(err, ErrNotFound)
}
