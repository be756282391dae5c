package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/libdns/libdns"
)

// fakeCloudflare is what Cloudflare's documents say of DNS records: an envelope
// with success and result, pages, texts in quotes and split, targets without a
// final dot, content of SRV and CAA made of data, errors in the envelope.
type fakeCloudflare struct {
	t       *testing.T
	mu      sync.Mutex
	next    int
	records []map[string]any
	limited bool // has said once that it is asked too often
	failAt  int  // first write that is refused
	writes  int
}

func (f *fakeCloudflare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/client/v4/zones")
	switch {
	case r.Header.Get("Authorization") != "Bearer t0ken":
		f.refuse(w, http.StatusForbidden, 9109, "Invalid access token")
	case ok && path == "":
		if n := r.URL.Query().Get("name"); n != "example.org" {
			f.say(w, []any{}, nil)
			return
		}
		f.say(w, []any{map[string]any{"id": "z1", "name": "example.org"}}, nil)
	case path == "/z1/dns_records" && r.Method == http.MethodGet:
		if !f.limited {
			f.limited = true
			w.Header().Set("Retry-After", "0")
			f.refuse(w, http.StatusTooManyRequests, 971, "Please wait")
			return
		}
		f.page(w, r)
	case strings.HasPrefix(path, "/z1/dns_records"):
		f.writes++
		if f.failAt > 0 && f.writes >= f.failAt {
			f.refuse(w, http.StatusInternalServerError, 1000, "internal")
			return
		}
		f.write(w, r, strings.TrimPrefix(strings.TrimPrefix(path, "/z1/dns_records"), "/"))
	default:
		f.refuse(w, http.StatusNotFound, 7003, "Could not route")
	}
}

func (f *fakeCloudflare) say(w http.ResponseWriter, result, info any) {
	json.NewEncoder(w).Encode(map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result, "result_info": info})
}

func (f *fakeCloudflare) refuse(w http.ResponseWriter, status, code int, text string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"success": false, "errors": []any{map[string]any{"code": code, "message": text}}, "result": nil})
}

func (f *fakeCloudflare) page(w http.ResponseWriter, r *http.Request) {
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	const size = 7 // less than is asked for: whoever reads one page only is found out
	from := min((page-1)*size, len(f.records))
	to := min(from+size, len(f.records))
	f.say(w, f.records[from:to], map[string]any{"page": page, "per_page": size, "total_pages": (len(f.records) + size - 1) / size, "total_count": len(f.records)})
}

func (f *fakeCloudflare) write(w http.ResponseWriter, r *http.Request, id string) {
	at := -1
	for i, rec := range f.records {
		if rec["id"] == id {
			at = i
		}
	}
	if (r.Method == http.MethodPost) != (id == "") || id != "" && at < 0 {
		f.refuse(w, http.StatusNotFound, 81044, "Record does not exist.")
		return
	}
	if r.Method == http.MethodDelete {
		f.records = append(f.records[:at:at], f.records[at+1:]...)
		f.say(w, map[string]any{"id": id}, nil)
		return
	}
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		f.refuse(w, http.StatusBadRequest, 9207, err.Error())
		return
	}
	if text := f.check(in); text != "" {
		f.refuse(w, http.StatusBadRequest, 9000, text)
		return
	}
	if at >= 0 {
		in["id"] = id
		f.records[at] = in
	} else {
		f.next++
		in["id"] = fmt.Sprintf("r%d", f.next)
		f.records = append(f.records, in)
	}
	f.say(w, in, nil)
}

// check completes a record as Cloudflare does, and says what is wrong with it.
func (f *fakeCloudflare) check(in map[string]any) string {
	if n, _ := in["name"].(string); n != "example.org" && !strings.HasSuffix(n, ".example.org") {
		return "name is not in the zone"
	}
	if ttl, _ := in["ttl"].(float64); ttl != 1 && (ttl < 60 || ttl > 86400) {
		return "ttl must be between 60 and 86400, or 1"
	}
	data, _ := in["data"].(map[string]any)
	need := map[string][]string{"SRV": {"priority", "weight", "port", "target"}, "CAA": {"flags", "tag", "value"}, "TLSA": {"usage", "selector", "matching_type", "certificate"}}
	for _, k := range need[in["type"].(string)] {
		if _, ok := data[k]; !ok {
			return "data." + k + " is required"
		}
	}
	switch in["type"] {
	case "SRV":
		in["content"] = fmt.Sprintf("%v %v %v", data["weight"], data["port"], data["target"])
	case "CAA":
		in["content"] = fmt.Sprintf("%v %v %q", data["flags"], data["tag"], data["value"])
	case "MX":
		if _, ok := in["priority"]; !ok {
			return "priority is required"
		}
	}
	if in["content"] == "" || in["content"] == nil && data == nil {
		return "content is required"
	}
	return ""
}

