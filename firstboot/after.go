package firstboot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/mail"
	"homemail/store"
)

func firstMailStep() step {
	return step{
		Step:    Step{ID: FirstMail, Needs: []ID{Claiming, Address, Connection}, Internet: true, MaySkip: true},
		wanted:  func(t *turn) bool { return t.mode() != check.Inside },
		actions: firstMailActions,
	}
}

// firstMailActions watch for a letter from outside, and then for one that left:
// with these two the house is known to work.
func firstMailActions(t *turn) []action {
	f := &t.row.Found
	return []action{
		{
			word: Say("firstboot.do.watch", "address", string(t.owner())),
			done: func(context.Context) (bool, error) { return !f.Watching.IsZero(), nil },
			do: func(context.Context) error {
				f.Watching = time.Now()
				return t.save(t.step.ID, t.row) // so that it is since now, also after a restart
			},
		},
		{
			word: Say("firstboot.do.arrive", "address", string(t.owner())),
			done: func(context.Context) (bool, error) { return f.Arrived != nil, nil },
			do: func(ctx context.Context) (err error) {
				if t.o.Post == nil {
					return &waitError{why: Say("firstboot.wait.unwatched"), person: true}
				}
				if f.Arrived, err = t.o.Post.Arrived(ctx, t.owner(), f.Watching); err != nil {
					return err
				}
				if f.Arrived == nil {
					return wait("firstboot.wait.arrive", "address", string(t.owner()))
				}
				return nil
			},
		},
		{
			word: Say("firstboot.do.reply"),
			done: func(context.Context) (bool, error) { return f.Left != nil, nil },
			do: func(ctx context.Context) (err error) {
				if f.Left, err = t.o.Post.Left(ctx, t.owner(), f.Watching); err != nil {
					return err
				}
				if f.Left == nil {
					return wait("firstboot.wait.reply", "address", string(f.Arrived.From))
				}
				return nil
			},
		},
	}
}

func safeStep() step {
	return step{
		Step: Step{ID: Safe, Needs: []ID{Claiming, Address}, MaySkip: true, Fields: []Field{
			{Name: "alert", Kind: Email}, // outside of this house
			{Name: "kept", Kind: Yes},    // the codes that were shown
		}},
		validate: checkSafe, actions: safeActions,
	}
}

func checkSafe(t *turn, p Problems) {
	if s := t.get("alert"); s != "" {
		a, err := mail.ParsePath(s)
		switch {
		case err != nil:
			p["alert"] = Say("firstboot.wrong.address")
		case a.Domain() == t.domain():
			p["alert"] = Say("firstboot.wrong.alert-inside")
		}
	}
	if t.row.Found.Codes && t.get("kept") != "yes" {
		p["kept"] = Say("firstboot.wrong.codes")
	}
}

func safeActions(t *turn) []action {
	alert := mail.Path(t.get("alert"))
	if alert == "" {
		return nil
	}
	return []action{{
		word: Say("firstboot.do.alert", "address", string(alert)),
		do: func(ctx context.Context) error {
			_, err := ask[admin.Empty](ctx, t.o.House, "alert.set", admin.Alert{Address: alert})
			return err
		},
	}}
}

// ErrNoCodes says that this house has no recovery codes.
var ErrNoCodes = errors.New("this house has no recovery codes yet")

// Codes makes new recovery codes for the owner, to be shown once. Those from
// before end.
func (e *Engine) Codes(ctx context.Context) ([]string, error) {
	if e.o.Recovery == nil {
		return nil, ErrNoCodes
	}
	e.locks[Safe].Lock()
	defer e.locks[Safe].Unlock()
	t, err := e.turn(Safe)
	if err != nil {
		return nil, err
	}
	a, ok, err := t.account(ctx, t.owner())
	if err != nil || !ok {
		return nil, errors.Join(err, store.ErrNotFound)
	}
	codes, err := e.o.Recovery(ctx, a.Address, a.ID)
	if err != nil {
		return nil, err
	}
	t.row.Found.Codes = true
	delete(t.row.Answers, "kept")
	return codes, e.save(Safe, t.row)
}

func peopleStep() step {
	return step{
		Step: Step{ID: People, Needs: []ID{Claiming, Address}, MaySkip: true, Fields: []Field{
			{Name: "people", Kind: Lines},  // "hanako Hanako Suzuki": the part before the @, and the name
			{Name: "devices", Kind: Lines}, // of the owner: "phone"
		}},
		validate: checkPeople, actions: peopleActions,
	}
}

