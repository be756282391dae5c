package dash_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"homemail/web/dash/dashtest"
)

var (
	formIn  = regexp.MustCompile(`(?s)<form[^>]* method="post" action="(/[^"]*)"[^>]*>(.*?)</form>`)
	fieldIn = regexp.MustCompile(`<(input|select|textarea|button)[^>]* name="([^"]+)"(?:[^>]* value="([^"]*)")?`)
)

// TestAttackLineBreaks walks the forms of all pages and puts line breaks into each
// field: nothing that the house is asked with has one, so that none can become two
// fields of a header, two lines of a log or two records.
func TestAttackLineBreaks(t *testing.T) {
	house := dashtest.Family("")
	s := serve(t, house, "")
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	forms := map[string]url.Values{} // by path
	for _, path := range everyPage() {
		_, body := s.settled(path)
		for _, form := range formIn.FindAllStringSubmatch(body, -1) {
			action := html.UnescapeString(form[1])
			if forms[action] == nil {
				forms[action] = url.Values{}
			}
			for _, field := range fieldIn.FindAllStringSubmatch(form[2], -1) {
				if name := field[2]; !forms[action].Has(name) {
					forms[action].Set(name, html.UnescapeString(field[3]))
				}
			}
		}
	}
	posted := 0
	for action, form := range forms {
		for name := range form {
			if name == "csrf" {
				continue
			}
			for _, ending := range []string{"\r\n", "\n", "\r", "\u2028", "\x00"} {
				injected := url.Values{}
				for n, v := range form {
					injected[n] = v
				}
				injected.Set(name, "x"+ending+"Bcc: thief@far.example")
				s.postForm(action, injected)
				posted++
			}
		}
	}
	if posted < 500 {
		t.Errorf("only %d forms were sent, so this test shows little", posted)
	}
	for _, a := range house.All() {
		var request any
		if err := json.Unmarshal([]byte(a.Request), &request); err != nil {
			t.Fatal(err)
		}
		if bad := broken(request); bad != "" {
			t.Errorf("%s is asked with %q", a.Operation, bad)
		}
	}
}

// broken is a text in a request that has a line break in it.
func broken(v any) string {
	switch v := v.(type) {
	case string:
		if strings.ContainsAny(v, "\r\n\x00\u2028") {
			return v
		}
	case []any:
		for _, one := range v {
			if bad := broken(one); bad != "" {
				return bad
			}
		}
	case map[string]any:
		for _, one := range v {
			if bad := broken(one); bad != "" {
				return bad
			}
		}
	}
	return ""
}
