package mailtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// A DeSEC is the API of the DNS host deSEC (https://desec.readthedocs.io/), over
// the records of a Zone. Its token is "good".
type DeSEC struct {
	zone Zone
	kept map[string]rrset
}

// NewDeSEC returns one that changes a Zone.
func NewDeSEC(z Zone) *DeSEC { return &DeSEC{z, map[string]rrset{}} }

// RoundTrip answers a request, http.RoundTripper.
func (d *DeSEC) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "Token good" {
		return answer(http.StatusUnauthorized, map[string]string{"detail": "Invalid token."}), nil
	}
	name := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/domains/"), "/")[0]
	switch {
	case r.Method == http.MethodGet && !strings.HasSuffix(r.URL.Path, "/rrsets/"):
		return answer(http.StatusOK, map[string]any{"name": name, "minimum_ttl": 60}), nil
	case r.Method == http.MethodGet:
		return answer(http.StatusOK, d.sets(name)), nil
	default:
		var sets []rrset
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(b, &sets)
		}
		if err != nil {
			var one rrset
			if err := json.Unmarshal(b, &one); err != nil {
				return nil, err
			}
			sets = []rrset{one}
		}
		d.put(name, sets)
		return answer(http.StatusOK, sets), nil
	}
}

type rrset struct {
	Subname string   `json:"subname"`
	Name    string   `json:"name,omitempty"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl"`
	Records []string `json:"records"`
}

// sets has what was put there as it was put, and else what the DNS has.
func (d *DeSEC) sets(zone string) []rrset {
	list := []rrset{}
	for key, values := range d.zone {
		kind, name, _ := strings.Cut(key, " ")
		if name != zone && !strings.HasSuffix(name, "."+zone) {
			continue
		}
		if s, ok := d.kept[key]; ok {
			list = append(list, s)
			continue
		}
		s := rrset{Subname: strings.TrimSuffix(strings.TrimSuffix(name, zone), "."), Name: name + ".", Type: kind, TTL: 3600}
		for _, v := range values {
			s.Records = append(s.Records, v+".")
		}
		list = append(list, s)
	}
	return list
}

func (d *DeSEC) put(zone string, sets []rrset) {
	for _, s := range sets {
		name := strings.TrimPrefix(s.Subname+"."+zone, ".")
		key := s.Type + " " + name
		if len(s.Records) == 0 {
			delete(d.zone, key)
			delete(d.kept, key)
			continue
		}
		var values []string
		for _, v := range s.Records {
			if s.Type == "TXT" {
				v = strings.ReplaceAll(strings.Trim(v, `"`), `" "`, "")
			}
			values = append(values, strings.TrimSuffix(v, "."))
		}
		d.zone[key], d.kept[key] = values, s
	}
}

func answer(code int, v any) *http.Response {
	b, _ := json.Marshal(v)
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b))}
}
