package dash

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"homemail/admin"
	"homemail/queue"
	"homemail/web/page"
)

// old are the forms that are done for a sign-in of long ago, each with why that is
// no harm. A new form is not among them unless somebody has thought about it.
var old = map[string]string{
	"POST /people/add":               "who is new has no password, and making one is guarded",
	"POST /people/change":            "a name, a language, room",
	"POST /people/disable":           "nothing is lost, and a stolen account has to be shut quickly",
	"POST /people/device/remove":     "a stolen phone has to be shut out quickly",
	"POST /people/profile":           "it brings the password that it is about",
	"POST /dns/plan":                 "it only shows what would be done",
	"POST /dns/policy":               "what others do with forged mail; the DNS is guarded",
	"POST /dns/reports/trust":        "whose reports count",
	"POST /dns/reports/mine":         "a note about a source",
	"POST /dns/keys/rotate":          "a new key beside the old one",
	"POST /dns/keys/activate":        "keys are all the house's own",
	"POST /dns/name/remove":          "a name is followed no more; its password is not shown",
	"POST /dns/certificates":         "the terms of the CA",
	"POST /dns/certificates/retry":   "it asks again",
	"POST /dns/certificates/no-more": "the terms of the CA",
	"POST /queue/retry":              "mail leaves as it would anyway",
	"POST /queue/hold":               "nothing is lost",
	"POST /queue/release":            "mail leaves as it would have",
	"POST /network/machine/remove":   "it takes access away",
	"POST /network/check":            "it looks",
	"POST /network/mute":             "it is shown all the same",
	"POST /updates/check":            "it looks",
	"POST /network/heard":            "it is told again",
	"POST /sending/smarthost/test":   "it signs in where it does each day",
	"POST /sending/coach":            "it reads what it is given",
	"POST /sending/bridge/act":       "mail is fetched to where it always was, or later",
	"POST /security/session/end":     "it takes access away",
	"POST /security/ban/lift":        "a guesser may guess again, as slowly as before",
	"POST /security/pause":           "a stolen account has to be shut quickly",
	"POST /security/resume":          "an account sends as much as others do",
}

// TestFresh walks all forms: each is done only for somebody who has just said who
// they are, or there is a reason why not.
func TestFresh(t *testing.T) {
	set, err := page.New(page.Options{Hosts: func() []string { return nil }, Key: []byte("a key of a test, which is not secret at all")})
	if err != nil {
		t.Fatal(err)
	}
	no := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	}
	d := New(Options{Set: set, Fresh: no})
	open, guarded := d.routes(), d.guarded()
	for _, pattern := range slices.Sorted(maps.Keys(open)) {
		if strings.HasPrefix(pattern, "POST ") && old[pattern] == "" {
			t.Errorf("%s is done for a sign-in of long ago", pattern)
		}
	}
	for pattern := range old {
		if open[pattern] == nil {
			t.Errorf("there is no %s any more", pattern)
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(guarded)) {
		method, path, _ := strings.Cut(pattern, " ")
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != http.StatusTeapot {
			t.Errorf("%s: %d", pattern, w.Code)
		}
	}
}

// TestFormsNeedTokens walks all forms: none is done for a page from elsewhere that
// has our cookies and no token of ours, and none by GET.
func TestFormsNeedTokens(t *testing.T) {
	set, err := page.New(page.Options{
		Sources: []fs.FS{Source()}, Hosts: func() []string { return []string{"mail.example.jp"} }, Key: []byte("a key of a test, which is not secret at all"),
		Session: func(*http.Request) string { return "taro" }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := New(Options{Set: set, House: untouched{t}})
	h := set.Handler(d.Handler())
	all := d.routes()
	maps.Copy(all, d.guarded())
	for _, pattern := range slices.Sorted(maps.Keys(all)) {
		path, ok := strings.CutPrefix(pattern, "POST ")
		if !ok {
			continue
		}
		for _, token := range []string{"", "csrf=forged"} {
			r := httptest.NewRequest(http.MethodPost, "https://mail.example.jp"+path, strings.NewReader(token))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s with %q: %d", pattern, token, w.Code)
			}
		}
	}
}

// untouched is a house of which only may be asked what the frame of a page shows.
type untouched struct{ t *testing.T }

func (u untouched) Do(_ context.Context, operation string, _ json.RawMessage) (any, error) {
	if operation != "queue.list" {
		u.t.Errorf("%s was asked for", operation)
	}
	return []queue.Summary{}, nil
}

func (u untouched) Overview(context.Context) (admin.Overview, error) {
	u.t.Error("it was looked at")
	return admin.Overview{}, nil
}
