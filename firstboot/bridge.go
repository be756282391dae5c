package firstboot

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/bridge"
	"homemail/check"
	"homemail/mail"
	"homemail/relay/preset"
)

// incoming is how mail is fetched at the provider that was chosen.
func (t *turn) incoming() (preset.Incoming, bool) { return preset.FindMailbox(t.get("fetch_preset")) }

// sendPreset is the provider that mail is sent through: the one that it is fetched
// at, unless another was answered.
func (t *turn) sendPreset() string {
	id := t.get("preset")
	if id == "" && t.get("host") == "" && t.mode() == check.Bridge {
		id = t.get("fetch_preset")
	}
	if known, ok := preset.Find(id); ok && known.Group == preset.Custom && t.mode() == check.Bridge && t.get("preset") == "" {
		return ""
	}
	return id
}

// sends reports whether a smarthost was answered.
func (t *turn) sends() bool { return t.sendPreset() != "" || t.get("host") != "" }

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

func (t *turn) fetchUser() string {
	if u := t.get("fetch_user"); u != "" {
		return u
	}
	if in, ok := t.incoming(); ok && in.Login == preset.LoginName {
		return t.there().Local()
	}
	return string(t.there())
}

// bridge is the account elsewhere that was answered.
func (t *turn) bridge() bridge.Account {
	in, _ := t.incoming()
	a := bridge.Account{
		Address: t.there(), Kind: bridge.Kind(t.get("fetch_kind")), Host: cmp.Or(t.get("fetch_host"), in.Host), Port: portNumber(t.get("fetch_port")),
		TLS: bridge.Security(t.get("fetch_tls")), User: t.fetchUser(), KeepDays: bridge.Forever, // what is there is the owner's only other copy
	}
	if a.Kind == "" && in.POP3 {
		a.Kind = bridge.POP3
	}
	a.Kind, a.TLS = cmp.Or(a.Kind, bridge.IMAP), cmp.Or(a.TLS, bridge.Implicit)
	if a.Port == 0 {
		a.Port = fetchPorts[string(a.Kind)+" "+string(a.TLS)]
	}
	if t.sends() {
		a.SendVia = t.smarthost().Name
	}
	return a
}

// addBridge tries an account elsewhere and fetches from it from then on. To do it
// once more changes it, so that a password that was typed again is tried.
func (t *turn) addBridge() action {
	a := t.bridge()
	return action{
		word: Say("firstboot.do.bridge", "address", string(a.Address)),
		done: func(ctx context.Context) (bool, error) {
			if t.get("fetch_password") != "" {
				return false, nil // it was not tried yet, or is a new one
			}
			list, err := ask[[]admin.Bridge](ctx, t.o.House, "bridge.list", admin.Empty{})
			return slices.ContainsFunc(list, func(b admin.Bridge) bool {
				return b.Address.Key() == a.Address.Key() && strings.EqualFold(b.Host, a.Host) && b.For.Key() == t.owner()
			}), err
		},
		do: func(ctx context.Context) error {
			q := admin.AddBridge{For: t.owner(), Account: a, Password: t.get("fetch_password"), Replace: true}
			if _, err := ask[admin.NewBridge](ctx, t.o.House, "bridge.add", q); err != nil {
				return failUnless(err, "firstboot.failed.bridge", "address", string(a.Address))
			}
			return t.dropSecrets()
		},
	}
}

// mailboxes are the providers that mail is fetched at, by name.
func mailboxes() (ids []string) {
	for _, p := range preset.Mailboxes() {
		ids = append(ids, p.ID)
	}
	return ids
}

// fetchPorts are those of RFC 8314 §3.3, RFC 9051 §2.1 and RFC 1939 §3.
var fetchPorts = map[string]int{"imap implicit": 993, "imap starttls": 143, "pop3 implicit": 995, "pop3 starttls": 110}
