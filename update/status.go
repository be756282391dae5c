package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"homemail/appliance/slots"
)

// A Stage is how far an update has come.
type Stage string

// The stages, in their order; Good and Back are ends.
const (
	Writing Stage = "writing" // to the root that does not run
	Trying  Stage = "trying"  // a start with it was asked for
	Good    Stage = "good"    // it was healthy and is kept
	Back    Stage = "back"    // the box went back to the version before
)

// A Reason says why the box went back. Faces have words for each.
type Reason string

// The reasons.
const (
	// Stopped: it did not start, crashed or hung, or the power went, before
	// anybody could tell why.
	Stopped Reason = "stopped"
	// Unhealthy: it ran and did not do its work; the record's Detail says what
	// did not.
	Unhealthy Reason = "unhealthy"
)

// A Record is what became of an update.
type Record struct {
	From     Version    `json:"from"`
	To       Version    `json:"to"`
	Notes    Notes      `json:"notes"`
	Manifest Hash       `json:"manifest"` // which one it was
	Slot     slots.Slot `json:"slot"`     // where it was put
	Stage    Stage      `json:"stage"`
	Written  int64      `json:"written"` // bytes of the payload that are on the disk
	Size     int64      `json:"size"`
	Tries    int        `json:"tries,omitempty"`
	Reason   Reason     `json:"reason,omitempty"`
	Detail   string     `json:"detail,omitempty"`
	At       time.Time  `json:"at"` // of the last change
}

// Status is what Box knows of updates.
type Status struct {
	Version Version     `json:"version"`
	Target  string      `json:"target"`
	Slots   slots.State `json:"slots"`
	Last    *Record     `json:"last,omitempty"`
	Before  []Record    `json:"before,omitempty"` // those before, the newest first
}

// keptRecords is how many updates are remembered: more than a year of monthly
// ones.
const keptRecords = 16

// A book has the records, on the data partition, as both slots need them.
type book struct{ file string }

func (b book) read() (list []Record, err error) {
	text, err := os.ReadFile(b.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("what became of updates before: %w", err)
	}
	return list, nil
}

// last is the newest record, nil if there is none or nobody can read it.
func (b book) last() *Record {
	list, err := b.read()
	if err != nil || len(list) == 0 {
		return nil
	}
	return &list[0]
}

// begin adds a record; one of an update that was not tried is forgotten.
func (b book) begin(r Record) error {
	list, _ := b.read() // if it is damaged it begins anew
	if len(list) > 0 && list[0].Stage == Writing {
		list = list[1:]
	}
	list = append([]Record{r}, list...)
	return b.write(list[:min(len(list), keptRecords)])
}

// change puts r in the place of the newest record.
func (b book) change(r Record) error {
	list, err := b.read()
	if err != nil || len(list) == 0 {
		return b.begin(r)
	}
	list[0] = r
	return b.write(list)
}

func (b book) write(list []Record) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.file), 0o755); err != nil {
		return err
	}
	return replace(b.file, text)
}

// newSuffix ends the name of a file that is not whole yet.
const newSuffix = ".new"

// replace puts a file in the place of another: the old or the new one is there
// after a power cut, but for FAT.
func replace(name string, text []byte) error {
	f, err := os.OpenFile(name+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(name+newSuffix, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Errors of an installation.
var (
	ErrTrial   = errors.New("this version is still being tried; the other slot has the one to go back to")
	ErrBusy    = errors.New("another update is being installed")
	ErrRoom    = errors.New("the update is larger than the room that there is for it")
	ErrDamaged = errors.New("what was written is not what the update should have")
)
