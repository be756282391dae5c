package publish

import (
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"
)

// recordStore is a provider's memory of records.
type recordStore[T any] struct {
	mu   sync.Mutex
	next int64
	ids  []int64
	all  map[int64]T
}

func (s *recordStore[T]) add(r T) int64 {
	if s.all == nil {
		s.all = map[int64]T{}
	}
	s.next++
	s.ids = append(s.ids, s.next)
	s.all[s.next] = r
	return s.next
}

// list are the records that there are, oldest first.
func (s *recordStore[T]) list() (ids []int64) {
	for _, id := range s.ids {
		if _, ok := s.all[id]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func id(path string) int64 {
	n, _ := strconv.ParseInt(path[strings.LastIndexByte(path, '/')+1:], 10, 64)
	return n
}

func TestDigitalOcean(t *testing.T) {
	testWhole(t, fakeDigitalOcean(t, false))
	p, err := Open("digitalocean", map[string]string{"token": "x"}, nil)
	if err != nil || !p.(byRecord).lacks("TLSA") || p.(byRecord).lacks("CAA") {
		t.Errorf("TLSA: %v", err)
	}
}

// A record that a provider does not take holds up no other.
func TestRefused(t *testing.T) {
	pub, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: fakeDigitalOcean(t, true)}
	c, err := pub.Plan(t.Context(), z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pub.Apply(t.Context(), z, c)
	if !errors.Is(err, ErrPart) || !strings.Contains(err.Error(), "Port must be") {
		t.Errorf("error: %v", err)
	}
	for _, s := range r.NotDone {
		if s.Type != "SRV" || !strings.HasSuffix(s.Change.Add[0], " .") {
			t.Errorf("not done: %s", s)
		}
	}
	if len(r.NotDone) == 0 || len(r.NotDone)+len(r.Done) != len(c.Steps) {
		t.Errorf("done %d, not done %d of %d", len(r.Done), len(r.NotDone), len(c.Steps))
	}
}

func fakeDigitalOcean(t *testing.T, refuse bool) Provider {
	t.Helper()
	s := &recordStore[doRecord]{}
	for _, r := range lived() {
		d, err := doOf(r)
		if err != nil {
			t.Fatal(err)
		}
		s.add(d)
	}
	return openFake(t, "digitalocean", "api.digitalocean.com", map[string]string{"token": "t0ken"}, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		path, ok := strings.CutPrefix(r.URL.Path, "/v2/domains/example.org/records")
		var in doRecord
		json.NewDecoder(r.Body).Decode(&in)
		_, there := s.all[id("/"+path)]
		host := in.Type == "MX" || in.Type == "CNAME" || in.Type == "SRV"
		switch {
		case !ok || r.Header.Get("Authorization") != "Bearer t0ken":
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodGet && path == "":
			out := []doRecord{}
			for _, n := range s.list() {
				d := s.all[n]
				d.ID = n
				if d.Data != "." {
					d.Data = strings.TrimSuffix(d.Data, ".") // as it shows them
				}
				out = append(out, d)
			}
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			from := min((page-1)*9, len(out))
			json.NewEncoder(w).Encode(map[string]any{"domain_records": out[from:min(from+9, len(out))], "meta": map[string]int{"total": len(out)}})
		case r.Method == http.MethodDelete && there:
			delete(s.all, id(path))
			w.WriteHeader(http.StatusNoContent)
		case in.Type == "SRV" && value0(in.Port) == 0 && refuse:
			http.Error(w, `{"id": "unprocessable_entity", "message": "Port must be between 1 and 65535"}`, http.StatusUnprocessableEntity)
		case in.TTL < 30 || host && !strings.HasSuffix(in.Data, "."):
			http.Error(w, `{"id": "unprocessable_entity", "message": "Data needs to end with a dot (.)"}`, http.StatusUnprocessableEntity)
		case r.Method == http.MethodPost && path == "":
			s.add(in)
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPut && there:
			s.all[id(path)] = in
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func TestPorkbun(t *testing.T) {
	s := &recordStore[pbRecord]{}
	for _, r := range lived() {
		pb := pbRecord{Name: r.Name, Type: r.Type, Content: strings.TrimSuffix(r.Data, "."), TTL: "3600"}
		if r.Type == "MX" {
			prio, rest, _ := strings.Cut(pb.Content, " ")
			pb.Prio, pb.Content = loose(prio), rest
		}
		if pb.Name == "@" {
			pb.Name = ""
		}
		s.add(pb)
	}
	testWhole(t, openFake(t, "porkbun", "api.porkbun.com", map[string]string{"api_key": "pk", "secret_key": "sk"}, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var in pbRecord
		err := json.NewDecoder(r.Body).Decode(&in)
		ok := map[string]any{"status": "SUCCESS"}
		no := func(text string) {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"status": "ERROR", "message": text})
		}
		verb := strings.TrimPrefix(r.URL.Path, "/api/json/v3/dns/")
		ttl, _ := strconv.Atoi(string(in.TTL))
		if err != nil || r.Method != http.MethodPost || in.Key != "pk" || in.Secret != "sk" {
			no("Invalid API key.")
			return
		}
		in.Key, in.Secret = "", ""
		_, there := s.all[id(verb)]
		switch {
		case verb == "retrieve/example.org":
			list := []pbRecord{}
			for _, n := range s.list() {
				pb := s.all[n]
				pb.ID = loose(strconv.FormatInt(n, 10))
				pb.Name = strings.TrimPrefix(pb.Name+".example.org", ".")
				list = append(list, pb)
			}
			ok["records"] = list
		case strings.HasPrefix(verb, "delete/example.org/") && there:
			delete(s.all, id(verb))
		case ttl < 600 || in.Content == "" || in.Type == "":
			no("Invalid record.")
			return
		case verb == "create/example.org":
			s.add(in)
		case strings.HasPrefix(verb, "edit/example.org/") && there:
			s.all[id(verb)] = in
		default:
			no("Invalid record ID.")
			return
		}
		json.NewEncoder(w).Encode(ok)
	}))
}

func TestOVH(t *testing.T) {
	s := &recordStore[ovhRecord]{}
	for _, r := range lived() {
		o := ovhOf(r)
		if strings.HasPrefix(r.Data, "v=spf1") {
			o.FieldType = "SPF" // as its web page makes them
		}
		s.add(o)
	}
	const skew = 3 * time.Hour // the box's clock is wrong
	fresh := false
	credentials := map[string]string{"application_key": "ak", "application_secret": "as", "consumer_key": "ck"}
	testWhole(t, openFake(t, "ovh", "eu.api.ovh.com", credentials, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/1.0/auth/time" {
			fmt.Fprint(w, time.Now().Add(skew).Unix())
			return
		}
		stamp := r.Header.Get("X-Ovh-Timestamp")
		at, _ := strconv.ParseInt(stamp, 10, 64)
		sum := sha1.Sum([]byte("as+ck+" + r.Method + "+https://eu.api.ovh.com" + r.URL.Path + "+" + string(body) + "+" + stamp))
		if r.Header.Get("X-Ovh-Signature") != fmt.Sprintf("$1$%x", sum) || time.Until(time.Unix(at, 0).Add(-skew)).Abs() > time.Minute {
			http.Error(w, `{"message": "Invalid signature"}`, http.StatusBadRequest)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/1.0/domain/zone/example.org")
		var in ovhRecord
		json.Unmarshal(body, &in)
		old, there := s.all[id(path)]
		switch {
		case path == "/refresh" && r.Method == http.MethodPost:
			fresh = true
		case path == "/record" && r.Method == http.MethodGet:
			json.NewEncoder(w).Encode(s.list())
		case path == "/record" && r.Method == http.MethodPost:
			n := s.add(in)
			in.ID, fresh = n, false
			json.NewEncoder(w).Encode(in)
		case !there:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodGet:
			json.NewEncoder(w).Encode(old)
		case r.Method == http.MethodPut:
			in.FieldType, fresh = old.FieldType, false
			s.all[id(path)] = in
		case r.Method == http.MethodDelete:
			delete(s.all, id(path))
			fresh = false
		}
	}))
	if !fresh {
		t.Error("the zone was not refreshed at the end")
	}
}

// What a provider writes is read as it was meant, and what we write as we mean it.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{"", "v=spf1 -all", `a "b" \ c`, strings.Repeat("x", 600), "caf\xc3\xa9", "\x00\x7f", `" "`, `\065`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := spoken("TXT", written("TXT", s)); got != s {
			t.Errorf("%q is read as %q", s, got)
		}
		if got := form(libdns.RR{Type: "TXT", Data: s}); got != s {
			t.Errorf("%q is compared as %q", s, got)
		}
		spoken("TXT", s) // anything may stand there
	})
}
