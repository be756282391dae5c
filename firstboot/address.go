package firstboot

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"homemail/admin"
	"homemail/mail"
	"homemail/store"
)

const (
	// homeDomain is for a house without a name of its own. RFC 8375 gives it to
	// home networks: nobody outside can ever have it, so mail that strays cannot
	// reach a stranger. Not .local, which is asked for by multicast (RFC 6762 §3).
	homeDomain = "home.arpa"

	freeZone = ".dedyn.io" // where deSEC gives names away
)

func addressStep() step {
	return step{
		Step: Step{ID: Address, Needs: []ID{Claiming, You}, Fields: []Field{
			{Name: "kind", Kind: Choice, Choices: []string{own, free, keep, inside}, Need: true},
			{Name: "domain", Kind: Text, Only: "kind=" + own, Need: true},
			{Name: "name", Kind: Text, Only: "kind=" + free, Need: true},
			{Name: "token", Kind: Secret, Only: "kind=" + free, Need: true},
			{Name: "present", Kind: Email, Only: "kind=" + keep, Need: true},
			{Name: "local", Kind: Text, Only: "kind=" + own + " " + free + " " + inside, Need: true},
		}},
		detect: detectAddress, validate: checkAddress, actions: addressActions,
	}
}

// canonical is a domain in lower case and A-labels, "" if it is none.
func canonical(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	p, err := mail.ParsePath("x@" + s)
	if err != nil || strings.HasPrefix(s, "[") {
		return ""
	}
	return p.Domain()
}

// local is the part of the owner's address before the @.
func (t *turn) local() string {
	if t.kind() == keep {
		if p, err := mail.ParsePath(t.of(Address, "present")); err == nil {
			return p.Local()
		}
		return ""
	}
	return t.of(Address, "local")
}

// owner is the owner's address here, "" as long as nobody knows.
func (t *turn) owner() mail.Path {
	p, err := mail.ParsePath(t.local() + "@" + t.domain())
	if err != nil || t.domain() == "" {
		return ""
	}
	return p.Key()
}

func checkAddress(t *turn, p Problems) {
	switch t.kind() {
	case own:
		if key := checkDomain(t.get("domain")); key != "" {
			p["domain"] = Say(key)
		}
	case free:
		if name := canonical(t.get("name")); name == "" || strings.Contains(name, ".") {
			p["name"] = Say("firstboot.wrong.name")
		}
	case keep:
		if _, err := mail.ParsePath(t.get("present")); err != nil {
			p["present"] = Say("firstboot.wrong.address")
		}
	}
	if len(p) == 0 && (t.owner() == "" || strings.ContainsAny(t.local(), `"@ `)) {
		p["local"] = Say("firstboot.wrong.local")
	}
	if kept := t.row.Found.Owner; len(p) == 0 && kept != "" && kept != t.owner() {
		p["kind"] = Say("firstboot.wrong.address-stays", "address", string(kept))
	}
}

func checkDomain(s string) (key string) {
	d := canonical(s)
	suffix, _ := publicsuffix.PublicSuffix(d)
	switch {
	case d == "" || !strings.Contains(d, "."):
		return "firstboot.wrong.domain"
	case d == suffix:
		return "firstboot.wrong.domain-suffix" // nobody's own, such as co.jp
	}
	return ""
}

// detectAddress looks what the DNS has of the owner's domain.
func detectAddress(ctx context.Context, t *turn) (f Found, err error) {
	if t.kind() != own || checkDomain(t.get("domain")) != "" {
		return f, nil
	}
	l, err := ask[admin.DomainLook](ctx, t.o.House, "domain.look", admin.Domain{Domain: t.domain()})
	if err == nil {
		f.Domain = &l
	}
	return f, err
}

// addressActions make the domain, the account and the name of the server. The
// name comes last: a server that runs starts again with it.
func addressActions(t *turn) (list []action) {
	if t.kind() == free {
		list = append(list, t.registerName(), t.setZone(Address, t.domain(), "desec", func() map[string]string {
			return map[string]string{"token": t.get("token")}
		}))
	}
	list = append(list, t.addDomain(), t.addAccount(), t.setPassword(), t.makeOwner())
	if t.host() != "" {
		list = append(list, t.setHost())
	}
	return list
}

func (t *turn) registerName() action {
	return action{
		word: Say("firstboot.do.register", "domain", t.domain()),
		done: func(ctx context.Context) (bool, error) { return t.hasZone(ctx, t.domain(), "desec") },
		do: func(ctx context.Context) error {
			_, err := ask[admin.Empty](ctx, t.o.House, "freename.register", admin.RegisterName{Name: t.domain(), Token: t.get("token")})
			if errors.Is(err, admin.ErrNameTaken) {
				return &failError{Say("firstboot.failed.name-taken", "domain", t.domain()), err}
			}
			if errors.Is(err, store.ErrInvalid) {
				return &failError{Say("firstboot.failed.token"), err}
			}
			return err
		},
	}
}

// hasZone reports whether the house may change a zone by itself.
func (t *turn) hasZone(ctx context.Context, zone, provider string) (bool, error) {
	list, err := ask[[]admin.ZoneState](ctx, t.o.House, "zone.list", admin.Empty{})
	for _, z := range list {
		if z.Name == zone && z.Provider == provider && z.Trouble == "" {
			return true, err
		}
	}
	return false, err
}

