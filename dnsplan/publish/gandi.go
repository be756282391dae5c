package publish

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// gandi is Gandi's LiveDNS, https://api.gandi.net/docs/livedns/.
type gandi struct{ rest }

func newGandi(c map[string]string, client *http.Client) (Provider, error) {
	return newBySet(&gandi{rest{base: "https://api.gandi.net/v5/livedns", client: client, auth: bearer(c["token"])}}), nil
}

const (
	gandiPage   = 500
	gandiMinTTL = 5 * time.Minute
)

type gandiSet struct {
	Name   string   `json:"rrset_name,omitempty"`
	Type   string   `json:"rrset_type,omitempty"`
	TTL    int      `json:"rrset_ttl"`
	Values []string `json:"rrset_values"`
}

func (g *gandi) sets(ctx context.Context, zone string) ([]set, error) {
	var out []set
	seen := map[string]bool{}
	for page := 1; page <= maxPages; page++ {
		var list []gandiSet
		if err := g.do(ctx, http.MethodGet, fmt.Sprintf("/domains/%s/records?page=%d&per_page=%d", url.PathEscape(zone), page, gandiPage), nil, &list); err != nil {
			return nil, err
		}
		fresh := false
		for _, s := range list {
			if k := key(s.Name, s.Type); !seen[k] {
				seen[k], fresh = true, true
				out = append(out, wireSet(s.Name, s.Type, s.TTL, s.Values))
			}
		}
		if !fresh || len(list) < gandiPage {
			return out, nil
		}
	}
	return nil, errPages
}

func (g *gandi) put(ctx context.Context, zone string, s set, _ *set) error {
	path := fmt.Sprintf("/domains/%s/records/%s/%s", url.PathEscape(zone), url.PathEscape(s.name), url.PathEscape(s.rtype))
	if len(s.values) == 0 {
		return g.do(ctx, http.MethodDelete, path, nil, nil)
	}
	return g.do(ctx, http.MethodPut, path, gandiSet{TTL: seconds(max(s.ttl, gandiMinTTL)), Values: raws(s.values)}, nil)
}
