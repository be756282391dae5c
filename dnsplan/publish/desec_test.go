package publish

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libdns/libdns"
)

// fakeDesec is what deSEC's documents say: sets by subname and type, records as
// in a zone file with final dots and quotes, no string over 255, a least TTL,
// pages by a cursor in Link, and throttling with Retry-After.
type fakeDesec struct {
	mu      sync.Mutex
	sets    []desecSet
	limited bool
}

func (f *fakeDesec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(status int, v any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/api/v1/domains/example.org"); {
	case r.Header.Get("Authorization") != "Token t0ken":
		answer(http.StatusUnauthorized, map[string]string{"detail": "Invalid token."})
	case path == "/" && r.Method == http.MethodGet:
		answer(http.StatusOK, map[string]any{"name": "example.org", "minimum_ttl": 3600})
	case path == "/rrsets/" && r.Method == http.MethodGet:
		first := f.sets[:min(5, len(f.sets))]
		switch r.URL.Query().Get("cursor") {
		case "":
			w.Header().Set("Link", `<https://desec.io/api/v1/domains/example.org/rrsets/?cursor=>; rel="first", <https://desec.io/api/v1/domains/example.org/rrsets/?cursor=c2>; rel="next"`)
			answer(http.StatusOK, first)
		case "c2":
			answer(http.StatusOK, f.sets[len(first):])
		default:
			answer(http.StatusNotFound, "Not found.")
		}
	case path == "/rrsets/" && r.Method == http.MethodPatch:
		if !f.limited {
			f.limited = true
			w.Header().Set("Retry-After", "0")
			answer(http.StatusTooManyRequests, map[string]string{"detail": "Request was throttled."})
			return
		}
		var list []desecSet
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			answer(http.StatusBadRequest, err.Error())
			return
		}
		for _, s := range list {
			if text := checkDesec(s); text != "" {
				answer(http.StatusBadRequest, text)
				return
			}
		}
		for _, s := range list {
			f.put(s)
		}
		answer(http.StatusOK, list)
	default:
		answer(http.StatusNotFound, map[string]string{"detail": "Not found."})
	}
}

func checkDesec(s desecSet) string {
	if s.TTL < 3600 {
		return "Ensure this value is greater than or equal to 3600."
	}
	if s.Subname == "@" || s.Records == nil {
		return "subname or records is wrong"
	}
	for _, r := range s.Records {
		switch s.Type {
		case "TXT":
			for _, part := range strings.Split(r, `" "`) {
				if len(part) > 257 || !strings.HasPrefix(r, `"`) || !strings.HasSuffix(r, `"`) {
					return "Data for TXT records must be quoted, in strings of 255."
				}
			}
		case "MX", "CNAME", "SRV", "NS":
			if !strings.HasSuffix(r, ".") {
				return "Hostname must be fully qualified (i.e., end in a dot)."
			}
		}
	}
	return ""
}

func (f *fakeDesec) put(s desecSet) {
	f.sets = slices.DeleteFunc(f.sets, func(o desecSet) bool { return o.Subname == s.Subname && o.Type == s.Type })
	if len(s.Records) > 0 {
		f.sets = append(f.sets, s)
	}
}

func newFakeDesec(list []libdns.RR) *fakeDesec {
	f := &fakeDesec{}
	for _, r := range list {
		name := r.Name
		if name == "@" {
			name = ""
		}
		raw := written(r.Type, r.Data)
		i := slices.IndexFunc(f.sets, func(s desecSet) bool { return s.Subname == name && s.Type == r.Type })
		if i < 0 {
			i = len(f.sets)
			f.sets = append(f.sets, desecSet{Subname: name, Type: r.Type, TTL: 7200})
		}
		f.sets[i].Records = append(f.sets[i].Records, raw)
	}
	return f
}

func TestDesec(t *testing.T) {
	f := newFakeDesec(lived())
	// As somebody else has written it: it has to go back as it is.
	odd := `"caf\195\169" "two"`
	f.sets = slices.Clone(f.sets)
	for i := range f.sets {
		if f.sets[i].Subname == "" && f.sets[i].Type == "TXT" {
			f.sets[i].Records = append(f.sets[i].Records, odd)
		}
	}
	p, err := Open("desec", map[string]string{"token": "t0ken"}, fake(t, "desec.io", f))
	if err != nil {
		t.Fatal(err)
	}
	testWhole(t, p)
	for _, s := range f.sets {
		if s.Subname == "" && s.Type == "TXT" && (!slices.Contains(s.Records, odd) || s.TTL != 7200) {
			t.Errorf("others' texts are changed: %v", s)
		}
	}
}
