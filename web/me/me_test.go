package me_test

import (
	"archive/zip"
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"homemail/events"
	"homemail/mail"
	"homemail/store"
	house "homemail/test/me"
	"homemail/vacation"
	"homemail/web/me"
)

// A browser is that of somebody who is signed in.
type browser struct {
	t      *testing.T
	url    string
	client *http.Client
}

func open(t *testing.T, h *house.House, id mail.AccountID, encrypted bool) *browser {
	t.Helper()
	b := visitor(t, h, encrypted)
	c, err := h.Cookie(id, encrypted)
	must(t, err)
	u, err := url.Parse(b.url)
	must(t, err)
	b.client.Jar.SetCookies(u, []*http.Cookie{c})
	return b
}

// visitor is a browser of nobody.
func visitor(t *testing.T, h *house.House, encrypted bool) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	c := *h.Client
	c.Jar = jar
	b := &browser{t, h.Plain, &c}
	if encrypted {
		b.url = h.URL
	}
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get returns a page, and where it was found in the end.
func (b *browser) get(path string, status int) (body, at string) {
	b.t.Helper()
	res, err := b.client.Get(b.url + path)
	must(b.t, err)
	return b.read(res, path, status)
}

func (b *browser) read(res *http.Response, path string, status int) (body, at string) {
	b.t.Helper()
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	must(b.t, err)
	if res.StatusCode != status {
		b.t.Fatalf("%s: %s, want %d\n%s", path, res.Status, status, all)
	}
	return string(all), res.Request.URL.Path
}

var token = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form as the page on which it is.
func (b *browser) post(page, path string, status int, fields ...string) (body, at string) {
	b.t.Helper()
	form := url.Values{}
	from, _ := b.get(page, 200)
	found := token.FindStringSubmatch(from)
	if found == nil {
		b.t.Fatalf("%s has no token", page)
	}
	form.Set("csrf", html.UnescapeString(found[1]))
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	res, err := b.client.PostForm(b.url+path, form)
	must(b.t, err)
	return b.read(res, path, status)
}