// A person is one line of people.
type person struct{ local, name string }

func (t *turn) people() (list []person) {
	for _, line := range lines(t.get("people")) {
		local, name, _ := strings.Cut(line, " ")
		list = append(list, person{local, strings.TrimSpace(name)})
	}
	return list
}

func (t *turn) address(p person) mail.Path {
	a, err := mail.ParsePath(p.local + "@" + t.domain())
	if err != nil {
		return ""
	}
	return a.Key()
}

func checkPeople(t *turn, p Problems) {
	for _, who := range t.people() {
		if t.address(who) == "" || strings.ContainsAny(who.local, `"@`) {
			p["people"] = Say("firstboot.wrong.person", "line", who.local)
		}
	}
	for _, line := range lines(t.get("people") + "\n" + t.get("devices")) {
		if hasControl(line) {
			p["people"] = Say("firstboot.wrong.control")
		}
	}
}

func peopleActions(t *turn) (list []action) {
	for _, p := range t.people() {
		list = append(list, t.addPerson(p))
	}
	for _, name := range lines(t.get("devices")) {
		list = append(list, t.addDevice(name))
	}
	return list
}

func (t *turn) addPerson(p person) action {
	address := t.address(p)
	return action{
		word: Say("firstboot.do.account", "address", string(address)),
		done: func(ctx context.Context) (bool, error) {
			_, ok, err := t.account(ctx, address)
			return ok, err
		},
		do: func(ctx context.Context) error {
			_, err := ask[admin.Account](ctx, t.o.House, "account.add", admin.AddAccount{Address: address, Name: p.name, Language: t.of(Language, "language")})
			return err
		},
	}
}

// addDevice makes a device password and keeps it, sealed, until somebody has
// seen it. One that was made just before a kill is not known to anybody, so it
// is made again.
func (t *turn) addDevice(name string) action {
	devices := func(ctx context.Context) ([]admin.Device, error) {
		return ask[[]admin.Device](ctx, t.o.House, "device.list", admin.Address{Address: t.owner()})
	}
	return action{
		word: Say("firstboot.do.device", "name", name),
		done: func(ctx context.Context) (bool, error) {
			list, err := devices(ctx)
			return slices.ContainsFunc(list, func(d admin.Device) bool { return d.Name == name && t.knows(d.ID) }), err
		},
		do: func(ctx context.Context) error {
			list, err := devices(ctx)
			if err != nil {
				return err
			}
			for _, d := range list {
				if d.Name != name {
					continue
				}
				if _, err := ask[admin.Empty](ctx, t.o.House, "device.revoke", admin.RevokeDevice{Address: t.owner(), Device: d.ID}); err != nil {
					return err
				}
			}
			made, err := ask[admin.NewDevice](ctx, t.o.House, "device.add", admin.AddDevice{Address: t.owner(), Name: name})
			if err != nil {
				return err
			}
			return t.remember(name, made)
		},
	}
}

// A NewDevice is a device password that nobody has seen yet.
type NewDevice struct {
	Name string `json:"name"`
	admin.NewDevice
}

func (t *turn) results() (list []NewDevice) {
	t.open(t.step.ID, t.row.Results, &list)
	return list
}

func (t *turn) knows(id string) bool {
	return slices.Contains(t.row.Found.Devices, id)
}

func (t *turn) remember(name string, d admin.NewDevice) (err error) {
	if t.row.Results, err = t.seal(t.step.ID, append(t.results(), NewDevice{name, d})); err != nil {
		return err
	}
	t.row.Found.Devices = append(t.row.Found.Devices, d.ID)
	return t.save(t.step.ID, t.row)
}

// Devices returns the passwords that the last step has made. They are kept
// until Forget.
func (e *Engine) Devices() ([]NewDevice, error) {
	t, err := e.turn(People)
	if err != nil {
		return nil, err
	}
	return t.results(), nil
}

// Forget drops the passwords that Devices returns: they were shown.
func (e *Engine) Forget() error {
	e.locks[People].Lock()
	defer e.locks[People].Unlock()
	r, err := e.load(People)
	if err != nil || r.Results == nil {
		return err
	}
	r.Results = nil
	return e.save(People, r)
}
