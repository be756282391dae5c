package outbound

import (
	"fmt"

	"homemail/relay"
	"homemail/relay/preset"
	"homemail/store"
)

// Complete fills in what a preset knows and what is usual, and says in words
// what is missing. ErrInvalid.
func (h *Smarthost) Complete() error {
	if h.Preset != "" {
		p, ok := preset.Find(h.Preset)
		if !ok {
			return fmt.Errorf("%w: there is no preset %q", store.ErrInvalid, h.Preset)
		}
		h.fill(p)
		if h.Host == "" {
			return fmt.Errorf("%w: %s needs its host name; it looks like %s", store.ErrInvalid, p.Name.EN, p.HostHint)
		}
	}
	switch {
	case h.Host == "":
		return fmt.Errorf("%w: a smarthost needs a host name or a preset", store.ErrInvalid)
	case h.Port == 0 && h.TLS == relay.TLSStart:
		h.Port = 587
	case h.Port == 0 && h.TLS != relay.TLSNone:
		h.Port = 465
	}
	if h.TLS == "" {
		h.TLS = relay.TLSStart
		if h.Port == 465 {
			h.TLS = relay.TLSImplicit
		}
	}
	return nil
}

func (h *Smarthost) fill(p preset.Preset) {
	if h.Host == "" {
		h.Host = p.Host
	}
	if h.Port == 0 {
		h.Port = int(p.Port)
		if h.TLS == "" {
			h.TLS = map[preset.TLS]string{preset.Implicit: relay.TLSImplicit, preset.StartTLS: relay.TLSStart}[p.TLS]
		}
	}
	if h.User == "" && p.Login == preset.LoginFixed {
		h.User = p.User
	}
}
