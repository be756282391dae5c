package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libdns/libdns"
)

var (
	errPages  = errors.New("the DNS host's list of records does not end")
	errRecord = errors.New("this record cannot be written")
)

// cloudflare is Cloudflare, https://developers.cloudflare.com/api/resources/dns/.
type cloudflare struct {
	rest
	mu    sync.Mutex
	zones map[string]string // ids by name
}

func newCloudflare(c map[string]string, client *http.Client) (Provider, error) {
	r := rest{base: "https://api.cloudflare.com/client/v4", client: client, auth: bearer(c["token"])}
	return newByRecord(&cloudflare{rest: r, zones: map[string]string{}}), nil
}

// cfRecord is a record of Cloudflare's. Data is of types with more than one
// field; there Content is made of it.
type cfRecord struct {
	ID       string  `json:"id,omitempty"`
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Content  string  `json:"content,omitempty"`
	TTL      int     `json:"ttl"`
	Priority *uint16 `json:"priority,omitempty"`
	Proxied  bool    `json:"proxied"`
	Data     *cfData `json:"data,omitempty"`
}

type cfData struct {
	Priority *uint16 `json:"priority,omitempty"` // SRV
	Weight   *uint16 `json:"weight,omitempty"`
	Port     *uint16 `json:"port,omitempty"`
	Target   string  `json:"target,omitempty"`

	Flags *uint8 `json:"flags,omitempty"` // CAA
	Tag   string `json:"tag,omitempty"`
	Value string `json:"value,omitempty"`

	Usage        *uint8 `json:"usage,omitempty"` // TLSA
	Selector     *uint8 `json:"selector,omitempty"`
	MatchingType *uint8 `json:"matching_type,omitempty"`
	Certificate  string `json:"certificate,omitempty"`
}

const cfPage = 100

func (c *cloudflare) zoneID(ctx context.Context, zone string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id := c.zones[zone]; id != "" {
		return id, nil
	}
	var out struct {
		Result []struct{ ID, Name string }
	}
	if err := c.do(ctx, http.MethodGet, "/zones?name="+url.QueryEscape(zone), nil, &out); err != nil {
		return "", err
	}
	for _, z := range out.Result {
		if canonical(z.Name) == zone && z.ID != "" {
			c.zones[zone] = url.PathEscape(z.ID)
			return c.zones[zone], nil
		}
	}
	return "", fmt.Errorf("the token may not read the zone %s, or the account has none of this name", zone)
}

func (c *cloudflare) list(ctx context.Context, zone string) ([]item, error) {
	id, err := c.zoneID(ctx, zone)
	if err != nil {
		return nil, err
	}
	var out []item
	for page := 1; page <= maxPages; page++ {
		var list struct {
			Result []cfRecord
			Info   struct {
				Pages int `json:"total_pages"`
			} `json:"result_info"`
		}
		if err := c.do(ctx, http.MethodGet, fmt.Sprintf("/zones/%s/dns_records?page=%d&per_page=%d", id, page, cfPage), nil, &list); err != nil {
			return nil, err
		}
		for _, r := range list.Result {
			// The id of a record is only known within its zone.
			out = append(out, item{id + "/dns_records/" + url.PathEscape(r.ID), r.rr(zone)})
		}
		if page >= list.Info.Pages || len(list.Result) == 0 {
			return out, nil
		}
	}
	return nil, errPages
}

