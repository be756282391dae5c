package firstboot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"homemail/store"
)

// A row is what is kept of a step.
type row struct {
	Status  Status    `json:"status,omitempty"`
	Reason  Word      `json:"reason,omitzero"`
	Detail  string    `json:"detail,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	Tries   int       `json:"tries,omitempty"`
	Answers Answers   `json:"answers,omitempty"`
	Secrets []byte    `json:"secrets,omitempty"` // Answers, sealed
	Results []byte    `json:"results,omitempty"` // results, sealed, until somebody has seen them
	Kit     []byte    `json:"kit,omitempty"`     // hashes of the codes to be typed back, sealed
	Found   Found     `json:"found,omitzero"`
}

const stepPath = "setup/step/" // + the ID

// load reads the row of a step. One that cannot be read is as if the step were
// new: to do it again is safe, and to be stuck is not.
func (e *Engine) load(id ID) (r row, err error) {
	b, err := e.o.State.State(stepPath + string(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return row{Status: Todo}, nil
	case errors.Is(err, store.ErrCorrupt):
		e.log.Error("what was known of a step of setting up is damaged", "step", id, "err", err)
		return row{Status: Todo}, nil
	case err != nil:
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		e.log.Error("what was known of a step of setting up is damaged", "step", id, "err", err)
		return row{Status: Todo}, nil
	}
	if r.Status == "" {
		r.Status = Todo
	}
	return r, nil
}

// save writes a row, which is on disk when it returns.
func (e *Engine) save(id ID, r row) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = e.o.State.PutState(stepPath+string(id), b)
	}
	if err != nil {
		return fmt.Errorf("step %s could not be saved: %w", id, err)
	}
	e.tell()
	return nil
}

// open decrypts what a row has sealed. What cannot be opened any more is gone:
// it will be asked for again.
func (e *Engine) open(id ID, sealed []byte, to any) {
	if sealed == nil {
		return
	}
	b, err := e.o.State.OpenSecret(stepPath+string(id), sealed)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		e.log.Warn("a secret of setting up cannot be read and will be asked for again", "step", id, "err", err)
	}
}

func (e *Engine) seal(id ID, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return e.o.State.SealSecret(stepPath+string(id), b)
}

// answer puts answers into a row: secrets sealed, all else as it is. Fields
// that the step does not have are left out.
func (e *Engine) answer(s step, r *row, given Answers) error {
	open, secret := Answers{}, Answers{}
	for name, v := range given {
		f, ok := s.field(name)
		switch {
		case !ok:
		case f.Kind == Secret:
			secret[name] = v
		case f.Kind == Lines:
			open[name] = strings.TrimSpace(strings.ReplaceAll(v, "\r\n", "\n"))
		default:
			open[name] = strings.TrimSpace(v)
		}
	}
	r.Answers = r.Answers.with(open)
	if len(secret) == 0 {
		return nil
	}
	kept := Answers{}
	e.open(s.ID, r.Secrets, &kept)
	return e.keepSecrets(s.ID, r, kept.with(secret))
}

func (e *Engine) keepSecrets(id ID, r *row, secrets Answers) (err error) {
	r.Secrets = nil
	if len(secrets) > 0 {
		r.Secrets, err = e.seal(id, secrets)
	}
	return err
}

// secretNames are the fields of secrets that a row keeps.
func (e *Engine) secretNames(id ID, r row) (names []string) {
	kept := Answers{}
	e.open(id, r.Secrets, &kept)
	for name := range kept {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// matches reports whether a name is the field's. A field "credential." has all
// names that begin so.
func (f Field) matches(name string) bool {
	if prefix, ok := strings.CutSuffix(f.Name, "."); ok {
		return strings.HasPrefix(name, prefix+".") && len(name) > len(f.Name)
	}
	return f.Name == name
}

// asked reports whether a field is asked for, after what was answered.
func (f Field) asked(a Answers) bool {
	name, values, ok := strings.Cut(f.Only, "=")
	return !ok || slices.Contains(strings.Fields(values), a[name])
}
