package publish

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/libdns/libdns"
)

// digitalocean is DigitalOcean, https://docs.digitalocean.com/reference/api/#tag/Domain-Records.
type digitalocean struct{ rest }

func newDigitalOcean(c map[string]string, client *http.Client) (Provider, error) {
	return newByRecord(&digitalocean{rest{base: "https://api.digitalocean.com/v2", client: client, auth: bearer(c["token"])}}), nil
}

func (d *digitalocean) lacks(rtype string) bool { return rtype == "TLSA" }

type doRecord struct {
	ID       int64   `json:"id,omitempty"`
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Data     string  `json:"data"`
	TTL      int     `json:"ttl"`
	Priority *uint16 `json:"priority,omitempty"`
	Weight   *uint16 `json:"weight,omitempty"`
	Port     *uint16 `json:"port,omitempty"`
	Flags    *uint8  `json:"flags,omitempty"`
	Tag      string  `json:"tag,omitempty"`
}

const (
	doPage   = 200
	doMinTTL = 30
)

func (d *digitalocean) list(ctx context.Context, zone string) ([]item, error) {
	var out []item
	for page := 1; page <= maxPages; page++ {
		var list struct {
			Records []doRecord `json:"domain_records"`
			Meta    struct{ Total int }
		}
		if err := d.do(ctx, http.MethodGet, fmt.Sprintf("/domains/%s/records?page=%d&per_page=%d", url.PathEscape(zone), page, doPage), nil, &list); err != nil {
			return nil, err
		}
		for _, r := range list.Records {
			out = append(out, item{strconv.FormatInt(r.ID, 10), r.rr(zone)})
		}
		if len(out) >= list.Meta.Total || len(list.Records) == 0 {
			return out, nil
		}
	}
	return nil, errPages
}

func (r doRecord) rr(zone string) libdns.RR {
	rr := libdns.RR{Name: strings.ToLower(r.Name), Type: r.Type, TTL: time.Duration(r.TTL) * time.Second, Data: r.Data}
	if targets[r.Type] && r.Data == "@" {
		rr.Data = zone
	}
	switch r.Type {
	case "MX":
		rr.Data = fmt.Sprintf("%d %s", value0(r.Priority), rr.Data)
	case "SRV":
		rr.Data = fmt.Sprintf("%d %d %d %s", value0(r.Priority), value0(r.Weight), value0(r.Port), rr.Data)
	case "CAA":
		rr.Data = fmt.Sprintf(`%d %s "%s"`, value0(r.Flags), r.Tag, strings.TrimSuffix(r.Data, "."))
	case "TXT":
		rr.Data = spoken("TXT", r.Data)
	}
	rr.Data = form(rr)
	return rr
}

func doOf(rr libdns.RR) (doRecord, error) {
	r := doRecord{Type: rr.Type, Name: rr.Name, Data: rr.Data, TTL: max(doMinTTL, seconds(rr.TTL))}
	f := strings.Fields(rr.Data)
	bad := fmt.Errorf("%w: %q", errRecord, rr.Data)
	switch rr.Type {
	case "MX":
		n, err := numbers(f, 1, 16)
		if err != nil || len(f) != 2 {
			return r, bad
		}
		p := uint16(n[0])
		r.Priority, r.Data = &p, f[1]
	case "SRV":
		n, err := numbers(f, 3, 16)
		if err != nil || len(f) != 4 {
			return r, bad
		}
		p, w, port := uint16(n[0]), uint16(n[1]), uint16(n[2])
		r.Priority, r.Weight, r.Port, r.Data = &p, &w, &port, f[3]
	case "CAA":
		flags, tag, text, ok := caaParts(rr.Data)
		if !ok {
			return r, bad
		}
		r.Flags, r.Tag, r.Data = &flags, tag, text
	}
	return r, nil
}

func (d *digitalocean) send(ctx context.Context, method, zone, id string, rr libdns.RR) error {
	r, err := doOf(rr)
	if err != nil {
		return err
	}
	return d.do(ctx, method, "/domains/"+url.PathEscape(zone)+"/records"+id, r, nil)
}

func (d *digitalocean) create(ctx context.Context, zone string, rr libdns.RR) error {
	return d.send(ctx, http.MethodPost, zone, "", rr)
}

func (d *digitalocean) update(ctx context.Context, zone, id string, rr libdns.RR) error {
	return d.send(ctx, http.MethodPut, zone, "/"+id, rr)
}

func (d *digitalocean) remove(ctx context.Context, zone, id string) error {
	return d.do(ctx, http.MethodDelete, "/domains/"+url.PathEscape(zone)+"/records/"+id, nil, nil)
}