// setZone lets the house change a zone. The credentials are in the step's
// secrets until it has tried them.
func (t *turn) setZone(id ID, zone, provider string, credentials func() map[string]string) action {
	return action{
		word: Say("firstboot.do.zone", "zone", zone, "provider", provider),
		done: func(ctx context.Context) (bool, error) {
			if len(t.row.Secrets) > 0 && id == DNS {
				return false, nil // new ones, or those that were not tried yet
			}
			return t.hasZone(ctx, zone, provider)
		},
		do: func(ctx context.Context) error {
			_, err := ask[admin.Notes](ctx, t.o.House, "zone.set", admin.SetZone{Zone: zone, Provider: provider, Credentials: credentials(), Follow: true})
			if err != nil {
				return failUnless(err, "firstboot.failed.zone", "zone", zone)
			}
			if id == DNS {
				return t.dropSecrets()
			}
			return nil
		},
	}
}

// dropSecrets forgets the secrets of this step, at once.
func (t *turn) dropSecrets() error {
	t.row.Secrets = nil
	delete(t.secrets, t.step.ID)
	return t.save(t.step.ID, t.row)
}

func (t *turn) addDomain() action {
	domain := t.domain()
	return action{
		word: Say("firstboot.do.domain", "domain", domain),
		done: func(ctx context.Context) (bool, error) {
			list, err := ask[[]string](ctx, t.o.House, "domain.list", admin.Empty{})
			return slices.Contains(list, domain), err
		},
		do: func(ctx context.Context) error {
			_, err := ask[admin.Empty](ctx, t.o.House, "domain.add", admin.Address{Address: mail.Path(domain)})
			return exists(err)
		},
	}
}

// account finds an account by its address.
func (t *turn) account(ctx context.Context, address mail.Path) (a admin.Account, ok bool, err error) {
	list, err := ask[[]admin.Account](ctx, t.o.House, "account.list", admin.Empty{})
	for _, a := range list {
		if a.Address.Key() == address.Key() {
			return a, true, err
		}
	}
	return a, false, err
}

func (t *turn) addAccount() action {
	owner := t.owner()
	return action{
		word: Say("firstboot.do.account", "address", string(owner)),
		done: func(ctx context.Context) (bool, error) {
			_, ok, err := t.account(ctx, owner)
			if ok {
				t.row.Found.Owner = owner
			}
			return ok, err
		},
		do: func(ctx context.Context) error {
			_, err := ask[admin.Account](ctx, t.o.House, "account.add", admin.AddAccount{Address: owner, Name: t.of(You, "name"), Language: t.of(Language, "language")})
			if err == nil {
				t.row.Found.Owner = owner
			}
			return err
		},
	}
}

// setPassword gives the account the owner's password, which then is kept as a
// hash only.
func (t *turn) setPassword() action {
	return action{
		word: Say("firstboot.do.password"),
		done: func(context.Context) (bool, error) { return t.of(You, "password") == "", nil },
		do: func(ctx context.Context) error {
			password, name := t.of(You, "password"), t.of(You, "name")
			_, err := ask[admin.Account](ctx, t.o.House, "account.change", admin.Change{Address: t.owner(), Name: &name, Password: &password})
			if errors.Is(err, store.ErrInvalid) { // it has the address in it, of which the step before knew nothing
				return &failError{Say("firstboot.failed.password"), err}
			}
			if err != nil {
				return err
			}
			return t.forgetPassword()
		},
	}
}

func (t *turn) forgetPassword() error {
	t.locks[You].Lock() // always after that of Address
	defer t.locks[You].Unlock()
	r, err := t.load(You)
	if err != nil {
		return err
	}
	r.Secrets = nil
	delete(t.secrets, You)
	t.rows[You] = r
	return t.save(You, r)
}

func (t *turn) makeOwner() action {
	return action{
		word: Say("firstboot.do.owner"),
		done: func(ctx context.Context) (bool, error) {
			list, err := ask[[]admin.Person](ctx, t.o.House, "owner.list", admin.Empty{})
			return slices.ContainsFunc(list, func(p admin.Person) bool { return p.Address.Key() == t.owner() }), err
		},
		do: func(ctx context.Context) error {
			_, err := ask[admin.Empty](ctx, t.o.House, "owner.add", admin.Address{Address: t.owner()})
			return err
		},
	}
}

// setHost names the server. A name in config.toml wins, and stays.
func (t *turn) setHost() action {
	host := t.host()
	return action{
		word: Say("firstboot.do.host", "host", host),
		done: func(ctx context.Context) (bool, error) {
			list, err := ask[[]setting](ctx, t.o.House, "setting.list", admin.Empty{})
			for _, s := range list {
				if s.Name == "host_name" {
					return s.Value == strconv.Quote(host) || s.From != "default" && s.From != "store", err
				}
			}
			return false, err
		},
		do: func(ctx context.Context) error {
			_, err := ask[[]setting](ctx, t.o.House, "setting.set", admin.Setting{Name: "host_name", Value: &host})
			return err
		},
	}
}

// A setting is config.Setting.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}
