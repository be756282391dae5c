package enter_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"homemail/session"
	"homemail/web/enter"
)

// Outside of the house an owner's password opens no more than the own page.
func TestProven(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		who    string
		by     session.Method
		inside bool
		path   string
		want   int
	}{
		{"", "", false, "/", 204}, // the pages themselves ask
		{"anna@example.test", session.ByPassword, true, "/", 204},
		{"anna@example.test", session.ByPassword, false, "/", 403},
		{"anna@example.test", session.ByPassword, false, "/me", 204},
		{"anna@example.test", session.ByClaim, false, "/", 403}, // that it was made at home says nothing now
		{"anna@example.test", session.ByClaim, true, "/", 204},
		{"ben@example.test", session.ByPassword, false, "/", 204},
		{"anna@example.test", session.ByTOTP, false, "/", 204},
	} {
		set := enter.Proven(h.set, func(*http.Request) bool { return tt.inside }, "/me", func(path string) bool { return path == "/me" })
		served := h.m.Middleware(h.set.Handler(set(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))))
		r := httptest.NewRequest(http.MethodGet, "http://house.test"+tt.path, nil)
		r.RemoteAddr = "203.0.113.9:4711"
		if tt.who != "" {
			code := func(int64) string { return "" }
			if tt.by == session.ByTOTP {
				code, _ = h.enrol()
			}
			res, err := h.m.SignIn(t.Context(), session.FromRequest(r), tt.who, password, false)
			must(t, err)
			switch tt.by {
			case session.ByClaim:
				res, err = h.m.Open(session.FromRequest(r), h.anna, false)
			case session.ByTOTP:
				from := session.FromRequest(r)
				from.Token = res.Token
				res, err = h.m.Second(t.Context(), from, code(0))
			}
			must(t, err)
			w := httptest.NewRecorder()
			session.SetCookie(w, r, res)
			r.AddCookie(w.Result().Cookies()[0])
		}
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		if w.Code != tt.want || tt.want == 403 && !strings.Contains(w.Body.String(), "Not with a password alone") {
			t.Errorf("%+v: got %d %s", tt, w.Code, w.Body)
		}
	}
}