// contains fails for what a page does not say.
func contains(t *testing.T, body string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(html.UnescapeString(body), want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}

func profile(t *testing.T, a *store.Account) store.Profile {
	t.Helper()
	p, err := a.Profile()
	must(t, err)
	return p
}

func TestSignedInOnly(t *testing.T) {
	h := house.Open(t)
	b := visitor(t, h, true)
	for _, path := range []string{"/me", "/me/devices", "/me/away", "/me/export", "/me/no-such-page", "/me/security/code"} {
		if _, at := b.get(path, 200); at != "/enter" {
			t.Errorf("%s shows a stranger %s", path, at)
		}
	}
	b = open(t, h, h.Anna.ID, true)
	b.get("/me/no-such-page", 404)
	res, err := b.client.PostForm(b.url+"/me/name", url.Values{"name": {"x"}, "language": {"en"}})
	must(t, err)
	if b.read(res, "/me/name", 403); profile(t, h.Anna).Name != "Anna" {
		t.Error("a form without a token was taken")
	}
}

func TestName(t *testing.T) {
	h := house.Open(t)
	b := open(t, h, h.Anna.ID, true)
	body, _ := b.post("/me/name", "/me/name", 200, "name", "アンナ", "language", "ja")
	contains(t, body, "保存しました")
	if p := profile(t, h.Anna); p.Name != "アンナ" || p.Language != "ja" {
		t.Errorf("%+v", p)
	}
	b.post("/me/name", "/me/name", 422, "name", "a\r\nBcc: x@y.test", "language", "en")
	b.post("/me/name", "/me/name", 422, "name", "a", "language", "xx")
}

func TestDevices(t *testing.T) {
	h := house.Open(t)
	b := open(t, h, h.Anna.ID, true)
	b.post("/me/devices/add", "/me/devices/add", 422, "name", "", "kind", "apple")
	body, _ := b.post("/me/devices/add", "/me/devices/add", 200, "name", "My phone", "kind", "apple")
	contains(t, body, "mail.example.test", "port 993, SSL/TLS", "anna@example.test")
	password := regexp.MustCompile(`<code[^>]*>([a-z0-9]+-[a-z0-9-]+)</code>`).FindStringSubmatch(body)
	link := regexp.MustCompile(`href="(https://[^"]+/me/profile/[^"]+)"`).FindStringSubmatch(body)
	if password == nil || link == nil {
		t.Fatalf("no password, or no link, in\n%s", body)
	}
	phone := visitor(t, h, true)
	u, err := url.Parse(link[1])
	must(t, err)
	for i := range 4 { // a phone looks a few times, and somebody else later
		want := 200
		if i == 3 {
			want = 410
		}
		got, _ := phone.get(u.Path, want)
		if want == 200 && (!strings.Contains(got, password[1]) || !strings.Contains(got, "anna@example.test")) {
			t.Errorf("the profile is\n%s", got)
		}
	}
	phone.get("/me/profile/guessed", 410)
	visitor(t, h, false).get(u.Path, 404)

	list, _ := b.get("/me/devices", 200)
	if strings.Contains(list, password[1]) {
		t.Error("the password is shown again")
	}
	id := profile(t, h.Anna).Devices[0].ID
	open(t, h, h.Otto.ID, true).get("/me/devices/remove?id="+id, 404)
	body, _ = b.post("/me/devices/remove?id="+id, "/me/devices/remove", 200, "id", id)
	contains(t, body, "“My phone” can no longer")
	if n := len(profile(t, h.Anna).Devices); n != 0 {
		t.Errorf("%d devices", n)
	}

	body, _ = open(t, h, h.Anna.ID, false).post("/me/devices/add", "/me/devices/add", 200, "name", "Phone", "kind", "apple")
	if strings.Contains(body, "/me/profile/") {
		t.Error("there is a profile without HTTPS")
	}
}

func TestAway(t *testing.T) {
	h := house.Open(t)
	b := open(t, h, h.Anna.ID, true)
	body, _ := b.post("/me/away", "/me/away", 200, "text", "I am away.\r\nA.", "from", "2026-01-01", "until", "2099-12-31", "days", "3")
	contains(t, body, "Saved.", "31 Dec 2099", "Stop replying")
	want := vacation.Reply{On: true, Text: "I am away.\nA.", From: "2026-01-01", Until: "2099-12-31", Days: 3}
	if r, err := vacation.Load(h.Store, h.Anna.ID); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	for _, c := range [][]string{
		{"text", "", "days", "3"}, {"text", "x", "days", "0"}, {"text", "x", "days", "3", "from", "soon"},
		{"text", "x", "days", "3", "from", "2026-12-24", "until", "2026-12-23"}, {"text", strings.Repeat("x", 5001), "days", "3"}, {"text", "x", "days", "3", "subject", "a\nb"},
	} {
		b.post("/me/away", "/me/away", 422, c...)
	}
	b.post("/me/away", "/me/away/off", 200)
	want.On = false
	if r, err := vacation.Load(h.Store, h.Anna.ID); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestForward(t *testing.T) {
	h := house.Open(t)
	b := open(t, h, h.Anna.ID, true)
	b.post("/me/forward", "/me/forward", 200, "to", "a@outside.test\r\notto@example.test, a@outside.test", "only", "on")
	if p := profile(t, h.Anna); fmt.Sprint(p.Forward, p.ForwardOnly) != "[a@outside.test otto@example.test] true" {
		t.Errorf("%v", p.Forward)
	}
	for _, to := range []string{"nonsense", "anna@example.test", "nobody@example.test", strings.Repeat("a@b.test ", 1) + "<x>", "a@b\x00.test"} {
		b.post("/me/forward", "/me/forward", 422, "to", to)
	}
	b.post("/me/forward", "/me/forward", 200, "to", "")
	if p := profile(t, h.Anna); len(p.Forward) != 0 || p.ForwardOnly {
		t.Errorf("%v", p.Forward)
	}
}

func TestNotMe(t *testing.T) {
	h := house.Open(t)
	must(t, h.Fill())
	b, other, otto := open(t, h, h.Anna.ID, true), open(t, h, h.Anna.ID, true), open(t, h, h.Otto.ID, true)
	list, _ := b.get("/me/signins", 200)
	contains(t, list, "Anna’s iPhone", "A wrong password was tried", "203.0.113.9", "Browser: Safari, iPhone")
	if list, _ := otto.get("/me/signins", 200); strings.Contains(list, "iPhone") {
		t.Error("otto sees anna's sign-ins")
	}
	page := "/me/signins/not-me?device=" + url.QueryEscape("Anna’s iPhone")
	body, at := b.post(page, "/me/signins/not-me", 200, "device", "Anna’s iPhone")
	contains(t, body, "choose a new password")
	if at != "/me/security" {
		t.Errorf("it leads to %s", at)
	}
	if n := len(profile(t, h.Anna).Devices); n != 2 {
		t.Errorf("%d devices", n)
	}
	if _, at := other.get("/me", 200); at != "/enter" {
		t.Error("the other browser is signed in")
	}
	b.get("/me", 200)
	if _, at := otto.get("/me", 200); at != "/me" {
		t.Error("otto is signed out")
	}
}

func TestPassword(t *testing.T) {
	h := house.Open(t)
	b, other := open(t, h, h.Anna.ID, true), open(t, h, h.Anna.ID, true)
	for want, c := range map[string][]string{
		"not your present": {"wrong password", "a quite long one", "a quite long one"},
		"not the same":     {house.Password, "a quite long one", "another long one"},
		"at least 12":      {house.Password, "short", "short"},
	} {
		body, _ := b.post("/me/security", "/me/security/password", 422, "old", c[0], "new", c[1], "again", c[2])
		contains(t, body, want)
		if strings.Contains(body, c[1]) || strings.Contains(body, c[0]) {
			t.Error("a password is sent back")
		}
	}
	body, _ := b.post("/me/security", "/me/security/password", 200, "old", house.Password, "new", "a quite long one", "again", "a quite long one")
	contains(t, body, "The password is changed")
	if _, at := other.get("/me", 200); at != "/enter" {
		t.Error("the other browser is signed in")
	}
}

// code is what an app shows for a secret, RFC 6238.
func code(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.NewReplacer(" ", "", "=", "").Replace(secret)))
	must(t, err)
	m := hmac.New(sha1.New, key)
	binary.Write(m, binary.BigEndian, uint64(time.Now().Unix()/30))
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

func TestCode(t *testing.T) {
	h := house.Open(t)
	b := open(t, h, h.Anna.ID, true)
	body, _ := b.get("/me/security/code", 200)
	found := regexp.MustCompile(`<code[^>]*>([A-Z2-7 ]+)</code>`).FindStringSubmatch(body)
	csrf := token.FindStringSubmatch(body)
	if found == nil || csrf == nil {
		t.Fatalf("no secret in\n%s", body)
	}
	send := func(code string, status int) string { // without loading the page again, which makes a new secret
		res, err := b.client.PostForm(b.url+"/me/security/code", url.Values{"csrf": {html.UnescapeString(csrf[1])}, "code": {code}})
		must(t, err)
		body, _ := b.read(res, "code", status)
		return body
	}
	contains(t, send("000000", 422), "does not fit")
	contains(t, send(code(t, found[1]), 200), "Your recovery codes")
	if f, err := h.Sessions.Factors(h.Anna.ID); err != nil || !f.TOTP || f.Recovery == 0 {
		t.Errorf("%+v, %v", f, err)
	}
	body, _ = b.post("/me/security/recovery", "/me/security/recovery", 200)
	contains(t, body, "Your recovery codes")
	b.post("/me/security/code/remove", "/me/security/code/remove", 200)
	if f, err := h.Sessions.Factors(h.Anna.ID); err != nil || f.TOTP {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestSessions(t *testing.T) {
	h := house.Open(t)
	b, other, otto := open(t, h, h.Anna.ID, true), open(t, h, h.Anna.ID, true), open(t, h, h.Otto.ID, true)
	list, err := h.Sessions.List(0)
	must(t, err)
	for _, s := range list {
		b.post("/me/security", "/me/security/session/end", 200, "id", s.ID) // otto's and the own too
	}
	for who, at := range map[*browser]string{b: "/me", other: "/enter", otto: "/me"} {
		if _, got := who.get("/me", 200); got != at {
			t.Errorf("%s instead of %s", got, at)
		}
	}
}

func TestExport(t *testing.T) {
	h := house.Open(t)
	must(t, h.Fill())
	body, _ := open(t, h, h.Anna.ID, true).post("/me/export", "/me/export", 200)
	z, err := zip.NewReader(bytes.NewReader([]byte(body)), int64(len(body)))
	must(t, err)
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if want := "mail/Family/Holidays.mbox"; !strings.Contains(strings.Join(names, "\n"), want) || names[len(names)-1] != "settings.json" {
		t.Errorf("%q", names)
	}
}

// TestHostile shows what strangers and the person choose on every page: none of
// it may become markup.
func TestHostile(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror='a'>{{.}}`
	h := house.Open(t)
	must(t, h.Anna.Update(func(p *store.Profile) error {
		p.Name = evil
		p.Devices = append(p.Devices, store.Device{ID: "abcd", Name: evil, Created: time.Now()})
		p.Forward = []mail.Path{`"<script>"@outside.test`}
		return nil
	}))
	h.Store.Touch(h.Anna.ID, "abcd", time.Now(), evil)
	_, err := h.Anna.Create("x<script>y", mail.NoUse)
	must(t, err)
	must(t, vacation.Save(h.Store, h.Anna.ID, vacation.Reply{On: true, Text: "</textarea>" + evil, Subject: evil}))
	for _, kind := range []events.Kind{events.SignedIn, events.SignInFailed} {
		for _, door := range []string{"imap", "web", evil} {
			h.Events.Add(events.Event{Kind: kind, Account: h.Anna.ID, Door: door, Device: evil, Remote: evil, Who: evil})
		}
	}
	b := open(t, h, h.Anna.ID, true)
	tag := regexp.MustCompile(`(?i)<script(?: src="/static/| src="/)?|<img src=x|onerror='a'>|javascript:`)
	shown := 0
	for _, path := range []string{"/me", "/me/devices", "/me/devices/add", "/me/devices/remove?id=abcd", "/me/away", "/me/forward", "/me/name",
		"/me/signins", "/me/signins/not-me?device=" + url.QueryEscape(evil), "/me/security", "/me/storage"} {
		body, _ := b.get(path, 200)
		for _, found := range tag.FindAllString(body, -1) {
			if found != `<script src="/` && found != `<script src="/static/` {
				t.Errorf("%s has %q", path, found)
			}
		}
		if strings.Contains(body, "&lt;script&gt;") {
			shown++
		}
	}
	if shown < 8 {
		t.Errorf("only %d pages show it at all", shown)
	}
	body, _ := b.post("/me/devices/add", "/me/devices/add", 200, "name", evil, "kind", "apple")
	if strings.Contains(body, "<script>") || !strings.Contains(body, "&lt;script&gt;") {
		t.Error("the name of a new device is markup")
	}
}

// TestFormsNeedTokens walks all forms: none is done for a page from elsewhere that
// has our cookies and no token of ours.
func TestFormsNeedTokens(t *testing.T) {
	h := house.Open(t)
	b := open(t, h, h.Anna.ID, true)
	before := profile(t, h.Anna)
	for _, pattern := range me.Patterns() {
		path, ok := strings.CutPrefix(pattern, "POST ")
		if !ok {
			continue
		}
		for _, forged := range []string{"", "forged"} {
			res, err := b.client.PostForm(b.url+path, url.Values{"csrf": {forged}, "name": {"x"}, "to": {"thief@far.example"}})
			must(t, err)
			b.read(res, path, http.StatusForbidden)
		}
	}
	if after := profile(t, h.Anna); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v", after)
	}
}

// TestAttackLineBreaks walks the forms of all pages and puts line breaks into each
// field: nothing that is kept of one line has two.
func TestAttackLineBreaks(t *testing.T) {
	h := house.Open(t)
	must(t, vacation.Save(h.Store, h.Anna.ID, vacation.Reply{On: true, Text: "away", Subject: "away"}))
	b := open(t, h, h.Anna.ID, true)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	formIn := regexp.MustCompile(`(?s)<form[^>]* method="post" action="(/me[^"]*)"[^>]*>(.*?)</form>`)
	fieldIn := regexp.MustCompile(`<(?:input|select|textarea|button)[^>]* name="([^"]+)"(?:[^>]* value="([^"]*)")?`)
	forms := map[string]url.Values{}
	for _, path := range []string{"/me", "/me/devices", "/me/devices/add", "/me/away", "/me/forward", "/me/name", "/me/signins/not-me", "/me/security", "/me/security/code"} {
		body, _ := b.get(path, http.StatusOK)
		for _, form := range formIn.FindAllStringSubmatch(body, -1) {
			fields := url.Values{}
			for _, f := range fieldIn.FindAllStringSubmatch(form[2], -1) {
				fields.Set(f[1], html.UnescapeString(f[2]))
			}
			forms[html.UnescapeString(form[1])] = fields
		}
	}
	delete(forms, "/me/security/others") // which would end the test's own session
	delete(forms, "/me/security/session/end")
	posted := 0
	for action, form := range forms {
		for name := range form {
			for _, ending := range []string{"\r\n", "\n", "\r", "\u2028", "\x00"} {
				injected := url.Values{}
				for n, v := range form {
					injected[n] = v
				}
				injected.Set(name, "x"+ending+"Bcc: thief@far.example")
				res, err := b.client.PostForm(b.url+action, injected)
				must(t, err)
				res.Body.Close()
				if name != "csrf" {
					posted++
				}
			}
		}
	}
	if posted < 40 {
		t.Errorf("only %d forms were sent, so this test shows little", posted)
	}
	p := profile(t, h.Anna)
	away, err := vacation.Load(h.Store, h.Anna.ID)
	must(t, err)
	kept := []string{p.Name, p.Language, away.Subject}
	for _, d := range p.Devices {
		kept = append(kept, d.Name)
	}
	for _, to := range p.Forward {
		kept = append(kept, string(to))
	}
	for _, s := range kept {
		if strings.ContainsAny(s, "\r\n\x00\u2028") {
			t.Errorf("%q was kept", s)
		}
	}
}
