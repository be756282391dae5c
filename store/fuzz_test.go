package store

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"homemail/mail"
)

// FuzzRows: a row's payload is decoded within bounds whatever it holds, and
// what was decoded is the same after being written and read again.
func FuzzRows(f *testing.F) {
	box := Mailbox{ID: 1, Name: "INBOX", Use: mail.Inbox, UIDValidity: 7, UIDNext: 3, ModSeq: 9, Messages: 2, Size: 100, uids: 3}
	entry := Entry{UID: 1, ModSeq: 4, Flags: mail.Seen, Size: 77, Keywords: []string{"$Work"}}
	record := Message{Blob: 5, BlobSize: 70, Prefix: []byte("A: b\r\n"), Date: time.UnixMilli(0), Saved: time.UnixMilli(1)}
	f.Add(box.encode())
	f.Add(entry.encode())
	f.Add(record.encode())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, v []byte) {
		if m, err := decodeMailbox(1, v); err == nil {
			if again, err := decodeMailbox(1, m.encode()); err != nil || !reflect.DeepEqual(again, m) {
				t.Errorf("mailbox %+v became %+v, %v", m, again, err)
			}
		}
		if e, err := decodeEntry(1, v); err == nil {
			if again, err := decodeEntry(1, e.encode()); err != nil || !reflect.DeepEqual(again, e) {
				t.Errorf("entry %+v became %+v, %v", e, again, err)
			}
		}
		if m, err := decodeMessage(1, 1, v); err == nil {
			if again, err := decodeMessage(1, 1, m.encode()); err != nil || again.Blob != m.Blob || !bytes.Equal(again.Prefix, m.Prefix) {
				t.Errorf("record %+v became %+v, %v", m, again, err)
			}
			m.Structure()
		}
		if r, err := decodeRoute(v); err == nil && len(r.Alias) > len(v) {
			t.Errorf("%d targets from %d bytes", len(r.Alias), len(v))
		}
		decodeBlob(v)
	})
}

// FuzzSeal: a value comes back under its own key alone.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("key"), []byte("payload"), uint16(3))
	f.Fuzz(func(t *testing.T, key, payload []byte, bit uint16) {
		v := seal(key, payload)
		if got, err := unseal(key, v); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%q: %v", got, err)
		}
		v[int(bit/8)%len(v)] ^= 1 << (bit % 8)
		if _, err := unseal(key, v); err == nil {
			t.Error("a flipped bit was not seen")
		}
		if _, err := unseal(append(key, 'x'), seal(key, payload)); err == nil {
			t.Error("a value was taken under another key")
		}
	})
}

// FuzzKeys: numbers in keys sort as numbers, and come back.
func FuzzKeys(f *testing.F) {
	f.Add(uint32(1), uint32(2), uint64(3), uint64(4))
	f.Fuzz(func(t *testing.T, a, b uint32, m, n uint64) {
		x, y := inMailbox(tChange, mail.AccountID(a), mail.MailboxID(b)).mod(mail.ModSeq(m)), inMailbox(tChange, mail.AccountID(a), mail.MailboxID(b)).mod(mail.ModSeq(n))
		if bytes.Compare(x, y) < 0 != (m < n) {
			t.Errorf("%d and %d are in another order as keys", m, n)
		}
		p := parse(x)
		if p.u32() != a || p.u32() != b || p.u64() != m || !p.ok || p.str() != "" {
			t.Errorf("%x came back changed", x)
		}
		if p.u32(); p.ok {
			t.Error("a key too short was read")
		}
	})
}
