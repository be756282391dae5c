package events

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/store"
)

// full has every field.
func full() Event {
	e := message(1)
	e.Unsure, e.More, e.TLS, e.Device, e.Who, e.What, e.Door = true, 3, "TLS 1.3", "phone", "anna", "dns.push", "web"
	e.Reason, e.Domain, e.Cause, e.Reply = Forged, "example.com", mail.CauseReply, mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "no\nsuch user"}
	e.Auth = Auth{mail.ResultSoftFail, mail.ResultPass, mail.ResultPermError}
	e.Next, e.Count, e.Detail, e.Details = noon.Add(time.Hour), 7, "something", "何か"
	return e
}

// TestCode writes an event with all fields and reads it back.
func TestCode(t *testing.T) {
	e := full()
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		if f := v.Type().Field(i).Name; v.Field(i).IsZero() && f != "Seq" {
			t.Errorf("the field %s is not tried", f)
		}
	}
	got, err := decodeEvent(fit(nil, &e))
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, %v, want %+v", got, err, e)
	}
	if n := len(appendEvent(nil, &Event{})); n != 0 {
		t.Errorf("nothing takes %d bytes", n)
	}
	m := message(1)
	if n := len(fit(nil, &m)); n > 190 {
		t.Errorf("a message takes %d bytes", n)
	}
}

// TestFit cuts what is too long: a row always has room, and the id stays.
func TestFit(t *testing.T) {
	e := full()
	for _, s := range e.texts() {
		if s != nil && s != &e.ID {
			*s = strings.Repeat("長い", 400)
		}
	}
	for range 100 {
		e.To = append(e.To, mail.Path(strings.Repeat("x", 250)+"@long.example"))
	}
	b := fit(nil, &e)
	got, err := decodeEvent(b)
	if err != nil || len(b) > eventMax || got.ID != full().ID || len(got.To)+got.More != 104 {
		t.Errorf("%d bytes, %v: %+v", len(b), err, got)
	}
	var p packer
	p.add(1, b)
	p.add(2, b)
	for _, r := range p.rows {
		if len(r.Bytes) > store.EventBytes {
			t.Errorf("a row of %d bytes", len(r.Bytes))
		}
	}
}

// FuzzDecode holds reading against writing: whatever can be read is written so
// that it reads the same again.
func FuzzDecode(f *testing.F) {
	e := full()
	f.Add(fit(nil, &e))
	f.Add([]byte{tAt, 1, 0x80})
	f.Add([]byte{tFrom, 1, 7}) // no path
	f.Add([]byte{200, 3, 1, 2, 3, tTo, 0, tSize, 2, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEvent(b)
		if err != nil {
			return
		}
		once := fit(nil, &e)
		again, err := decodeEvent(once)
		if err != nil || len(once) > eventMax {
			t.Fatalf("%x: %v", once, err)
		}
		if twice := fit(nil, &again); !bytes.Equal(once, twice) {
			t.Fatalf("%x, then %x", once, twice)
		}
	})
}

// FuzzRow holds a packer against what splits its rows.
func FuzzRow(f *testing.F) {
	f.Add([]byte("\x01\x00\x02\x01a\x01b"))
	f.Add([]byte{1, 0, 1, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, row []byte) {
		var p packer
		n := uint64(0)
		err := split(row, func(i int, event []byte) {
			if len(event) <= eventMax {
				p.add(n, event)
				n++
			}
		})
		if err != nil || n == 0 {
			return
		}
		total := uint64(0)
		for _, r := range p.rows {
			if r.First != total || len(r.Bytes) > store.EventBytes || split(r.Bytes, func(int, []byte) {}) != nil {
				t.Fatalf("row %d of %d bytes", r.First, len(r.Bytes))
			}
			total += countOf(r.Bytes)
		}
		if total != n {
			t.Fatalf("%d events of %d", total, n)
		}
	})
}
