package firstboot

import (
	"context"
	"strconv"

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
			{Name: "fetch_preset", Kind: Choice, Choices: mailboxes()},
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
		if s := t.smarthost(); s.Host+presetHost(s) == "" {
			p["host"] = Say("firstboot.wrong.missing")
		}
		if t.get("user") != "" && t.get("password") == "" && t.get("fetch_password") == "" && t.row.Status != Done {
			p["password"] = Say("firstboot.wrong.missing")
		}
	}
	if mode == check.Bridge {
		if in, _ := t.incoming(); t.get("fetch_host") == "" && in.Host == "" {
			p["fetch_host"] = Say("firstboot.wrong.missing")
		}
		if t.get("fetch_password") == "" && t.row.Status != Done {
			p["fetch_password"] = Say("firstboot.wrong.missing")
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

func portNumber(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
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
	s := outbound.Smarthost{Preset: t.sendPreset(), Host: t.get("host"), Port: portNumber(t.get("port")), TLS: t.get("tls"), User: t.get("user")}
	if s.TLS == string(preset.Implicit) {
		s.TLS = relay.TLSImplicit // presets and people have a word of their own for it
	}
	if s.Name = s.Preset; s.Name == "" {
		s.Name = "smarthost"
	}
	if s.Preset != "" && s.Host+presetHost(s) == "" {
		if in, _ := t.incoming(); in.Same {
			s.Host = t.get("fetch_host") // each customer has one for all
		}
	}
	if s.User == "" && t.mode() == check.Bridge {
		s.User = t.fetchUser()
	}
	return s
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
