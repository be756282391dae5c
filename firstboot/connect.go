package firstboot

import (
	"context"
	"strconv"
	"strings"

	"homemail/admin"
	"homemail/bridge"
	"homemail/check"
	"homemail/mail"
	"homemail/outbound"
	"homemail/relay"
	"homemail/relay/preset"
)

// connectionStep has the fields of all modes; Overview says which the mode is.
func connectionStep() step {
	return step{
		Step: Step{ID: Connection, Needs: []ID{Claiming, Address, Line}, Internet: true, MaySkip: true, Fields: []Field{
			// To send: with the modes smarthost and bridge.
			{Name: "preset", Kind: Choice, Choices: presets()},
			{Name: "host", Kind: Text}, {Name: "port", Kind: Text}, {Name: "tls", Kind: Choice, Choices: []string{string(preset.Implicit), string(preset.StartTLS)}},
			{Name: "user", Kind: Text}, {Name: "password", Kind: Secret},
			{Name: "sender", Kind: Email}, // to try it with, if not the owner's address
			// To fetch: with the mode bridge.
			{Name: "fetch_kind", Kind: Choice, Choices: []string{string(bridge.IMAP), string(bridge.POP3)}},
			{Name: "fetch_address", Kind: Email}, {Name: "fetch_host", Kind: Text}, {Name: "fetch_port", Kind: Text},
			{Name: "fetch_tls", Kind: Choice, Choices: []string{string(bridge.Implicit), string(bridge.StartTLS)}},
			{Name: "fetch_user", Kind: Text}, {Name: "fetch_password", Kind: Secret},
		}},
		wanted:   func(t *turn) bool { return t.mode() != check.Inside },
		validate: checkConnection, actions: connectionActions,
	}
}

func checkConnection(t *turn, p Problems) {
	mode := t.mode()
	if mode == check.Smarthost || mode == check.Bridge && t.sends() {
		if known, ok := preset.Find(t.get("preset")); t.get("host") == "" && (!ok || known.Host == "") {
			p["host"] = Say("firstboot.wrong.missing")
		}
		if t.get("user") != "" && t.get("password") == "" && t.get("fetch_password") == "" && t.row.Status != Done {
			p["password"] = Say("firstboot.wrong.missing")
		}
	}
	if mode == check.Bridge {
		for _, name := range []string{"fetch_host", "fetch_password"} {
			if t.get(name) == "" && (name != "fetch_password" || t.row.Status != Done) {
				p[name] = Say("firstboot.wrong.missing")
			}
		}
		if t.there() == "" {
			p["fetch_address"] = Say("firstboot.wrong.address")
		}
	}
	for _, name := range []string{"port", "fetch_port"} {
		if s := t.get(name); s != "" && portNumber(s) == 0 {
			p[name] = Say("firstboot.wrong.port")
		}
	}
}

// sends reports whether a smarthost was answered.
func (t *turn) sends() bool { return t.get("preset") != "" || t.get("host") != "" }

