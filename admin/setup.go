package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"homemail/dnsplan"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
	"homemail/zones"
)

// DomainLook is what the DNS says of a domain that may be nobody's here yet.
type DomainLook struct {
	Domain     string          `json:"domain"`
	Registered bool            `json:"registered"` // it, or the domain that it is below
	Host       dnsplan.DNSHost `json:"dns_host"`   // who hosts its DNS
	MX         []string        `json:"mx,omitempty"`
	SPF        []string        `json:"spf,omitempty"`
	DMARC      []string        `json:"dmarc,omitempty"`
}

// lookDomain asks the DNS. It changes nothing.
func (h *House) lookDomain(ctx context.Context, q Domain) (out DomainLook, err error) {
	if h.DNS == nil {
		return out, errNoDNS
	}
	if out.Domain, err = zones.Canonical(q.Domain); err != nil {
		return out, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	c := dnsplan.NewComparer(dnsplan.Options{DNS: h.DNS})
	if out.Host, err = c.Host(ctx, out.Domain); errors.Is(err, dnsplan.ErrNoZone) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	// The zone of a domain that nobody has is that of the registry.
	suffix, _ := publicsuffix.PublicSuffix(out.Domain)
	out.Registered = out.Host.Zone != "" && out.Host.Zone != suffix && strings.Count(out.Host.Zone, ".") >= strings.Count(suffix, ".")
	there, err := c.Existing(ctx, out.Domain)
	if err != nil {
		return out, err
	}
	out.SPF, out.DMARC = there.SPF, there.DMARC
	mx, err := h.DNS.Records(ctx, out.Domain, "MX")
	if no := new(net.DNSError); errors.As(err, &no) && no.IsNotFound {
		err = nil
	}
	out.MX = mx.List
	return out, err
}

// RegisterName asks deSEC for a free name below dedyn.io.
type RegisterName struct {
	Name  string `json:"name"` // such as "taro.dedyn.io"
	Token string `json:"token"`
}

const (
	desecDomains = "https://desec.io/api/v1/domains/"
	desecTime    = 30 * time.Second
	desecAnswer  = 64 << 10 // of an answer that has one domain, or says why not
)

// Errors of registerName.
var (
	ErrNameTaken = words.Because(store.ErrExists, "admin.name-taken")
	ErrToken     = words.Because(store.ErrInvalid, "admin.token-refused")
)

// registerName gets a free name, unless the token's account has it already.
func (h *House) registerName(ctx context.Context, q RegisterName) (Empty, error) {
	if h.DNS == nil {
		return Empty{}, errNoDNS
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the token would go along
	return Empty{}, register(ctx, client, q)
}

func register(ctx context.Context, client *http.Client, q RegisterName) error {
	name, err := zones.Canonical(q.Name)
	if err != nil || !strings.HasSuffix(name, ".dedyn.io") || strings.Count(name, ".") != 2 {
		return words.Because(store.ErrInvalid, "admin.not-dedyn", "name", q.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, desecTime)
	defer cancel()
	code, _, err := desec(ctx, client, http.MethodGet, desecDomains+name+"/", q.Token, nil)
	if err != nil || code == http.StatusOK {
		return err // 200: it is ours, perhaps since a try that was cut short
	}
	if code == http.StatusUnauthorized || code == http.StatusForbidden {
		return ErrToken
	}
	code, why, err := desec(ctx, client, http.MethodPost, desecDomains, q.Token, map[string]string{"name": name})
	switch {
	case err != nil:
		return err
	case code == http.StatusCreated:
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return ErrToken
	case code == http.StatusBadRequest || code == http.StatusConflict:
		return words.Because(ErrNameTaken, "admin.name-taken-said", "said", why)
	}
	return words.Because(nil, "admin.desec", "code", code, "said", why)
}

// desec asks deSEC's API, https://desec.readthedocs.io/en/latest/dns/domains.html.
func desec(ctx context.Context, client *http.Client, method, url, token string, body any) (code int, answer string, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(b))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Token "+strings.TrimSpace(token))
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(io.LimitReader(resp.Body, desecAnswer))
	return resp.StatusCode, strings.ToValidUTF8(string(b), "?"), err
}

// Alert is the address outside of this house that the owner is told at when the
// house cannot take mail itself.
type Alert struct {
	Address mail.Path `json:"address"` // "" for none
}

const alertPath = "owner/alert"

// AlertAddress is the owner's address outside, "" if none is set.
func (h *House) AlertAddress() (mail.Path, error) {
	a, err := h.showAlert(context.Background(), Empty{})
	return a.Address, err
}

func (h *House) showAlert(context.Context, Empty) (a Alert, err error) {
	b, err := h.Store.State(alertPath)
	if errors.Is(err, store.ErrNotFound) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(b, &a)
}

func (h *House) setAlert(_ context.Context, q Alert) (Empty, error) {
	if q.Address.IsNull() {
		return Empty{}, h.Store.PutState(alertPath, nil)
	}
	p, err := mail.ParsePath(string(q.Address))
	if err != nil {
		return Empty{}, words.Because(fmt.Errorf("%w: %w", store.ErrInvalid, err), "admin.bad-address", "address", q.Address, "said", err)
	}
	if h.Store.IsLocal(p.Domain()) {
		return Empty{}, words.Because(store.ErrInvalid, "admin.alert-inside", "address", p)
	}
	b, err := json.Marshal(Alert{p})
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, h.Store.PutState(alertPath, b)
}

// setupOperations are those that were missing to set a house up.
func setupOperations() map[string]operation {
	return map[string]operation{
		"domain.look":       op((*House).lookDomain),
		"freename.register": op((*House).registerName),
		"alert.show":        op((*House).showAlert),
		"alert.set":         op((*House).setAlert),
	}
}
