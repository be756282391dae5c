package address

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDyndnsAnswers(t *testing.T) {
	var status int
	var body, asked string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = fmt.Sprintf("%s %s %s:%s %s", r.Method, r.URL, user, password, r.UserAgent())
		w.Header().Set("Retry-After", "7200")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	s, err := Custom(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := &Dyndns{Service: s, Host: "home.example.net", User: "me@example.org", Password: "p:w", Agent: "homemail/1", Client: server.Client()}
	for _, tt := range []struct {
		status int
		body   string
		want   string // "ok", "stopped", or how long to wait
	}{
		{200, "good 203.0.113.1", "ok"}, {200, "nochg 203.0.113.1\r\n", "ok"}, {200, "\nGOOD", "ok"},
		{200, "good 127.0.0.1", "stopped"}, {401, "badauth", "stopped"}, {200, "badauth", "stopped"}, {401, "", "stopped"}, {403, "<html>", "stopped"},
		{200, "nohost", "stopped"}, {200, "notfqdn", "stopped"}, {200, "numhost", "stopped"}, {200, "abuse", "stopped"}, {200, "!donator", "stopped"}, {200, "badagent", "stopped"},
		{200, "911", "30m0s"}, {200, "dnserr", "30m0s"}, {503, "good", "30m0s"}, {500, "", "30m0s"},
		{429, "slow", "2h0m0s"}, {200, "", "1h0m0s"}, {200, "<html>welcome", "1h0m0s"}, {404, "good", "1h0m0s"}, {302, "good", "1h0m0s"}, {200, strings.Repeat("x", 9999), "1h0m0s"},
	} {
		status, body = tt.status, tt.body
		err := d.Update(t.Context(), nil, Addrs{V4: a4})
		var later *Later
		var stopped *Stopped
		got := "ok"
		switch {
		case errors.As(err, &stopped):
			got = "stopped"
		case errors.As(err, &later):
			got = later.Wait.String()
		case err != nil:
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%d %.20q: %s (%v), want %s", tt.status, tt.body, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "p:w") {
			t.Errorf("the password is told: %v", err)
		}
	}
	if want := "GET /nic/update?hostname=home.example.net&myip=203.0.113.1 me@example.org:p:w homemail/1"; asked != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	asked, status, body = "", 200, "good"
	if err := d.Update(t.Context(), []Addrs{{V4: a4}}, Addrs{V4: a4}); err != nil || asked != "" {
		t.Errorf("asked without need: %q %v", asked, err)
	}
	server.Close()
	var later *Later
	if err := d.Update(t.Context(), nil, Addrs{V4: a4}); !errors.As(err, &later) || later.Wait < 10*time.Minute {
		t.Errorf("without a server: %v", err)
	}
}

func TestDyndnsRequest(t *testing.T) {
	both := Addrs{a4, a6}
	for _, tt := range []struct{ service, want string }{
		{"dedyn", "https://update.dedyn.io/nic/update?hostname=h.example&myip=203.0.113.1&myipv6=2001%3Adb8%3A%3A1"},
		{"noip", "https://dynupdate.no-ip.com/nic/update?hostname=h.example&myip=203.0.113.1%2C2001%3Adb8%3A%3A1"},
		{"dyfi", "https://www.dy.fi/nic/update?hostname=h.example"},
		{"dyn", "https://members.dyndns.org/nic/update?hostname=h.example&myip=203.0.113.1"},
	} {
		for _, s := range Services() {
			if s.ID != tt.service {
				continue
			}
			d := &Dyndns{Service: s, Host: "h.example"}
			r, err := d.request(t.Context(), d.Part(both))
			if err != nil || r.URL.String() != tt.want {
				t.Errorf("%s: %v %v", tt.service, r.URL, err)
			}
		}
	}
	for _, bad := range []string{"http://dns.example.net", "https://u:p@dns.example.net/", "https://", "https://dns.example.net/?x=1", "ftp://x"} {
		if s, err := Custom(bad); err == nil {
			t.Errorf("%s is taken: %v", bad, s)
		}
	}
	if s, err := Custom("dns.example.net"); err != nil || s.URL != "https://dns.example.net/nic/update" {
		t.Errorf("%v %v", s, err)
	}
}
