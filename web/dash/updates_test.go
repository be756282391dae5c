package dash_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"homemail/admin"
	"homemail/store"
	"homemail/update"
	"homemail/update/agent"
	"homemail/web/dash"
	"homemail/web/dash/dashtest"
	"homemail/words"
)

func TestUpdateForms(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	for _, tt := range []struct {
		page, path string
		fields     []string
		operation  string
		want       string
		shows      string
	}{
		{"/updates", "/updates/check", nil, "update.check", `{}`, "0.6.0 can be installed"},
		{"/updates/install", "/updates/install", nil, "update.apply", `{}`, "It is being installed"},
		{"/updates/settings", "/updates/settings", []string{"url", "https://example.org/x/", "auto", "on"}, "update.settings", `{"url":"https://example.org/x/","auto":true}`, "Saved."},
		{"/updates/settings", "/updates/settings", []string{"url", ""}, "update.settings", `{"url":"","auto":false}`, "Saved."},
	} {
		status, body := s.post(tt.page, tt.path, tt.fields...)
		if asked := s.house.Asked(tt.operation); status != http.StatusOK || !slices.Contains(asked, tt.want) {
			t.Errorf("%s %v: %d, %s was asked %q", tt.path, tt.fields, status, tt.operation, asked)
		}
		if !strings.Contains(body, tt.shows) {
			t.Errorf("%s: %q is not shown", tt.path, tt.shows)
		}
	}
	s.house.Errors = map[string]error{"update.settings": words.Because(store.ErrInvalid, "update.refused.url")}
	if status, body := s.post("/updates/settings", "/updates/settings", "url", "nowhere"); status != 422 || !strings.Contains(body, "that is no web address") || !strings.Contains(body, `value="nowhere"`) {
		t.Errorf("a wrong address: %d", status)
	}
}

// The page says in the reader's language what is new and what became of updates.
func TestUpdatesAreTold(t *testing.T) {
	for lang, want := range map[string][]string{
		"en": {"0.6.0 can be installed", "Search finds words", "Updated from 0.4.1 to 0.5.0", "Went back from 0.4.1 to 0.4.0", "imap did not answer", "44 MB"},
		"ja": {"0.6.0 を入れられます", "添付ファイルの中", "0.4.1から0.5.0に更新", "0.4.1から0.4.0に戻りました", "正常に働きませんでした", "44 MB"},
	} {
		s := serve(t, dashtest.Family(""), "")
		s.lang = lang
		_, body := s.get("/updates")
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: %q is not shown", lang, w)
			}
		}
	}
}

// Each state has a page, with the buttons that fit.
func TestUpdateStates(t *testing.T) {
	for state, want := range map[agent.State]string{
		agent.NoBox: "sudo apt install", agent.NoSource: "Look now", agent.Unknown: "Look now", agent.Current: "Look now", agent.Ready: "Install now",
		agent.Fetching: "<progress", agent.Trial: "Look now", agent.Back: "Install now", agent.Trouble: "Look now",
	} {
		h := dashtest.Family("")
		u := dashtest.Updates("")
		u.State = state
		switch state {
		case agent.NoBox:
			u = admin.Updates{Status: agent.Status{State: state, Version: "0.5.0"}, Words: u.Words}
		case agent.Fetching:
			u.Sent = 12_000_000
			u.Before = append(u.Before, agent.Past{From: "0.5.0", To: "0.6.0", Stage: update.Writing}, agent.Past{From: "0.5.0", To: "0.6.0", Stage: update.Trying})
		case agent.Ready, agent.Back, agent.Trial:
		default:
			u.Offer = nil
		}
		h.Answers["update.status"] = u
		s := serve(t, h, "")
		status, body := s.get("/updates")
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, no %q", state, status, want)
		}
		if may := state == agent.Ready || state == agent.Back; strings.Contains(body, `href="/updates/install"`) != may {
			t.Errorf("%s: may install is not %v", state, may)
		}
		if strings.Contains(body, "sse-connect") != (state == agent.Fetching) || strings.Contains(body, "Look again") != (state == agent.Fetching) {
			t.Errorf("%s: what goes on is not followed", state)
		}
	}
	h := dashtest.Family("")
	u := dashtest.Updates("")
	u.Offer = nil
	h.Answers["update.status"] = u
	if status, _ := serve(t, h, "").get("/updates/install"); status != http.StatusNotFound {
		t.Errorf("nothing to install: %d", status)
	}
}