func portNumber(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

// there is the address whose mail is fetched.
func (t *turn) there() mail.Path {
	s := t.get("fetch_address")
	if s == "" && t.kind() == keep {
		s = t.of(Address, "present")
	}
	if s == "" {
		s = string(t.owner())
	}
	p, err := mail.ParsePath(s)
	if err != nil {
		return ""
	}
	return p
}

func connectionActions(t *turn) []action {
	switch t.mode() {
	case check.Direct:
		return []action{t.setRoute(admin.Route{Domain: "default", Way: relay.Direct})}
	case check.Smarthost:
		return []action{t.saveSmarthost(true)}
	case check.Bridge:
		if t.sends() {
			return []action{t.saveSmarthost(false), t.addBridge()}
		}
		return []action{t.addBridge()}
	case check.Inside:
		return nil
	}
	return []action{{word: Say("firstboot.do.line"), do: func(context.Context) error { return wait("firstboot.wait.line") }}}
}

// hasRoute reports whether all mail leaves in a way.
func (t *turn) hasRoute(ctx context.Context, want admin.Route) (bool, error) {
	r, err := ask[admin.Routes](ctx, t.o.House, "route.list", admin.Empty{})
	return err == nil && len(r.Domains) > 0 && r.Domains[0].Way == want.Way && r.Domains[0].Smarthost == want.Smarthost, err
}

func (t *turn) setRoute(want admin.Route) action {
	return action{
		word: Say("firstboot.do.route-direct"),
		done: func(ctx context.Context) (bool, error) { return t.hasRoute(ctx, want) },
		do: func(ctx context.Context) error {
			_, err := ask[admin.Empty](ctx, t.o.House, "route.set", want)
			return err
		},
	}
}

// smarthost is the one that was answered.
func (t *turn) smarthost() outbound.Smarthost {
	s := outbound.Smarthost{Preset: t.get("preset"), Host: t.get("host"), Port: portNumber(t.get("port")), TLS: t.get("tls"), User: t.get("user")}
	if s.TLS == string(preset.Implicit) {
		s.TLS = relay.TLSImplicit // presets and people have a word of their own for it
	}
	if s.Name = s.Preset; s.Name == "" {
		s.Name = "smarthost"
	}
	if s.User == "" && t.mode() == check.Bridge {
		s.User = t.fetchUser()
	}
	return s
}

func (t *turn) fetchUser() string {
	if u := t.get("fetch_user"); u != "" {
		return u
	}
	return string(t.there())
}

// saveSmarthost tries a smarthost and keeps it; the house then knows the
// password, and the step forgets it when it is done.
func (t *turn) saveSmarthost(all bool) action {
	s := t.smarthost()
	return action{
		word: Say("firstboot.do.smarthost", "name", s.Name),
		done: func(ctx context.Context) (bool, error) {
			if all && t.get("password") != "" {
				return false, nil // it was not tried yet, or is a new one
			}
			list, err := ask[[]outbound.Smarthost](ctx, t.o.House, "smarthost.list", admin.Empty{})
			if err != nil || !listed(list, s) {
				return false, err
			}
			if !all {
				return true, nil
			}
			return t.hasRoute(ctx, admin.Route{Way: relay.Via, Smarthost: s.Name})
		},
		do: func(ctx context.Context) error {
			q := admin.SaveSmarthost{Smarthost: s, Password: t.get("password"), Sender: mail.Path(t.get("sender")), Default: all}
			if q.Password == "" {
				q.Password = t.get("fetch_password") // providers have one for both
			}
			if q.Sender == "" {
				if q.Sender = t.owner(); !all {
					q.Sender = t.there()
				}
			}
			report, err := ask[relay.Report](ctx, t.o.House, "smarthost.save", q)
			if err != nil {
				return smarthostTrouble(report.Failed, s, err)
			}
			if all {
				return t.dropSecrets()
			}
			return nil
		},
	}
}

func listed(list []outbound.Smarthost, s outbound.Smarthost) bool {
	for _, l := range list {
		if l.Name == s.Name && (s.Host == "" || l.Host == s.Host) && (s.User == "" || l.User == s.User) && (s.Port == 0 || l.Port == s.Port) {
			return true
		}
	}
	return false
}

// smarthostTrouble says what went wrong. What cannot be reached is tried again
// by itself; a password that was refused is not: a provider may lock the account.
func smarthostTrouble(step string, s outbound.Smarthost, err error) error {
	switch step {
	case relay.StepConnect:
		return &waitError{why: Say("firstboot.wait.smarthost", "host", s.Host+presetHost(s)), detail: err.Error()}
	case relay.StepTLS:
		return &failError{Say("firstboot.failed.smarthost-tls"), err}
	case relay.StepLogin:
		return &failError{Say("firstboot.failed.smarthost-login"), err}
	case relay.StepSender:
		return &failError{Say("firstboot.failed.smarthost-sender"), err}
	}
	return failUnless(err, "firstboot.failed.smarthost")
}

func presetHost(s outbound.Smarthost) string {
	if p, ok := preset.Find(s.Preset); ok && s.Host == "" {
		return p.Host
	}
	return ""
}

// addBridge tries an account elsewhere and fetches from it from then on.
func (t *turn) addBridge() action {
	q := admin.AddBridge{For: t.owner(), Account: bridge.Account{
		Address: t.there(), Kind: bridge.Kind(t.get("fetch_kind")), Host: t.get("fetch_host"), Port: portNumber(t.get("fetch_port")),
		TLS: bridge.Security(t.get("fetch_tls")), User: t.fetchUser(), KeepDays: bridge.Forever, // what is there is the owner's only other copy
	}}
	if q.Kind == "" {
		q.Kind = bridge.IMAP
	}
	if q.TLS == "" {
		q.TLS = bridge.Implicit
	}
	if q.Port == 0 {
		q.Port = fetchPorts[string(q.Kind)+" "+string(q.TLS)]
	}
	if t.sends() {
		q.SendVia = t.smarthost().Name
	}
	return action{
		word: Say("firstboot.do.bridge", "address", string(q.Address)),
		done: func(ctx context.Context) (bool, error) {
			list, err := ask[[]admin.Bridge](ctx, t.o.House, "bridge.list", admin.Empty{})
			for _, b := range list {
				if b.Address.Key() == q.Address.Key() && strings.EqualFold(b.Host, q.Host) {
					return true, err
				}
			}
			return false, err
		},
		do: func(ctx context.Context) error {
			q.Password = t.get("fetch_password")
			_, err := ask[admin.NewBridge](ctx, t.o.House, "bridge.add", q)
			return failUnless(err, "firstboot.failed.bridge", "address", string(q.Address))
		},
	}
}

// fetchPorts are those of RFC 8314 §3.3, RFC 9051 §2.1 and RFC 1939 §3.
var fetchPorts = map[string]int{"imap implicit": 993, "imap starttls": 143, "pop3 implicit": 995, "pop3 starttls": 110}
