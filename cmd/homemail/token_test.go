package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/miekg/dns"

	"homemail/admin"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/relay"
)

// An apiClient is a program that has read docs/openapi.json.
type apiClient struct {
	t     *testing.T
	http  *http.Client
	url   string
	token string
	doc   *openapi3.T
}

// apiHouse is a house with its API, for a program with a token.
func apiHouse(t *testing.T) (*house, *apiClient) {
	t.Helper()
	c := trySettings(t.TempDir())
	listenOn(&c, func(string) int { return 0 })
	c.HostName, c.DNS.Server = "mail.example.test", emptyDNS(t)
	h, err := openHouse(t.Context(), c, world{}, quietLog(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	a, err := h.newAPI(h.people.engine)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(a.Over(http.NotFoundHandler()))
	t.Cleanup(s.Close)
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return h, &apiClient{t: t, http: s.Client(), url: s.URL, doc: doc}
}

// emptyDNS is a DNS that has nothing.
func emptyDNS(t *testing.T) (addr string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})}
	done := make(chan error)
	go func() { done <- s.ActivateAndServe() }()
	t.Cleanup(func() { pc.Close(); <-done })
	return pc.LocalAddr().String()
}

// ask asks for an operation and returns what it answers, which is as the document
// says.
func (c *apiClient) ask(status int, verb string, request any, answer any) {
	c.t.Helper()
	b, err := json.Marshal(request)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), "POST", c.url+"/api/v1/"+verb, strings.NewReader(string(b)))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	w, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if w.StatusCode != status {
		c.t.Fatalf("%s %s: %s %s", verb, b, w.Status, text)
	}
	c.check(verb, b, status, text)
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			c.t.Fatal(err)
		}
	}
}

// check holds a request and its answer to the document.
func (c *apiClient) check(verb string, request []byte, status int, answer []byte) {
	c.t.Helper()
	p := c.doc.Paths.Value("/api/v1/" + verb)
	if p == nil {
		c.t.Fatalf("%s is not in the document", verb)
	}
	visit := func(what string, s *openapi3.SchemaRef, text []byte) {
		c.t.Helper()
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			c.t.Fatal(err)
		}
		if err := s.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			c.t.Errorf("%s of %s: %v\n%s", what, verb, err, text)
		}
	}
	if status != http.StatusOK {
		visit("failure", c.doc.Components.Schemas["Failed"], answer)
		return
	}
	if p.Post.RequestBody != nil {
		visit("request", p.Post.RequestBody.Value.Content["application/json"].Schema, request)
	}
	visit("answer", p.Post.Responses.Status(200).Value.Content["application/json"].Schema, answer)
}

