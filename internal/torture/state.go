package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"homemail/mail"
	"homemail/store"
)

// A State is what a store holds.
type State struct {
	Boxes    []BoxNow                     `json:"-"`
	Profiles map[string]map[string]string `json:"profiles,omitempty"` // account, worker: value
	Queue    []ItemNow                    `json:"queue,omitempty"`
	Notes    map[string]string            `json:"notes,omitempty"`    // what is kept by path
	Findings []string                     `json:"findings,omitempty"` // of the store's own check, and of reading
	Bytes    int64                        `json:"bytes,omitempty"`    // of different messages
	Phase    string                       `json:"phase,omitempty"`    // of Rounds
}

// A BoxNow is a mailbox with its messages.
type BoxNow struct {
	Box
	UIDNext  uint32       `json:"next"`
	ModSeq   uint64       `json:"mod"`
	Messages []MessageNow `json:"msgs,omitempty"`
}

// A MessageNow is a message of a mailbox.
type MessageNow struct {
	UID    uint32   `json:"u"`
	ModSeq uint64   `json:"m"`
	Flags  []string `json:"f,omitempty"`
	SHA    string   `json:"s"`           // from the marker on
	Prefix string   `json:"p,omitempty"` // what is before the marker
	Err    string   `json:"e,omitempty"` // its bytes cannot be had
	size   int64
}

// Read reads all of a store. What it cannot read is among the findings, as is
// what the store's own check finds.
func Read(s *store.Store, check bool) State {
	st := State{Profiles: map[string]map[string]string{}}
	find := func(format string, args ...any) { st.Findings = append(st.Findings, fmt.Sprintf(format, args...)) }
	profiles, err := s.Accounts()
	if err != nil {
		find("accounts: %v", err)
	}
	for _, p := range profiles {
		st.Profiles[string(p.Address)] = map[string]string{}
		for _, d := range p.Devices {
			st.Profiles[string(p.Address)][d.ID] = d.Name
		}
		a, err := s.Account(p.Address)
		if err != nil {
			find("%v", err)
			continue
		}
		boxes, err := a.Mailboxes()
		if err != nil {
			find("%s: mailboxes: %v", p.Address, err)
		}
		for _, m := range boxes {
			st.Boxes = append(st.Boxes, readBox(a, p.Address, m, find))
		}
	}
	st.readQueue(s, find)
	sizes := map[string]int64{}
	for _, b := range st.Boxes {
		for _, m := range b.Messages {
			sizes[m.SHA] = m.size
		}
	}
	for _, it := range st.Queue {
		sizes[it.SHA] = max(sizes[it.SHA], it.size)
	}
	for _, size := range sizes {
		st.Bytes += size
	}
	if check {
		r, err := s.Check(context.Background(), store.CheckOptions{Bodies: true})
		if err != nil {
			find("check: %v", err)
		}
		for _, f := range r.Findings {
			find("check: %s", f.What)
		}
	}
	return st
}

func readBox(a *store.Account, address mail.Path, m store.Mailbox, find func(string, ...any)) BoxNow {
	b := BoxNow{Box: Box{Account: string(address), Validity: m.UIDValidity, Name: m.Name},
		UIDNext: uint32(m.UIDNext), ModSeq: uint64(m.ModSeq)}
	entries, err := a.Entries(m.ID)
	if err != nil {
		find("%s: %s: entries: %v", address, m.Name, err)
	}
	for _, e := range entries {
		x := MessageNow{UID: uint32(e.UID), ModSeq: uint64(e.ModSeq), Flags: flagNames(e.Flags, e.Keywords)}
		if err := readMessage(a, m.ID, &x); err != nil {
			x.Err = err.Error()
			if !errors.Is(err, store.ErrNotFound) { // that would be silence
				find("%s: %s: message %d: %v", address, m.Name, e.UID, err)
			}
		}
		b.Messages = append(b.Messages, x)
	}
	return b
}

func readMessage(a *store.Account, box mail.MailboxID, x *MessageNow) error {
	m, err := a.Message(box, mail.UID(x.UID))
	if err != nil {
		return err
	}
	return x.read(a.Body(m))
}

func (x *MessageNow) read(body io.WriterTo) error {
	var b bytes.Buffer
	if _, err := body.WriteTo(&b); err != nil {
		return err
	}
	x.Hold(b.Bytes())
	return nil
}

// Hold notes the bytes of a message.
func (x *MessageNow) Hold(b []byte) {
	at := max(0, bytes.Index(b, []byte(marker)))
	x.size = int64(len(b) - at)
	x.SHA, x.Prefix = sha(b[at:]), string(b[:at])
}

func flagNames(f mail.Flags, keywords []string) []string {
	list := f.AppendNames(slices.Clone(keywords))
	slices.Sort(list)
	return list
}
