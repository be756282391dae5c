package store

import (
	"bytes"

	"homemail/mail"
)

// checkQueue compares the queue's items, recipients and schedule.
func (c *checker) checkQueue(r reader) error {
	pending := make(map[mail.ItemID]int) // recipients that are waited for
	places := make(map[string]bool)      // in the schedule that recipients have
	err := tolerant(r, []byte{tPending}, func(key, v []byte) error {
		rcpt, err := decodeRecipient(key, v)
		if err != nil {
			c.find(nil, "%v", err)
			return nil
		}
		pending[rcpt.Item]++
		if done, err := r.get(doneKey(rcpt.Item, rcpt.N)); err == nil {
			c.find(func(t *tx) (string, error) {
				t.del(pendingKey(rcpt.Item, rcpt.N))
				t.del(dueKey(rcpt))
				return "it is done", t.endItem(rcpt.Item)
			}, "recipient %d of queue item %d is waited for and done (%d bytes)", rcpt.N, rcpt.Item, len(done))
		}
		if rcpt.Hold == "" {
			c.checkDue(r, rcpt, places)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = r.keys([]byte{tDue}, nil, func(key []byte) (bool, error) {
		if !places[string(key)] {
			stray := bytes.Clone(key)
			c.find(func(t *tx) (string, error) {
				t.del(stray)
				return "removed", nil
			}, "the queue's schedule has a place %x that is nobody's", stray)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return c.checkItems(r, pending)
}

func (c *checker) checkDue(r reader, rcpt *QueueRecipient, places map[string]bool) {
	key := dueKey(rcpt)
	places[string(key)] = true
	v, err := r.get(key)
	if err != nil || !bytes.Equal(v, dueRow(rcpt)) {
		c.find(func(t *tx) (string, error) {
			if there, err := t.has(pendingKey(rcpt.Item, rcpt.N)); err != nil || !there {
				return "", err
			}
			t.put(key, dueRow(rcpt))
			return "written anew", nil
		}, "recipient %d of queue item %d has no place in the schedule", rcpt.N, rcpt.Item)
	}
}

// checkItems sees that items have their bytes as long as somebody waits.
func (c *checker) checkItems(r reader, pending map[mail.ItemID]int) error {
	err := tolerant(r, []byte{tItem}, func(key, v []byte) error {
		it, err := decodeItem(mail.ItemID(parse(key).u32()), v)
		if err == nil {
			_, err = it.Structure()
		}
		if err != nil {
			c.find(nil, "%v", err)
			return nil
		}
		c.report.Items++
		waited := pending[it.ID] > 0
		delete(pending, it.ID)
		if !waited {
			return nil
		}
		ref := reference{uid: mail.UID(it.ID), blob: it.Blob}
		if _, ok := c.claims[ref]; !ok {
			c.find(func(t *tx) (string, error) {
				t.put(itemReference(it), nil)
				return "written anew", nil
			}, "queue item %d has no reference to its blob", it.ID)
		}
		c.claims[ref] = true
		c.wanted[it.Blob] = true
		if b := c.blobs[it.Blob]; b == nil || b.hash != [32]byte(it.Hash) || b.size != it.BlobSize {
			c.find(c.restoreBlob(it.Blob, [32]byte(it.Hash), it.BlobSize), "queue item %d: the row of its bytes (blob %s) is missing", it.ID, it.Blob)
		} else {
			b.used = true
		}
		return nil
	})
	for id := range pending {
		c.find(nil, "queue item %d has recipients and no row", id)
	}
	return err
}