// TestAPI walks as a program would: people, devices, queue and names.
func TestAPI(t *testing.T) {
	h, c := apiHouse(t)
	if err := h.book.SetRoute("", relay.Route{Way: relay.Direct}); err != nil {
		t.Fatal(err)
	}
	made, err := admin.NewTokens(h.store).Add(admin.AddToken{Name: "script", Scopes: []admin.Scope{admin.ScopePeople, admin.ScopeMail, admin.ScopeNames}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	c.token = made.Secret
	type m = map[string]any

	var domains []string
	c.ask(200, "domain.add", m{"address": "example.test"}, nil)
	c.ask(200, "domain.list", m{}, &domains)
	if len(domains) != 1 || domains[0] != "example.test" {
		t.Errorf("domains %v", domains)
	}
	c.ask(200, "dkim.list", m{"domain": "example.test"}, nil)
	c.ask(200, "certificate.list", m{}, nil)
	var plan admin.DNSPlan
	c.ask(200, "dns.plan", m{"domain": "example.test", "addresses": []string{"198.51.100.9"}, "compare": true}, &plan)
	if len(plan.Records) < 5 || len(plan.Results) != len(plan.Records) {
		t.Errorf("plan %+v", plan)
	}
	c.ask(422, "dns.plan", m{"domain": "not a domain"}, nil)

	var people []admin.Account
	c.ask(200, "account.add", m{"address": "anna@example.test", "name": "Anna"}, nil)
	c.ask(409, "account.add", m{"address": "anna@example.test"}, nil)
	c.ask(200, "account.change", m{"address": "anna@example.test", "quota": 5e9}, nil)
	c.ask(200, "alias.add", m{"address": "family@example.test", "to": []string{"anna@example.test"}}, nil)
	c.ask(200, "alias.list", m{}, nil)
	c.ask(200, "account.list", m{}, &people)
	if len(people) != 1 || people[0].Quota != 5e9 {
		t.Errorf("people %+v", people)
	}

	var device admin.NewDevice
	var devices []admin.Device
	c.ask(200, "device.add", m{"address": "anna@example.test", "name": "Phone"}, &device)
	c.ask(200, "device.list", m{"address": "anna@example.test"}, &devices)
	if len(devices) != 1 || devices[0].ID != device.ID || len(device.Password) < 20 {
		t.Errorf("devices %+v, %+v", devices, device)
	}
	c.ask(200, "device.revoke", m{"address": "anna@example.test", "device": device.ID}, nil)
	c.ask(404, "device.revoke", m{"address": "anna@example.test", "device": device.ID}, nil)

	submit(t, h, "anna@example.test", "carl@elsewhere.test")
	var waiting []struct{ ID string }
	c.ask(200, "queue.list", m{}, &waiting)
	if len(waiting) != 1 {
		t.Fatalf("queue %+v", waiting)
	}
	var count admin.Count
	c.ask(200, "queue.show", m{"id": waiting[0].ID}, nil)
	c.ask(200, "queue.hold", m{"id": waiting[0].ID}, &count)
	c.ask(200, "queue.release", m{"id": waiting[0].ID}, nil)
	c.ask(200, "queue.remove", m{"id": waiting[0].ID}, nil)
	c.ask(200, "queue.list", m{}, &waiting)
	if len(waiting) != 0 {
		t.Errorf("queue %+v", waiting)
	}

	c.ask(403, "status", m{}, nil) // of another scope
	if err := admin.NewTokens(h.store).Remove("script"); err != nil {
		t.Fatal(err)
	}
	c.ask(401, "domain.list", m{}, nil)
}

// submit lets somebody of the house write to the outside.
func submit(t *testing.T, h *house, from, to mail.Path) {
	t.Helper()
	a, err := h.store.Account(from)
	if err != nil {
		t.Fatal(err)
	}
	m := h.agent.Begin(from, a.ID)
	defer m.Discard()
	if err := m.Rcpt(to, 0); err != nil {
		t.Fatal(err)
	}
	io.WriteString(m, "From: "+string(from)+"\r\nSubject: x\r\n\r\nHallo\r\n")
	if _, err := m.Commit(mail.Envelope{From: from, To: []mail.Recipient{{Path: to}}}, mail.Trace{ID: "id", Account: a.ID}); err != nil {
		t.Fatal(err)
	}
}

// TestAPIReads asks for all that a token with the scope read may without saying
// more, and holds each answer to the document.
func TestAPIReads(t *testing.T) {
	h, c := apiHouse(t)
	made, err := admin.NewTokens(h.store).Add(admin.AddToken{Name: "reader", Scopes: []admin.Scope{admin.ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	c.token = made.Secret
	n := 0
	for _, o := range slices.Concat(admin.Operations(), firstboot.Operations()) {
		if o.Changes || o.Scope == admin.ScopeNone || o.Request.NumField() > 0 {
			continue
		}
		c.ask(200, o.Name, struct{}{}, nil)
		n++
	}
	if n < 10 {
		t.Errorf("only %d operations were asked for", n)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	w, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode != 200 || !strings.Contains(string(b), "\nhomemail_queue_recipients 0\n") {
		t.Errorf("figures: %s %v\n%.200s", w.Status, err, b)
	}
}

// TestAPISetup goes on with setting a house up by token, once it has an owner.
func TestAPISetup(t *testing.T) {
	type m = map[string]any
	h, c := apiHouse(t)
	made, err := admin.NewTokens(h.store).Add(admin.AddToken{Name: "script", Scopes: []admin.Scope{admin.ScopeAll}})
	if err != nil {
		t.Fatal(err)
	}
	c.token = made.Secret
	c.ask(422, "setup.submit", m{"step": "language", "answers": m{"language": "ja"}}, nil)
	c.ask(200, "setup.show", m{}, nil)
	if by, err := h.people.claim.By(); err == nil {
		t.Errorf("a token has claimed the house: %+v", by)
	}
	for _, g := range []firstboot.Given{
		{Step: firstboot.Language, Answers: firstboot.Answers{"language": "en"}}, {Step: firstboot.Start, Answers: firstboot.Answers{"kind": "new"}},
		{Step: firstboot.You, Answers: firstboot.Answers{"name": "Anna", "password": "bicycle lantern umbrella 42"}},
		{Step: firstboot.Address, Answers: firstboot.Answers{"kind": "inside", "local": "anna"}},
	} {
		request, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := h.people.engine.Do(t.Context(), "setup.submit", request); err != nil {
			t.Fatal(v, err)
		}
	}
	var v firstboot.View
	c.ask(200, "setup.submit", m{"step": "safe", "answers": m{"alert": "anna@elsewhere.test"}}, &v)
	if v.Status != firstboot.Done {
		t.Errorf("%+v", v)
	}
	c.ask(200, "setup.submit", m{"step": "people", "answers": m{"devices": "phone"}}, nil)
	var devices []firstboot.NewDevice
	c.ask(200, "setup.devices", m{}, &devices)
	if len(devices) != 1 || devices[0].Password == "" {
		t.Errorf("%+v", devices)
	}
	c.ask(200, "setup.forget", m{}, nil)
	for _, step := range []string{"you", "address"} {
		c.ask(403, "setup.submit", m{"step": step, "answers": m{"password": "another long password", "local": "eve"}}, nil)
	}
	c.ask(422, "setup.submit", m{"step": "nothing"}, nil)
}

func TestTokenCommands(t *testing.T) {
	d := "-data=" + t.TempDir()
	token := must(t, "token", "add", "grafana", "-scope", "read,metrics", "-expires", "90d", d)
	has(t, token, "hm_", "shown this once", "read, metrics")
	secret, _, _ := strings.Cut(token, "\n")
	out := must(t, "token", "list", d)
	has(t, out, "grafana", "read,metrics", "never")
	if strings.Contains(out, secret) {
		t.Error("the list has the token")
	}
	for _, args := range [][]string{{"grafana", "-scope", "read"}, {"other"}, {"other", "-scope", "root"}, {"other", "-scope", "read", "-expires", "soon"}} {
		if out, code := homemail(t, "", append(append([]string{"token", "add"}, args...), d)...); code != 1 {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
	must(t, "token", "remove", "grafana", d)
	if _, code := homemail(t, "", "token", "remove", "grafana", d); code != 1 {
		t.Error("a token was removed twice")
	}
}

// TestParseLife: what is no time is not taken for some.
func TestParseLife(t *testing.T) {
	for s, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := parseLife(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "d", "0d", "-1d", "-1h", "0", "90", "1.5d", "99999d", "soon"} {
		if got, err := parseLife(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}
