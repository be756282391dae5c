package web

import (
	"net/http"
	"testing"
)

// People's pages are for those who live here, and never in the way of programs.
func TestPeople(t *testing.T) {
	o := names()
	o.People = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	lives := true
	o.For = func(*http.Request) bool { return lives }
	s := server(t, o)
	for _, tt := range []struct {
		host, path   string
		here, beyond int
	}{
		{"mail.example.test", "/", 418, 200},
		{"mail.example.test", "/people", 418, 404},
		{"192.168.1.2", "/", 418, 421},
		{"homemail.local", "/queue", 418, 421},
		{"mail.example.test", setupPath, 200, 200},
		{"mail.example.test", "/.well-known/nothing", 404, 404},
		{"mta-sts.example.test", stsPath, 200, 200},
		{"mta-sts.example.test", "/", 404, 404},
		{"autoconfig.example.test", thunderbirdPath, 200, 200},
	} {
		for here, want := range map[bool]int{true: tt.here, false: tt.beyond} {
			lives = here
			if w := ask(s.secure, "GET", tt.host, tt.path, ""); w.Code != want {
				t.Errorf("https://%s%s, here %v: got %d, want %d", tt.host, tt.path, here, w.Code, want)
			}
		}
	}
	lives = true
	if w := ask(s.open, "GET", "mail.example.test", "/people", ""); w.Code != 302 {
		t.Errorf("in the open: got %d", w.Code)
	}
}
