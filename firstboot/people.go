package firstboot

import (
	"context"
	"encoding/csv"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/mail"
)

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
		list = append(list, t.addPerson(p), t.invite(p))
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
			// First the row: an account that was there before is not invited.
			if !slices.Contains(t.row.Found.Made, address) {
				t.row.Found.Made = append(t.row.Found.Made, address)
				if err := t.save(t.step.ID, t.row); err != nil {
					return err
				}
			}
			_, err := ask[admin.Account](ctx, t.o.House, "account.add", admin.AddAccount{Address: address, Name: p.name, Language: t.of(Language, "language")})
			return err
		},
	}
}

// invite makes a first password for a person whose account this step has made,
// and keeps it, sealed, until somebody has seen it. With it the person signs in
// and chooses another. One that was made just before a kill is made again.
func (t *turn) invite(p person) action {
	address := t.address(p)
	return action{
		word: Say("firstboot.do.invite", "address", string(address)),
		done: func(context.Context) (bool, error) {
			f := t.row.Found
			return !slices.Contains(f.Made, address) || slices.Contains(f.Invited, address), nil
		},
		do: func(ctx context.Context) error {
			made, err := ask[admin.NewPassword](ctx, t.o.House, "password.reset", admin.Reset{Address: address})
			if err != nil {
				return err
			}
			r := t.results()
			r.Invites = append(r.Invites, Invite{Name: p.name, NewPassword: made})
			t.row.Found.Invited = append(t.row.Found.Invited, address)
			return t.keepResults(r)
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

// An Invite is the first password of a person, which nobody has seen yet.
type Invite struct {
	Name string `json:"name,omitempty"`
	admin.NewPassword
}

// results are what the last step has made to be shown.
type results struct {
	Devices []NewDevice `json:"devices,omitempty"`
	Invites []Invite    `json:"invites,omitempty"`
}

func (t *turn) results() (r results) {
	t.open(t.step.ID, t.row.Results, &r)
	return r
}

func (t *turn) keepResults(r results) (err error) {
	if t.row.Results, err = t.seal(t.step.ID, r); err != nil {
		return err
	}
	return t.save(t.step.ID, t.row)
}

func (t *turn) knows(id string) bool {
	return slices.Contains(t.row.Found.Devices, id)
}

func (t *turn) remember(name string, d admin.NewDevice) error {
	r := t.results()
	r.Devices = append(r.Devices, NewDevice{name, d})
	t.row.Found.Devices = append(t.row.Found.Devices, d.ID)
	return t.keepResults(r)
}

// Devices returns the device passwords that the last step has made. They are kept
// until Forget.
func (e *Engine) Devices() ([]NewDevice, error) {
	t, err := e.turn(People)
	if err != nil {
		return nil, err
	}
	return t.results().Devices, nil
}

// Invites returns the first passwords of people that the last step has made. They
// are kept until Forget.
func (e *Engine) Invites() ([]Invite, error) {
	t, err := e.turn(People)
	if err != nil {
		return nil, err
	}
	return t.results().Invites, nil
}

// ForgetInvites drops those of Invites alone.
func (e *Engine) ForgetInvites() error {
	return e.changeResults(func(r *results) { r.Invites = nil })
}

// ForgetDevices drops those of Devices alone.
func (e *Engine) ForgetDevices() error {
	return e.changeResults(func(r *results) { r.Devices = nil })
}

func (e *Engine) changeResults(change func(*results)) error {
	e.locks[People].Lock()
	defer e.locks[People].Unlock()
	t, err := e.turn(People)
	if err != nil || t.row.Results == nil {
		return err
	}
	r := t.results()
	change(&r)
	return t.keepResults(r)
}

// Forget drops the passwords that Devices and Invites return: they were shown.
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

// ReadPeople reads a list of people as programs write it: an address and a name a
// line, in whatever order, with commas, semicolons or tabs between them, or with a
// space as people type it. A line that names the columns is left out. It returns
// the lines that the step takes.
func ReadPeople(text, domain string) string {
	var out []string
	for _, line := range lines(strings.TrimPrefix(text, "\ufeff")) {
		local, name := readPerson(line)
		if local, _ = strings.CutSuffix(local, "@"+domain); local != "" {
			out = append(out, strings.TrimSpace(local+" "+name))
		}
	}
	return strings.Join(out, "\n")
}

func readPerson(line string) (address, name string) {
	i := strings.IndexAny(line, ",;\t")
	if i < 0 {
		address, name, _ = strings.Cut(line, " ")
		return address, strings.TrimSpace(name)
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma, r.LazyQuotes, r.TrimLeadingSpace, r.FieldsPerRecord = rune(line[i]), true, true, -1
	fields, err := r.Read()
	if err != nil {
		return line, ""
	}
	for j := range fields {
		fields[j] = strings.Join(strings.Fields(fields[j]), " ")
	}
	at := slices.IndexFunc(fields, func(s string) bool { return strings.Contains(s, "@") })
	if at < 0 {
		at = 0
	}
	address = fields[at]
	if fields = slices.DeleteFunc(slices.Delete(fields, at, at+1), func(s string) bool { return s == "" }); len(fields) > 0 {
		name = fields[0]
	}
	if isHeading(address) || isHeading(name) && !strings.Contains(address, "@") {
		return "", ""
	}
	return address, name
}

// isHeading reports whether a field is the name of a column.
func isHeading(s string) bool {
	return slices.Contains([]string{"address", "e-mail", "email", "mail", "email address", "e-mail address", "name", "full name", "アドレス", "メールアドレス", "メール", "名前", "氏名"}, strings.ToLower(s))
}