// A look that came to nothing is told to who asked for it, also where the house
// would be patient.
func TestLookFails(t *testing.T) {
	h := dashtest.Family("")
	h.Errors = map[string]error{"update.check": words.Because(errors.New("x"), "update.refused.line", "said", "503")}
	s := serve(t, h, "")
	s.post("/updates", "/updates/check")
	if _, body := s.settled("/updates"); !strings.Contains(body, "does not answer as it should (503)") {
		t.Error("nobody says why")
	}
}

func TestUpdatesLive(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	status, body := s.get("/updates/live")
	if status != http.StatusOK || !strings.Contains(body, "event: update") || !strings.Contains(body, "0.6.0 can be installed") || !strings.Contains(body, "event: end") {
		t.Errorf("%d %s", status, body)
	}
}

// send sends a file from the page's form.
func (s *site) send(t *testing.T, action, field string, file []byte) (int, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	w, err := m.CreateFormFile(field, "homemail-pi-0.6.0.update")
	must(t, err)
	_, err = w.Write(file)
	must(t, err)
	must(t, m.Close())
	req, err := http.NewRequest(http.MethodPost, s.url+action, &b)
	must(t, err)
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.Header.Set("Accept-Language", s.lang)
	return s.do(req)
}

func TestUpload(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	file := bytes.Repeat([]byte("update "), 100_000) // more than any other form may have
	_, body := s.get("/updates/file")
	found := regexp.MustCompile(`action="(/updates/file\?csrf=[^"]+)" enctype="multipart/form-data"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatal("there is no form")
	}
	action := html.UnescapeString(found[1])
	for _, forged := range []string{"/updates/file", "/updates/file?csrf=forged"} {
		if status, _ := s.send(t, forged, "file", file); status != http.StatusForbidden || s.house.Sent() != nil {
			t.Errorf("%s: %d", forged, status)
		}
	}
	if status, body := s.send(t, action, "other", file); status != 422 || !strings.Contains(body, "choose a file") || s.house.Sent() != nil {
		t.Errorf("no file: %d", status)
	}
	if status, body := s.send(t, action, "file", file); status != http.StatusOK || !bytes.Equal(s.house.Sent(), file) || !strings.Contains(body, "restarts now") {
		t.Errorf("%d, %d bytes", status, len(s.house.Sent()))
	}
	s.house.Errors = map[string]error{"update.upload": words.Because(store.ErrInvalid, "update.refused.signature")}
	s.lang = "ja"
	if status, body := s.send(t, action, "file", file); status != 422 || !strings.Contains(body, "信頼する署名がない") {
		t.Errorf("not signed: %d", status)
	}
}

// A file is handed on while it comes, and is bounded.
func TestUploadStreams(t *testing.T) {
	h := dashtest.Family("")
	set, _, err := dashtest.Set(h, "")
	must(t, err)
	in, out := io.Pipe()
	first := make(chan string, 1)
	d := dash.New(dash.Options{House: h, Set: set, Upload: func(_ context.Context, r io.Reader) error {
		b := make([]byte, 5)
		_, err := io.ReadFull(r, b)
		first <- string(b)
		return cmp.Or(err, fmt.Errorf("%w: enough", store.ErrInvalid))
	}})
	t.Cleanup(d.Close)
	m := multipart.NewWriter(out)
	go func() {
		w, _ := m.CreateFormFile("file", "x.update")
		_, _ = w.Write(append([]byte("begin"), make([]byte, 8<<10)...))
		if got := <-first; got != "begin" { // before the form has ended
			t.Errorf("%q", got)
		}
		_ = m.Close()
		_ = out.Close()
	}()
	r := httptest.NewRequest(http.MethodPost, "/updates/file", in)
	r.Header.Set("Content-Type", m.FormDataContentType())
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "enough") {
		t.Errorf("%d", w.Code)
	}
	if n := dash.Body(r); n < 1<<30 || n > 2<<30 {
		t.Errorf("a file may have %d bytes", n)
	}
	for _, other := range []*http.Request{httptest.NewRequest(http.MethodPost, "/updates/check", nil), httptest.NewRequest(http.MethodGet, "/updates/file", nil)} {
		if n := dash.Body(other); n != 0 {
			t.Errorf("%s %s may carry %d bytes", other.Method, other.URL, n)
		}
	}
}
