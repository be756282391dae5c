package publish

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// hetzner is the DNS of Hetzner's Cloud, https://docs.hetzner.cloud/reference/cloud#zone-rrsets.
// The older DNS Console had another interface.
type hetzner struct{ rest }

func newHetzner(c map[string]string, client *http.Client) (Provider, error) {
	return newBySet(&hetzner{rest{base: "https://api.hetzner.cloud/v1", client: client, auth: bearer(c["token"])}}), nil
}

type hetznerRecord struct {
	Value   string `json:"value"`
	Comment string `json:"comment,omitempty"`
}

type hetznerSet struct {
	Name    string          `json:"name,omitempty"`
	Type    string          `json:"type,omitempty"`
	TTL     *int            `json:"ttl,omitempty"` // none: the zone's
	Records []hetznerRecord `json:"records,omitempty"`
}

const hetznerPage = 50

func (h *hetzner) sets(ctx context.Context, zone string) ([]set, error) {
	var out []set
	for page := 1; page > 0; {
		var list struct {
			Sets []hetznerSet `json:"rrsets"`
			Meta struct {
				Pagination struct {
					Next *int `json:"next_page"`
				} `json:"pagination"`
			} `json:"meta"`
		}
		if err := h.do(ctx, http.MethodGet, fmt.Sprintf("/zones/%s/rrsets?page=%d&per_page=%d", url.PathEscape(zone), page, hetznerPage), nil, &list); err != nil {
			return nil, err
		}
		for _, s := range list.Sets {
			one := wireSet(s.Name, s.Type, value0(s.TTL), nil)
			for _, r := range s.Records {
				one.values = append(one.values, value{spoken(s.Type, r.Value), r.Value, r.Comment})
			}
			out = append(out, one)
		}
		next := value0(list.Meta.Pagination.Next)
		if next > maxPages || next != 0 && next <= page {
			return nil, errPages
		}
		page = next
	}
	return out, nil
}

// put keeps a set's TTL where there is one already.
func (h *hetzner) put(ctx context.Context, zone string, s set, old *set) error {
	path := "/zones/" + url.PathEscape(zone) + "/rrsets"
	one := path + "/" + url.PathEscape(s.name) + "/" + url.PathEscape(s.rtype)
	if len(s.values) == 0 {
		return h.do(ctx, http.MethodDelete, one, nil, nil)
	}
	want := hetznerSet{}
	for _, v := range s.values {
		want.Records = append(want.Records, hetznerRecord{v.raw, v.note})
	}
	if old != nil {
		return h.do(ctx, http.MethodPost, one+"/actions/set_records", want, nil)
	}
	ttl := max(60, seconds(s.ttl))
	want.Name, want.Type, want.TTL = s.name, s.rtype, &ttl
	return h.do(ctx, http.MethodPost, path, want, nil)
}
