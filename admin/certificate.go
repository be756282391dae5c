package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"homemail/certs"
	"homemail/dnsplan"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
)

// An Authority is the CA that is asked for certificates.
type Authority struct {
	Directory string        // where it is asked, RFC 8555
	CAA       string        // stands for it in CAA records, RFC 8659; "" if nobody knows
	Certs     *certs.Source // nil if no server runs

	// Helpers reports whether those of domains are served to the world over HTTPS.
	// It changes with the ways in and out.
	Helpers func() bool
}

// Certificates is what doors show, and whether a CA is asked for better.
type Certificates struct {
	Directory   string         `json:"directory"`
	Agreed      *certs.Consent `json:"agreed,omitempty"`
	Host        string         `json:"host"`
	Fingerprint string         `json:"fingerprint,omitempty"` // of the host's, SHA-256 in hex
	Names       []certs.Status `json:"names,omitempty"`       // none if no server runs
}

// AgreeCA is the owner's word to ask the CA.
type AgreeCA struct {
	Email string `json:"email"` // where the CA may write to; may be empty
}

func (h *House) listCertificates(context.Context, Empty) (out Certificates, err error) {
	out = Certificates{Directory: h.CA.Directory, Host: h.Host}
	if c, err := certs.Agreed(h.Store, h.CA.Directory); err == nil {
		out.Agreed = &c
	}
	if s := h.CA.Certs; s != nil {
		out.Fingerprint, out.Names = s.Fingerprint(), s.Status()
	}
	return out, nil
}

// errNoCA is what a house says that has no outside, as that of try.
var errNoCA = words.Because(store.ErrInvalid, "admin.no-ca")

func (h *House) agreeCA(ctx context.Context, q AgreeCA) (out Certificates, err error) {
	if h.DNS == nil {
		return out, errNoCA
	}
	if q.Email != "" {
		if _, err := mail.ParsePath(q.Email); err != nil || strings.ContainsFunc(q.Email, func(r rune) bool { return r > 126 || r <= ' ' }) {
			return out, words.Because(store.ErrInvalid, "admin.ca-address", "address", q.Email)
		}
	}
	if err := certs.Agree(h.Store, certs.Consent{Directory: h.CA.Directory, Email: q.Email, Given: time.Now().Round(0)}); err != nil {
		return out, err
	}
	h.wakeCerts()
	return h.listCertificates(ctx, Empty{})
}

func (h *House) withdrawCA(context.Context, Empty) (out Empty, err error) {
	return out, certs.Withdraw(h.Store)
}

// retryCertificates looks again at once: a record or a port was changed.
func (h *House) retryCertificates(ctx context.Context, _ Empty) (Certificates, error) {
	h.wakeCerts()
	return h.listCertificates(ctx, Empty{})
}

func (h *House) wakeCerts() {
	if h.CA.Certs != nil {
		h.CA.Certs.Wake()
	}
}

// certificateNotes tells an owner what is not as it should be.
func (h *House) certificateNotes() (list []words.Text) {
	s := h.CA.Certs
	if s == nil {
		return nil
	}
	for _, c := range s.Status() {
		switch {
		case c.Shown == certs.Expired:
			list = append(list, words.Say("admin.note.expired", "name", c.Name, "day", c.NotAfter.Format(time.DateOnly), "why", c.Trouble).Text())
		case !c.Trouble.Empty() && c.Doing == certs.Failed:
			list = append(list, words.Say("admin.note.no-certificate", "name", c.Name, "why", c.Trouble).Text())
		}
	}
	return list
}

// certificateInput adds what a plan says about certificates.
func (h *House) certificateInput(ctx context.Context, c *dnsplan.Comparer, in *dnsplan.Input) {
	if _, err := certs.Agreed(h.Store, h.CA.Directory); err == nil && h.CA.CAA != "" {
		in.CA = dnsplan.CA{Domain: h.CA.CAA}
		if h.CA.Certs != nil {
			in.CA.Account = h.CA.Certs.AccountURI()
		}
		if ok, _, err := c.MayIssue(ctx, in.Host, in.CA); err == nil {
			in.CAForbidden = !ok
		}
	}
	if h.CA.Certs == nil {
		return
	}
	// Before a CA has given one the key is not that which will stay.
	of := slices.IndexFunc(h.CA.Certs.Status(), func(s certs.Status) bool { return s.Name == in.Host && s.Shown == certs.Valid })
	if leaf := h.CA.Certs.Leaf(); of >= 0 {
		in.TLSA = [][]byte{certs.KeyDigest(leaf)}
	}
}
