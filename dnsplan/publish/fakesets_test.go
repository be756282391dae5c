package publish

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"
)

// setStore is a provider's memory of sets, as it writes them.
type setStore struct {
	mu   sync.Mutex
	sets []set
}

func newSetStore(list []libdns.RR) *setStore {
	s := &setStore{}
	for _, r := range list {
		o := s.get(r.Name, r.Type)
		o.ttl = 2 * time.Hour
		o.values = append(o.values, value{raw: written(r.Type, r.Data)})
		s.put(o)
	}
	return s
}

func (s *setStore) get(name, rtype string) set {
	for _, o := range s.sets {
		if o.name == name && o.rtype == rtype {
			return o
		}
	}
	return set{name: name, rtype: rtype}
}

func (s *setStore) put(n set) {
	s.sets = slices.DeleteFunc(s.sets, func(o set) bool { return o.name == n.name && o.rtype == n.rtype })
	if len(n.values) > 0 {
		s.sets = append(s.sets, n)
	}
}

func fromRaw(name, rtype string, ttl int, raw []string) set {
	n := set{name: name, rtype: rtype, ttl: time.Duration(ttl) * time.Second}
	for _, r := range raw {
		n.values = append(n.values, value{raw: r})
	}
	return n
}

func openFake(t *testing.T, id, host string, credentials map[string]string, h http.HandlerFunc) Provider {
	t.Helper()
	p, err := Open(id, credentials, fake(t, host, h))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGandi(t *testing.T) {
	s := newSetStore(lived())
	testWhole(t, openFake(t, "gandi", "api.gandi.net", map[string]string{"token": "t0ken"}, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		path, ok := strings.CutPrefix(r.URL.Path, "/v5/livedns/domains/example.org/records")
		part := strings.Split(strings.TrimPrefix(path, "/"), "/")
		var in gandiSet
		switch {
		case !ok || r.Header.Get("Authorization") != "Bearer t0ken":
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodGet && path == "":
			out := []gandiSet{}
			for _, o := range s.sets {
				out = append(out, gandiSet{o.name, o.rtype, seconds(o.ttl), raws(o.values)})
			}
			json.NewEncoder(w).Encode(out)
		case len(part) != 2:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodDelete:
			s.put(set{name: part[0], rtype: part[1]})
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPut && json.NewDecoder(r.Body).Decode(&in) == nil && in.TTL >= 300 && len(in.Values) > 0:
			s.put(fromRaw(part[0], part[1], in.TTL, in.Values))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"message": "DNS Record Created"}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
}

func TestHetzner(t *testing.T) {
	s := newSetStore(lived())
	for i := range s.sets {
		s.sets[i].values[0].note = "of somebody"
	}
	testWhole(t, openFake(t, "hetzner", "api.hetzner.cloud", map[string]string{"token": "t0ken"}, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		path := strings.TrimPrefix(r.URL.Path, "/v1/zones/example.org/rrsets")
		part := strings.Split(strings.TrimPrefix(path, "/"), "/")
		var in hetznerSet
		json.NewDecoder(r.Body).Decode(&in)
		records := func(n set) set {
			for _, v := range in.Records {
				n.values = append(n.values, value{raw: v.Value, note: v.Comment})
			}
			return n
		}
		switch {
		case r.Header.Get("Authorization") != "Bearer t0ken":
			w.WriteHeader(http.StatusUnauthorized)
		case path == "" && r.Method == http.MethodGet:
			hetznerPageOf(w, r, s.sets)
		case path == "" && r.Method == http.MethodPost && len(s.get(in.Name, in.Type).values) == 0:
			s.put(records(set{name: in.Name, rtype: in.Type, ttl: time.Duration(*in.TTL) * time.Second}))
			w.WriteHeader(http.StatusCreated)
		case len(part) == 4 && part[3] == "set_records" && len(s.get(part[0], part[1]).values) > 0:
			s.put(records(set{name: part[0], rtype: part[1], ttl: s.get(part[0], part[1]).ttl}))
			w.WriteHeader(http.StatusCreated)
		case len(part) == 2 && r.Method == http.MethodDelete:
			s.put(set{name: part[0], rtype: part[1]})
		default:
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	for _, o := range s.sets {
		for _, v := range o.values {
			if strings.Contains(v.raw, "google-site") && v.note != "of somebody" {
				t.Errorf("others' comment is lost: %v", v)
			}
		}
	}
}

func hetznerPageOf(w http.ResponseWriter, r *http.Request, sets []set) {
	first, next := sets[:len(sets)/2], 2
	if r.URL.Query().Get("page") == "2" {
		first, next = sets[len(sets)/2:], 0
	}
	list := []map[string]any{}
	for _, o := range first {
		recs := []hetznerRecord{}
		for _, v := range o.values {
			recs = append(recs, hetznerRecord{v.raw, v.note})
		}
		list = append(list, map[string]any{"id": o.name + "/" + o.rtype, "name": o.name, "type": o.rtype, "ttl": seconds(o.ttl), "records": recs})
	}
	page := map[string]any{"page": 1, "next_page": nil}
	if next > 0 {
		page["next_page"] = next
	}
	json.NewEncoder(w).Encode(map[string]any{"rrsets": list, "meta": map[string]any{"pagination": page}})
}

func TestRoute53(t *testing.T) {
	s := newSetStore(lived())
	credentials := map[string]string{"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}
	testWhole(t, openFake(t, "route53", "route53.amazonaws.com", credentials, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		const zone = "/2013-04-01/hostedzone/Z1/rrset"
		switch {
		case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"):
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/2013-04-01/hostedzonesbyname":
			fmt.Fprint(w, `<?xml version="1.0"?><ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>
<HostedZone><Id>/hostedzone/Z0</Id><Name>example.org.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone>
<HostedZone><Id>/hostedzone/Z1</Id><Name>example.org.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>`)
		case r.URL.Path == zone && r.Method == http.MethodGet:
			r53PageOf(w, r, s.sets)
		case r.URL.Path == zone+"/" && r.Method == http.MethodPost:
			var in struct {
				XMLName xml.Name  `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
				Changes []r53Step `xml:"ChangeBatch>Changes>Change"`
			}
			if err := xml.NewDecoder(r.Body).Decode(&in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			for _, c := range in.Changes {
				if text := r53Do(s, c); text != "" {
					http.Error(w, text, http.StatusBadRequest)
					return
				}
			}
			fmt.Fprint(w, `<ChangeResourceRecordSetsResponse/>`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
}

func r53PageOf(w http.ResponseWriter, r *http.Request, sets []set) {
	from := 0
	for i, o := range sets {
		if r.URL.Query().Get("name") == absolute(o.name, "example.org")+"." && r.URL.Query().Get("type") == o.rtype {
			from = i
		}
	}
	var out struct {
		XMLName xml.Name `xml:"ListResourceRecordSetsResponse"`
		Sets    []r53Set `xml:"ResourceRecordSets>ResourceRecordSet"`
		More    bool     `xml:"IsTruncated"`
		Name    string   `xml:"NextRecordName,omitempty"`
		Type    string   `xml:"NextRecordType,omitempty"`
	}
	for i := from; i < len(sets) && i < from+4; i++ {
		out.Sets = append(out.Sets, r53Set{Name: absolute(sets[i].name, "example.org") + ".", Type: sets[i].rtype, TTL: seconds(sets[i].ttl), Values: r53Values(sets[i].values)})
	}
	if from+4 < len(sets) {
		out.More, out.Name, out.Type = true, absolute(sets[from+4].name, "example.org")+".", sets[from+4].rtype
	}
	xml.NewEncoder(w).Encode(out)
}

func r53Do(s *setStore, c r53Step) string {
	name := relative(canonical(c.Set.Name), "example.org")
	n := set{name: name, rtype: c.Set.Type, ttl: time.Duration(c.Set.TTL) * time.Second}
	for _, v := range c.Set.Values {
		if n.rtype == "TXT" && (!strings.HasPrefix(v.Value, `"`) || !strings.HasSuffix(v.Value, `"`)) {
			return "InvalidCharacterString"
		}
		n.values = append(n.values, value{raw: v.Value})
	}
	old := s.get(name, c.Set.Type)
	switch {
	case c.Action == "UPSERT" && len(n.values) > 0:
		s.put(n)
	case c.Action == "DELETE" && old.ttl == n.ttl && len(old.values) == len(n.values):
		s.put(set{name: name, rtype: c.Set.Type})
	default:
		return "InvalidChangeBatch"
	}
	return ""
}

// The example "get-vanilla" of Amazon's own test suite.
func TestSigV4(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "https://example.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service"}
	s.sign(r, nil, time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