// rr is a record in libdns' form. One that is proxied is not what the DNS says
// of the name: mail cannot come through, so it is taken for another value.
func (r cfRecord) rr(zone string) libdns.RR {
	rr := libdns.RR{Name: relative(canonical(r.Name), zone), Type: r.Type, TTL: time.Duration(r.TTL) * time.Second}
	d := r.Data
	switch {
	case r.Type == "MX" && r.Priority != nil:
		rr.Data = fmt.Sprintf("%d %s", *r.Priority, r.Content)
	case r.Type == "SRV" && d != nil:
		rr.Data = fmt.Sprintf("%d %d %d %s", value0(d.Priority), value0(d.Weight), value0(d.Port), d.Target)
	case r.Type == "CAA" && d != nil:
		rr.Data = fmt.Sprintf(`%d %s "%s"`, value0(d.Flags), d.Tag, d.Value)
	case r.Type == "TLSA" && d != nil:
		rr.Data = fmt.Sprintf("%d %d %d %s", value0(d.Usage), value0(d.Selector), value0(d.MatchingType), d.Certificate)
	case r.Type == "TXT":
		rr.Data = spoken("TXT", r.Content)
	default:
		rr.Data = r.Content
	}
	if r.Proxied {
		rr.Data += " (proxied)"
		return rr
	}
	rr.Data = form(rr)
	return rr
}

func value0[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// cfOf is a record in Cloudflare's form.
func cfOf(zone string, rr libdns.RR) (cfRecord, error) {
	r := cfRecord{Name: absolute(rr.Name, zone), Type: rr.Type, TTL: max(60, seconds(rr.TTL))}
	f := strings.Fields(rr.Data)
	bad := fmt.Errorf("%w: %q", errRecord, rr.Data)
	host := func() string {
		if h := f[len(f)-1]; h != "." {
			return strings.TrimSuffix(h, ".")
		}
		return "."
	}
	switch rr.Type {
	case "MX":
		n, err := numbers(f, 1, 16)
		if err != nil || len(f) != 2 {
			return r, bad
		}
		p := uint16(n[0])
		r.Priority, r.Content = &p, host()
	case "SRV":
		n, err := numbers(f, 3, 16)
		if err != nil || len(f) != 4 {
			return r, bad
		}
		p, w, port := uint16(n[0]), uint16(n[1]), uint16(n[2])
		r.Data = &cfData{Priority: &p, Weight: &w, Port: &port, Target: host()}
	case "TLSA":
		n, err := numbers(f, 3, 8)
		if err != nil || len(f) != 4 {
			return r, bad
		}
		u, s, m := uint8(n[0]), uint8(n[1]), uint8(n[2])
		r.Data = &cfData{Usage: &u, Selector: &s, MatchingType: &m, Certificate: f[3]}
	case "CAA":
		flags, tag, text, ok := caaParts(rr.Data)
		if !ok {
			return r, bad
		}
		r.Data = &cfData{Flags: &flags, Tag: tag, Value: text}
	case "TXT":
		r.Content = written("TXT", rr.Data)
	case "CNAME", "NS":
		r.Content = strings.TrimSuffix(rr.Data, ".")
	default:
		r.Content = rr.Data
	}
	return r, nil
}

// numbers are the first n fields.
func numbers(f []string, n, bits int) ([]uint64, error) {
	if len(f) < n {
		return nil, errors.New("too few fields")
	}
	out := make([]uint64, n)
	var err error
	for i := range out {
		if out[i], err = strconv.ParseUint(f[i], 10, bits); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// caaParts splits `0 issue "ca.example"`, RFC 8659 §4.1.1.
func caaParts(d string) (flags uint8, tag, text string, ok bool) {
	f := strings.SplitN(d, " ", 3)
	if len(f) != 3 {
		return 0, "", "", false
	}
	n, err := strconv.ParseUint(f[0], 10, 8)
	return uint8(n), f[1], strings.Trim(f[2], `"`), err == nil
}

func (c *cloudflare) create(ctx context.Context, zone string, rr libdns.RR) error {
	id, err := c.zoneID(ctx, zone)
	if err != nil {
		return err
	}
	r, err := cfOf(zone, rr)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, "/zones/"+id+"/dns_records", r, nil)
}

func (c *cloudflare) update(ctx context.Context, zone, id string, rr libdns.RR) error {
	r, err := cfOf(zone, rr)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPut, "/zones/"+id, r, nil)
}

func (c *cloudflare) remove(ctx context.Context, _, id string) error {
	return c.do(ctx, http.MethodDelete, "/zones/"+id, nil, nil)
}