func newFakeCloudflare(t *testing.T, list []libdns.RR) (*fakeCloudflare, Provider) {
	t.Helper()
	f := &fakeCloudflare{t: t}
	for i, rr := range list {
		r, err := cfOf("example.org", rr)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(r)
		var m map[string]any
		json.Unmarshal(b, &m)
		m["id"] = fmt.Sprintf("old%d", i)
		f.records = append(f.records, m)
	}
	p, err := Open("cloudflare", map[string]string{"token": "t0ken"}, fake(t, "api.cloudflare.com", f))
	if err != nil {
		t.Fatal(err)
	}
	return f, p
}

func TestCloudflare(t *testing.T) {
	f, p := newFakeCloudflare(t, lived())
	testWhole(t, p)
	for _, r := range f.records { // what was there is still the same record
		if r["content"] == `"google-site-verification=abc"` && r["id"] != "old3" {
			t.Errorf("made anew: %v", r)
		}
	}
}

// A name whose record is proxied is not where mail can come in.
func TestCloudflareProxied(t *testing.T) {
	f, p := newFakeCloudflare(t, []libdns.RR{rr("mail", "A", "203.0.113.25")})
	f.records[0]["proxied"] = true
	pub, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: p}
	c, err := pub.Plan(t.Context(), z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.Apply(t.Context(), z, c); err != nil {
		t.Fatal(err)
	}
	if f.records[0]["proxied"] != false || f.records[0]["id"] != "old0" {
		t.Errorf("still proxied: %v", f.records[0])
	}
}

func TestCloudflareRefuses(t *testing.T) {
	f, p := newFakeCloudflare(t, lived())
	pub, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: p}
	c, err := pub.Plan(t.Context(), z, wanted(t))
	if err != nil {
		t.Fatal(err)
	}
	f.failAt = 4
	r, err := pub.Apply(t.Context(), z, c)
	if err == nil || len(r.Done) != 3 || len(r.NotDone) != len(c.Steps)-3 {
		t.Errorf("done %d, not done %d of %d: %v", len(r.Done), len(r.NotDone), len(c.Steps), err)
	}
	bad, err := Open("cloudflare", map[string]string{"token": "other"}, fake(t, "api.cloudflare.com", f))
	if err != nil {
		t.Fatal(err)
	}
	_, err = pub.Plan(t.Context(), Zone{Name: "example.org", Provider: bad}, nil)
	if err == nil || !strings.Contains(err.Error(), "does not accept the credentials") || strings.Contains(err.Error(), "other") {
		t.Errorf("with a wrong token: %v", err)
	}
}

// A switch that is broken off half way does not lose where the mail went.
func TestMXHalfWay(t *testing.T) {
	f, p := newFakeCloudflare(t, lived())
	pub, _ := newPublisher()
	z := Zone{Name: "example.org", Provider: p}
	was := zoneText(p)
	sw := func() error {
		c, err := pub.Plan(t.Context(), z, wanted(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pub.SwitchMX(t.Context(), z, c)
		return err
	}
	f.failAt = f.writes + 2
	if err := sw(); !errors.Is(err, ErrPart) {
		t.Fatalf("half way: %v", err)
	}
	if now := zoneText(p); now == was || !strings.Contains(now, "MX 10 mail.example.org") || !strings.Contains(now, "MX 5 mx2.mailhost.example") {
		t.Fatalf("half way:\n%s", now)
	}
	f.failAt = 0
	if err := sw(); err != nil {
		t.Fatal(err)
	}
	if now := zoneText(p); strings.Contains(now, "mx2.mailhost") {
		t.Errorf("switched:\n%s", now)
	}
	if err := restore(t.Context(), pub, z); err != nil || zoneText(p) != was {
		t.Errorf("restored: %v\n%s", err, zoneText(p))
	}
}
