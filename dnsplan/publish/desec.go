package publish

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// desec is deSEC, https://desec.readthedocs.io/en/latest/dns/rrsets.html.
type desec struct{ rest }

func newDesec(c map[string]string, client *http.Client) (Provider, error) {
	token := c["token"]
	auth := func(r *http.Request, _ []byte) { r.Header.Set("Authorization", "Token "+token) }
	return newBySet(&desec{rest{base: "https://desec.io/api/v1", client: client, auth: auth}}), nil
}

type desecSet struct {
	Subname string   `json:"subname"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl,omitempty"`
	Records []string `json:"records"`
}

// sets reads all pages: after the first, a zone with more than 500 sets is read
// on by the cursor that the answer before has given.
func (d *desec) sets(ctx context.Context, zone string) ([]set, error) {
	var out []set
	for cursor, page := "", 0; page < maxPages; page++ {
		var list []desecSet
		next, err := d.page(ctx, "/domains/"+url.PathEscape(zone)+"/rrsets/?cursor="+url.QueryEscape(cursor), &list)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			out = append(out, wireSet(s.Subname, s.Type, s.TTL, s.Records))
		}
		if cursor = next; cursor == "" {
			return out, nil
		}
	}
	return nil, errPages
}

// page returns the cursor of the next page, which the header Link has (RFC 8288).
func (d *desec) page(ctx context.Context, path string, out any) (next string, err error) {
	var links []string
	r := d.rest
	client := *r.client
	client.Transport = headers{client.Transport, func(h http.Header) { links = h.Values("Link") }}
	r.client = &client
	if err := r.do(ctx, http.MethodGet, path, nil, out); err != nil {
		return "", err
	}
	for _, link := range strings.Split(strings.Join(links, ","), ",") {
		target, params, _ := strings.Cut(link, ";")
		u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
		if err == nil && strings.Contains(params, `rel="next"`) {
			return u.Query().Get("cursor"), nil
		}
	}
	return "", nil
}

// headers sees the header of an answer.
type headers struct {
	http.RoundTripper
	see func(http.Header)
}

func (h headers) RoundTrip(r *http.Request) (*http.Response, error) {
	t := h.RoundTripper
	if t == nil {
		t = http.DefaultTransport
	}
	resp, err := t.RoundTrip(r)
	if err == nil {
		h.see(resp.Header)
	}
	return resp, err
}

// put changes one set.
func (d *desec) put(ctx context.Context, zone string, s set, _ *set) error {
	return d.putAll(ctx, zone, []set{s})
}

// putAll makes, changes and removes sets in one request: one without records
// goes. A domain may be written some times a minute only.
func (d *desec) putAll(ctx context.Context, zone string, sets []set) error {
	path := "/domains/" + url.PathEscape(zone) + "/"
	var domain struct {
		MinimumTTL int `json:"minimum_ttl"`
	}
	if err := d.do(ctx, http.MethodGet, path, nil, &domain); err != nil {
		return err
	}
	list := make([]desecSet, len(sets))
	for i, s := range sets {
		list[i] = desecSet{Subname: s.name, Type: s.rtype, TTL: max(seconds(s.ttl), domain.MinimumTTL), Records: raws(s.values)}
		if s.name == "@" {
			list[i].Subname = ""
		}
	}
	return d.do(ctx, http.MethodPatch, path+"rrsets/", list, nil)
}

// wireSet is a set whose records are written as in a zone file.
func wireSet(name, rtype string, ttl int, records []string) set {
	s := set{name: strings.ToLower(name), rtype: rtype, ttl: time.Duration(ttl) * time.Second}
	if s.name == "" {
		s.name = "@"
	}
	for _, raw := range records {
		s.values = append(s.values, value{data: spoken(rtype, raw), raw: raw})
	}
	return s
}

func raws(values []value) []string {
	out := make([]string, len(values)) // not nil: JSON has to say []
	for i, v := range values {
		out[i] = v.raw
	}
	return out
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func itoa(n int) string { return strconv.Itoa(n) }
